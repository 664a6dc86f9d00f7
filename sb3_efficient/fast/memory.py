"""
Freed memory kept for the next minibatch.

glibc gives every large block (more than 128 KiB at first, 32 MiB later) back to the operating system as soon as it is
free, and the next one arrives as pages that are faulted in and zeroed one by one. A training step that allocates the
same activations over and over spends a tenth to a half of its time there. The setting holds for the whole process.
Large arrays of zeros, such as a replay buffer, still take memory only where they are written.
"""

from __future__ import annotations

import ctypes
import platform
import sys

from sb3_efficient.fast.plan import Plan

# malloc.h
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_NEVER = 2**31 - 1
_DEFAULTS = {_M_MMAP_MAX: 65536, _M_TRIM_THRESHOLD: 128 * 1024}

_kept = False


def plan_memory(plan: Plan) -> None:
    """
    :param plan: Gets what is to be done
    """
    if not sys.platform.startswith("linux") or platform.libc_ver()[0] != "glibc":
        plan.leave("memory: freed blocks can be kept with glibc on Linux only")
    elif not _kept:
        plan.step(keep_freed_memory, _as_it_was)
        plan.change("memory: freed blocks are kept for the next minibatch (whole process; keep_memory=False: do not)")


def keep_freed_memory() -> None:
    """No block of its own for a large array (``M_MMAP_MAX``), and no return of the heap's free end."""
    _set({_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: _NEVER})


def _as_it_was() -> None:
    _set(_DEFAULTS)


def _set(options: dict[int, int]) -> None:
    global _kept
    mallopt = ctypes.CDLL(None).mallopt
    for option, value in options.items():
        mallopt(option, value)
    _kept = options is not _DEFAULTS


def give_back_memory() -> None:
    """Return freed memory to the operating system, kept or not (glibc; elsewhere the allocator decides)."""
    if sys.platform.startswith("linux") and platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
