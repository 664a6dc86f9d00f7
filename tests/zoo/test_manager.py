"""What is put around the methods of rl-zoo3's ``ExperimentManager``, without training."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sb3_efficient.errors import ConflictError, OptionError
from sb3_efficient.zoo.manager import check_complete, create_envs, load_pretrained_agent


@pytest.mark.parametrize(
    ("options", "settings", "folder"),
    [({}, {"a": 1}, "logs"), ({"eval_env": True}, {"b": 2}, None), ({"no_log": True}, {"a": 1}, None)],
)
def test_only_training_writes_monitor_files(
    options: dict[str, bool], settings: dict[str, int], folder: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    monkeypatch.setattr("sb3_efficient.envs.AleVecEnv", lambda *args, **kwargs: made.append((args, kwargs)))
    manager = SimpleNamespace(
        ale_vec_env={"a": 1}, ale_eval_env={"b": 2}, save_path="logs", seed=3, vec_env_wrapper=None,
        env_name=SimpleNamespace(gym_id="Pong"), _maybe_normalize=lambda env, eval_env: env,
    )  # fmt: skip
    create_envs(lambda *_: pytest.fail("the zoo's own"))(manager, 2, **options)
    assert made == [(("Pong", 2, 3), {"monitor_dir": folder, **settings})]


def test_entries_that_do_not_say_what_to_train() -> None:
    manager = SimpleNamespace(n_timesteps=-1, continue_training=False, env_name=SimpleNamespace(gym_id="Pong"))
    with pytest.raises(OptionError, match=r"entry of Pong has no n_timesteps: add n_timesteps=1_000_000, or give -n"):
        check_complete(manager, {"policy": "CnnPolicy"})
    with pytest.raises(OptionError, match="has no policy: add policy=CnnPolicy, or MlpPolicy for vectors"):
        check_complete(manager, {"n_timesteps": 10})
    manager.n_timesteps, manager.continue_training = 30, True
    entry: dict[str, Any] = {}
    check_complete(manager, entry)
    assert entry == {"n_timesteps": 30}, "the agent has its policy"


def test_other_errors_of_loading_stay_as_they_are() -> None:
    def failing(message: str) -> Any:
        def load(*_: object) -> None:
            raise ValueError(message)

        return load_pretrained_agent(load)

    manager = SimpleNamespace(trained_agent="a.zip", env_name=SimpleNamespace(gym_id="Pong"))
    with pytest.raises(ConflictError, match="a.zip cannot be continued in Pong: Action spaces do not match"):
        failing("Action spaces do not match")(manager, {}, None)
    with pytest.raises(ValueError, match="^another$"):
        failing("another")(manager, {}, None)
