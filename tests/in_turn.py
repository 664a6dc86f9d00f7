"""
Programs of rl_zoo3, one after the other in this interpreter: imports are most of what a short one takes.

Reads the commands from its argument, JSON ``[[program, argument, ...], ...]``, and prints how each ended, and what
it wrote, as JSON.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import CompletedProcess


def run(command: list[str]) -> CompletedProcess[str]:
    """As ``python -m rl_zoo3.program``; what C++ writes, as the emulator, is in it."""
    sys.argv = command
    with written(1) as out, written(2) as err:
        status = ended(command[0])
    return CompletedProcess(command, status, *(file.read_bytes().decode() for file in (out, err)))


@contextmanager
def written(descriptor: int) -> Iterator[Path]:
    """The file in which output ends up meanwhile."""
    stream = sys.stdout if descriptor == 1 else sys.stderr
    stream.flush()
    before = os.dup(descriptor)
    with tempfile.NamedTemporaryFile(delete=False, dir=".") as file:
        os.dup2(file.fileno(), descriptor)
    try:
        yield Path(file.name)
    finally:
        stream.flush()
        os.dup2(before, descriptor)
        os.close(before)


def ended(program: str) -> int:
    """What the interpreter does at the end of a program."""
    try:
        runpy.run_module(f"rl_zoo3.{program}", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        return end.code or 0
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        return 1
    return 0


if __name__ == "__main__":
    print(json.dumps([vars(run(command)) for command in json.loads(sys.argv[1])]))
