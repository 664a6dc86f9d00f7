"""
An interpreter that has made its imports, and forks for each program: imports are most of what a short one takes.

    python preloaded.py MODULE ...   # imports them, then reads programs from its input, and writes how they ended

A program is a line of JSON: ``arguments`` as behind ``python``, the ``folder`` to run it in, ``settings`` of the
environment, and the files that take its ``output`` and ``errors``. The answer is a line with its exit status.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import signal
import sys
from pathlib import Path
from typing import Any

SECONDS = 300


def main(modules: list[str]) -> None:
    # The package asks whose program this is
    sys.argv = modules[:1]
    for module in modules:
        importlib.import_module(module)
    # Otherwise every child's garbage collector would go through all that was imported, and so copy it
    gc.freeze()
    for line in sys.stdin:
        if (child := os.fork()) == 0:
            run(**json.loads(line))
            return
        print(status(child), flush=True)


def run(arguments: list[str], folder: str, settings: dict[str, str], output: str, errors: str) -> None:
    """As the interpreter does; what C++ writes, as the emulator, is in the files."""
    os.chdir(folder)
    os.environ.update(settings)
    for descriptor, file in enumerate((os.devnull, output, errors)):
        os.dup2(os.open(file, os.O_RDONLY if descriptor == 0 else os.O_WRONLY | os.O_CREAT), descriptor)
    if arguments[0] == "-m":
        sys.argv, sys.path[0] = arguments[1:], folder
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv, sys.path[0] = arguments, str(Path(arguments[0]).parent)
        runpy.run_path(arguments[0], run_name="__main__")


def status(child: int) -> int:
    """Its exit status, once it has ended; it is killed if that takes too long."""

    def stop(*_: Any) -> None:
        os.kill(child, signal.SIGKILL)

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    _, ended = os.waitpid(child, 0)
    signal.alarm(0)
    return os.waitstatus_to_exitcode(ended)


if __name__ == "__main__":
    main(sys.argv[1:])
