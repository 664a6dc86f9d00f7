from __future__ import annotations

import numpy as np
import pytest
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.envs import FakeImageEnv

from sb3_efficient import make_engine
from sb3_efficient.evaluation.agreement import agreement, sqnr

IMAGES = np.random.default_rng(0).integers(0, 256, (300, 1, 40, 40), dtype=np.uint8)


def model(seed: int, discrete: bool = True) -> PPO | SAC:
    env = FakeImageEnv(screen_height=40, screen_width=40, discrete=discrete)
    return PPO("CnnPolicy", env, seed=seed) if discrete else SAC("CnnPolicy", env, seed=seed, buffer_size=10)


def test_sqnr() -> None:
    """A tenth of the amplitude is a hundredth of the power: 20 dB."""
    signal = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
    assert sqnr(1.1 * signal, signal) == pytest.approx(20, abs=1e-4)
    assert sqnr(2 * signal, signal) == pytest.approx(0, abs=1e-4)
    assert sqnr(signal, signal) == float("inf")
    assert np.isnan(sqnr(np.where(signal == signal.max(), np.nan, signal), signal))
    assert sqnr(signal, 0 * signal) == float("-inf")


def test_the_same_policy_agrees() -> None:
    original = make_engine(model(0), "eager")
    found = agreement(make_engine(model(0), "onnxruntime"), original, IMAGES)
    assert found.actions == 1
    assert found.sqnr > 80
    assert agreement(original, original, IMAGES).sqnr == float("inf")


def test_another_policy_does_not() -> None:
    engines = [make_engine(model(seed), "eager") for seed in (0, 1)]
    found = agreement(*engines, IMAGES)
    greedy = [engine.predict(IMAGES, deterministic=True)[0] for engine in engines]
    assert found.actions == np.mean(greedy[0] == greedy[1]) < 1
    assert found.sqnr < 10


def test_real_actions_are_never_the_same() -> None:
    found = agreement(*(make_engine(model(seed, discrete=False), "eager") for seed in (0, 1)), IMAGES[:3])
    assert found.actions is None
    assert np.isfinite(found.sqnr)
