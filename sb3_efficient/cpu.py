"""What the CPU can do, as torch reads it from the CPU itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch as th


def capabilities() -> Mapping[str, Any]:
    """
    :return: Name of a feature -> whether it is there, and a few facts; empty where torch cannot tell
    """
    return th.cpu.get_capabilities() if hasattr(th.cpu, "get_capabilities") else {}


def int8_overflows() -> bool:
    """Whether runtimes add products of int8 in 16 bits, in which they overflow: on x86 CPUs with AVX2 without VNNI."""
    known = capabilities()
    return bool(known.get("avx2")) and not (known.get("avx512_vnni") or known.get("avx_vnni"))
