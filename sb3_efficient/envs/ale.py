"""Atari games as fast as SB3's pipeline is faithful."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from inspect import isgeneratorfunction
from pathlib import Path
from typing import Any, NoReturn

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvStepReturn

from sb3_efficient.envs.ale_game import AleGame, AtariSettings, Work
from sb3_efficient.envs.ale_ids import look_up
from sb3_efficient.envs.ale_monitor import GameMonitor
from sb3_efficient.errors import ConflictError, EfficientError, OptionError
from sb3_efficient.options import check_switches, whole_number

_PAUSED = object()


class AleVecEnv(VecEnv):
    """
    ``VecFrameStack(make_atari_env(env_id, n_envs, seed), 4)`` on ale-py's C++ emulator, a thread for each game.

    Games, rewards, ends of episodes, ``infos`` and monitor files are those of SB3's ``Monitor``, ``AtariWrapper`` and
    ``VecFrameStack``, no-ops and FIRE included; for the same actions and no-ops they agree step by step. Different:

    * Observations come channel-first, as the networks take them, so that SB3 adds no ``VecTransposeImage``. Pixels
      differ by a few grey levels: grey is taken before the maximum of two frames, not after. The picture at game
      over lacks the last frames of its skip, as in SB3, but not the same ones.
    * No-ops are drawn from 1 to ``noop_max`` as there, with random numbers of ale-py, and as many as ``frame_skip``
      twice as often as any other number. (With a ``noop_max`` below that a game may be reset more than once to get
      them, which some consoles remember.) A seed starts a new game even in the middle of one, where
      ``EpisodicLifeEnv`` ignores it.
    * Games are truncated at the first step that reaches the limit of frames, not within it.
    * ``frame_skip`` is the number of frames in all. SB3's wrapper would skip 16 frames in ``ALE/*-v5``, which skips 4
      of its own. The length ``l`` in ``infos[i]["episode"]`` is in frames for these too.
    * Nothing can be drawn: watch agents in ``make_atari_env``.

    :param env_id: An Atari game as the zoo names it: ``PongNoFrameskip-v4``, ``ALE/Pong-v5``
    :param n_envs: Number of games
    :param seed: Of the first game, the others have the following numbers
    :param noop_max: Highest number of frames without action at the start of a game; 0 for none
    :param frame_skip: Frames for which an action is repeated
    :param screen_size: Width and height of the pictures
    :param terminal_on_life_loss: Whether a lost life ends the episode (the game goes on)
    :param clip_reward: Whether the agent gets the sign of the reward only
    :param action_repeat_probability: Chance in each frame that the last action is repeated instead ("sticky");
        None for that of the id: 0 for ``NoFrameskip-v4``, 0.25 for ``ALE/*-v5``
    :param frame_stack: Pictures in an observation
    :param num_threads: How many games may be computed at a time; None for all. With few on many cores, games and
        network take turns on different ones, and each hand-over costs: bind the process to as many cores, or leave it
        at None
    :param monitor_dir: Folder for SB3's files ``0.monitor.csv`` and so on, one line for each whole game
    """

    def __init__(
        self,
        env_id: str,
        n_envs: int = 8,
        seed: int | None = None,
        *,
        noop_max: int = 30,
        frame_skip: int = 4,
        screen_size: int = 84,
        terminal_on_life_loss: bool = True,
        clip_reward: bool = True,
        action_repeat_probability: float | None = None,
        frame_stack: int = 4,
        num_threads: int | None = None,
        monitor_dir: str | Path | None = None,
    ) -> None:
        threads = n_envs if num_threads is None else num_threads
        sizes = {"n_envs": n_envs, "frame_skip": frame_skip, "screen_size": screen_size, "frame_stack": frame_stack}
        for option, value in {**sizes, "num_threads": threads}.items():
            whole_number(option, value)
        whole_number("noop_max", noop_max, least=0)
        whole_number("seed", 0 if seed is None else seed, least=0)
        check_switches(terminal_on_life_loss=terminal_on_life_loss, clip_reward=clip_reward)
        ale_id = look_up(env_id)
        sticky = ale_id.action_repeat_probability if action_repeat_probability is None else action_repeat_probability
        if not isinstance(sticky, (int, float, np.floating)) or not 0 <= sticky <= 1:
            raise OptionError(f"action_repeat_probability must be a number between 0 and 1, got {sticky!r}.")
        settings = AtariSettings(noop_max, frame_skip, screen_size, terminal_on_life_loss, clip_reward, sticky)

        def game(i: int) -> AleGame:
            file = None if monitor_dir is None else Path(monitor_dir) / str(i)
            return AleGame(ale_id, settings, GameMonitor(env_id, file))

        self._games = [game(i) for i in range(n_envs)]
        self._kept: list[dict[str, Any]] = [{} for _ in self._games]
        self._num_threads = threads
        self._waiting: deque[Work] = deque()
        self._running: deque[Work] = deque()
        self._stack: np.ndarray | None = None
        self._stepping = False
        self._closed = False
        shape = (frame_stack, screen_size, screen_size)
        super().__init__(n_envs, spaces.Box(0, 255, shape, np.uint8), self._games[0].action_space)
        self.spec = ale_id.spec
        if seed is not None:
            self.seed(seed)

    def reset(self) -> np.ndarray:
        """
        New games; with ``terminal_on_life_loss`` those that are neither over nor seeded go on after a no-op, as in SB3.

        :return: The first observations, (B, C, H, W)
        """
        self._check_open()
        self._stepping = False
        self._settle()
        for game, seed in zip(self._games, self._seeds, strict=True):
            if seed is not None:
                game.seed(seed)
        self._reset_seeds()
        self._reset_options()
        self._start(game.reset() for game in self._games)
        self._work()
        self.reset_infos = [game.reset_info for game in self._games]
        stack = np.zeros((self.num_envs, *self.observation_space.shape), np.uint8)  # type: ignore[misc]
        stack[:, -1] = [game.frame for game in self._games]
        self._stack = stack
        return stack.copy()

    def step_async(self, actions: np.ndarray) -> None:
        """
        Send the actions; the emulators begin at once.

        :param actions: Numbers of the actions, (B,)
        """
        self._check_open()
        if self._stack is None:
            raise ConflictError("AleVecEnv cannot step before its first reset(). Call reset().")
        if self._stepping:
            raise ConflictError("AleVecEnv is still at the step before. Call step_wait().")
        actions = np.asarray(actions)
        self._check_actions(actions)
        for i in self._settle():
            self._stack[i] = 0
            self._stack[i, -1] = self._games[i].frame
        self._start(game.step(action) for game, action in zip(self._games, actions.tolist(), strict=True))
        self._stepping = True

    def step_wait(self) -> VecEnvStepReturn:
        """
        :return: Observations (B, C, H, W), rewards (B,), dones (B,), infos
        """
        if not self._stepping or self._stack is None:
            raise ConflictError("AleVecEnv has no step to wait for. Call step_async(actions) first, or step(actions).")
        # First, so that a step which is interrupted is one no more
        self._stepping = False
        self._work()
        outcomes = [game.outcome for game in self._games]
        stack = np.empty_like(self._stack)
        stack[:, :-1] = self._stack[:, 1:]
        for i, (game, outcome) in enumerate(zip(self._games, outcomes, strict=True)):
            if outcome.done:
                stack[i, -1] = outcome.terminal_frame
                outcome.info["terminal_observation"] = stack[i].copy()
                stack[i] = 0
                self.reset_infos[i] = game.reset_info
            stack[i, -1] = game.frame
        self._stack = stack
        rewards = np.array([outcome.reward for outcome in outcomes], np.float32)
        dones = np.array([outcome.done for outcome in outcomes])
        return stack.copy(), rewards, dones, [outcome.info for outcome in outcomes]

    def _settle(self) -> list[int]:
        """
        Finish what was interrupted, as by Ctrl-C.

        :return: Games that had lost their place, and have begun anew
        """
        self._work()
        lost = [i for i, game in enumerate(self._games) if game.unfinished]
        self._start(self._games[i].restart() for i in lost)
        self._work()
        return lost

    def _start(self, works: Iterable[Work]) -> None:
        self._waiting.extend(works)
        while self._waiting and len(self._running) < self._num_threads:
            self._resume(self._waiting.popleft())

    def _work(self) -> None:
        """In turns, so that the steps which the agent does not see run side by side as well."""
        while self._running:
            self._resume(self._running.popleft())
            self._start(())

    def _resume(self, work: Work) -> None:
        if next(work, _PAUSED) is not _PAUSED:
            self._running.append(work)

    def _check_actions(self, actions: np.ndarray) -> None:
        n = int(self._games[0].action_space.n)
        if actions.shape != (self.num_envs,) or not np.issubdtype(actions.dtype, np.integer):
            raise OptionError(
                f"AleVecEnv takes {self.num_envs} integers as actions, one for each game, "
                f"got {actions.dtype} of shape {actions.shape}."
            )
        wrong = sorted({int(action) for action in actions if not 0 <= action < n})
        if wrong:
            raise OptionError(f"{self.spec.id} has the actions 0 to {n - 1}, got {', '.join(map(str, wrong))}.")

    def _check_open(self) -> None:
        if self._closed:
            raise ConflictError("This AleVecEnv is closed. Make another one.")

    def close(self) -> None:
        """Finish what is under way, close the monitor files and end the threads."""
        if not self._closed:
            self._work()
            for game in self._games:
                game.close()
            self._closed = True

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """
        Public attributes of :class:`~sb3_efficient.envs.ale_game.AleGame`, which stands in for a wrapped environment:
        ``spec``, ``render_mode``, ``action_space``, ``get_action_meanings`` and more, and what ``set_attr`` has set.
        """
        found = [(self._kept[i], self._games[i]) for i in self._get_indices(indices)]
        if attr_name.startswith("_") or not all(attr_name in kept or hasattr(game, attr_name) for kept, game in found):
            raise AttributeError(f"The games of AleVecEnv have no attribute {attr_name!r}.")
        return [kept[attr_name] if attr_name in kept else getattr(game, attr_name) for kept, game in found]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Keep a value with each game; as with SB3's wrapped environments, no setting of the game changes."""
        for i in self._get_indices(indices):
            self._kept[i][attr_name] = value

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Call a public method of each game, such as ``get_action_meanings``."""
        if isgeneratorfunction(getattr(AleGame, method_name, None)):
            raise OptionError(
                f"{method_name!r} of single games cannot be called: they run side by side. "
                "Call env.reset() or env.step(actions)."
            )
        return [method(*method_args, **method_kwargs) for method in self.get_attr(method_name, indices)]

    def env_is_wrapped(self, wrapper_class: type[gym.Wrapper], indices: VecEnvIndices = None) -> list[bool]:
        """Whether a game behaves as if wrapped: true for ``Monitor`` and for the parts of ``AtariWrapper`` in use."""
        return [
            any(issubclass(wrapper, wrapper_class) for wrapper in self._games[i].wrappers())
            for i in self._get_indices(indices)
        ]

    def get_images(self) -> Sequence[np.ndarray | None]:
        """Nothing can be drawn."""
        return self.render()

    def render(self, mode: str | None = None) -> NoReturn:
        """Say how to watch instead."""
        raise OptionError(
            "AleVecEnv draws nothing. To watch an agent, play it in VecFrameStack(make_atari_env("
            f"{self.spec.id!r}, env_kwargs=dict(render_mode='human')), {self.observation_space.shape[0]}), "  # type: ignore[index]
            "or with the zoo's enjoy or record_video."
        )

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise EfficientError("AleVecEnv cannot be copied or pickled: emulators are running in it. Make another one.")
