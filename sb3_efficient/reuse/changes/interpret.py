"""
Compiled code that computes a program for a batch, whatever its numbers are: one call from Python.

What depends on the numbers is handed in as :class:`Kernels`, and closed over: numba keeps no compiled code on disk that
passes functions on. Parts are inlined before LLVM sees them, which would optimize everything again at every call.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from sb3_efficient.compiled.jit import carray, jit
from sb3_efficient.compiled.linear import REFRESH, changes, nonzero
from sb3_efficient.compiled.scan import scan
from sb3_efficient.compiled.vectors import bytes_at, numbers_at, words_at
from sb3_efficient.reuse.changes import fields as at
from sb3_efficient.reuse.changes.masks import fill
from sb3_efficient.reuse.changes.steps import (
    make_adaptive_max,
    make_average,
    make_convolution,
    make_max_pool,
    make_window,
)


class Kernels(NamedTuple):
    """
    :param state: ``(address, bytes)`` -> the state as an array of numbers
    :param convolve: ``(row, base, n, inputs, outputs, flags)``: a convolution at ``n`` positions
    :param maximum: ``(row, source, rows, columns, raw, relu, flag)``: of one window
    :param mean: ``(row, sum, n)`` -> number
    :param running: ``(row, base, size)`` -> differences of the inputs of the linear layer, and its running total
    :param add_up: ``(row, n, indexes, factors, first, sums)`` -> how many sums: a block of outputs, from ``first`` on
    :param finish: ``(row, total, first, last, outputs)``: from a running total to some outputs
    """

    state: Any
    convolve: Any
    maximum: Any
    mean: Any
    running: Any
    add_up: Any
    finish: Any


def make_compute(kernels: Kernels) -> Any:
    """
    For a batch. The result is a function of::

        table, state_bytes    of the program
        bases, fresh          addresses of the states, and whether they have seen nothing, which becomes 0
        observations          address of (B, C, H, W), uint8
        pixels                from a byte to a number
        todo ... sums         room, see :mod:`~.changes.steps`, and for the sums of a block of outputs
        features              filled, (B, F)
        counts                each step adds at how many positions it was computed
    """
    steps, linear = _make_steps(kernels), _make_linear(kernels)

    @jit(inline="always")
    def compute(  # type: ignore[no-untyped-def]
        table, bases, fresh, state_bytes, observations, pixels, todo, line, inputs, outputs, flags, sums, features,
        counts,
    ):  # fmt: skip
        image, last = table[0], table[-1]
        size = image[at.OUTPUTS] * image[at.HEIGHT] * image[at.WIDTH]
        for i in range(len(bases)):
            steps(
                table, bases[i], state_bytes, observations + i * size, pixels, todo, line, inputs, outputs, flags,
                features, i, fresh[i] != 0, counts,
            )  # fmt: skip
            fresh[i] = 0
        if last[at.KIND] == at.LINEAR:
            linear(last, bases, sums, features)

    return compute


def _make_steps(kernels: Kernels) -> Any:
    """Everything up to the linear layer for environment ``i``."""
    state, listed, window = kernels.state, _make_listed(kernels), make_window(kernels.maximum)
    convolution, average = make_convolution(kernels.convolve), make_average(kernels.mean)
    max_pool, adaptive_max = make_max_pool(window), make_adaptive_max(window)

    @jit(inline="always")
    def steps(  # type: ignore[no-untyped-def]
        table, base, state_bytes, observation, pixels, todo, line, inputs, outputs, flags, features, i, fresh, counts
    ):
        numbers, masks = state(base, state_bytes), carray(words_at(base), state_bytes >> 3)
        for j in range(len(table)):
            row = table[j]
            kind, n = row[at.KIND], 0
            if kind == at.CONV:
                n = convolution(row, base, masks, todo, line, inputs, outputs, flags, fresh)
            elif kind == at.MAX_POOL:
                n = max_pool(row, base, masks, todo, line, flags, fresh)
            elif kind == at.SCAN:
                n = _observe(row, base, numbers, masks, observation, pixels, fresh)
            elif kind == at.AVERAGE:
                n = average(row, numbers, masks, fresh)
            elif kind == at.ADAPTIVE_MAX:
                n = adaptive_max(row, base, masks, flags, fresh)
            elif kind == at.FLATTEN:
                n = _flattened(row, numbers, features, i)
            else:
                n = listed(row, base, numbers, masks, fresh)
            counts[j] += n

    return steps


@jit
def _observe(row, base, numbers, masks, observation, pixels, fresh):  # type: ignore[no-untyped-def]
    """What of the image changed."""
    channels, height, width, per = row[at.OUTPUTS], row[at.HEIGHT], row[at.WIDTH], 4 // numbers.itemsize
    size, seen = channels * height * width, base + row[at.SEEN]
    new, old = carray(bytes_at(observation), size), carray(bytes_at(seen), size)
    if fresh:
        for i in range(size):
            # So that every byte differs
            old[i] = ~new[i]
    return scan(
        new, old, observation, seen, channels, height, width, pixels, numbers, per * row[at.RAW], per * row[at.STEP],
        per * row[at.CHANNELS], masks, row[at.RAW_MASK],
    )  # fmt: skip


def _make_listed(kernels: Kernels) -> Any:
    """List what the linear layer has to add up for one environment; how many inputs that is."""
    running = kernels.running

    @jit
    def listed(row, base, numbers, masks, fresh):  # type: ignore[no-untyped-def]
        per = 4 // numbers.itemsize
        seen, channels = row[at.SEEN], per * row[at.SOURCE_CHANNELS]
        height, width = row[at.SOURCE_HEIGHT], row[at.SOURCE_WIDTH]
        size = height * width * channels
        indexes = carray(numbers_at(base + 4 * row[at.INDEXES]), size + 1)
        factors, total = running(row, base, size)
        if fresh:
            fill(masks, row[at.SOURCE_MASK], height, width)
        n = changes(
            numbers, per * row[at.SOURCE], per * row[at.SOURCE_STEP], channels, height, width, masks,
            row[at.SOURCE_MASK], seen, indexes, factors,
        )  # fmt: skip
        counters = carray(words_at(base + 8 * row[at.COUNTERS]), 2)
        counters[0] += np.uint64(1)
        # Few changes are not worth the count
        if fresh or counters[0] >= REFRESH or (16 * n > size and n > np.count_nonzero(numbers[seen : seen + size])):
            counters[0] = 0
            total[:] = 0
            n = nonzero(numbers, seen, size, indexes, factors)
        counters[1] = n
        return n

    return listed


def _make_linear(kernels: Kernels) -> Any:
    """Add up what was listed; block by block, so that the weights of one stay in the cache for all."""
    running, add_up, finish = kernels.running, kernels.add_up, kernels.finish

    @jit
    def linear(row, bases, sums, features):  # type: ignore[no-untyped-def]
        done = 0
        while done < row[at.OUTPUTS]:
            size = 0
            for i in range(len(bases)):
                base = bases[i]
                n = np.int64(carray(words_at(base + 8 * row[at.COUNTERS]), 2)[1])
                factors, total = running(row, base, 0)
                indexes = base + 4 * row[at.INDEXES]
                size = add_up(row, n, indexes, factors.ctypes.data, done, sums.ctypes.data)
                for j in range(size):
                    total[done + j] += sums[j]
                finish(row, total, done, min(done + size, features.shape[1]), features[i])
            done += size

    return linear


@jit
def _flattened(row, numbers, features, i):  # type: ignore[no-untyped-def]
    """The map as torch flattens it: (C, H, W)."""
    height, width, step, per = row[at.SOURCE_HEIGHT], row[at.SOURCE_WIDTH], row[at.SOURCE_STEP], 4 // numbers.itemsize
    for y in range(height):
        for x in range(width):
            here = per * (row[at.SOURCE] + y * step + x * row[at.SOURCE_CHANNELS])
            for c in range(row[at.OUTPUTS]):
                features[i, (c * height + y) * width + x] = numbers[here + c]
    return height * width
