"""
Convolution at a list of positions, and a linear layer from what changed, in int8 with int32 sums: exact.

See :mod:`~sb3_efficient.reuse.kernels` and :mod:`~sb3_efficient.reuse.linear`, which do the same in float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sb3_efficient.reuse.int8_tiles import interleaved, make_int8_sum, make_int8_tile
from sb3_efficient.reuse.jit import LANES, jit
from sb3_efficient.reuse.vectors import lowest

#: Lanes of the CPU -> output channels of a block -> vectors and lanes of it, and positions at a time
SHAPES = {16: {32: (2, 16, 12), 16: (1, 16, 12)}, 8: {16: (2, 8, 6)}, 4: {16: (4, 4, 3)}}[LANES]
_LARGE, _SMALL = max(SHAPES), min(SHAPES)
#: Outputs of the linear layer that are added up at a time; they are rounded up to a multiple of the last
SUMS = (8 * LANES, 4 * LANES, 32)
_ONE = np.uint64(1)


def _make_block(vectors: int, lanes: int, many: int) -> Any:
    """For one block of channels: the list ``many`` at a time, then 4, then 1."""
    tile_many, tile_4, tile_1 = (make_int8_tile(positions, vectors, lanes) for positions in (many, 4, 1))

    @jit
    def block(n, i, o, source, rows, length, step, weights, bias, scales, zero, result, flags):  # type: ignore[no-untyped-def]
        j = 0
        while n - j >= many:
            tile_many(i + 4 * j, o + 4 * j, source, rows, length, step, weights, bias, scales, zero, result, flags + j)
            j += many
        while n - j >= 4:
            tile_4(i + 4 * j, o + 4 * j, source, rows, length, step, weights, bias, scales, zero, result, flags + j)
            j += 4
        while n > j:
            tile_1(i + 4 * j, o + 4 * j, source, rows, length, step, weights, bias, scales, zero, result, flags + j)
            j += 1

    return block


_large, _small = _make_block(*SHAPES[_LARGE]), _make_block(*SHAPES[_SMALL])


@jit
def convolve_int8(n, inputs, outputs, source, rows, length, step, weights, bias, scales, zero, channels, result, flags):  # type: ignore[no-untyped-def]
    """
    As :func:`~sb3_efficient.reuse.kernels.convolve`; offsets, ``length`` and ``step`` count words of four channels.

    :param weights: Address of :func:`blocked_int8` weights
    :param bias: Address of (channels,) int32
    :param scales: Address of (channels,) float32, what sums are multiplied with
    :param zero: What stands for zero in the result
    :param channels: Of the result, a multiple of 16
    :param result: Address of the map that is written to, (H, W, C), uint8
    """
    done = 0
    while done < channels:
        w, b, s = weights + 4 * rows * length * done, bias + 4 * done, scales + 4 * done
        if channels - done >= _LARGE:
            _large(n, inputs, outputs, source, rows, length, step, w, b, s, zero, result + done, flags)
            done += _LARGE
        else:
            _small(n, inputs, outputs, source, rows, length, step, w, b, s, zero, result + done, flags)
            done += _SMALL


def blocked_int8(weights: np.ndarray) -> np.ndarray:
    """
    :param weights: (inputs, channels), int8: a multiple of 4 inputs, in the order of the kernel's rows, columns and
        channels, and a multiple of 16 channels
    :return: The same as :func:`convolve_int8` reads it: blocks of channels, four inputs of each side by side, flat
    """
    n_inputs, n_channels = weights.shape
    fours = weights.reshape(n_inputs // 4, 4, n_channels).transpose(0, 2, 1)
    parts, done = [], 0
    while done < n_channels:
        size = _LARGE if n_channels - done >= _LARGE else _SMALL
        parts.append(fours[:, done : done + size].ravel())
        done += size
    return np.concatenate(parts)


_sum_a, _sum_b, _sum_c = (make_int8_sum(size // (2 * LANES), LANES) for size in SUMS)
_A, _B, _C = SUMS


@jit
def add_up_int8(n, indexes, factors, weights, n_rows, outputs, at, sums):  # type: ignore[no-untyped-def]
    """
    One block of outputs, see :func:`~sb3_efficient.reuse.linear.add_up`.

    :param n: How many pairs of rows
    """
    rest = outputs - at
    block = weights + n_rows * at
    if rest >= _A:
        _sum_a(n, indexes, factors, block, sums)
        return _A
    if rest >= _B:
        _sum_b(n, indexes, factors, block, sums)
        return _B
    _sum_c(n, indexes, factors, block, sums)
    return _C


def summed_int8(weights: np.ndarray) -> np.ndarray:
    """
    :param weights: (inputs, outputs), int8, with a multiple of 32 outputs
    :return: The same as :func:`add_up_int8` reads it, flat
    """
    parts, done = [], 0
    while done < weights.shape[1]:
        size = next(size for size in SUMS if size <= weights.shape[1] - done)
        parts.append(interleaved(weights[:, done : done + size]).ravel())
        done += size
    return np.concatenate(parts)


@jit
def int8_changes(numbers, source, step, channels, height, width, mask, at, seen, indexes, factors):  # type: ignore[no-untyped-def]
    """
    List the inputs that changed, and by how much.

    :param numbers: Bytes: the map at ``source``, ``step`` a row, and at ``seen`` what was listed before
    :param mask: Holds at ``at`` which positions may have changed
    :param indexes: Filled with numbers of inputs, int32
    :param factors: Filled with differences, int16
    :return: How many, made even
    """
    n_words, n = (width + 63) >> 6, 0
    for y in range(height):
        for word in range(n_words):
            bits = mask[at + y * n_words + word]
            while bits:
                x = 64 * word + lowest(bits)
                here, row = source + y * step + x * channels, (y * width + x) * channels
                for c in range(channels):
                    value = numbers[here + c]
                    difference = np.int16(value) - np.int16(numbers[seen + row + c])
                    numbers[seen + row + c] = value
                    indexes[n] = row + c
                    factors[n] = difference
                    n += difference != 0
                bits &= bits - _ONE
    return _even(n, indexes, factors)


@jit
def int8_nonzero(numbers, seen, size, indexes, factors):  # type: ignore[no-untyped-def]
    """
    List the inputs that are not zero.

    :return: How many, made even
    """
    n = 0
    for i in range(size):
        value = numbers[seen + i]
        indexes[n] = i
        factors[n] = value
        n += value != 0
    return _even(n, indexes, factors)


@jit
def _even(n, indexes, factors):  # type: ignore[no-untyped-def]
    if n & 1:
        indexes[n] = 0
        factors[n] = 0
    return n + (n & 1)
