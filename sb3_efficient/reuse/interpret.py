"""
Compiled code that computes a :class:`~sb3_efficient.reuse.program.Program` for a batch: one call from Python.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sb3_efficient.reuse import fields as at
from sb3_efficient.reuse.jit import STAMP, carray, jit
from sb3_efficient.reuse.linear import REFRESH, add_up, changes, count_nonzero, nonzero
from sb3_efficient.reuse.masks import fill
from sb3_efficient.reuse.scan import scan
from sb3_efficient.reuse.steps import adaptive_max, average, convolution, max_pool
from sb3_efficient.reuse.vectors import bytes_at, doubles_at, floats_at, numbers_at, words_at


@jit
def _observe(row, base, floats, masks, observation, pixels, fresh):  # type: ignore[no-untyped-def]
    """What of the image changed."""
    channels, height, width = row[at.OUTPUTS], row[at.HEIGHT], row[at.WIDTH]
    size, seen = channels * height * width, base + row[at.SEEN]
    new, old = carray(bytes_at(observation), size), carray(bytes_at(seen), size)
    if fresh:
        for i in range(size):
            # So that every byte differs
            old[i] = ~new[i]
    return scan(
        new, old, observation, seen, channels, height, width, pixels, floats, row[at.RAW], row[at.STEP], channels,
        masks, row[at.RAW_MASK],
    )  # fmt: skip


@jit
def _listed(row, base, floats, masks, fresh):  # type: ignore[no-untyped-def]
    """List what the linear layer has to add up for one environment; how many inputs that is."""
    seen, channels = row[at.SEEN], row[at.SOURCE_CHANNELS]
    height, width = row[at.SOURCE_HEIGHT], row[at.SOURCE_WIDTH]
    size = height * width * channels
    indexes = carray(numbers_at(base + 4 * row[at.INDEXES]), size + 1)
    factors = carray(floats_at(base + 4 * row[at.FACTORS]), size + 1)
    total = carray(doubles_at(base + 8 * row[at.TOTAL]), row[at.OUTPUTS])
    if fresh:
        fill(masks, row[at.SOURCE_MASK], height, width)
    n = changes(
        floats, row[at.SOURCE], row[at.SOURCE_STEP], channels, height, width, masks, row[at.SOURCE_MASK], seen,
        indexes, factors,
    )  # fmt: skip
    counters = carray(words_at(base + 8 * row[at.COUNTERS]), 2)
    counters[0] += np.uint64(1)
    # Few changes are not worth the count
    if fresh or counters[0] >= REFRESH or (16 * n > size and n > count_nonzero(floats, seen, size)):
        counters[0] = 0
        total[:] = 0
        n = nonzero(floats, seen, size, indexes, factors)
    counters[1] = n
    return n


@jit
def _linear(row, bases, n_rows, sums, features):  # type: ignore[no-untyped-def]
    """Add up what :func:`_listed` listed; block by block, so that the weights of one stay in the cache for all."""
    n_inputs = row[at.SOURCE_HEIGHT] * row[at.SOURCE_WIDTH] * row[at.SOURCE_CHANNELS]
    bias = carray(floats_at(row[at.BIAS]), row[at.OUTPUTS])
    done = 0
    while done < row[at.OUTPUTS]:
        size = 0
        for i in range(n_rows):
            base = bases[i]
            total = carray(doubles_at(base + 8 * row[at.TOTAL]), row[at.OUTPUTS])
            n = np.int64(carray(words_at(base + 8 * row[at.COUNTERS]), 2)[1])
            indexes, factors = base + 4 * row[at.INDEXES], base + 4 * row[at.FACTORS]
            size = add_up(n, indexes, factors, row[at.WEIGHTS], n_inputs, row[at.OUTPUTS], done, sums.ctypes.data)
            for j in range(size):
                total[done + j] += sums[j]
            for j in range(done, min(done + size, features.shape[1])):
                value = np.float32(total[j] + bias[j])
                features[i, j] = value if value > 0 or not row[at.ACTIVATION] else np.float32(0)
        done += size


@jit
def _flattened(row, floats, features, i):  # type: ignore[no-untyped-def]
    """The map as torch flattens it: (C, H, W)."""
    height, width, step = row[at.SOURCE_HEIGHT], row[at.SOURCE_WIDTH], row[at.SOURCE_STEP]
    for y in range(height):
        for x in range(width):
            here = row[at.SOURCE] + y * step + x * row[at.SOURCE_CHANNELS]
            for c in range(row[at.OUTPUTS]):
                features[i, (c * height + y) * width + x] = floats[here + c]
    return height * width


@jit
def _steps(  # type: ignore[no-untyped-def]
    table, base, state_bytes, observation, pixels, todo, line, inputs, outputs, flags, features, i, fresh, counts
):
    """Everything up to the linear layer for environment ``i``."""
    floats, masks = carray(floats_at(base), state_bytes >> 2), carray(words_at(base), state_bytes >> 3)
    for j in range(len(table)):
        row = table[j]
        kind, n = row[at.KIND], 0
        if kind == at.CONV:
            n = convolution(row, base, masks, todo, line, inputs, outputs, flags, fresh)
        elif kind == at.MAX_POOL:
            n = max_pool(row, base, masks, todo, line, flags, fresh)
        elif kind == at.SCAN:
            n = _observe(row, base, floats, masks, observation, pixels, fresh)
        elif kind == at.AVERAGE:
            n = average(row, floats, masks, fresh)
        elif kind == at.ADAPTIVE_MAX:
            n = adaptive_max(row, base, masks, flags, fresh)
        elif kind == at.FLATTEN:
            n = _flattened(row, floats, features, i)
        else:
            n = _listed(row, base, floats, masks, fresh)
        counts[j] += n


def _build(stamp: int) -> Any:
    # numba's cache looks at this file only; what it closes over counts, too
    @jit(cache=True)
    def run(  # type: ignore[no-untyped-def]
        table, bases, fresh, state_bytes, observations, pixels, todo, line, inputs, outputs, flags, sums, features,
        counts,
    ):  # fmt: skip
        if stamp < 0:
            return
        image, last = table[0], table[-1]
        size = image[at.OUTPUTS] * image[at.HEIGHT] * image[at.WIDTH]
        for i in range(len(bases)):
            _steps(
                table, bases[i], state_bytes, observations + i * size, pixels, todo, line, inputs, outputs, flags,
                features, i, fresh[i] != 0, counts,
            )  # fmt: skip
            fresh[i] = 0
        if last[at.KIND] == at.LINEAR:
            _linear(last, bases, len(bases), sums, features)

    return run


#: Compute a batch. Its last argument counts for each step at how many positions it was computed.
run = _build(STAMP)
