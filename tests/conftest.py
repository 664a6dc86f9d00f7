"""One thread, fixed seeds, and ways to run rl-zoo3 and Python as a user does: in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from subprocess import PIPE, CompletedProcess, Popen

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from helpers import Run


@pytest.fixture(autouse=True)
def _one_thread_and_seed() -> None:
    th.set_num_threads(1)
    th.manual_seed(0)


@pytest.fixture
def atari_space() -> spaces.Box:
    """What SB3's Atari pipeline delivers."""
    return spaces.Box(0, 255, (4, 84, 84), np.uint8)


def variables() -> dict[str, str]:
    """Of a process that a test starts."""
    found = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    return {**found, "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}


@pytest.fixture
def python(tmp_path: Path) -> Run:
    """Run a fresh interpreter in an empty folder; ``SETTING="value"`` sets an environment variable."""

    def run(*arguments: str, fails: bool = False, **settings: str) -> CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env=variables() | settings,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return checked(done, fails)

    return run


@pytest.fixture(scope="session")
def warm_zoo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., CompletedProcess[str]]]:
    """Run programs of rl_zoo3 in children of a process that has imported it, see warm_zoo.py."""
    files = [tmp_path_factory.mktemp("warm") / name for name in ("stdout", "stderr")]
    command = [sys.executable, str(Path(__file__).with_name("warm_zoo.py"))]
    with Popen(command, env=variables(), stdin=PIPE, stdout=PIPE, text=True) as process:

        def run(program: str, arguments: Sequence[str], folder: Path) -> CompletedProcess[str]:
            assert process.stdin is not None
            assert process.stdout is not None
            for file in files:
                file.write_text("")
            process.stdin.write(json.dumps([program, arguments, *map(str, [folder, *files])]) + "\n")
            process.stdin.flush()
            status = int(process.stdout.readline())
            return CompletedProcess([program, *arguments], status, *(file.read_text() for file in files))

        yield run


@pytest.fixture
def zoo(python: Run, warm_zoo: Callable[..., CompletedProcess[str]], tmp_path: Path) -> Run:
    """Run a program of rl_zoo3, ``zoo("train", "--algo", "ppo", ...)``; ``fresh``: in an interpreter of its own."""
    before = variables()

    def run(
        program: str, *arguments: str, fails: bool = False, fresh: bool = False, **settings: str
    ) -> CompletedProcess[str]:
        if fresh or settings or variables() != before:
            return python("-m", f"rl_zoo3.{program}", *arguments, fails=fails, **settings)
        return checked(warm_zoo(program, arguments, tmp_path), fails)

    return run


def checked(done: CompletedProcess[str], fails: bool) -> CompletedProcess[str]:
    assert (done.returncode != 0) == fails, f"{done.args}\n{done.stdout[-3000:]}\n{done.stderr[-5000:]}"
    return done
