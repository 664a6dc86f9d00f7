"""Times add up, every section is seen, and nothing stays behind."""

from __future__ import annotations

import gc
import json
import time
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch as th
from sb3_contrib import ARS
from stable_baselines3 import A2C, DQN, PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import CheckpointCallback, ConvertCallback, EveryNTimesteps
from stable_baselines3.common.envs import FakeImageEnv
from stable_baselines3.common.logger import configure
from stable_baselines3.common.policies import ActorCriticCnnPolicy

from sb3_efficient.errors import ConflictError, OptionError
from sb3_efficient.profiler import SECTIONS, ProfileCallback, Stopwatch, shares, table
from sb3_efficient.seer import SEERCallback

OFF_POLICY = {"buffer_size": 100, "learning_starts": 10, "batch_size": 8}
MODELS = {
    PPO: {"n_steps": 16, "batch_size": 8, "n_epochs": 1},
    A2C: {},
    DQN: OFF_POLICY,
    SAC: {**OFF_POLICY, "policy_kwargs": {"features_extractor_kwargs": {"features_dim": 16}}},
}


def model(algo: type[BaseAlgorithm]) -> BaseAlgorithm:
    env = FakeImageEnv(screen_height=36, screen_width=36, discrete=algo is not SAC)
    return algo("CnnPolicy", env, **MODELS[algo])


def test_sections_inside_sections_are_not_counted_twice() -> None:
    watch = Stopwatch()
    with watch.section("forward"):
        time.sleep(0.02)
        with watch.section("backward"):
            time.sleep(0.04)
    seconds = watch.read()
    assert 0.02 <= seconds["forward"] < 0.035
    assert 0.04 <= seconds["backward"] < 0.06


@pytest.mark.parametrize("algo", MODELS, ids=lambda algo: algo.__name__)
def test_every_section_is_seen_and_the_sum_is_the_wall_clock(algo: type[BaseAlgorithm], tmp_path: Path) -> None:
    agent = model(algo)
    before = {name: set(vars(owner)) for name, owner in (("model", agent), ("policy", agent.policy))}
    backward = th.Tensor.backward
    callback = ProfileCallback(tmp_path / "profile.json", verbose=0)
    start = time.perf_counter()
    agent.learn(48, callback=callback)
    elapsed = time.perf_counter() - start
    assert all(callback.seconds[section] > 0 for section in SECTIONS)
    assert 0.7 * elapsed < sum(callback.seconds.values()) < elapsed, "all but the preparations of learn()"
    content = json.loads((tmp_path / "profile.json").read_text())
    assert content["steps"] == agent.num_timesteps
    assert content["seconds"] == callback.seconds
    assert th.Tensor.backward is backward
    assert set(vars(agent.policy)) == before["policy"]
    assert "train" not in vars(agent)


def test_shares_go_to_the_log_and_first_steps_may_be_left_out(tmp_path: Path) -> None:
    agent = model(PPO)
    callback = ProfileCallback(skip=16, verbose=0)
    agent.set_logger(configure(str(tmp_path), ["json"]))
    agent.learn(48, callback=callback)
    agent.logger.close()
    assert callback.steps == 32
    logged = [json.loads(line) for line in (tmp_path / "progress.json").read_text().splitlines()]
    assert all(0 < row["profile/backward"] < 1 for row in logged[2:])


def test_what_is_skipped_does_not_count() -> None:
    agent, callback = model(PPO), ProfileCallback(skip=16, verbose=0)
    slow = ConvertCallback(lambda *_: time.sleep(1.0 if agent.num_timesteps == 1 else 0) is None)
    agent.learn(48, callback=[callback, slow])
    assert callback.seconds["rest"] < 1.0


def test_nothing_left_to_count_is_said() -> None:
    agent, callback = model(PPO), ProfileCallback(skip=100, verbose=0)
    with pytest.warns(UserWarning, match="skip=100: no rollout began after so many steps, and the profile has all"):
        agent.learn(16, callback=callback)
    assert callback.steps == 16


def test_others_of_the_same_class_are_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    agent, other, callback = model(PPO), model(PPO), ProfileCallback(verbose=0)
    monkeypatch.setattr(type(other.policy), "predict", lambda *_: time.sleep(1.0))
    asks = ConvertCallback(lambda *_: agent.num_timesteps > 1 or other.policy.predict(None) is None)  # type: ignore
    agent.learn(16, callback=[callback, asks])
    assert callback.seconds["acting"] < 1.0 < callback.seconds["rest"]


@pytest.mark.parametrize("algo", [PPO, DQN], ids=lambda algo: algo.__name__)
def test_what_is_saved_meanwhile_is_as_ever(algo: type[BaseAlgorithm], tmp_path: Path) -> None:
    agent, backward = model(algo), th.Tensor.backward
    saved = CheckpointCallback(16, str(tmp_path), "during", save_replay_buffer=algo is DQN)
    agent.learn(32, callback=[ProfileCallback(verbose=0), saved])
    assert th.Tensor.backward is backward
    agent.save(tmp_path / "after.zip")
    assert (tmp_path / "during_16_steps.zip").stat().st_size < 1.1 * (tmp_path / "after.zip").stat().st_size
    loaded = algo.load(tmp_path / "during_16_steps.zip", env=agent.get_env())
    if algo is DQN:
        loaded.load_replay_buffer(tmp_path / "during_replay_buffer_16_steps.pkl")
    callback = ProfileCallback(verbose=0)
    loaded.learn(48, callback=callback)
    assert callback.seconds["forward"] > 0


def test_classes_of_a_script_are_saved_meanwhile(tmp_path: Path) -> None:
    """A class that nobody can import is saved with all that it has."""

    class Own(ActorCriticCnnPolicy):
        pass

    class OwnAdam(th.optim.Adam):
        pass

    own = {"optimizer_class": OwnAdam}
    agent = PPO(Own, model(PPO).get_env(), **MODELS[PPO], policy_kwargs=own)  # type: ignore[arg-type]
    agent.learn(32, callback=[ProfileCallback(verbose=0), CheckpointCallback(16, str(tmp_path), "during")])
    loaded = PPO.load(tmp_path / "during_16_steps.zip", env=agent.get_env())
    assert type(loaded.policy).forward is ActorCriticCnnPolicy.forward, "none that asks the time"
    loaded.learn(16)


def test_evaluation_is_not_acting() -> None:
    agent, callback = model(DQN), ProfileCallback(verbose=0)
    predict = agent.policy.predict

    def slow(*args: Any, **kwargs: Any) -> Any:
        time.sleep(0.5)
        return predict(*args, **kwargs)

    agent.policy.predict = slow  # type: ignore[method-assign]
    asks = ConvertCallback(lambda *_: agent.predict(agent._last_obs) is not None)  # type: ignore[arg-type]
    agent.learn(2, callback=[callback, asks])
    assert callback.seconds["acting"] < 0.5 < 1.0 < callback.seconds["rest"]


def test_the_end_may_be_said_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    callback = ProfileCallback(tmp_path / "profile.json")
    model(PPO).learn(16, callback=callback)
    callback.on_training_end()  # as rl-zoo3 does
    assert capsys.readouterr().out.count("ms per 1000 steps") == 1


@pytest.mark.parametrize("algo", [PPO, DQN], ids=lambda algo: algo.__name__)
def test_buffers_of_latents_are_timed_too(algo: type[BaseAlgorithm]) -> None:
    agent = model(algo)
    agent.learn(64, callback=[SEERCallback(freeze_at=20), callback := ProfileCallback(verbose=0, skip=32)])
    assert hasattr(agent, "seer")
    assert callback.seconds["buffer"] > 0


def test_an_interrupted_training_leaves_nothing_in_the_next_one() -> None:
    agent, backward = model(PPO), th.Tensor.backward

    def interrupt(*_: object) -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        agent.learn(16, callback=[ProfileCallback(verbose=0), ConvertCallback(interrupt)])
    agent.learn(16, callback=(callback := ProfileCallback(verbose=0)))
    assert th.Tensor.backward is backward
    assert callback.steps == 16


def test_table(capsys: pytest.CaptureFixture[str]) -> None:
    seconds = dict.fromkeys(SECTIONS, 1.0)
    assert shares(seconds)["rest"] == pytest.approx(1 / 7)
    lines = table({"plain": (1000, seconds), "fast": (2000, seconds)}).splitlines()
    assert lines[0].split() == ["ms", "per", "1000", "steps", "plain", "fast"]
    assert lines[1].split() == ["environment", "1,000", "500"]
    assert lines[-1].split() == ["fps", "143", "286"]
    model(PPO).learn(16, callback=ProfileCallback())
    assert "ms per 1000 steps" in capsys.readouterr().out


def test_an_interrupted_training_does_not_live_on_in_classes() -> None:
    agent, backward = model(DQN), th.Tensor.backward
    train, add = DQN.train, type(agent.replay_buffer).add
    seen = [weakref.ref(agent), weakref.ref(agent.replay_buffer)]

    def interrupt(*_: object) -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        agent.learn(16, callback=[ProfileCallback(verbose=0), ConvertCallback(interrupt)])
    owner = type(agent.replay_buffer)
    del agent
    gc.collect()
    assert [one() for one in seen] == [None, None]
    assert (DQN.train, owner.add, th.Tensor.backward) == (train, add, backward)


def test_one_that_another_training_displaces_says_so(tmp_path: Path) -> None:
    inner = ProfileCallback(verbose=0)

    def train(*_: object) -> bool:
        model(PPO).learn(16, callback=inner)
        return True

    outer = ProfileCallback(tmp_path / "profile.json", verbose=0)
    with pytest.warns(UserWarning, match="There is no profile: a ProfileCallback of another training took over"):
        model(PPO).learn(16, callback=[outer, ConvertCallback(train)])
    assert inner.steps == 16
    assert not (tmp_path / "profile.json").exists()


def test_where_it_is_told_of_steps_only_it_is_refused() -> None:
    backward = th.Tensor.backward
    with pytest.raises(ConflictError, match="give ProfileCallback to learn\\(\\) by itself or in a list"):
        model(PPO).learn(16, callback=EveryNTimesteps(8, ProfileCallback(verbose=0)))
    assert th.Tensor.backward is backward


def test_algorithms_that_have_not_all_that_is_timed() -> None:
    callback = ProfileCallback(verbose=0)
    ARS("LinearPolicy", "Pendulum-v1", n_delta=1, n_eval_episodes=1).learn(400, callback=callback)
    assert sum(callback.seconds.values()) > 0


@pytest.mark.parametrize("skip", ["1e4", -5, 0.5])
def test_what_is_skipped_is_a_number_of_steps(skip: Any) -> None:
    with pytest.raises(OptionError, match="skip must be a whole number of at least 0, got"):
        ProfileCallback(skip=skip)


def test_two_in_one_training_are_refused() -> None:
    backward, train = th.Tensor.backward, PPO.train
    two = [ProfileCallback(verbose=0), ProfileCallback(verbose=0)]
    with pytest.raises(ConflictError, match="leave one out"):
        model(PPO).learn(16, callback=two)
    assert (PPO.train, th.Tensor.backward) == (train, backward)


def test_where_the_file_cannot_be_is_said_before_training_and_never_costs_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OptionError, match="Name another folder"):
        ProfileCallback(tmp_path / "file" / "profile.json")
    callback = ProfileCallback(tmp_path / "gone" / "profile.json", verbose=0)
    (tmp_path / "gone").rmdir()
    (tmp_path / "gone").touch()
    with pytest.warns(UserWarning, match=r"no profile: .* could not be written"):
        model(PPO).learn(16, callback=callback)
    assert callback.steps == 16


# torch's compiler looks at the gradients of what it is given
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
def test_compiled_policies_are_timed_and_failures_put_everything_back(monkeypatch: pytest.MonkeyPatch) -> None:
    agent, train = model(PPO), PPO.train
    agent.policy = th.compile(agent.policy, backend="eager")  # type: ignore[assignment]
    callback = ProfileCallback(verbose=0)
    agent.learn(32, callback=callback)
    assert callback.seconds["acting"] > 0
    assert PPO.train is train

    def broken(*_: object, **__: object) -> None:
        raise ValueError("no clock")

    monkeypatch.setattr(Stopwatch, "timed_generator", broken)
    with pytest.raises(ValueError, match="no clock"):
        agent.learn(32, callback=ProfileCallback(verbose=0))
    assert PPO.train is train
