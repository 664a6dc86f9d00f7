"""What several test files need."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

import torch as th

#: ``python``, ``zoo``, ``stock_zoo`` and ``script`` of conftest.py
Run = Callable[..., subprocess.CompletedProcess[str]]
ROOT = Path(__file__).parents[1]
#: README.md, one of each part of the package, and that of the benchmarks
PAGES = sorted(path for folder in (".", "sb3_efficient/*", "examples/*") for path in ROOT.glob(f"{folder}/README.md"))


def text_of(*pages: Path) -> str:
    """What they say, in one line."""
    return " ".join(" ".join(page.read_text().split()) for page in pages)


@contextmanager
def preloaded(*modules: str, **settings: str) -> Iterator[Run]:
    """Runs programs, in a folder, forked from an interpreter that has imported modules (see preloaded.py)."""
    command = [sys.executable, str(Path(__file__).with_name("preloaded.py")), *modules]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    with subprocess.Popen(command, env=environment(settings), **pipes) as interpreter:

        def run(
            folder: Path, *arguments: str, fails: bool = False, **settings: str
        ) -> subprocess.CompletedProcess[str]:
            program = {"arguments": arguments, "folder": str(folder), "settings": settings}
            with TemporaryDirectory() as written:
                files = {name: str(Path(written, name)) for name in ("output", "errors")}
                print(json.dumps(program | files), file=interpreter.stdin)
                status = int(interpreter.stdout.readline())
                texts = [Path(file).read_text() for file in files.values()]
            return checked(subprocess.CompletedProcess(arguments, status, *texts), fails)

        yield run


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Of programs: one thread, and no progress bars."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1", **settings}


def checked(done: subprocess.CompletedProcess[str], fails: bool) -> subprocess.CompletedProcess[str]:
    """Whether a program failed where it must, and ended well otherwise; to be killed is no way to fail."""
    assert done.returncode >= 0, f"{done.args}: killed by signal {-done.returncode}"
    assert (done.returncode != 0) == fails, f"{done.args}\n{done.stdout[-3000:]}\n{done.stderr[-5000:]}"
    return done


def count(module: th.nn.Module) -> int:
    """Number of parameters."""
    return sum(p.numel() for p in module.parameters())


def parameters_match(one: th.nn.Module, other: th.nn.Module) -> bool:
    """Whether two modules hold the same numbers."""
    return all(th.equal(p, q) for p, q in zip(one.parameters(), other.parameters(), strict=True))


def interrupted(call: Callable[[], object], line: int, folder: str) -> bool:
    """
    :param call: What Ctrl-C comes in the middle of
    :param line: Before which of the lines that are executed in the folder
    :param folder: Part of the paths of its files
    :return: Whether it had so many lines
    """
    came = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal came
        if folder not in frame.f_code.co_filename:
            return None
        came += event == "line"
        if came == line:
            sys.settrace(None)
            raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False
