"""What is put around the methods of rl-zoo3's ``ExperimentManager``, without training."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from rl_zoo3 import hyperparams_opt

from sb3_efficient import policy_kwargs
from sb3_efficient.errors import ConflictError, EfficientError
from sb3_efficient.extractors import ImpalaExtractor
from sb3_efficient.zoo.manager import (
    create_envs,
    hyperparameters_optimization,
    load_pretrained_agent,
)

SAMPLERS: dict[str, Any] = hyperparams_opt.HYPERPARAMS_SAMPLER


def test_every_trial_has_the_extractor_and_the_samplers_are_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def sampler(*_: object) -> dict[str, Any]:
        return {"gamma": 0.9, "policy_kwargs": {"net_arch": [64]}}

    trials: list[dict[str, Any]] = []

    def interrupted(self: Any) -> None:
        trials.extend(SAMPLERS["dqn"](None, 1, 1, {}) for _ in range(2))
        trials[0]["policy_kwargs"]["features_extractor_kwargs"]["width"] = 9
        raise KeyboardInterrupt

    monkeypatch.setitem(SAMPLERS, "dqn", sampler)
    configured = policy_kwargs("impala", "dqn", width=2)
    with pytest.raises(KeyboardInterrupt):
        hyperparameters_optimization(interrupted)(
            SimpleNamespace(algo="dqn", _hyperparams={"policy_kwargs": configured})
        )
    assert SAMPLERS["dqn"] is sampler
    for trial in trials:
        assert trial["gamma"] == 0.9
        assert trial["policy_kwargs"]["features_extractor_class"] is ImpalaExtractor
        assert trial["policy_kwargs"]["net_arch"] == [64], "as sampled"
    assert trials[1]["policy_kwargs"]["features_extractor_kwargs"]["width"] == 2, "each has options of its own"
    assert configured == policy_kwargs("impala", "dqn", width=2)


@pytest.mark.parametrize("policy_kwargs", [{}, {"features_extractor_class": ImpalaExtractor}])
def test_a_search_without_a_trial_says_so(policy_kwargs: dict[str, Any]) -> None:
    def search(_: Any) -> None:
        raise ValueError("No trials are completed yet.")

    manager = SimpleNamespace(algo="dqn", _hyperparams={"policy_kwargs": policy_kwargs})
    with pytest.raises(EfficientError, match="No trial of this search was completed. The reasons stand above"):
        hyperparameters_optimization(search)(manager)


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
