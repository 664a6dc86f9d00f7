"""How a program ends: what a user can act on is a line, not a traceback."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable

from sb3_efficient.errors import EfficientError


def exit_status(program: Callable[[], int | None], name: str) -> int:
    """
    :param program: Is run; nothing, as its own status, is success
    :param name: Before the message of an :class:`EfficientError`
    :return: Of the process; that of a program killed by SIGPIPE where nobody reads on, as before ``| head``, and by
        SIGINT where it was interrupted
    """
    try:
        try:
            return program() or 0
        except EfficientError as error:
            print(f"{name}: {error}", file=sys.stderr)
            return error.exit_status
        except KeyboardInterrupt:
            print(f"{name}: interrupted", file=sys.stderr)
            return 128 + signal.SIGINT
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        if not _reader_left():
            # Another pipe: that of an environment's process, for one
            raise
        # Windows has no such signal
        return 128 + getattr(signal, "SIGPIPE", 13)


def _reader_left() -> bool:
    """Whether standard output is what broke; if so, the rest goes nowhere, so that Python's own flush does not fail."""
    try:
        print(flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False
