"""
Games of consoles, through stable-retro (extra ``retro``).

``Airstriker-Genesis-v0``, which comes with it, and ``Pong-Atari2600-v0``, whose ROM is that of ale-py, are registered
with this package. Others, of which one owns the ROM, by importing :mod:`sb3_efficient.envs.retro_games`::

    python -m rl_zoo3.train --algo ppo --env MortalKombatII-Genesis-v0 --gym-packages sb3_efficient.envs.retro_games ...

An action lasts four frames, in the first of which the last one goes on with a probability of 0.25, and a game ends
after 4,500 actions: what OpenAI's Baselines do with these games. Pixels, rewards and stacks are left to rl-zoo3's
wrappers.
"""

from __future__ import annotations

from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np

from sb3_efficient.errors import EfficientError, MissingExtraError, UnknownNameError, suggestion

MAX_STEPS = 4500
#: Games whose ROM everybody with stable-retro and ale-py has
FREE = ("Airstriker-Genesis-v0", "Pong-Atari2600-v0")


class StochasticFrameSkip(gym.Wrapper):
    """
    Repeat each action, of which the first frame may still be the last action's.

    :param env: Environment
    :param skip: Frames that an action lasts
    :param stick: Probability that the last action goes on for one of them
    """

    def __init__(self, env: gym.Env, skip: int = 4, stick: float = 0.25) -> None:
        super().__init__(env)
        self.skip, self.stick = skip, stick
        self._rng = np.random.default_rng()
        self._last: Any = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """
        :param seed: Also of what sticks
        :param options: The environment's
        """
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        self._last = None
        return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """
        :param action: The environment's
        :return: Observation of the last frame, rewards of all of them
        """
        total = 0.0
        sticks = self._last is not None and self._rng.random() < self.stick
        for frame in range(self.skip):
            played = self._last if sticks and frame == 0 else action
            observation, reward, terminated, truncated, info = self.env.step(played)
            total += float(reward)
            if terminated or truncated:
                break
        self._last = action
        return observation, total, terminated, truncated, info


def make(game: str, render_mode: str | None = None, **options: Any) -> gym.Env:
    """
    What the registered ids make.

    :param game: As stable-retro has it
    :param render_mode: None draws nothing
    :param options: ``state``, ``scenario``, ``use_restricted_actions`` and so on of ``stable_retro.make``
    """
    retro = import_retro()
    known = retro.data.list_games(retro.data.Integrations.ALL)
    if game not in known:
        raise UnknownNameError(f"stable-retro has no game {game!r}.{suggestion(game, known)}")
    try:
        # Where ROMs are imported to, games that stable-retro counts as contributed or experimental, too
        everywhere = {"inttype": retro.data.Integrations.ALL}
        env = retro.make(game, render_mode=render_mode or "rgb_array", **{**everywhere, **options})
    except FileNotFoundError as error:
        raise EfficientError(
            f"stable-retro has no ROM of {game}. With a folder that holds it: python -m stable_retro.import FOLDER. "
            "(That of Pong-Atari2600-v0 lies in the folder 'roms' of ale_py.)"
        ) from error
    except RuntimeError as error:
        raise EfficientError(
            f"{game} could not be started: {error}. stable-retro runs one game in a process: in rl-zoo3 choose "
            "--vec-env subproc."
        ) from error
    return StochasticFrameSkip(env)


def register(*games: str) -> None:
    """
    :param games: As stable-retro has them
    """
    for game in games:
        if game not in gym.registry:
            gym.register(
                game,
                "sb3_efficient.envs.retro:make",
                max_episode_steps=MAX_STEPS,
                disable_env_checker=True,
                kwargs={"game": game},
            )


def import_retro() -> Any:
    """
    :return: The module ``stable_retro``; an error that names the extra if it is not installed
    """
    try:
        import stable_retro
    except ImportError as error:
        raise MissingExtraError(
            "Games of consoles need stable-retro, which is not installed: pip install 'sb3-efficient[retro]'."
        ) from error
    return stable_retro


def register_all() -> None:
    """Every game that stable-retro knows."""
    retro = import_retro()
    register(*retro.data.list_games(retro.data.Integrations.ALL))
