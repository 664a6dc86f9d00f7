"""SB3's ``Monitor`` for games that are no gymnasium environments."""

from __future__ import annotations

import time
from pathlib import Path

from stable_baselines3.common.monitor import ResultsWriter

from sb3_efficient.errors import OptionError


class GameMonitor:
    """
    Score and length of whole games, as SB3's ``Monitor`` right at the emulator counts them.

    :param env_id: For the first line of the file
    :param file: Where to write a line for each game, without the ending ``.monitor.csv``; None for nowhere
    """

    def __init__(self, env_id: str, file: Path | None) -> None:
        self.t_start = time.time()
        header: dict[str, float | str] = {"t_start": self.t_start, "env_id": env_id}
        self._writer = None if file is None else _writer(file, header)
        self._score = self._frames = 0
        #: Of all games, unfinished ones too
        self.total_frames = 0
        self.returns: list[float] = []
        self.lengths: list[int] = []
        self.times: list[float] = []

    def start(self, score: int, frames: int) -> None:
        """
        A new game; one that was not finished is forgotten.

        :param score: What the no-ops have brought
        :param frames: How many no-ops there were
        """
        self._score, self._frames = score, frames
        self.total_frames += frames

    def add(self, score: int, frames: int) -> None:
        """Some frames have passed."""
        self._score += score
        self._frames += frames
        self.total_frames += frames

    def finish(self) -> dict[str, float]:
        """
        :return: What goes into ``info["episode"]``: the score ``r``, frames ``l``, seconds since the beginning ``t``
        """
        episode = {"r": float(self._score), "l": self._frames, "t": round(time.time() - self.t_start, 6)}
        self.returns.append(float(self._score))
        self.lengths.append(self._frames)
        self.times.append(episode["t"])
        if self._writer is not None:
            self._writer.write_row(episode)
        return episode

    def close(self) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()


def _writer(file: Path, header: dict[str, float | str]) -> ResultsWriter:
    try:
        return ResultsWriter(str(file), header)
    except OSError as error:
        raise OptionError(
            f"Cannot write {file}.monitor.csv ({error.strerror}). Name a folder in monitor_dir that can be written to."
        ) from error
