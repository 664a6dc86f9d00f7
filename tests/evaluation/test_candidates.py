"""What is counted: the network that acts, and no more."""

from __future__ import annotations

import numpy as np
import torch as th
from helpers import count
from sb3_contrib import QRDQN
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.envs import FakeImageEnv

from sb3_efficient import compress
from sb3_efficient.evaluation.candidates import graph_candidate, model_candidate

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 1, 40, 40), dtype=np.uint8)


def test_parameters_that_act() -> None:
    model = PPO("CnnPolicy", FakeImageEnv(screen_height=40, screen_width=40))
    for parameter in model.policy.parameters():
        # New biases are all zero, and dropped
        parameter.data.add_(0.01 * th.randn_like(parameter))
    found = model_candidate("original", model)
    assert found.parameters == count(model.policy) - count(model.policy.value_net)
    assert found.n_bytes == 4 * found.parameters
    assert found.policy is model

    float32 = graph_candidate("float32", compress(model, []), 123)
    assert float32.parameters == found.parameters
    assert float32.n_bytes == 123
    int8 = graph_candidate("int8", compress(model, "static-int8", calibration=IMAGES), 123)
    assert int8.parameters == found.parameters
    assert graph_candidate("dynamic", compress(model, "dynamic-int8"), 123).parameters == found.parameters


def test_all_quantiles_act() -> None:
    model = QRDQN("CnnPolicy", FakeImageEnv(screen_height=40, screen_width=40), buffer_size=9)
    assert model_candidate("original", model).parameters == count(model.quantile_net)


def test_critics_do_not_act() -> None:
    model = SAC("CnnPolicy", FakeImageEnv(screen_height=40, screen_width=40, discrete=False), buffer_size=9)
    assert model_candidate("original", model).parameters == count(model.actor)
