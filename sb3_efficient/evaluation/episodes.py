"""
Whole games on paired seeds.

An episode depends on its seed and the policy, not on what runs beside it, if actions are the most probable ones.
Sampled actions come from one generator for all games at a time: the same again only with the same seeds and ``n_envs``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, closing
from copy import deepcopy
from inspect import signature
from typing import Any, Protocol

import numpy as np
from gymnasium import spaces
from sb3_contrib.common.maskable.utils import get_action_masks, is_masking_supported
from stable_baselines3.common.atari_wrappers import EpisodicLifeEnv
from stable_baselines3.common.env_util import unwrap_wrapper
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv, VecMonitor, is_vecenv_wrapped

from sb3_efficient.errors import OptionError
from sb3_efficient.exploration import explore_anew
from sb3_efficient.generators import seeded
from sb3_efficient.options import whole_number
from sb3_efficient.progress import progress_bar


class Policy(Protocol):
    """What acts: SB3 models, engines and compressed policies all have this."""

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> tuple[np.ndarray, Any]:
        """As in SB3."""

    def set_random_seed(self, seed: int | None = None) -> None:
        """Of the actions that are sampled."""


class RandomPlay:
    """
    The policy that returns are measured from.

    :param action_space: That it draws from
    """

    def __init__(self, action_space: spaces.Space) -> None:
        # Drawing from the model's own would change what comes next in its training
        self.action_space = deepcopy(action_space)

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
        action_masks: np.ndarray | None = None,
    ) -> tuple[np.ndarray, Any]:
        """
        :return: An action for each of ``episode_start``
        """
        masks = [None] * len(episode_start) if action_masks is None else action_masks
        return np.array([self.action_space.sample(self._mask(mask)) for mask in masks]), state

    def set_random_seed(self, seed: int | None = None) -> None:
        """
        :param seed: Of the draws
        """
        self.action_space.seed(seed)

    def _mask(self, mask: np.ndarray | None) -> Any:
        """As spaces take it."""
        if mask is not None and isinstance(self.action_space, spaces.Discrete):
            return mask.astype(np.int8)
        if mask is not None and isinstance(self.action_space, spaces.MultiDiscrete):
            return tuple(np.split(mask.astype(np.int8), np.cumsum(self.action_space.nvec)[:-1]))
        return None


def takes_masks(policy: Policy) -> bool:
    """
    :return: Whether its ``predict`` can be told which actions are allowed; engines can for all of PPO's discrete ones
    """
    head = getattr(policy, "head", None)
    return "action_masks" in signature(policy.predict).parameters and (head is None or head.maskable)


def masks_of(policy: Policy, envs: Sequence[VecEnv]) -> Callable[[], dict[str, Any]]:
    """
    :param policy: Any
    :param envs: That it acts in together
    :return: Gives what ``predict`` is to be told besides, at every step: which actions are allowed, where policy and
        environments know about that
    """
    if not (takes_masks(policy) and all(map(is_masking_supported, envs))):
        return dict
    return lambda: {"action_masks": np.concatenate([get_action_masks(env) for env in envs])}


def act(
    policy: Policy,
    seen: Any,
    state: Any,
    starts: np.ndarray,
    deterministic: bool,
    masks: Callable[[], dict[str, Any]],
) -> tuple[np.ndarray, Any]:
    """
    ``predict`` for one step of all environments, in which those of ``use_sde=True`` explore anew.

    :param masks: Of :func:`masks_of`; the rest is as for ``predict``
    :return: Actions and state
    """
    if not deterministic:
        explore_anew(getattr(policy, "policy", None), len(starts))
    return policy.predict(seen, state, starts, deterministic, **masks())


def play(
    policy: Policy,
    make_env: Callable[[], VecEnv],
    seeds: Iterable[int],
    *,
    n_envs: int = 8,
    deterministic: bool = False,
    masked: bool = True,
    title: str | None = None,
) -> np.ndarray:
    """
    Play one whole game for each seed, as :func:`play_games`, which see::

        returns = play(model, lambda: AleVecEnv("PongNoFrameskip-v4", 1, action_repeat_probability=0.25), range(100))

    :return: Returns in the order of the seeds, (N,), as ``Monitor`` counts them: not clipped, not normalized
    """
    games = play_games(policy, make_env, seeds, n_envs=n_envs, deterministic=deterministic, masked=masked, title=title)
    return games[:, 0]


def play_games(
    policy: Policy,
    make_env: Callable[[], VecEnv],
    seeds: Iterable[int],
    *,
    n_envs: int = 8,
    deterministic: bool = False,
    masked: bool = True,
    title: str | None = None,
) -> np.ndarray:
    """
    Seeds are handed out in order, to whichever environment is free next. Each is played to its end, so that short
    episodes count no more than long ones, which is not so where one waits for the first 100 that end.

    :param policy: SB3 model, engine or compressed policy
    :param make_env: Makes one environment, with ``Monitor``; its whole games count, not its lives
    :param seeds: Of the episodes
    :param n_envs: How many environments play at a time, which share the policy's batch
    :param deterministic: Whether the policy takes its most probable actions
    :param masked: Whether a policy that takes action masks gets those of the environment
    :param title: Of a progress bar; None for no bar
    :return: Return and length of each, in the order of the seeds, (N, 2), as ``Monitor`` counts them: rewards not
        clipped, on Atari in frames
    """
    seeds = [whole_number("a seed", seed, least=0) for seed in seeds]
    whole_number("n_envs", n_envs)
    if not seeds:
        raise OptionError("There is nothing to play: give at least one seed.")
    results = np.full((len(seeds), 2), np.nan)
    waiting = iter(enumerate(seeds))
    with seeded(policy, seeds[0]), progress_bar(title, len(seeds)) as advance, ExitStack() as stack:
        envs = [stack.enter_context(closing(make_env())) for _ in range(min(n_envs, len(seeds)))]
        games = [_Game(env) for env in envs]
        for game in games:
            game.start(*next(waiting))
        state, masks = None, masks_of(policy, envs) if masked else dict
        while any(game.episode is not None for game in games):
            starts = np.array([game.starts for game in games])
            seen = _joined([game.observation for game in games])
            actions, state = act(policy, seen, state, starts, deterministic, masks)
            for game, found in zip(games, _step(games, actions), strict=True):
                if found is not None:
                    results[game.episode] = found
                    game.start(*next(waiting, (None, 0)))
                    advance()
    return results


class _Game:
    """
    An environment, and which episode it plays; None when no seeds are left.

    :param env: A single one, as every wrapper of SB3 can be reset alone only where it wraps a single one
    """

    def __init__(self, env: VecEnv) -> None:
        if env.num_envs != 1:
            raise OptionError(f"make_env must make one environment at a time, got {env.num_envs}.")
        if not (is_vecenv_wrapped(env, VecMonitor) or env.env_is_wrapped(Monitor)[0]):
            raise OptionError("Returns are those of SB3's Monitor: wrap the environment in it, as make_vec_env does.")
        self.env = env
        self.episode: int | None = None

    def start(self, episode: int | None, seed: int) -> None:
        self.episode = episode
        if episode is not None:
            self._end_life()
            self.env.seed(seed)
            self.observation = self.env.reset()
            self.starts = True

    def _end_life(self) -> None:
        """FireResetEnv may have played on, and a reset within a life of EpisodicLifeEnv would not use the seed."""
        for one in getattr(self.env.unwrapped, "envs", []):
            lives = unwrap_wrapper(one, EpisodicLifeEnv)
            if isinstance(lives, EpisodicLifeEnv):
                lives.was_real_done = True

    def finish_step(self) -> tuple[float, int] | None:
        """Return and length, at the end of the whole game."""
        self.observation, _, dones, infos = self.env.step_wait()
        self.starts = bool(dones[0])
        game = infos[0].get("episode")
        return None if game is None else (game["r"], game["l"])


def _step(games: list[_Game], actions: np.ndarray) -> list[tuple[float, int] | None]:
    """Side by side, where environments compute in threads of their own."""
    for game, action in zip(games, actions, strict=True):
        if game.episode is not None:
            game.env.step_async(action[None])
    return [None if game.episode is None else game.finish_step() for game in games]


def _joined(observations: list[Any]) -> Any:
    if isinstance(observations[0], dict):
        return {key: np.concatenate([o[key] for o in observations]) for key in observations[0]}
    return np.concatenate(observations)
