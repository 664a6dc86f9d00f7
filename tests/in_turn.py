"""
Programs of rl_zoo3, one after the other in this interpreter: imports are most of what a short one takes.

Reads the commands from its argument, JSON ``[[program, argument, ...], ...]``, and prints how each ended, and what
it wrote, as JSON.
"""

from __future__ import annotations

import io
import json
import runpy
import sys
from contextlib import redirect_stderr, redirect_stdout
from subprocess import CompletedProcess


def run(command: list[str]) -> CompletedProcess[str]:
    """As ``python -m rl_zoo3.program``."""
    out, err = io.StringIO(), io.StringIO()
    sys.argv = command
    with redirect_stdout(out), redirect_stderr(err):
        status = ended(command[0])
    return CompletedProcess(command, status, out.getvalue(), err.getvalue())


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
    print(json.dumps([vars(run(command)) for command in json.loads(sys.argv[1])]), file=sys.__stdout__)
