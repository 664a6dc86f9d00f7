"""
Which number format the network computes in: ``fp32``, ``bf16`` or ``auto``.

bf16 means autocast: weights, gradients and optimizer stay float32, convolutions and matrix
products run in bfloat16. On a CPU with AVX512_BF16 or AMX that is two to four times faster when
training; on one without, oneDNN emulates it and it is several times *slower* than fp32
(``examples/benchmarks/extractors.py`` measures both).
"""

from __future__ import annotations

import warnings
from typing import Literal

import torch as th

from sb3_efficient.cpu import capabilities
from sb3_efficient.errors import OptionError, suggestion

Precision = Literal["fp32", "bf16"]
PRECISIONS = ("fp32", "bf16", "auto")


def cpu_has_bf16() -> bool:
    """Whether bfloat16 runs in hardware here: AVX512_BF16 or AMX, and not switched off for oneDNN."""
    known = capabilities()
    in_hardware = bool(known.get("avx512_bf16") or known.get("amx_bf16"))
    # Unlike the CPU's flags, this one honours ONEDNN_MAX_CPU_ISA
    return in_hardware and bool(th.ops.mkldnn._is_mkldnn_bf16_supported())


def has_bf16(device_type: str) -> bool:
    """
    :param device_type: ``"cpu"`` or ``"cuda"``
    :return: Whether bfloat16 runs in hardware there
    """
    return th.cuda.is_bf16_supported(including_emulation=False) if device_type == "cuda" else cpu_has_bf16()


def check_precision(precision: str) -> None:
    """Refuse a name that stands for no number format."""
    if precision not in PRECISIONS:
        hint = " fp16 overflows in training and is slow on CPUs; use bf16." if precision in ("fp16", "float16") else ""
        hint = hint or suggestion(str(precision), PRECISIONS)
        raise OptionError(f"Unknown precision {precision!r}.{hint} Accepted: {', '.join(PRECISIONS)}.")


def resolve_precision(precision: str) -> Precision:
    """
    :param precision: ``"fp32"``, ``"bf16"`` or ``"auto"``. ``auto`` of an extractor is fp32 on every machine, so that
        it matches SB3 up to rounding; ask for ``bf16``, or call ``accelerate``, whose ``auto`` is bf16 where it runs
        in hardware.
    :return: The format to compute in
    """
    check_precision(precision)
    if precision == "bf16":
        if not (th.cuda.is_available() or cpu_has_bf16()):
            warnings.warn(
                "precision='bf16' is emulated on this CPU (it has neither AVX512_BF16 nor AMX) and slower than 'fp32'.",
                stacklevel=2,
            )
        return "bf16"
    return "fp32"
