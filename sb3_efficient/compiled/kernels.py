"""
Convolution at a list of positions, as fast for any list as a dense one is for all of them.

A block of output channels and a few positions at a time stay in registers, while the kernel's weights and the numbers
of the map pass by. Maps are (H, W, C), so that a row of the kernel lies side by side.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sb3_efficient.compiled.jit import LANES, jit
from sb3_efficient.compiled.tiles import make_maximum, make_tile

#: Lanes of the CPU -> output channels of a block -> vectors and lanes of it, and positions at a time
SHAPES = {
    16: {32: (2, 16, 12), 16: (1, 16, 12), 8: (1, 8, 12)},
    8: {16: (2, 8, 6), 8: (1, 8, 12)},
    4: {8: (2, 4, 6)},
}[LANES]
#: Output channels are computed in blocks of these sizes, and rounded up to a multiple of the last
BLOCKS = tuple(SHAPES)
_LARGE, _MEDIUM, _SMALL = (BLOCKS + BLOCKS[-1:] * 2)[:3]


def _make_block(vectors: int, lanes: int, many: int) -> Any:
    """For one block of channels: the list ``many`` at a time, then 4, then 1."""
    tile_many, tile_4, tile_1 = (make_tile(positions, vectors, lanes) for positions in (many, 4, 1))

    @jit
    def block(n, i, o, source, rows, length, step, weights, bias, residual, raw, relu, flags):  # type: ignore[no-untyped-def]
        j = 0
        while n - j >= many:
            tile_many(i + 4 * j, o + 4 * j, source, rows, length, step, weights, bias, residual, raw, relu, flags + j)
            j += many
        while n - j >= 4:
            tile_4(i + 4 * j, o + 4 * j, source, rows, length, step, weights, bias, residual, raw, relu, flags + j)
            j += 4
        while n > j:
            tile_1(i + 4 * j, o + 4 * j, source, rows, length, step, weights, bias, residual, raw, relu, flags + j)
            j += 1

    return block


_large, _medium, _small = (_make_block(*SHAPES[size]) for size in (_LARGE, _MEDIUM, _SMALL))


@jit
def convolve(  # type: ignore[no-untyped-def]
    n, inputs, outputs, source, rows, length, step, weights, bias, channels, residual, raw, relu, flags
):
    """
    Compute a convolution at ``n`` positions. Addresses are integers (``array.ctypes.data``, also in compiled code),
    offsets count float32 numbers.

    :param inputs: Address of (n,) int32: where each patch begins in the source
    :param outputs: Address of (n,) int32: where each result begins in ``residual``, ``raw`` and ``relu``
    :param source: Address of a map (H, W, C), with its padding
    :param rows: Of the kernel
    :param length: Numbers in a row of the kernel: its width times C
    :param step: Numbers from a row of the map to the next
    :param weights: Address of :func:`blocked` weights
    :param bias: Address of (channels,)
    :param channels: Of the result, a multiple of 8; more than it has are there and zero
    :param residual: Address of what is added to the result, or 0
    :param raw: Address that the result is written to, or 0
    :param relu: Address that its positive part is written to, or 0
    :param flags: Address of (n,) uint8: bit 0 is set if ``raw`` changed, bit 1 if ``relu`` did
    """
    done = 0
    size = rows * length
    # One after the other, so that the weights of a block stay in the cache
    while done < channels:
        w, b, at = weights + 4 * size * done, bias + 4 * done, 4 * done
        add = residual + at if residual else residual
        to_raw = raw + at if raw else raw
        to_relu = relu + at if relu else relu
        rest = channels - done
        if rest >= _LARGE:
            _large(n, inputs, outputs, source, rows, length, step, w, b, add, to_raw, to_relu, flags)
            done += _LARGE
        elif rest >= _MEDIUM:
            _medium(n, inputs, outputs, source, rows, length, step, w, b, add, to_raw, to_relu, flags)
            done += _MEDIUM
        else:
            _small(n, inputs, outputs, source, rows, length, step, w, b, add, to_raw, to_relu, flags)
            done += _SMALL


_max_large, _max_medium, _max_small = (make_maximum(*SHAPES[size][:2]) for size in (_LARGE, _MEDIUM, _SMALL))


@jit
def maximum(source, rows, columns, step, channels, raw, relu, flags):  # type: ignore[no-untyped-def]
    """
    The largest numbers of one window, channel by channel.

    :param source: Address of the window's first number in a map (H, W, C)
    :param rows: Of the window
    :param columns: Of the window
    :param step: Numbers from a row of the map to the next
    :param channels: A multiple of 8
    :param raw: Address that the result is written to, or 0
    :param relu: Address that its positive part is written to, or 0
    :param flags: Address of a byte: bit 0 is set if ``raw`` changed, bit 1 if ``relu`` did
    """
    done = 0
    while done < channels:
        at, rest = 4 * done, channels - done
        to_raw = raw + at if raw else raw
        to_relu = relu + at if relu else relu
        if rest >= _LARGE:
            _max_large(source + at, rows, columns, step, channels, to_raw, to_relu, flags)
            done += _LARGE
        elif rest >= _MEDIUM:
            _max_medium(source + at, rows, columns, step, channels, to_raw, to_relu, flags)
            done += _MEDIUM
        else:
            _max_small(source + at, rows, columns, step, channels, to_raw, to_relu, flags)
            done += _SMALL


def rounded(channels: int) -> int:
    """
    :return: Channels that a map has in memory: a multiple of 8
    """
    return -(-channels // 8) * 8


def blocked(weights: np.ndarray) -> np.ndarray:
    """
    :param weights: (inputs, channels), inputs in the order of the kernel's rows, columns and channels
    :return: The same as :func:`convolve` reads it: blocks of channels, (inputs, size of the block) each, flat
    """
    n_inputs, n_channels = weights.shape
    padded = np.zeros((n_inputs, rounded(n_channels)), np.float32)
    padded[:, :n_channels] = weights
    parts, done = [], 0
    while done < padded.shape[1]:
        size = next(size for size in BLOCKS if size <= padded.shape[1] - done)
        parts.append(padded[:, done : done + size].ravel())
        done += size
    return np.concatenate(parts)
