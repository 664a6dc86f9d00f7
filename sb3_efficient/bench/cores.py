"""A process is held to as many cores as threads, so that one thread means one core."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from sb3_efficient.cpu import check_threads, own_cores
from sb3_efficient.threads import torch_threads


@contextmanager
def cores(count: int) -> Iterator[None]:
    """
    :param count: Of cores that this process may use until the end of the block, whatever a framework likes
    """
    check_threads(count)
    there = own_cores()
    with torch_threads(count):
        if not hasattr(os, "sched_setaffinity"):
            yield
            return
        os.sched_setaffinity(0, sorted(there)[:count])
        try:
            yield
        finally:
            os.sched_setaffinity(0, there)
