"""How a game of the Arcade Learning Environment (ALE) starts and looks, asked of its emulator."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import ale_py
import numpy as np

from sb3_efficient.envs.ale_ids import INSTEAD
from sb3_efficient.errors import OptionError

#: Of red, green and blue in grey, as SB3's ``WarpFrame`` has it from OpenCV (ITU-R BT.601)
_LUMINANCE = (0.299, 0.587, 0.114)
#: Starts by which those of different length show: of all games Double Dunk's
_STARTS = 8


@dataclass(frozen=True)
class GameFacts:
    """
    How a game starts, which is the same every time.

    :param actions: Names of the actions; the agent's numbers are their places
    :param starting_frames: Frames that pass before the agent gets the game, in some games to press a start button
    :param noop_scores: Score after that many frames of doing nothing; all zero but in Skiing and Entombed
    """

    actions: tuple[str, ...]
    starting_frames: int
    noop_scores: tuple[int, ...]


@lru_cache
def facts(rom_path: Path, full_action_space: bool, noop_max: int, sticky: bool = False) -> GameFacts:
    """
    Start the game, in an emulator of its own.

    :param rom_path: Its file
    :param full_action_space: Whether all 18 actions are there
    :param noop_max: Frames of doing nothing
    :param sticky: Whether actions are repeated at random
    """
    ale = _emulator(rom_path, 0.0)
    ale.reset_game()
    starting_frames = ale.getEpisodeFrameNumber()
    scores = [0]
    for _ in range(noop_max):
        scores.append(scores[-1] + ale.act(ale_py.Action.NOOP))
    ale.act(ale_py.Action.NOOP)
    _check_grey(ale, rom_path)
    if sticky:
        _check_starts(rom_path)
    actions = ale.getLegalActionSet() if full_action_space else ale.getMinimalActionSet()
    return GameFacts(tuple(action.name for action in actions), starting_frames, tuple(scores))


def _emulator(rom_path: Path, stickiness: float) -> ale_py.ALEInterface:
    # For all emulators, and before the first, which would greet on stderr
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    ale = ale_py.ALEInterface()
    ale.setFloat("repeat_action_probability", stickiness)
    ale.setInt("random_seed", 0)
    ale.loadROM(rom_path)
    return ale


def _check_grey(ale: ale_py.ALEInterface, rom_path: Path) -> None:
    """ale-py's grey is its colours' but for a rounding in all games, except Air Raid's: up to 228 of 255."""
    difference = np.abs(ale.getScreenRGB() @ np.array(_LUMINANCE) - ale.getScreenGrayscale().squeeze()).max()
    if difference > 2:
        raise OptionError(
            f"ale-py's grey pictures of {rom_path.stem} are not those of its colours (they differ by up to "
            f"{difference:.0f} of 255), so that AleVecEnv would show another game than SB3: {INSTEAD}"
        )


def _check_starts(rom_path: Path) -> None:
    """Sticky actions may lengthen what the emulator does before a game, and no-ops could not be counted."""
    ale, lengths = _emulator(rom_path, 0.25), set()
    for _ in range(_STARTS):
        ale.reset_game()
        lengths.add(ale.getEpisodeFrameNumber())
    if len(lengths) > 1:
        raise OptionError(
            f"With sticky actions {rom_path.stem} starts after {min(lengths)} to {max(lengths)} frames, and AleVecEnv "
            f"must know how many: {INSTEAD}"
        )
