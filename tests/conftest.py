"""One thread, fixed seeds, and ways to run rl-zoo3, scripts and Python as a user does: in a process of its own."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

# Before torch looks for GPUs: models without a device would be made there. With SB3_EFFICIENT_TEST_GPU=1 they are
if os.environ.get("SB3_EFFICIENT_TEST_GPU") != "1":
    os.environ["CUDA_VISIBLE_DEVICES"] = ""

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from helpers import Run, checked, environment, preloaded
from torch.onnx._internal.exporter._registration import ONNXRegistry

#: What to import ahead; not ONNX Runtime, whose thread a forked process waits for in vain
ZOO = ("rl_zoo3.exp_manager", "rl_zoo3.import_envs", "ale_py", "moviepy", "torch._dynamo")
SCRIPTS = ("sb3_contrib", "ale_py", "matplotlib.pyplot", "numba", "onnxscript", "torch_pruning", "torch._dynamo")


@pytest.fixture(autouse=True)
def _one_thread_and_seed() -> None:
    th.set_num_threads(1)
    th.manual_seed(0)


@pytest.fixture(autouse=True, scope="session")
def _operators_are_read_once() -> Iterator[None]:
    """For every export torch.onnx reads the source of its 500 operators again, which is half of what one takes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(functools.cache(ONNXRegistry.from_torchlib)))
        yield


@pytest.fixture
def atari_space() -> spaces.Box:
    """What SB3's Atari pipeline delivers."""
    return spaces.Box(0, 255, (4, 84, 84), np.uint8)


@pytest.fixture
def python(tmp_path: Path) -> Run:
    """Run a fresh interpreter in an empty folder; ``SETTING="value"`` sets an environment variable."""

    def run(*arguments: str, fails: bool = False, **settings: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env=environment(settings),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return checked(done, fails)

    return run


@pytest.fixture(scope="session")
def preloaded_zoo() -> Iterator[Run]:
    with preloaded(*ZOO) as run:
        yield run


@pytest.fixture(scope="session")
def preloaded_stock_zoo() -> Iterator[Run]:
    with preloaded(*ZOO, SB3_EFFICIENT_AUTOLOAD="0") as run:
        yield run


@pytest.fixture(scope="session")
def preloaded_scripts() -> Iterator[Run]:
    with preloaded(*SCRIPTS) as run:
        yield run


@pytest.fixture
def zoo(preloaded_zoo: Run, tmp_path: Path) -> Run:
    """Run a program of rl_zoo3 in an empty folder, its imports made before: ``zoo("train", "--algo", "ppo", ...)``."""
    return programs(preloaded_zoo, tmp_path)


@pytest.fixture
def stock_zoo(preloaded_stock_zoo: Run, tmp_path: Path) -> Run:
    """As ``zoo``, without the hook of this package."""
    return programs(preloaded_stock_zoo, tmp_path)


def programs(run: Run, folder: Path) -> Run:
    return lambda program, *arguments, **how: run(folder, "-m", f"rl_zoo3.{program}", *arguments, **how)


@pytest.fixture
def script(preloaded_scripts: Run, tmp_path: Path) -> Run:
    """Run a script, or a module behind ``-m``, in an empty folder, imports of other packages made before."""
    return functools.partial(preloaded_scripts, tmp_path)
