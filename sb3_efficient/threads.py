"""How many threads torch computes with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch as th

from sb3_efficient.options import whole_number


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """
    :param threads: Of torch, which has one number for the whole process, until the end of the block
    """
    before = th.get_num_threads()
    if whole_number("threads", threads) == before:
        yield
        return
    th.set_num_threads(threads)
    try:
        yield
    finally:
        th.set_num_threads(before)
