"""
Freed memory kept for the next minibatch.

glibc gives every large block (more than 128 KiB at first, 32 MiB later) back to the operating system as soon as it is
free, and the next one arrives as pages that are faulted in and zeroed one by one. A training step that allocates the
same activations over and over spends a tenth to a half of its time there. The setting holds for the whole process.
Replay buffers are left out of it: where one has been freed, the zeros of the next would all be written at once.
"""

from __future__ import annotations

import ctypes
import platform
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from sb3_efficient.fast.plan import Plan

# malloc.h
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_NEVER = 2**31 - 1
_DEFAULTS = {_M_MMAP_MAX: 65536, _M_TRIM_THRESHOLD: 128 * 1024}
#: No block of its own for a large array, and no return of the heap's free end
_KEPT = {_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: _NEVER}

#: Methods that make replay buffers, as they are
_MAKING = {name: vars(OffPolicyAlgorithm)[name] for name in ("_setup_model", "load_replay_buffer")}


def plan_memory(plan: Plan) -> None:
    """
    :param plan: Gets what is to be done
    """
    if not sys.platform.startswith("linux") or platform.libc_ver()[0] != "glibc":
        plan.leave("memory: freed blocks can be kept with glibc on Linux only")
    elif OffPolicyAlgorithm._setup_model is _MAKING["_setup_model"]:
        plan.step(keep_freed_memory, _as_it_was)
        plan.change("memory: freed blocks are kept for the next minibatch (whole process; keep_memory=False: do not)")


def keep_freed_memory() -> None:
    """From now on, but for replay buffers that are made or loaded."""
    _set(_KEPT)
    for name, method in _MAKING.items():
        setattr(OffPolicyAlgorithm, name, _apart(method))


def _as_it_was() -> None:
    _set(_DEFAULTS)
    for name, method in _MAKING.items():
        setattr(OffPolicyAlgorithm, name, method)


def _apart(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        # Zeros from the operating system take memory when they are written, and go back to it as a whole
        _set(_DEFAULTS)
        try:
            return method(*args, **kwargs)
        finally:
            _set(_KEPT)

    return call


def _set(options: dict[int, int]) -> None:
    mallopt = ctypes.CDLL(None).mallopt
    for option, value in options.items():
        mallopt(option, value)


def give_back_memory() -> None:
    """Return freed memory to the operating system, kept or not (glibc; elsewhere the allocator decides)."""
    if sys.platform.startswith("linux") and platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
