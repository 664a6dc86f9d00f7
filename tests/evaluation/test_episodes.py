"""Paired seeds, no bias towards short episodes, and the same returns whatever runs side by side."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import ale_py
import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from sb3_contrib import MaskablePPO
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.env_util import make_atari_env, make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from sb3_efficient import compress, make_engine
from sb3_efficient.envs import AleVecEnv, CatchEnv
from sb3_efficient.errors import OptionError
from sb3_efficient.evaluation.episodes import RandomPlay, play
from sb3_efficient.observations import collect


class Counts:
    """Looks at nothing but how far its episode has come, through ``state``."""

    def __init__(self, n_actions: int) -> None:
        self.n_actions = n_actions
        self.seeds: list[int | None] = []

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> tuple[np.ndarray, Any]:
        steps = np.zeros(len(episode_start), int) if state is None else np.where(episode_start, 0, state)
        return steps * 7 // 5 % self.n_actions, steps + 1

    def set_random_seed(self, seed: int | None = None) -> None:
        self.seeds.append(seed)


class Lengths(gym.Env[np.ndarray, np.int64]):
    """Episodes that last, and return, as long as their seed says; seeds that were played are noted."""

    played: list[int]
    observation_space = spaces.Box(0, 255, (1, 2, 2), np.uint8)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        if seed is not None:
            self.played.append(seed)
        self.left = 1 if seed is None else seed
        return np.zeros((1, 2, 2), np.uint8), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.left -= 1
        return np.zeros((1, 2, 2), np.uint8), 1.0, self.left <= 0, False, {}


def catch() -> VecEnv:
    return make_vec_env(CatchEnv, 1)


def breakout() -> VecEnv:
    return AleVecEnv("BreakoutNoFrameskip-v4", 1, action_repeat_probability=0.25)


@pytest.mark.parametrize("n_envs", [1, 3, 20])
def test_every_seed_is_played_once_to_its_end(n_envs: int) -> None:
    """Long episodes first, which those who wait for the first to end would leave out."""
    Lengths.played = []
    seeds = [40, 1, 30, 2, 5, 3, 17]
    policy = Counts(2)
    assert play(policy, lambda: make_vec_env(Lengths, 1), seeds, n_envs=n_envs).tolist() == seeds
    assert Lengths.played == seeds if n_envs == 1 else sorted(Lengths.played) == sorted(seeds)
    assert policy.seeds == [40]


def breakout_of_sb3() -> VecEnv:
    """Whose wrappers play a hidden step after a reset, and do not begin anew within a life."""
    gym.register_envs(ale_py)
    return make_atari_env("BreakoutNoFrameskip-v4", 1, env_kwargs={"repeat_action_probability": 0.25})


@pytest.mark.parametrize(("make_env", "n_actions"), [(catch, 3), (breakout, 4), (breakout_of_sb3, 4)])
def test_an_episode_is_the_same_beside_any_others(make_env: Callable[[], VecEnv], n_actions: int) -> None:
    alone = play(Counts(n_actions), make_env, range(6), n_envs=1)
    together = play(Counts(n_actions), make_env, range(6), n_envs=4)
    backwards = play(Counts(n_actions), make_env, range(5, -1, -1), n_envs=4)
    np.testing.assert_array_equal(alone, together)
    np.testing.assert_array_equal(alone, backwards[::-1])
    assert len(set(alone)) > 1


def test_models_play_as_in_evaluate_policy() -> None:
    model = PPO("CnnPolicy", catch(), n_steps=8, batch_size=8, seed=0)
    found = play(model, catch, [3], deterministic=True)
    env = catch()
    env.seed(3)
    returns, _ = evaluate_policy(model, env, 1, deterministic=True, return_episode_rewards=True)
    assert found.tolist() == returns
    np.testing.assert_array_equal(play(model, catch, range(4)), play(model, catch, range(4)))


def test_random_play() -> None:
    found = play(RandomPlay(spaces.Discrete(3)), catch, range(40), n_envs=8)
    assert -3.5 < found.mean() < -0.5
    np.testing.assert_array_equal(found, play(RandomPlay(spaces.Discrete(3)), catch, range(40)))
    box = RandomPlay(spaces.Box(-1, 1, (2,)))
    assert box.predict(None, None, np.zeros(5))[0].shape == (5, 2)


def test_dictionaries_are_joined() -> None:
    class Keyed(gym.ObservationWrapper):
        def __init__(self) -> None:
            super().__init__(CatchEnv())
            self.observation_space = spaces.Dict({"image": CatchEnv().observation_space})

        def observation(self, observation: np.ndarray) -> dict[str, np.ndarray]:
            return {"image": observation}

    found = play(Counts(3), lambda: make_vec_env(Keyed, 1), range(3))
    np.testing.assert_array_equal(found, play(Counts(3), catch, range(3)))


def test_progress_is_shown_on_stderr(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for is_terminal in (False, True):
        monkeypatch.setattr(sys.stderr, "isatty", lambda shown=is_terminal: shown)
        play(Counts(3), catch, range(2), title="as a test")
        out, err = capsys.readouterr()
        assert out == ""
        assert ("as a test" in err) == ("/2 [" in err) == is_terminal


@pytest.mark.parametrize(
    ("make_env", "seeds", "text"),
    [
        (catch, [], "There is nothing to play"),
        (lambda: make_vec_env(CatchEnv, 2), [1], "make_env must make one environment at a time, got 2"),
        (lambda: DummyVecEnv([CatchEnv]), [1], "wrap the environment in it, as make_vec_env does"),
    ],
)
def test_what_cannot_be_played(make_env: Callable[[], VecEnv], seeds: list[int], text: str) -> None:
    with pytest.raises(OptionError, match=text):
        play(Counts(3), make_env, seeds)
    with pytest.raises(OptionError, match="n_envs must be a whole number of at least 1, got 0"):
        play(Counts(3), make_env, seeds, n_envs=0)


class Masked(CatchEnv):
    """Only one action is allowed at a time, and another one at every step; those that were taken are noted."""

    taken: list[tuple[int, int]]
    step_number = 0

    def action_masks(self) -> np.ndarray:
        return np.arange(3) == self.step_number % 3

    def step(self, action: Any) -> Any:
        self.taken.append((self.step_number % 3, int(action)))
        self.step_number += 1
        return super().step(action)


def test_masks_of_the_environment_are_kept_to() -> None:
    def masked() -> VecEnv:
        return make_vec_env(Masked, 1)

    model = MaskablePPO("CnnPolicy", masked(), n_steps=8, batch_size=8, seed=0)
    for policy in (model, make_engine(model, "eager"), compress(model, []), RandomPlay(model.action_space)):
        Masked.taken = []
        play(policy, masked, range(3), n_envs=2)
        assert len(Masked.taken) > 20
        assert all(allowed == action for allowed, action in Masked.taken)
    Masked.taken = []
    collect(model, make_vec_env(Masked, 2), 8)
    assert all(allowed == action for allowed, action in Masked.taken)
    # Others do not know of masks
    play(make_engine(DQN("CnnPolicy", catch(), buffer_size=8), "eager"), masked, [1])
    assert len(Masked.taken) > 8


def test_random_play_draws_for_itself() -> None:
    space = spaces.MultiDiscrete([2, 3], seed=1)
    player = RandomPlay(space)
    player.set_random_seed(5)
    masks = np.array([[1, 0, 0, 0, 1], [0, 1, 1, 0, 0]], bool)
    assert player.predict(None, None, np.zeros(2), action_masks=masks)[0].tolist() == [[0, 2], [1, 0]]
    assert (space.sample() == spaces.MultiDiscrete([2, 3], seed=1).sample()).all()


@pytest.mark.parametrize("seeds", [[-1], [1.5], ["1"]])
def test_seeds_that_are_none(seeds: list[Any]) -> None:
    with pytest.raises(OptionError, match="a seed must be a whole number of at least 0, got"):
        play(Counts(3), catch, seeds)


def test_seeds_may_be_numbers_of_numpy() -> None:
    numbers = np.arange(2)
    assert play(Counts(3), catch, numbers).tolist() == play(Counts(3), catch, range(2)).tolist()
