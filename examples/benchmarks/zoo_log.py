"""What a trainer of the zoo prints and writes, and the memory that it takes."""

from __future__ import annotations

import json
import re
import threading
import time
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
from stable_baselines3.common.monitor import get_monitor_files

from sb3_efficient.atomic import replace_file
from sb3_efficient.errors import OptionError

FRAME_SKIP = 4


def read(file: Path) -> list[dict[str, Any]]:
    return json.loads(file.read_text()) if file.exists() else []


class Log:
    """
    What the zoo prints, kept in a file, so that a run that goes on has all of it.

    :param file: Points of it: steps, seconds, return (None before the first games end), fps, MB
    :param start: Steps behind which all that was logged is forgotten
    """

    def __init__(self, file: Path, start: int) -> None:
        self.file = file
        self.points = [point for point in read(file) if point[0] <= start]
        self._seconds = self.points[-1][1] if self.points else 0.0
        self._began = time.perf_counter()
        self._found: dict[str, float] = {}

    def read(self, line: str, peak: int) -> bool:
        """
        :param line: Of the table that SB3 prints
        :param peak: Bytes of memory so far
        :return: Whether it made a point complete
        """
        match = re.match(r"\| +(ep_rew_mean|fps|total_timesteps) +\| (\S+)", line)
        if match is None:
            return False
        self._found[match[1]] = float(match[2])
        if match[1] != "total_timesteps":
            return False
        seconds = round(self._seconds + time.perf_counter() - self._began, 1)
        step, fps = int(self._found["total_timesteps"]), int(self._found.get("fps", 0))
        self.points.append([step, seconds, self._found.get("ep_rew_mean"), fps, peak // 2**20])
        replace_file(self.file, json.dumps(self.points).encode())
        return True


def finished_games(run: Path) -> pd.DataFrame:
    """
    :param run: Folder of a run of the zoo, <env>_<n>, with the monitor files of all its environments
    :return: Games in the order of their ends, with the timestep of the run (of all environments) at which they ended:
        columns r, l and t of SB3's Monitor, and step
    """
    parts = [pd.read_csv(file, skiprows=1) for file in sorted(get_monitor_files(str(run)))]
    if not parts:
        raise OptionError(f"{run} has no monitor files: name the folder of a run of the zoo, <env>_<n>.")
    for games in parts:
        # Environments step together, and an action is four steps of the emulator
        games["step"] = games["l"].cumsum() * len(parts) / FRAME_SKIP
    return pd.concat(parts).sort_values("step", ignore_index=True)


def watch_memory(pid: int) -> list[int]:
    """Highest resident memory of a process and its children, bytes, kept up to date in a list of one."""
    peak = [0]

    def watch() -> None:
        try:
            process = psutil.Process(pid)
            while process.is_running():
                children = sum(map(_resident, process.children(recursive=True)))
                peak[0] = max(peak[0], process.memory_info().rss + children)
                time.sleep(0.5)
        except psutil.NoSuchProcess:
            pass

    threading.Thread(target=watch, daemon=True).start()
    return peak


def _resident(process: psutil.Process) -> int:
    """Bytes; none of one that has just ended."""
    try:
        return process.memory_info().rss
    except psutil.NoSuchProcess:
        return 0
