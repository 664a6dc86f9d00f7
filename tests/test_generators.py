"""Looking at how a model plays is no part of its training."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch as th
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.envs import FakeImageEnv
from stable_baselines3.common.vec_env import VecEnv

from sb3_efficient.envs import CatchEnv
from sb3_efficient.evaluation.episodes import play
from sb3_efficient.exploration import explore_anew
from sb3_efficient.generators import seeded
from sb3_efficient.observations import collect

#: Long enough that environments are reset, and DQN explores
STEPS = 48


def catch() -> VecEnv:
    return make_vec_env(CatchEnv, 1)


def make(algorithm: str) -> BaseAlgorithm:
    if algorithm == "ppo":
        return PPO("CnnPolicy", catch(), n_steps=16, batch_size=16, n_epochs=1, seed=0)
    return DQN("CnnPolicy", catch(), buffer_size=100, learning_starts=8, exploration_fraction=1.0, seed=0)


def train(algorithm: str, *, looked_at: bool) -> tuple[list[th.Tensor], tuple[float, float, float]]:
    model, env = make(algorithm), catch()
    model.learn(STEPS)
    if looked_at:
        play(model, catch, [3, 4])
        collect(model, env, 8)
    model.learn(STEPS, reset_num_timesteps=False)
    drawn = (random.random(), float(np.random.rand()), float(th.rand(1)))  # noqa: NPY002
    return [p.detach() for p in model.policy.parameters()], drawn


@pytest.mark.parametrize("algorithm", ["ppo", "dqn"])
def test_training_goes_on_as_if_nothing_had_been_played(algorithm: str) -> None:
    weights, drawn = train(algorithm, looked_at=False)
    found, found_drawn = train(algorithm, looked_at=True)
    assert found_drawn == drawn
    assert all(th.equal(one, other) for one, other in zip(found, weights, strict=True))


def test_what_was_there_comes_back_after_an_error() -> None:
    model = make("dqn")
    env, space = model.env, model.action_space

    def fail() -> None:
        with seeded(model, 5):
            assert model.env is None
            assert model.action_space is not space
            raise ValueError("in between")

    with pytest.raises(ValueError, match="in between"):
        fail()
    assert model.env is env
    assert model.action_space is space


def test_gpus_go_on_with_the_algorithms_they_had(monkeypatch: pytest.MonkeyPatch) -> None:
    model, cudnn = make("ppo"), th.backends.cudnn
    model.device = th.device("cuda")  # SB3 looks at this one
    monkeypatch.setattr(cudnn, "benchmark", True)
    with seeded(model, 0):
        assert cudnn.deterministic
    assert (cudnn.deterministic, cudnn.benchmark) == (False, True)


def test_exploration_comes_from_the_seed_and_stays_as_it_was() -> None:
    env = FakeImageEnv(screen_height=36, screen_width=36, discrete=False)
    model = PPO("CnnPolicy", env, use_sde=True, seed=0)
    images = th.as_tensor(np.stack([env.reset()[0].transpose(2, 0, 1)] * 3))

    def sampled(seed: int) -> list[np.ndarray]:
        with seeded(model, seed):
            found = []
            for _ in range(2):
                explore_anew(model.policy, 3)
                found.append(model.policy(images)[0].detach().numpy())  # before the clip, at which different ones meet
        return found

    before = model.policy.action_dist.exploration_mat  # type: ignore[attr-defined]
    first, again, other = sampled(1), sampled(1), sampled(2)
    np.testing.assert_array_equal(first, again)
    assert len(np.unique(np.concatenate([*first, *other]), axis=0)) == 12
    assert model.policy.action_dist.exploration_mat is before  # type: ignore[attr-defined]


def test_actions_come_from_the_seed() -> None:
    model = make("dqn")
    model.exploration_rate = 1.0  # type: ignore[attr-defined]
    observation = catch().reset()

    def sampled(seed: int) -> list[int]:
        with seeded(model, seed):
            return [int(model.predict(observation)[0][0]) for _ in range(20)]

    assert sampled(1) == sampled(1) != sampled(2)
