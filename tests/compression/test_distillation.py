from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from helpers import parameters_match
from learners import ALGORITHMS, actions, agent, images, tensors
from stable_baselines3 import PPO
from stable_baselines3.common.envs import FakeImageEnv

from sb3_efficient.compression.channels import ChannelPruning
from sb3_efficient.compression.distillation import Distillation
from sb3_efficient.compression.networks import networks
from sb3_efficient.compression.recipe import make_method
from sb3_efficient.errors import ConflictError, OptionError


def distilled(student: Any, teacher: Any, observations: np.ndarray | None, **options: Any) -> Any:
    options = {"steps": 60, "batch_size": 32, **options}
    return Distillation(**options).apply(student, teacher=teacher, observations=observations)


def teacher_of(algo: str, **kwargs: Any) -> Any:
    """An agent that sees differences between images."""
    model = agent(algo, **kwargs)
    with th.no_grad():
        for head in networks(model).heads:
            for p in head.parameters():
                p.mul_(20)
    return model


def distance(model: Any, teacher: Any) -> float:
    judged = actions(teacher)
    pairs = zip(tensors(model, judged), tensors(teacher, judged), strict=True)
    return sum(float((one - other).pow(2).mean() / other.var()) for one, other in pairs)


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_student_comes_close_to_its_teacher(algo: str) -> None:
    teacher = teacher_of(algo)
    before = [p.clone() for p in teacher.policy.parameters()]
    student = ChannelPruning(0.5).apply(teacher, teacher=teacher, observations=None)
    result = distilled(student, teacher, images())
    assert distance(result, teacher) < 0.5 * distance(student, teacher)
    assert all(th.equal(p, q) for p, q in zip(before, teacher.policy.parameters(), strict=True))
    for name in networks(result).targets:
        assert parameters_match(getattr(result.policy, name), getattr(result.policy, name.removesuffix("_target")))
    result.learn(16)


def test_continuous_actions_of_ppo() -> None:
    teacher = teacher_of("ppo", discrete=False)
    with th.no_grad():
        teacher.policy.log_std.fill_(-1)
    student = ChannelPruning(0.5).apply(teacher, teacher=teacher, observations=None)
    with th.no_grad():
        student.policy.log_std.fill_(0)
    result = distilled(student, teacher, images(), steps=200, learning_rate=1e-2)
    assert result.policy.log_std.max() < -0.5


def test_several_discrete_actions() -> None:
    env = FakeImageEnv(screen_height=36, screen_width=36, n_channels=2)
    env.action_space = spaces.MultiDiscrete([3, 2])
    teacher = PPO("CnnPolicy", env, n_steps=16, batch_size=16, device="cpu")
    student = ChannelPruning(0.5).apply(teacher, teacher=teacher, observations=None)
    assert distance(distilled(student, teacher, images()), teacher) < distance(student, teacher)


def test_same_seed_same_student() -> None:
    teacher = teacher_of("sac")
    student = ChannelPruning(0.5).apply(teacher, teacher=teacher, observations=None)
    results = [distilled(student, teacher, images(), steps=3, seed=seed).policy for seed in (1, 1, 2)]
    assert parameters_match(results[0], results[1])
    assert not parameters_match(results[0], results[2])


def test_without_observations() -> None:
    with pytest.raises(OptionError, match="Training a student needs observations"):
        distilled(agent(), agent(), None)


def test_teacher_of_other_spaces() -> None:
    env = FakeImageEnv(screen_height=36, screen_width=36, n_channels=2)
    env.action_space = spaces.Discrete(3)
    with pytest.raises(ConflictError, match=r"different action_spaces, Discrete\(6\) and Discrete\(3\): take another"):
        distilled(agent(), PPO("CnnPolicy", env), images())


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"steps": 0}, "steps must be a whole number of at least 1, got 0"),
        ({"batch_size": 1.5}, "batch_size must be a whole number of at least 1, got 1.5"),
        ({"learning_rate": 0}, "learning_rate must be a positive number, got 0"),
        ({"value_weight": -1}, "value_weight must be a number of at least 0, got -1"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], text: str) -> None:
    with pytest.raises(OptionError, match=text):
        Distillation(**options)


def test_config_round_trip() -> None:
    method = Distillation(steps=10, learning_rate=1e-4)
    assert make_method(method.to_config()) == make_method(str(method)) == method
    assert method.needs_observations
