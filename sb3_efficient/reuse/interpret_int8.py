"""
Compiled code that computes an :class:`~sb3_efficient.reuse.int8_program.Int8Program` for a batch.

As :mod:`~sb3_efficient.reuse.interpret`, in bytes. All sums are int32, so that running totals are exact.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sb3_efficient.reuse import fields as at
from sb3_efficient.reuse.int8_kernels import add_up_int8, convolve_int8, int8_changes, int8_nonzero
from sb3_efficient.reuse.jit import STAMP, carray, jit
from sb3_efficient.reuse.masks import fill, positions
from sb3_efficient.reuse.scan import scan
from sb3_efficient.reuse.steps import affected, note
from sb3_efficient.reuse.vectors import bytes_at, floats_at, numbers_at, shorts_at, words_at


@jit
def _observe(row, base, numbers, masks, observation, pixels, fresh):  # type: ignore[no-untyped-def]
    """What of the image changed."""
    channels, height, width = row[at.OUTPUTS], row[at.HEIGHT], row[at.WIDTH]
    size, seen = channels * height * width, base + row[at.SEEN]
    new, old = carray(bytes_at(observation), size), carray(bytes_at(seen), size)
    if fresh:
        for i in range(size):
            # So that every byte differs
            old[i] = ~new[i]
    return scan(
        new, old, observation, seen, channels, height, width, pixels, numbers, 4 * row[at.RAW], 4 * row[at.STEP],
        4 * row[at.CHANNELS], masks, row[at.RAW_MASK],
    )  # fmt: skip


@jit
def _convolution(row, base, masks, todo, line, inputs, outputs, flags, fresh):  # type: ignore[no-untyped-def]
    """At how many positions it was computed."""
    if not affected(row, masks, todo, line, fresh):
        return 0
    stride, step, channels = row[at.STRIDE], row[at.SOURCE_STEP], row[at.SOURCE_CHANNELS]
    n = positions(
        todo, row[at.HEIGHT], row[at.WIDTH], stride * step, stride * channels, row[at.STEP], row[at.CHANNELS], inputs,
        outputs,
    )  # fmt: skip
    flags[:n] = 0
    convolve_int8(
        n, inputs.ctypes.data, outputs.ctypes.data, base + 4 * row[at.SOURCE], row[at.KERNEL],
        row[at.KERNEL] * channels, step, row[at.WEIGHTS], row[at.BIAS], row[at.SCALES], row[at.ZERO],
        4 * row[at.CHANNELS], base + 4 * row[at.RAW], flags.ctypes.data,
    )  # fmt: skip
    note(row, masks, todo, flags, fresh)
    return n


@jit
def _listed(row, base, numbers, masks, fresh):  # type: ignore[no-untyped-def]
    """List what the linear layer has to add up for one environment; how many inputs that is."""
    height, width, channels = row[at.SOURCE_HEIGHT], row[at.SOURCE_WIDTH], 4 * row[at.SOURCE_CHANNELS]
    seen, size = row[at.SEEN], height * width * channels
    indexes = carray(numbers_at(base + 4 * row[at.INDEXES]), size + 1)
    factors = carray(shorts_at(base + 2 * row[at.FACTORS]), size + 1)
    if fresh:
        fill(masks, row[at.SOURCE_MASK], height, width)
    n = int8_changes(
        numbers, 4 * row[at.SOURCE], 4 * row[at.SOURCE_STEP], channels, height, width, masks, row[at.SOURCE_MASK], seen,
        indexes, factors,
    )  # fmt: skip
    # Few changes are not worth the count
    if fresh or (16 * n > size and n > np.count_nonzero(numbers[seen : seen + size])):
        carray(numbers_at(base + 4 * row[at.TOTAL]), row[at.OUTPUTS])[:] = 0
        n = int8_nonzero(numbers, seen, size, indexes, factors)
    carray(words_at(base + 8 * row[at.COUNTERS]), 2)[1] = n
    return n


@jit
def _linear(row, bases, n_rows, sums, features):  # type: ignore[no-untyped-def]
    """Add up what :func:`_listed` listed; block by block, so that the weights of one stay in the cache for all."""
    n_inputs = 4 * row[at.SOURCE_HEIGHT] * row[at.SOURCE_WIDTH] * row[at.SOURCE_CHANNELS]
    bias = carray(numbers_at(row[at.BIAS]), row[at.OUTPUTS])
    scales = carray(floats_at(row[at.SCALES]), row[at.OUTPUTS])
    found = carray(numbers_at(sums.ctypes.data), len(sums))
    done = 0
    while done < row[at.OUTPUTS]:
        size = 0
        for i in range(n_rows):
            base = bases[i]
            total = carray(numbers_at(base + 4 * row[at.TOTAL]), row[at.OUTPUTS])
            n = np.int64(carray(words_at(base + 8 * row[at.COUNTERS]), 2)[1])
            indexes, factors = base + 4 * row[at.INDEXES], base + 2 * row[at.FACTORS]
            size = add_up_int8(
                n >> 1, indexes, factors, row[at.WEIGHTS], n_inputs, row[at.OUTPUTS], done, sums.ctypes.data
            )
            for j in range(size):
                total[done + j] += found[j]
            for j in range(done, min(done + size, features.shape[1])):
                features[i, j] = _rounded(np.float32(total[j] + bias[j]) * scales[j], row)
        done += size


@jit
def _rounded(value, row):  # type: ignore[no-untyped-def]
    if not row[at.ACTIVATION]:
        return value
    zero = np.float32(row[at.ZERO])
    return np.rint(min(max(value, -zero), np.float32(255) - zero)) + zero


@jit
def _steps(  # type: ignore[no-untyped-def]
    table, base, state_bytes, observation, pixels, todo, line, inputs, outputs, flags, fresh, counts
):
    """Everything up to the linear layer for one environment."""
    numbers, masks = carray(bytes_at(base), state_bytes), carray(words_at(base), state_bytes >> 3)
    last = len(table) - 1
    counts[0] += _observe(table[0], base, numbers, masks, observation, pixels, fresh)
    for j in range(1, last):
        counts[j] += _convolution(table[j], base, masks, todo, line, inputs, outputs, flags, fresh)
    counts[last] += _listed(table[last], base, numbers, masks, fresh)


def _build(stamp: int) -> Any:
    # numba's cache looks at this file only; what it closes over counts, too
    @jit(cache=True)
    def run(  # type: ignore[no-untyped-def]
        table, bases, fresh, state_bytes, observations, pixels, todo, line, inputs, outputs, flags, sums, features,
        counts,
    ):  # fmt: skip
        if stamp < 0:
            return
        image = table[0]
        size = image[at.OUTPUTS] * image[at.HEIGHT] * image[at.WIDTH]
        for i in range(len(bases)):
            _steps(
                table, bases[i], state_bytes, observations + i * size, pixels, todo, line, inputs, outputs, flags,
                fresh[i] != 0, counts,
            )  # fmt: skip
            fresh[i] = 0
        _linear(table[-1], bases, len(bases), sums, features)

    return run


#: Compute a batch, as :func:`~sb3_efficient.reuse.interpret.run` does
run = _build(STAMP)
