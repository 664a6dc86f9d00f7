"""As many cores as threads, so that a comparison on one thread is one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch as th

from sb3_efficient.errors import OptionError


@contextmanager
def cores(count: int) -> Iterator[None]:
    """
    :param count: Of cores that this process may use until the end of the block, whatever a framework likes
    """
    there = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    if count > len(there):
        raise OptionError(f"{count} threads need as many cores, and this process may use {len(there)}.")
    threads = th.get_num_threads()
    th.set_num_threads(count)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(there)[:count])
    try:
        yield
    finally:
        th.set_num_threads(threads)
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, there)
