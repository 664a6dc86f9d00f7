"""Compiled code that computes a :class:`~sb3_efficient.reuse.changes.program.Program` for a batch, in float32."""

from __future__ import annotations

from typing import Any

import numpy as np

from sb3_efficient.compiled import kernels, linear
from sb3_efficient.compiled.jit import STAMP, carray, jit
from sb3_efficient.compiled.vectors import doubles_at, floats_at
from sb3_efficient.reuse.changes import fields as at
from sb3_efficient.reuse.changes.interpret import Kernels, make_compute
from sb3_efficient.reuse.changes.steps import address


@jit
def _state(base, n_bytes):  # type: ignore[no-untyped-def]
    return carray(floats_at(base), n_bytes >> 2)


@jit(inline="always")
def _convolve(row, base, n, inputs, outputs, flags):  # type: ignore[no-untyped-def]
    kernels.convolve(
        n, inputs, outputs, base + 4 * row[at.SOURCE], row[at.KERNEL], row[at.KERNEL] * row[at.SOURCE_CHANNELS],
        row[at.SOURCE_STEP], row[at.WEIGHTS], row[at.BIAS], row[at.CHANNELS], address(base, row[at.RESIDUAL]),
        address(base, row[at.RAW]), address(base, row[at.RELU]), flags,
    )  # fmt: skip


@jit
def _maximum(row, source, rows, columns, raw, relu, flag):  # type: ignore[no-untyped-def]
    kernels.maximum(source, rows, columns, row[at.SOURCE_STEP], row[at.SOURCE_CHANNELS], raw, relu, flag)


@jit
def _mean(row, total, n):  # type: ignore[no-untyped-def]
    return np.float32(total / n)


@jit
def _running(row, base, size):  # type: ignore[no-untyped-def]
    factors = carray(floats_at(base + 4 * row[at.FACTORS]), size + 1)
    return factors, carray(doubles_at(base + 8 * row[at.TOTAL]), row[at.OUTPUTS])


@jit
def _add_up(row, n, indexes, factors, first, sums):  # type: ignore[no-untyped-def]
    n_inputs = row[at.SOURCE_HEIGHT] * row[at.SOURCE_WIDTH] * row[at.SOURCE_CHANNELS]
    return linear.add_up(n, indexes, factors, row[at.WEIGHTS], n_inputs, row[at.OUTPUTS], first, sums)


@jit
def _finish(row, total, first, last, outputs):  # type: ignore[no-untyped-def]
    bias = carray(floats_at(row[at.BIAS]), row[at.OUTPUTS])
    for j in range(first, last):
        value = np.float32(total[j] + bias[j])
        outputs[j] = value if value > 0 or not row[at.ACTIVATION] else np.float32(0)


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


#: Compute a batch. Its last argument counts for each step at how many positions it was computed.
run = _build(STAMP)
