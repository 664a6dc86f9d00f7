"""
Compiled code that computes an :class:`~sb3_efficient.reuse.changes.int8_program.Int8Program` for a batch, in bytes.

All sums are int32, so that running totals are exact.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sb3_efficient.compiled.int8_kernels import add_up_int8, convolve_int8, maximum_int8
from sb3_efficient.compiled.jit import STAMP, carray, jit
from sb3_efficient.compiled.vectors import bytes_at, floats_at, numbers_at, shorts_at
from sb3_efficient.reuse.changes import fields as at
from sb3_efficient.reuse.changes.interpret import Kernels, make_compute
from sb3_efficient.reuse.changes.steps import address


@jit
def _state(base, n_bytes):  # type: ignore[no-untyped-def]
    return carray(bytes_at(base), n_bytes)


@jit(inline="always")
def _convolve(row, base, n, inputs, outputs, flags):  # type: ignore[no-untyped-def]
    convolve_int8(
        n, inputs, outputs, base + 4 * row[at.SOURCE], row[at.KERNEL], row[at.KERNEL] * row[at.SOURCE_CHANNELS],
        row[at.SOURCE_STEP], row[at.WEIGHTS], row[at.BIAS], row[at.SCALES], row[at.ZERO], 4 * row[at.CHANNELS],
        address(base, row[at.RESIDUAL]), row[at.SUM], row[at.FLOOR], address(base, row[at.RAW]),
        address(base, row[at.RELU]), flags,
    )  # fmt: skip


@jit
def _maximum(row, source, rows, columns, raw, relu, flag):  # type: ignore[no-untyped-def]
    step, channels = row[at.SOURCE_STEP], row[at.SOURCE_CHANNELS]
    maximum_int8(source, rows, columns, step, channels, row[at.FLOOR], raw, relu, flag)


@jit
def _mean(row, total, n):  # type: ignore[no-untyped-def]
    bias, scale = carray(numbers_at(row[at.BIAS]), 1)[0], carray(floats_at(row[at.SCALES]), 1)[0]
    return _rounded(np.float32(total + bias) * scale, row[at.ZERO])


@jit
def _running(row, base, size):  # type: ignore[no-untyped-def]
    factors = carray(shorts_at(base + 2 * row[at.FACTORS]), size + 1)
    return factors, carray(numbers_at(base + 4 * row[at.TOTAL]), row[at.OUTPUTS])


@jit
def _add_up(row, n, indexes, factors, first, sums):  # type: ignore[no-untyped-def]
    n_inputs = 4 * row[at.SOURCE_HEIGHT] * row[at.SOURCE_WIDTH] * row[at.SOURCE_CHANNELS]
    return add_up_int8(n, indexes, factors, row[at.WEIGHTS], n_inputs, row[at.OUTPUTS], first, sums)


@jit
def _finish(row, total, first, last, outputs):  # type: ignore[no-untyped-def]
    bias = carray(numbers_at(row[at.BIAS]), row[at.OUTPUTS])
    scales = carray(floats_at(row[at.SCALES]), row[at.OUTPUTS])
    for j in range(first, last):
        value = np.float32(total[j] + bias[j]) * scales[j]
        outputs[j] = _rounded(value, row[at.ZERO]) if row[at.ACTIVATION] else value


@jit
def _rounded(value, zero):  # type: ignore[no-untyped-def]
    low = -np.float32(zero)
    return np.rint(min(max(value, low), np.float32(255) + low)) - low


_compute = make_compute(Kernels(_state, _convolve, _maximum, _mean, _running, _add_up, _finish))


def _build(stamp: int) -> Any:
    # numba's cache looks at this file only; what it closes over counts, too
    @jit(cache=True)
    def run(  # type: ignore[no-untyped-def]
        table, bases, fresh, state_bytes, observations, pixels, todo, line, inputs, outputs, flags, sums, features,
        counts,
    ):  # fmt: skip
        _ = stamp
        _compute(
            table, bases, fresh, state_bytes, observations, pixels, todo, line, inputs, outputs, flags, sums, features,
            counts,
        )  # fmt: skip

    return run


#: Compute a batch, as :func:`~sb3_efficient.reuse.changes.interpret_float.run` does
run = _build(STAMP)
