"""
Convolution at a list of positions, and a linear layer from what changed, in int8 with int32 sums: exact.

See :mod:`~sb3_efficient.compiled.kernels` and :mod:`~sb3_efficient.compiled.linear`, which do the same in float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sb3_efficient.compiled.int8_tiles import interleaved, make_int8_maximum, make_int8_sum, make_int8_tile
from sb3_efficient.compiled.jit import LANES, jit

#: Lanes of the CPU -> output channels of a block -> vectors and lanes of it, and positions at a time
SHAPES = {16: {32: (2, 16, 12), 16: (1, 16, 12)}, 8: {16: (2, 8, 6)}, 4: {16: (4, 4, 3)}}[LANES]
_LARGE, _SMALL = max(SHAPES), min(SHAPES)
#: Outputs of the linear layer that are added up at a time; they are rounded up to a multiple of the last
SUMS = (8 * LANES, 4 * LANES, 32)


def _make_block(vectors: int, lanes: int, many: int) -> Any:
    """For one block of channels: the list ``many`` at a time, then 4, then 1."""
    tile_many, tile_4, tile_1 = (make_int8_tile(positions, vectors, lanes) for positions in (many, 4, 1))

    @jit
    def block(  # type: ignore[no-untyped-def]
        n, i, o, source, rows, length, step, weights, bias, scales, zero, residual, sum, floor, raw, relu, flags
    ):
        j = 0
        while n - j >= many:
            tile_many(
                i + 4 * j, o + 4 * j, source, rows, length, step, weights, bias, scales, zero, residual, sum, floor,
                raw, relu, flags + j,
            )  # fmt: skip
            j += many
        while n - j >= 4:
            tile_4(
                i + 4 * j, o + 4 * j, source, rows, length, step, weights, bias, scales, zero, residual, sum, floor,
                raw, relu, flags + j,
            )  # fmt: skip
            j += 4
        while n > j:
            tile_1(
                i + 4 * j, o + 4 * j, source, rows, length, step, weights, bias, scales, zero, residual, sum, floor,
                raw, relu, flags + j,
            )  # fmt: skip
            j += 1

    return block


_large, _small = _make_block(*SHAPES[_LARGE]), _make_block(*SHAPES[_SMALL])


@jit
def convolve_int8(  # type: ignore[no-untyped-def]
    n, inputs, outputs, source, rows, length, step, weights, bias, scales, zero, channels, residual, sum, floor, raw,
    relu, flags,
):  # fmt: skip
    """
    As :func:`~sb3_efficient.compiled.kernels.convolve`; offsets, ``length`` and ``step`` count words of four channels.

    :param weights: Address of :func:`blocked_int8` weights
    :param bias: Address of (channels,) int32
    :param scales: Address of (channels,) float32, what sums are multiplied with
    :param zero: What stands for zero in these
    :param channels: Of the result, a multiple of 16
    :param sum: Address of three float32: what they and the residual are multiplied with, and what is added; their sum
        is rounded to even
    :param floor: What stands for zero in ``raw`` and ``relu``
    """
    done = 0
    while done < channels:
        w, b, s = weights + 4 * rows * length * done, bias + 4 * done, scales + 4 * done
        add = residual + done if residual else residual
        to_raw = raw + done if raw else raw
        to_relu = relu + done if relu else relu
        if channels - done >= _LARGE:
            _large(
                n, inputs, outputs, source, rows, length, step, w, b, s, zero, add, sum, floor, to_raw, to_relu, flags
            )
            done += _LARGE
        else:
            _small(
                n, inputs, outputs, source, rows, length, step, w, b, s, zero, add, sum, floor, to_raw, to_relu, flags
            )
            done += _SMALL


_maximum = make_int8_maximum(1, _SMALL)


@jit
def maximum_int8(source, rows, columns, step, channels, floor, raw, relu, flags):  # type: ignore[no-untyped-def]
    """
    As :func:`~sb3_efficient.compiled.kernels.maximum`; ``step`` and ``channels`` count words of four channels.

    :param floor: What stands for zero
    """
    done = 0
    while done < 4 * channels:
        to_raw = raw + done if raw else raw
        to_relu = relu + done if relu else relu
        _maximum(source + done, rows, columns, step, channels, floor, to_raw, to_relu, flags)
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
    One block of outputs, see :func:`~sb3_efficient.compiled.linear.add_up`.

    :param n: How many rows; one more follows in the lists, and counts nothing
    """
    rest, pairs = outputs - at, (n + 1) >> 1
    block = weights + n_rows * at
    if rest >= _A:
        _sum_a(pairs, indexes, factors, block, sums)
        return _A
    if rest >= _B:
        _sum_b(pairs, indexes, factors, block, sums)
        return _B
    _sum_c(pairs, indexes, factors, block, sums)
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
