"""
One step of a network for one environment, compiled: find what is affected, compute it, and note what it changed.

``row`` is a row of the table (:mod:`~.changes.fields`); ``numbers`` and ``masks`` are the state of the
environment, seen as what maps hold and as words, and ``base`` is its address. ``todo``, ``line``, ``inputs``,
``outputs`` and ``flags`` are room for what is forgotten afterwards. ``fresh`` states have seen nothing, and compute
everything. Each step returns at how many positions it was computed.

What computes with the numbers of a map is closed over, see :class:`sb3_efficient.reuse.changes.interpret.Kernels`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sb3_efficient.compiled.jit import jit
from sb3_efficient.compiled.vectors import lowest
from sb3_efficient.reuse.changes import fields as at
from sb3_efficient.reuse.changes.masks import fill, join, mark, positions, spread

_ONE = np.uint64(1)


def make_convolution(convolve: Any) -> Any:
    """
    At what is affected, which is overwritten. That a stack of frames is the one before, moved on by a frame, is not
    made use of: it gains next to nothing or loses, and drifts (examples/benchmarks/reuse_first_layer.py).
    """

    @jit(inline="always")
    def convolution(row, base, masks, todo, line, inputs, outputs, flags, fresh):  # type: ignore[no-untyped-def]
        if not affected(row, masks, todo, line, fresh):
            return 0
        height, width = row[at.HEIGHT], row[at.WIDTH]
        stride, step, channels = row[at.STRIDE], row[at.SOURCE_STEP], row[at.SOURCE_CHANNELS]
        in_row, in_column = stride * step, stride * channels
        n = positions(todo, height, width, in_row, in_column, row[at.STEP], row[at.CHANNELS], inputs, outputs)
        flags[:n] = 0
        convolve(row, base, n, inputs.ctypes.data, outputs.ctypes.data, flags.ctypes.data)
        note(row, masks, todo, flags, fresh)
        return n

    return convolution


def make_max_pool(window: Any) -> Any:
    """At what is affected."""

    @jit
    def max_pool(row, base, masks, todo, line, flags, fresh):  # type: ignore[no-untyped-def]
        if not affected(row, masks, todo, line, fresh):
            return 0
        n_words, n = (row[at.WIDTH] + 63) >> 6, 0
        for y in range(row[at.HEIGHT]):
            top = y * row[at.STRIDE] - row[at.PADDING]
            for word in range(n_words):
                bits = todo[y * n_words + word]
                while bits:
                    x = 64 * word + lowest(bits)
                    left = x * row[at.STRIDE] - row[at.PADDING]
                    flags[n] = 0
                    bottom, right = top + row[at.KERNEL], left + row[at.KERNEL]
                    window(row, base, y, x, top, bottom, left, right, flags.ctypes.data + n)
                    n += 1
                    bits &= bits - _ONE
        note(row, masks, todo, flags, fresh)
        return n

    return max_pool


def make_adaptive_max(window: Any) -> Any:
    """Everywhere, if anything changed."""

    @jit
    def adaptive_max(row, base, masks, flags, fresh):  # type: ignore[no-untyped-def]
        if not (fresh or _any(masks, row)):
            _clear(row, masks)
            return 0
        height, width = row[at.HEIGHT], row[at.WIDTH]
        n_rows, n_columns = row[at.SOURCE_HEIGHT], row[at.SOURCE_WIDTH]
        for y in range(height):
            for x in range(width):
                # As torch has the windows
                top, bottom = y * n_rows // height, -(-(y + 1) * n_rows // height)
                left, right = x * n_columns // width, -(-(x + 1) * n_columns // width)
                window(row, base, y, x, top, bottom, left, right, flags.ctypes.data)
        _set(row, masks)
        return height * width

    return adaptive_max


def make_average(mean: Any) -> Any:
    """Of all positions, if anything changed."""

    @jit
    def average(row, numbers, masks, fresh):  # type: ignore[no-untyped-def]
        if not (fresh or _any(masks, row)):
            _clear(row, masks)
            return 0
        height, width, per = row[at.SOURCE_HEIGHT], row[at.SOURCE_WIDTH], 4 // numbers.itemsize
        source, step, channels = per * row[at.SOURCE], per * row[at.SOURCE_STEP], per * row[at.SOURCE_CHANNELS]
        for c in range(channels):
            total = 0.0
            for y in range(height):
                for x in range(width):
                    total += numbers[source + y * step + x * channels + c]
            result = mean(row, total, height * width)
            if row[at.RAW] >= 0:
                numbers[per * row[at.RAW] + c] = result
            if row[at.RELU] >= 0:
                numbers[per * row[at.RELU] + c] = max(result, row[at.FLOOR])
        _set(row, masks)
        return 1

    return average


def make_window(maximum: Any) -> Any:
    """The maximum of what of a window lies in the map."""

    @jit
    def window(row, base, y, x, top, bottom, left, right, flag):  # type: ignore[no-untyped-def]
        top, left = max(top, 0), max(left, 0)
        bottom, right = min(bottom, row[at.SOURCE_HEIGHT]), min(right, row[at.SOURCE_WIDTH])
        channels, to = row[at.SOURCE_CHANNELS], y * row[at.STEP] + x * row[at.CHANNELS]
        source = base + 4 * (row[at.SOURCE] + top * row[at.SOURCE_STEP] + left * channels)
        raw, relu = address(base, row[at.RAW], to), address(base, row[at.RELU], to)
        maximum(row, source, bottom - top, right - left, raw, relu, flag)

    return window


@jit
def affected(row, masks, todo, line, fresh):  # type: ignore[no-untyped-def]
    """Set in ``todo`` what has to be computed; whether there is anything."""
    height, width = row[at.HEIGHT], row[at.WIDTH]
    if fresh:
        fill(todo, 0, height, width)
        return True
    found = spread(
        masks, row[at.SOURCE_MASK], row[at.SOURCE_HEIGHT], row[at.SOURCE_WIDTH], row[at.KERNEL], row[at.STRIDE],
        row[at.PADDING], todo, height, width, line,
    )  # fmt: skip
    if row[at.RESIDUAL] >= 0:
        found = join(masks, row[at.RESIDUAL_MASK], todo, height * ((width + 63) >> 6)) or found
    if not found:
        _clear(row, masks)
    return found


@jit
def note(row, masks, todo, flags, fresh):  # type: ignore[no-untyped-def]
    """Set in the masks of the result what changed."""
    if fresh:
        # The same numbers may come out by chance while the layers behind have new weights
        _set(row, masks)
        return
    n_words = row[at.HEIGHT] * ((row[at.WIDTH] + 63) >> 6)
    if row[at.RAW] >= 0:
        mark(todo, n_words, flags, 1, masks, row[at.RAW_MASK])
    if row[at.RELU] >= 0:
        mark(todo, n_words, flags, 2, masks, row[at.RELU_MASK])


@jit
def _set(row, masks):  # type: ignore[no-untyped-def]
    for column in (at.RAW_MASK, at.RELU_MASK):
        if row[column] >= 0:
            fill(masks, row[column], row[at.HEIGHT], row[at.WIDTH])


@jit
def _clear(row, masks):  # type: ignore[no-untyped-def]
    n_words = row[at.HEIGHT] * ((row[at.WIDTH] + 63) >> 6)
    for column in (at.RAW_MASK, at.RELU_MASK):
        if row[column] >= 0:
            masks[row[column] : row[column] + n_words] = 0


@jit
def _any(masks, row):  # type: ignore[no-untyped-def]
    """Whether anything of the source changed."""
    n_words = row[at.SOURCE_HEIGHT] * ((row[at.SOURCE_WIDTH] + 63) >> 6)
    found = np.uint64(0)
    for word in range(row[at.SOURCE_MASK], row[at.SOURCE_MASK] + n_words):
        found |= masks[word]
    return found != 0


@jit
def address(base, offset, more=0):  # type: ignore[no-untyped-def]
    """Of a number in the state; 0 for nothing."""
    return base + 4 * (offset + more) if offset >= 0 else 0
