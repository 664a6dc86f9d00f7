from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as sb3_check_env

import sb3_efficient.envs


def play(env: gym.Env, choose: object, seed: int) -> float:
    observation, _ = env.reset(seed=seed)
    total, done = 0.0, False
    while not done:
        observation, reward, done, _, _ = env.step(choose(observation))  # type: ignore[operator]
        total += float(reward)
    return total


def follow_the_ball(screen: np.ndarray) -> int:
    """Read off the pixels: the ball is white, the paddle grey."""
    ball, paddle = np.argwhere(screen[:, :, 0] == 255)[:, 1].mean(), np.argwhere(screen[:, :, 0] == 160)[:, 1].mean()
    return 1 if ball < paddle - 7 else 2 if ball > paddle + 7 else 0


def test_checkers_are_content() -> None:
    env = gym.make("Catch-v0", render_mode="rgb_array")
    check_env(env.unwrapped)
    sb3_check_env(env.unwrapped)


def test_perfect_and_worst_player() -> None:
    env = sb3_efficient.envs.CatchEnv()
    assert [play(env, follow_the_ball, seed) for seed in range(5)] == [5.0] * 5
    # away from the ball; those that come down where the paddle got stuck are caught
    assert np.mean([play(env, lambda s: {1: 2, 2: 1, 0: 1}[follow_the_ball(s)], seed) for seed in range(20)]) < -3


def test_random_player() -> None:
    env = sb3_efficient.envs.CatchEnv()
    env.action_space.seed(0)
    assert np.mean([play(env, lambda _: env.action_space.sample(), seed) for seed in range(200)]) == pytest.approx(
        -2.2, abs=0.4
    )


def test_seed_decides_the_balls() -> None:
    env = sb3_efficient.envs.CatchEnv()
    assert np.array_equal(env.reset(seed=3)[0], env.reset(seed=3)[0])
    assert any(not np.array_equal(env.reset(seed=3)[0], env.reset(seed=seed)[0]) for seed in range(4, 8))


def test_render() -> None:
    env = sb3_efficient.envs.CatchEnv("rgb_array")
    env.reset(seed=0)
    assert env.render().shape == (84, 84, 3)
    assert sb3_efficient.envs.CatchEnv().render_mode is None
