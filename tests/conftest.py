"""One thread, fixed seeds, and ways to run rl-zoo3 and Python as a user does: in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from helpers import Run, RunInTurn


@pytest.fixture(autouse=True)
def _one_thread_and_seed() -> None:
    th.set_num_threads(1)
    th.manual_seed(0)


@pytest.fixture
def atari_space() -> spaces.Box:
    """What SB3's Atari pipeline delivers."""
    return spaces.Box(0, 255, (4, 84, 84), np.uint8)


@pytest.fixture
def python(tmp_path: Path) -> Run:
    """Run a fresh interpreter in an empty folder; ``SETTING="value"`` sets an environment variable."""

    def run(*arguments: str, fails: bool = False, **settings: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1", **settings}
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert (done.returncode != 0) == fails, f"{arguments}\n{done.stdout[-3000:]}\n{done.stderr[-5000:]}"
        return done

    return run


@pytest.fixture
def zoo(python: Run) -> Run:
    """Run a program of rl_zoo3: ``zoo("train", "--algo", "ppo", ...)``."""

    def run(program: str, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        return python("-m", f"rl_zoo3.{program}", *arguments, **settings)

    return run


@pytest.fixture
def zoo_in_turn(python: Run) -> RunInTurn:
    """
    Run programs of rl_zoo3 one after the other in one interpreter: ``zoo_in_turn(["train", ...], ["enjoy", ...])``.

    ``fails`` has the places in this list of those that must.
    """

    def run(
        *commands: Sequence[str], fails: Collection[int] = (), **settings: str
    ) -> list[subprocess.CompletedProcess[str]]:
        done = python(str(Path(__file__).with_name("in_turn.py")), json.dumps(commands), **settings)
        found = [subprocess.CompletedProcess(**ended) for ended in json.loads(done.stdout.splitlines()[-1])]
        for i, one in enumerate(found):
            assert (one.returncode != 0) == (i in fails), f"{one.args}\n{one.stdout[-3000:]}\n{one.stderr[-5000:]}"
        return found

    return run
