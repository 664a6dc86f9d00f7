"""
A process that has imported rl-zoo3, and becomes its programs: half of the time they take in tests is importing.

Reads a line of JSON for each run, ``[program, arguments, folder, file for stdout, file for stderr]``, forks, and
answers with the exit status. The child goes on as ``python -m rl_zoo3.<program>`` does in that folder.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import sys

# First of all, so that torch is imported by the zoo, which is how this package learns of it
import rl_zoo3.import_envs
import rl_zoo3.load_from_hub  # noqa: F401

#: Seconds
TIMEOUT = 300


def next_run() -> tuple[str, list[str]]:
    """
    :return: In a child, what it is to run; the parent comes back at its end only
    """
    for line in sys.stdin:
        program, arguments, folder, *files = json.loads(line)
        child = os.fork()
        if child == 0:
            signal.alarm(TIMEOUT)
            os.chdir(folder)
            sys.path[0] = folder
            for number, file in enumerate([os.devnull, *files]):
                os.dup2(os.open(file, os.O_RDWR | os.O_CREAT), number)
            return program, arguments
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    sys.exit()


program, arguments = next_run()
sys.argv[1:] = arguments
runpy.run_module(f"rl_zoo3.{program}", run_name="__main__", alter_sys=True)
