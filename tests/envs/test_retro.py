"""Games of consoles; with the extra ``retro`` real ones."""

from __future__ import annotations

import sys
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

import sb3_efficient.envs  # noqa: F401
from sb3_efficient.envs.retro import FREE, StochasticFrameSkip, make
from sb3_efficient.errors import EfficientError, MissingExtraError, UnknownNameError


class Counts(gym.Env):
    """Remembers its actions; each is rewarded with one, and the tenth is the last."""

    observation_space = spaces.Box(0, 255, (1,), np.uint8)
    action_space = spaces.Discrete(5)

    def reset(self, **_: Any) -> tuple[np.ndarray, dict[str, Any]]:
        self.played: list[int] = []
        return np.zeros(1, np.uint8), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.played.append(action)
        return np.full(1, len(self.played), np.uint8), 1.0, len(self.played) == 10, False, {}


def test_an_action_lasts_four_frames_and_the_last_one_sticks() -> None:
    env = StochasticFrameSkip(Counts(), stick=1.0)
    env.reset(seed=0)
    assert env.step(1)[1] == 4.0
    assert env.step(2)[0] == 8
    # The game ends within the third
    assert env.step(3)[1:3] == (2.0, True)
    assert env.unwrapped.played == [1, 1, 1, 1, 1, 2, 2, 2, 2, 3]  # type: ignore[attr-defined]
    env.reset(seed=0)
    env.step(4)
    assert env.unwrapped.played == [4, 4, 4, 4]  # type: ignore[attr-defined]


def test_how_often_it_sticks() -> None:
    env = StochasticFrameSkip(Counts(), skip=1)
    env.reset(seed=0)
    stuck = []
    for action in range(4000):
        env.unwrapped.played = []  # type: ignore[attr-defined]
        env.step(action)
        stuck.append(env.unwrapped.played != [action])  # type: ignore[attr-defined]
    assert np.mean(stuck) == pytest.approx(0.25, abs=0.03)


def test_free_games_are_registered() -> None:
    assert set(FREE) <= set(gym.registry)
    assert gym.spec(FREE[0]).max_episode_steps == 4500


def test_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "stable_retro", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'sb3-efficient\[retro\]'"):
        gym.make(FREE[0])


class FakeRetro:
    """What ``make`` calls of stable-retro, with an error in place of a game."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.data = self
        self.Integrations = self
        self.ALL = 0

    def list_games(self, _: int) -> list[str]:
        return list(FREE)

    def make(self, *_: Any, inttype: int, **__: Any) -> None:
        assert inttype == self.ALL, "contributed games, too"
        raise self.error


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (FileNotFoundError("rom.md"), r"no ROM of Airstriker-Genesis-v0\. .*stable_retro\.import FOLDER"),
        (RuntimeError("Cannot create multiple emulator instances"), "Cannot create multiple.*--vec-env subproc"),
    ],
)
def test_games_that_do_not_start(monkeypatch: pytest.MonkeyPatch, error: Exception, message: str) -> None:
    monkeypatch.setitem(sys.modules, "stable_retro", FakeRetro(error))  # type: ignore[arg-type]
    with pytest.raises(EfficientError, match=message):
        make(FREE[0])
    with pytest.raises(UnknownNameError, match="Did you mean 'Airstriker-Genesis-v0'"):
        make("Airstriker-Genesys-v0")


def test_a_real_game() -> None:
    pytest.importorskip("stable_retro")
    env = gym.make(FREE[0])
    observation, _ = env.reset(seed=0)
    assert env.observation_space.contains(observation)
    assert env.step(env.action_space.sample())[0].shape == (224, 320, 3)
    with pytest.raises(EfficientError, match="--vec-env subproc"):
        gym.make(FREE[0])
    env.close()
