"""Rollouts on the device: the same minibatches and weights. On the CPU, which is a device too."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from helpers import parameters_match
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.utils import set_random_seed
from stable_baselines3.common.vec_env import DummyVecEnv
from test_policies import DictEnv, env, model

from sb3_efficient import accelerate
from sb3_efficient.errors import OptionError
from sb3_efficient.fast.device_buffer import DeviceImages

FP32: dict[str, Any] = {"precision": "fp32", "keep_memory": False}
LINE = "images: a rollout's stay on cpu, where its minibatches are picked"


def accelerated(algo: str, device_rollouts: bool) -> Any:
    agent: Any = model(algo, DummyVecEnv([env] * 3))
    report = accelerate(agent, **FP32, device_rollouts=device_rollouts)
    assert (LINE in report.changes) == device_rollouts
    return agent


def filled(buffer: RolloutBuffer, seed: int) -> RolloutBuffer:
    """A rollout of noise; images not contiguous, as ``VecTransposeImage`` hands them over."""
    rng = np.random.default_rng(seed)
    n, (c, h, w) = buffer.n_envs, buffer.observation_space.shape  # type: ignore[misc]
    buffer.reset()
    for _ in range(buffer.buffer_size):
        images = rng.integers(0, 256, (n, h, w, c), dtype=np.uint8).transpose(0, 3, 1, 2)
        value, log_prob = (th.as_tensor(rng.normal(size=n)) for _ in range(2))
        buffer.add(images, rng.integers(0, 2, n), rng.normal(size=n), rng.integers(0, 2, n), value, log_prob)
    buffer.compute_returns_and_advantage(th.zeros(n), np.zeros(n))
    return buffer


def test_callbacks_may_look_at_the_images() -> None:
    plain, fast = (filled(accelerated("ppo", wanted).rollout_buffer, 0) for wanted in (False, True))
    np.testing.assert_array_equal(fast.observations[-1], plain.observations[-1])
    np.testing.assert_array_equal(fast.observations[2:4, 1].mean(), plain.observations[2:4, 1].mean())
    assert len(fast.observations) == len(plain.observations)
    assert fast.observations.dtype == plain.observations.dtype
    np.testing.assert_array_equal(fast.observations.reshape(-1, 2), plain.observations.reshape(-1, 2))


@pytest.mark.parametrize("batch_size", [None, 5])
def test_same_minibatches(batch_size: int | None) -> None:
    plain, fast = (accelerated("ppo", wanted).rollout_buffer for wanted in (False, True))
    for seed in range(2):
        np.testing.assert_array_equal(np.asarray(filled(fast, seed).observations), filled(plain, seed).observations)
        batches = []
        for buffer in (plain, fast):
            np.random.seed(seed)  # noqa: NPY002  (what SB3 shuffles with)
            batches.append([batch for _ in range(2) for batch in buffer.get(batch_size)])
        for expected, found in zip(*batches, strict=True):
            for e, f in zip(expected, found, strict=True):
                assert e.dtype == f.dtype
                assert th.equal(e, f)


@pytest.mark.parametrize("algo", ["ppo", "a2c", "trpo"])
def test_training_arrives_at_the_very_same_weights(algo: str, tmp_path: Path) -> None:
    agents = [accelerated(algo, wanted) for wanted in (False, True)]
    for agent in agents:
        set_random_seed(5)
        agent.learn(144)
        agent.save(tmp_path / f"{agent is agents[1]}.zip")
    assert parameters_match(agents[0].policy, agents[1].policy)
    assert not parameters_match(agents[0].policy, model(algo).policy)
    assert isinstance(agents[1].rollout_buffer.observations, th.Tensor)
    with zipfile.ZipFile(tmp_path / "False.zip") as plain, zipfile.ZipFile(tmp_path / "True.zip") as fast:
        assert plain.namelist() == fast.namelist()
        assert json.loads(plain.read("data")).keys() == json.loads(fast.read("data")).keys()
    loaded = type(agents[1]).load(tmp_path / "True.zip", env=env(algo))
    assert isinstance(loaded.rollout_buffer.observations, np.ndarray), "until it is accelerated itself"


def test_a_rollout_in_progress_is_finished_as_it_began() -> None:
    agent: Any = model("ppo")
    buffer = filled(agent.rollout_buffer, 0)
    accelerate(agent, **FP32, device_rollouts=True)
    assert isinstance(buffer.observations, np.ndarray)
    next(iter(buffer.get(4)))
    buffer.reset()
    assert isinstance(buffer.observations, DeviceImages)
    assert accelerate(agent, **FP32, device_rollouts=True).changes == ()


def test_only_on_a_gpu_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert LINE not in accelerate(model("ppo"), **FP32).changes
    assert LINE in accelerate(model("ppo"), **FP32, device_rollouts=True, lean_buffer=False).changes
    agent: Any = model("ppo")
    agent.device = th.device("cuda")  # the buffer knows better
    assert LINE in accelerate(agent, **FP32).changes
    assert LINE not in accelerate(agent, **FP32, device_rollouts=False).changes


@pytest.mark.parametrize("algo", ["ppo_mask", "ppo_lstm", "dqn", "dictionaries", "floats"])
def test_what_cannot_be_kept_is_left_alone(algo: str) -> None:
    if algo == "dictionaries":
        agent = model("ppo", DictEnv(True), "MultiInputPolicy")
    elif algo == "floats":
        agent = model("ppo")
        agent.observation_space.dtype = np.dtype(np.float32)
    else:
        agent = model(algo)
    report = accelerate(agent, **FP32, device_rollouts=True)
    text = "images: only rollouts of PPO, A2C and TRPO with plain uint8 images can be kept on the device"
    assert text in report.left_alone
    assert "reset" not in vars(getattr(agent, "rollout_buffer", None) or agent.replay_buffer)  # type: ignore[attr-defined]


def test_failure_midway_leaves_the_buffer_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    agent: Any = model("ppo")

    def broken(*_: object) -> None:
        raise RuntimeError("no more threads")

    monkeypatch.setattr(th, "set_num_threads", broken)
    with pytest.raises(RuntimeError, match="no more threads"):
        accelerate(agent, **FP32, device_rollouts=True, num_threads=2)
    assert not {"reset", "to_torch"} & set(vars(agent.rollout_buffer))


def test_neither_true_nor_false() -> None:
    with pytest.raises(OptionError, match="device_rollouts must be true or false, got 'cuda'"):
        accelerate(model("ppo"), device_rollouts="cuda")  # type: ignore[arg-type]
