"""What the CPU can do, as torch reads it from the CPU itself, or where it is too old for that, LLVM; and its cores."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch as th

from sb3_efficient.errors import OptionError

#: Torch's name of a feature -> LLVM's
_LLVM_NAMES = {
    "avx2": "avx2",
    "avx512_f": "avx512f",
    "avx512_vnni": "avx512vnni",
    "avx_vnni": "avxvnni",
    "avx512_bf16": "avx512bf16",
    "amx_int8": "amx-int8",
    "amx_bf16": "amx-bf16",
}


def capabilities() -> Mapping[str, Any]:
    """
    :return: Name of a feature -> whether it is there, and a few facts
    """
    return th.cpu.get_capabilities() if hasattr(th.cpu, "get_capabilities") else _as_llvm_says()


def _as_llvm_says() -> Mapping[str, Any]:
    from llvmlite.binding import get_host_cpu_features

    known = get_host_cpu_features()
    return {name: bool(known.get(its_name)) for name, its_name in _LLVM_NAMES.items()}


def int8_overflows() -> bool:
    """Whether runtimes add products of int8 in 16 bits, in which they overflow: on x86 CPUs with AVX2 without VNNI."""
    known = capabilities()
    return bool(known.get("avx2")) and not (known.get("avx512_vnni") or known.get("avx_vnni"))


def own_cores() -> set[int]:
    """
    :return: Those that this process may use
    """
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def check_threads(count: int) -> None:
    """Refuse more than there are cores: they would wait for each other, and thousands end the process."""
    if count > len(own_cores()):
        raise OptionError(f"{count} threads need as many cores, and this process may use {len(own_cores())}.")
