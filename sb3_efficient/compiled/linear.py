"""
A linear layer from what changed of its input.

The changes of one frame are added up on their own, and their sum goes to a running total in float64. The total is made
anew wherever that is no more work, and after ``REFRESH`` frames, so that rounding does not add up over a game.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sb3_efficient.compiled.jit import LANES, jit
from sb3_efficient.compiled.tiles import make_sum
from sb3_efficient.compiled.vectors import lowest

#: Frames after which a total is made anew
REFRESH = 1000
#: Outputs are computed in blocks of these sizes. 8 vectors are enough sums to be computed at the same time.
BLOCKS = tuple(dict.fromkeys((8 * LANES, 4 * LANES, 2 * LANES, max(LANES, 8), 8)))
_A, _B, _C, _D, _E = (BLOCKS + BLOCKS[-1:] * 5)[:5]


def _make(size: int) -> Any:
    lanes = min(size, LANES)
    return make_sum(size // lanes, lanes)


_sum_a, _sum_b, _sum_c, _sum_d, _sum_e = (_make(size) for size in (_A, _B, _C, _D, _E))
_ONE = np.uint64(1)


@jit
def add_up(n, indexes, factors, weights, n_rows, outputs, at, sums):  # type: ignore[no-untyped-def]
    """
    One block of outputs: the sum of chosen rows of the weights.

    :param n: How many rows
    :param indexes: Address of (n,) int32
    :param factors: Address of (n,) float32
    :param weights: Address of :func:`in_blocks` weights, (n_rows, outputs)
    :param outputs: A multiple of 8
    :param at: The block's first output
    :param sums: Address that its sums are written to
    :return: Size of the block
    """
    rest = outputs - at
    block = weights + 4 * n_rows * at
    if rest >= _A:
        _sum_a(n, indexes, factors, block, sums)
        return _A
    if rest >= _B:
        _sum_b(n, indexes, factors, block, sums)
        return _B
    if rest >= _C:
        _sum_c(n, indexes, factors, block, sums)
        return _C
    if rest >= _D:
        _sum_d(n, indexes, factors, block, sums)
        return _D
    _sum_e(n, indexes, factors, block, sums)
    return _E


def in_blocks(weights: np.ndarray) -> np.ndarray:
    """
    :param weights: (inputs, outputs), with a multiple of 8 outputs
    :return: The same as :func:`add_up` reads it: blocks of outputs, (inputs, size of the block) each, flat
    """
    parts, done = [], 0
    while done < weights.shape[1]:
        size = next(size for size in BLOCKS if size <= weights.shape[1] - done)
        parts.append(weights[:, done : done + size].astype(np.float32).ravel())
        done += size
    return np.concatenate(parts)


@jit
def changes(numbers, source, step, channels, height, width, mask, at, seen, indexes, factors):  # type: ignore[no-untyped-def]
    """
    List the inputs that changed, and by how much. One more entry follows that counts nothing, so that the list can be
    read in pairs.

    :param numbers: Holds the map at ``source``, ``step`` numbers a row, and at ``seen`` what was listed before
    :param mask: Holds at ``at`` which positions may have changed
    :param indexes: Filled with numbers of inputs
    :param factors: Filled with differences; int16 for bytes
    :return: How many
    """
    n_words, n = (width + 63) >> 6, 0
    for y in range(height):
        for word in range(n_words):
            bits = mask[at + y * n_words + word]
            while bits:
                x = 64 * word + lowest(bits)
                here, row = source + y * step + x * channels, (y * width + x) * channels
                for c in range(channels):
                    value, before = numbers[here + c], numbers[seen + row + c]
                    numbers[seen + row + c] = value
                    indexes[n] = row + c
                    # Of bytes without a sign, too: what is cut off to 16 bits has one
                    factors[n] = value - before
                    n += value != before
                bits &= bits - _ONE
    indexes[n], factors[n] = 0, 0
    return n


@jit
def nonzero(numbers, seen, size, indexes, factors):  # type: ignore[no-untyped-def]
    """
    List the inputs that are not zero, as :func:`changes` does.

    :return: How many
    """
    n = 0
    for i in range(size):
        value = numbers[seen + i]
        indexes[n] = i
        factors[n] = value
        n += value != 0
    indexes[n], factors[n] = 0, 0
    return n
