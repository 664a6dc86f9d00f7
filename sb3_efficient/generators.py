"""Generators of random numbers that a whole process shares."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch as th


@contextmanager
def kept_generators() -> Iterator[None]:
    """The generators of random numbers that all share, those of GPUs too, are afterwards as they were."""
    # SB3 seeds numpy's old one
    state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    with th.random.fork_rng(devices=range(th.cuda.device_count())):
        try:
            yield
        finally:
            random.setstate(state)
            np.random.set_state(numpy_state)  # noqa: NPY002
