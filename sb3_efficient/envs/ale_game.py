"""One Atari game as SB3's ``AtariWrapper`` shows it, on ale-py's C++ emulator and image processing."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import ale_py
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.atari_wrappers import (
    AtariWrapper,
    ClipRewardEnv,
    EpisodicLifeEnv,
    FireResetEnv,
    MaxAndSkipEnv,
    NoopResetEnv,
    StickyActionEnv,
    WarpFrame,
)
from stable_baselines3.common.monitor import Monitor

from sb3_efficient.envs.ale_facts import facts
from sb3_efficient.envs.ale_ids import AleId
from sb3_efficient.envs.ale_monitor import GameMonitor
from sb3_efficient.errors import OptionError

#: Pauses whenever the emulator is at work in its own thread; resuming waits for it
Work = Generator[None, None, None]
NEVER = 2**30  # frames; the truncation is ours, the C++ one does not count the no-ops


@dataclass(frozen=True)
class AtariSettings:
    """The arguments of SB3's ``AtariWrapper``; see :class:`~sb3_efficient.envs.AleVecEnv`."""

    noop_max: int
    frame_skip: int
    screen_size: int
    terminal_on_life_loss: bool
    clip_reward: bool
    action_repeat_probability: float


@dataclass
class Outcome:
    """
    What a step has brought, before the reset that may follow in the same step.

    :param terminal_frame: The last picture, (H, W); None where the episode goes on
    """

    reward: float
    done: bool
    info: dict[str, Any]
    terminal_frame: np.ndarray | None


class AleGame:
    """
    An emulator, and what ``Monitor``, ``EpisodicLifeEnv`` and ``FireResetEnv`` remember.

    The wrappers make steps that the agent does not see: at a lost life a no-op, and at every reset of a game that has
    the action FIRE, actions 1 and 2. They are here too, so that games run frame by frame as with the wrappers.

    :param ale_id: Which game
    :param settings: How it is shown
    :param monitor: Keeps the score
    """

    render_mode = None
    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012  (gymnasium's own form)

    def __init__(self, ale_id: AleId, settings: AtariSettings, monitor: GameMonitor) -> None:
        self._ale_id, self._settings, self._monitor = ale_id, settings, monitor
        sticky = settings.action_repeat_probability > 0
        self._facts = facts(ale_id.rom_path, ale_id.full_action_space, settings.noop_max, sticky)
        meanings = self._facts.actions
        self._fire = "FIRE" in meanings
        if meanings[0] != "NOOP" or (self._fire and (meanings[1] != "FIRE" or len(meanings) < 3)):
            raise OptionError(
                f"{ale_id.spec.id!r} has the actions {', '.join(meanings)}; the wrappers of SB3, and AleVecEnv, "
                "need NOOP first and, where there is FIRE, FIRE second."
            )
        self.spec = ale_id.spec
        self.action_space = spaces.Discrete(len(meanings))
        self.observation_space = spaces.Box(0, 255, (1, settings.screen_size, settings.screen_size), np.uint8)
        # Any: it takes lists, and has defaults, of which its published types know nothing
        self._emulator: Any = _emulator(ale_id, settings)
        self.seed(None)
        self._lives, self._was_real_done = 0, True
        self._frame_number = self._reward = self._current_lives = self._episode_frame_number = 0
        self._terminated = self._truncated = False
        self._episode: dict[str, float] | None = None
        #: True from the beginning of a step or reset to its end
        self.unfinished = False
        #: The latest picture, (H, W)
        self.frame = np.zeros(self.observation_space.shape[1:], np.uint8)

    def seed(self, seed: int | None) -> None:
        """The next reset starts a new game, also in the middle of one, and no-ops and sticky actions from ``seed``."""
        # Mixed, as ale-py's own environment does, so that neighbouring seeds have nothing in common; 31 bits are taken
        self._seed: int | None = int(np.random.SeedSequence(seed).generate_state(1)[0]) % 2**31

    def step(self, action: int) -> Work:
        """One step of the agent, and a reset where it ends the episode; then :attr:`outcome` tells about it."""
        self.unfinished = True
        yield from self._life_step(action)
        done = self._terminated or self._truncated
        info = {**self._info(), "TimeLimit.truncated": self._truncated and not self._terminated}
        if self._episode is not None:
            info["episode"] = self._episode
        reward = float(self._reward)
        if self._settings.clip_reward:
            reward = float(np.sign(reward))
        #: Of the last step
        self.outcome = Outcome(reward, done, info, self.frame if done else None)
        if done:
            yield from self.reset()
        self.unfinished = False

    def reset(self) -> Work:
        """``FireResetEnv.reset``."""
        self.unfinished = True
        yield from self._life_reset()
        if self._fire:
            for action in (1, 2):
                yield from self._life_step(action)
                if self._terminated or self._truncated:
                    # As SB3: the game starts again, and yet the picture is that of before
                    frame = self.frame
                    yield from self._life_reset()
                    self.frame = frame
        #: As of ale-py's own reset, in ``reset_infos``; SB3's ``FireResetEnv`` drops it
        self.reset_info = self._info()
        self.unfinished = False

    def restart(self) -> Work:
        """A new game in a new emulator: an exception came in between, and an answer of the old one may be lost."""
        self._emulator = _emulator(self._ale_id, self._settings)
        if self._seed is None:
            self.seed(None)
        self._lives, self._was_real_done = 0, True
        yield from self.reset()

    def _life_step(self, action: int) -> Work:
        """``EpisodicLifeEnv.step``."""
        yield from self._emulate(action)
        self._was_real_done = self._terminated or self._truncated
        if self._settings.terminal_on_life_loss and 0 < self._current_lives < self._lives:
            self._terminated = True
        self._lives = self._current_lives

    def _life_reset(self) -> Work:
        """``EpisodicLifeEnv.reset``: after a lost life only a no-op, which can end the game."""
        if self._settings.terminal_on_life_loss and not self._was_real_done and self._seed is None:
            yield from self._emulate(0)
            if self._terminated or self._truncated:
                self._new_game()
        else:
            self._new_game()
        self._lives = self._current_lives

    def _emulate(self, action: int) -> Work:
        """``MaxAndSkipEnv.step`` and ``Monitor.step``."""
        before = self._episode_frame_number
        self._emulator.send([action], [1.0])
        yield
        frames, rewards, over, _, info = self._emulator.recv()
        self._show(frames, info)
        self._reward = int(rewards[0])
        self._monitor.add(self._reward, self._episode_frame_number - before)
        self._terminated = bool(over[0])
        limits = (self._ale_id.max_frames, self._episode_frame_number), (self._ale_id.max_played, self._played)
        self._truncated = any(0 < limit <= frames for limit, frames in limits)
        self._episode = self._monitor.finish() if self._terminated or self._truncated else None

    def _new_game(self) -> None:
        """``NoopResetEnv.reset``: one no-op at least, where the C++ one may draw none."""
        self._start()
        while self._played == 0 and self._settings.noop_max > 0:
            if self._settings.frame_skip <= self._settings.noop_max:
                # Another reset would leave the console in a state that SB3's games are never in
                self._emulator.send([0], [1.0])
                frames, _, _, _, info = self._emulator.recv()
                self._show(frames, info)
            else:
                self._start()
        self._monitor.start(self._facts.noop_scores[self._played], self._played)

    def _start(self) -> None:
        self._show(*self._emulator.reset([0], [-1 if self._seed is None else self._seed]))
        self._seed = None

    @property
    def _played(self) -> int:
        """Frames of this game that somebody has acted in."""
        return self._episode_frame_number - self._facts.starting_frames

    def _show(self, frames: np.ndarray, info: dict[str, np.ndarray]) -> None:
        self.frame = frames[0, 0]
        self._current_lives = int(info["lives"][0])
        self._frame_number = int(info["frame_number"][0])
        self._episode_frame_number = int(info["episode_frame_number"][0])

    def _info(self) -> dict[str, Any]:
        return {
            "lives": self._current_lives,
            "episode_frame_number": self._episode_frame_number,
            "frame_number": self._frame_number,
        }

    def get_action_meanings(self) -> list[str]:
        """
        :return: Names of the actions
        """
        return list(self._facts.actions)

    def get_total_steps(self) -> int:
        """
        :return: Frames so far; this and the next three as in SB3's ``Monitor``
        """
        return self._monitor.total_frames

    def get_episode_rewards(self) -> list[float]:
        """
        :return: Scores of all finished games
        """
        return self._monitor.returns

    def get_episode_lengths(self) -> list[int]:
        """
        :return: Their lengths in frames
        """
        return self._monitor.lengths

    def get_episode_times(self) -> list[float]:
        """
        :return: When they ended, in seconds since the beginning
        """
        return self._monitor.times

    def wrappers(self) -> tuple[type, ...]:
        """
        :return: The wrappers of SB3 that this game stands for
        """
        settings = self._settings
        switched = {
            StickyActionEnv: settings.action_repeat_probability > 0,
            NoopResetEnv: settings.noop_max > 0,
            MaxAndSkipEnv: settings.frame_skip > 1,
            EpisodicLifeEnv: settings.terminal_on_life_loss,
            FireResetEnv: self._fire,
            ClipRewardEnv: settings.clip_reward,
        }
        return (Monitor, AtariWrapper, WarpFrame, *(wrapper for wrapper, on in switched.items() if on))

    def close(self) -> None:
        """Close the monitor's file, and end the emulator's thread."""
        self._monitor.close()
        del self._emulator


def _emulator(ale_id: AleId, settings: AtariSettings) -> Any:
    interface: Any = ale_py.ALEVectorInterface
    return interface(
        rom_path=ale_id.rom_path,
        num_envs=1,
        num_threads=1,
        stack_num=1,
        frame_skip=settings.frame_skip,
        img_height=settings.screen_size,
        img_width=settings.screen_size,
        maxpool=True,
        # draws from 0 to noop_max - 1
        noop_max=settings.noop_max + 1,
        use_fire_reset=False,
        episodic_life=False,
        life_loss_info=False,
        reward_clipping=False,
        max_episode_steps=NEVER,
        repeat_action_probability=settings.action_repeat_probability,
        full_action_space=ale_id.full_action_space,
        autoreset_mode="NextStep",
    )
