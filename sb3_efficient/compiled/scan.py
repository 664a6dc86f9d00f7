"""What changed between two observations, byte by byte."""

from __future__ import annotations

import numpy as np

from sb3_efficient.compiled.jit import jit
from sb3_efficient.compiled.vectors import lowest, make_difference

_difference_64, _difference_16 = make_difference(64), make_difference(16)
_ONE, _ZERO = np.uint64(1), np.uint64(0)


@jit
def differences(one, other, width, row):  # type: ignore[no-untyped-def]
    """
    Add to the row of a mask where two rows of bytes differ.

    :param one: Address
    :param other: Address
    :param width: Bytes
    :param row: uint64, at least ``width`` bits
    """
    x = 0
    while width - x >= 64:
        row[x >> 6] |= _difference_64(one + x, other + x)
        x += 64
    if x < width and width >= 64:
        # The last 64, of which the first were compared already
        row[x >> 6] |= _difference_64(one + width - 64, other + width - 64) >> np.uint64(64 - (width - x))
    elif x < width:
        while width - x >= 16:
            row[0] |= _difference_16(one + x, other + x) << np.uint64(x)
            x += 16
        if x < width and width >= 16:
            bits = _difference_16(one + width - 16, other + width - 16)
            row[0] |= bits << np.uint64(width - 16)


@jit
def _touched(new_at, old_at, channels, height, width, rows):  # type: ignore[no-untyped-def]
    """
    Mark the rows of the image that may differ: 64 bytes at a time, wherever rows begin. Most of an image is equal, and
    this is all that is done about it.
    """
    plane = height * width
    for c in range(channels):
        start = c * plane
        for at in range(0, plane, 64):
            whole = at + 64 <= plane
            if not whole or _difference_64(new_at + start + at, old_at + start + at):
                last = min(at + 63, plane - 1) // width
                for y in range(at // width, last + 1):
                    rows[y] = 1


@jit
def scan(new, old, new_at, old_at, channels, height, width, table, numbers, to, step, room, mask, mask_at):  # type: ignore[no-untyped-def]
    """
    Compare an observation with the one before, and write what changed into its map.

    :param new: Bytes, (C, H, W)
    :param old: Bytes of the observation before, which become those of the new one
    :param new_at: Address of ``new``
    :param old_at: Address of ``old``
    :param table: From a byte to the number that the network takes, (256,)
    :param numbers: Holds the map (H, W, C) at ``to``, ``step`` numbers a row, and ``room`` a pixel
    :param mask: Holds the mask at ``mask_at``
    :return: How many pixels changed
    """
    n_words, plane, n = (width + 63) >> 6, height * width, 0
    rows, row = np.zeros(height, np.uint8), np.zeros(n_words, np.uint64)
    _touched(new_at, old_at, channels, height, width, rows)
    for y in range(height):
        row[:] = _ZERO
        if rows[y]:
            _row(new, old, new_at, old_at, channels, plane, y * width, width, row)
        for word in range(n_words):
            bits = row[word]
            mask[mask_at + y * n_words + word] = bits
            while bits:
                x = 64 * word + lowest(bits)
                for c in range(channels):
                    value = new[c * plane + y * width + x]
                    old[c * plane + y * width + x] = value
                    numbers[to + y * step + x * room + c] = table[value]
                n += 1
                bits &= bits - _ONE
    return n


@jit
def _row(new, old, new_at, old_at, channels, plane, start, width, row):  # type: ignore[no-untyped-def]
    """Set where a row differs in any channel."""
    for c in range(channels):
        at = c * plane + start
        differences(new_at + at, old_at + at, width, row)
        if width < 16:
            for x in range(width):
                if new[at + x] != old[at + x]:
                    row[0] |= _ONE << np.uint64(x)
