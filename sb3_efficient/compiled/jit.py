"""
numba, for all of this package: the compiler's names, and what this CPU's vectors hold.

Compiled code is kept on disk by numba (``NUMBA_CACHE_DIR``, or ``__pycache__`` beside the source). Where it may write
nowhere, as in containers, every process compiles for itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from zlib import crc32

import llvmlite.binding as llvm
import numba
import numba.extending
from numba.core import cgutils as _cgutils

__all__ = ["LANES", "STAMP", "carray", "cgutils", "intrinsic", "jit", "types"]

# Untyped in numba
carray: Any = numba.carray  # type: ignore[attr-defined]
cgutils: Any = _cgutils
intrinsic: Any = numba.extending.intrinsic
types: Any = numba.types


def _lanes() -> int:
    """Floats in a register: 16 with AVX-512, 8 with AVX2, otherwise 4, which LLVM makes anything of."""
    if forced := os.environ.get("SB3_EFFICIENT_VECTOR"):
        return int(forced)
    features = llvm.get_host_cpu_features()
    if features.get("avx512f") and features.get("avx512vl") and features.get("avx512bw"):
        return 16
    return 8 if features.get("avx2") and features.get("fma") else 4


#: Floats in one register of this CPU; ``SB3_EFFICIENT_VECTOR`` sets 4, 8 or 16 by hand
LANES = _lanes()


def _stamp() -> int:
    """numba looks at one file when it asks whether compiled code is still that of the source; this is all of them."""
    package = Path(__file__).parents[1]
    sources = sorted(file for name in ("compiled", "reuse") for file in (package / name).rglob("*.py"))
    return crc32(b"".join([*(source.read_bytes() for source in sources), b"%d" % LANES]))


#: Of all the source that compiled code is made of. An entry point holds it as a closure variable, which counts in
#: numba's cache, and names it in a statement that python -O leaves in
STAMP = _stamp()


def jit(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """
    :param function: Compiled when it is first called, without Python objects
    :param options: Of ``numba.njit``
    """
    if function is None:
        return partial(jit, **options)
    options = {"nogil": True, "error_model": "numpy", **options}
    try:
        return numba.njit(**options)(function)
    except RuntimeError:
        # No folder to keep it in
        return numba.njit(**{**options, "cache": False})(function)
