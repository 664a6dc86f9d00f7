"""
Which positions of a map changed: one bit each, in rows of 64-bit words.

A mask lies at an offset (in words) of an array of uint64 that holds everything an environment needs.
"""

from __future__ import annotations

import numpy as np

from sb3_efficient.compiled.jit import jit
from sb3_efficient.compiled.vectors import lowest

_ONE, _ZERO, _ALL = np.uint64(1), np.uint64(0), np.uint64(0xFFFFFFFFFFFFFFFF)


def words(width: int) -> int:
    """
    :return: Words in a row of ``width`` bits
    """
    return -(-width // 64)


@jit
def bits_from(mask, row, n_words, first):  # type: ignore[no-untyped-def]
    """64 bits of a row from bit ``first`` on, which may lie outside of it."""
    word, shift = first >> 6, np.uint64(first & 63)
    found = mask[row + word] >> shift if 0 <= word < n_words else _ZERO
    if shift and 0 <= word + 1 < n_words:
        found |= mask[row + word + 1] << (np.uint64(64) - shift)
    return found


@jit
def fill(mask, at, height, width):  # type: ignore[no-untyped-def]
    """Set every bit."""
    n_words = (width + 63) >> 6
    for y in range(height):
        for word in range(n_words):
            rest = width - 64 * word
            mask[at + y * n_words + word] = _ALL if rest >= 64 else (_ONE << np.uint64(rest)) - _ONE


@jit
def spread(mask, at, height, width, kernel, stride, padding, target, out_height, out_width, row):  # type: ignore[no-untyped-def]
    """
    Set in ``target`` (out_height rows, from its beginning) which results of a convolution see a changed position.

    :param mask: Holds the mask of the source at ``at``
    :param kernel: At most 64 wide
    :param row: Room for a row of the mask
    :return: Whether there are any
    """
    n_words, n_out = (width + 63) >> 6, (out_width + 63) >> 6
    found = _ZERO
    for y in range(out_height):
        top = y * stride - padding
        row[:n_words] = _ZERO
        target[y * n_out : (y + 1) * n_out] = _ZERO
        for i in range(max(top, 0), min(top + kernel, height)):
            for word in range(n_words):
                row[word] |= mask[at + i * n_words + word]
        anything = _ZERO
        for word in range(n_words):
            anything |= row[word]
        if anything:
            found |= anything
            _spread_row(row, n_words, kernel, stride, padding, target, y * n_out, n_out, out_width)
    return found != _ZERO


@jit
def _spread_row(row, n_words, kernel, stride, padding, target, to, n_out, out_width):  # type: ignore[no-untyped-def]
    """Along the row."""
    if stride > 1:
        wanted = _ALL if kernel == 64 else (_ONE << np.uint64(kernel)) - _ONE
        for x in range(out_width):
            if bits_from(row, 0, n_words, x * stride - padding) & wanted:
                target[to + (x >> 6)] |= _ONE << np.uint64(x & 63)
        return
    for word in range(n_out):
        for shift in range(kernel):
            target[to + word] |= bits_from(row, 0, n_words, 64 * word - padding + shift)
    rest = out_width - 64 * (n_out - 1)
    if rest < 64:
        target[to + n_out - 1] &= (_ONE << np.uint64(rest)) - _ONE


@jit
def join(mask, at, target, n):  # type: ignore[no-untyped-def]
    """Set in ``target`` what is set in ``n`` words of the mask; whether anything is."""
    found = _ZERO
    for word in range(n):
        target[word] |= mask[at + word]
        found |= target[word]
    return found != _ZERO


@jit
def positions(  # type: ignore[no-untyped-def]
    todo, height, width, in_step, in_stride, out_step, out_stride, inputs, outputs
):
    """
    List the bits that are set, row by row.

    :param todo: Mask, from its beginning
    :param in_step: Numbers in the source from one row of results to the next
    :param in_stride: Numbers in the source from one result to the next
    :param out_step: The same for the result
    :param out_stride: The same for the result
    :param inputs: Filled with offsets in the source
    :param outputs: Filled with offsets in the result
    :return: How many
    """
    n_words, n = (width + 63) >> 6, 0
    for y in range(height):
        for word in range(n_words):
            bits = todo[y * n_words + word]
            while bits:
                x = 64 * word + lowest(bits)
                inputs[n] = y * in_step + x * in_stride
                outputs[n] = y * out_step + x * out_stride
                n += 1
                bits &= bits - _ONE
    return n


@jit
def mark(todo, n_words, flags, bit, mask, at):  # type: ignore[no-untyped-def]
    """
    Of the positions in ``todo``, set in the mask those whose flag has the bit, and clear everything else.

    :param todo: Mask, from its beginning, ``n_words`` long
    :param flags: One byte for each bit of ``todo``, in the order of :func:`positions`
    """
    n = 0
    for word in range(n_words):
        bits, found = todo[word], _ZERO
        while bits:
            if flags[n] & bit:
                found |= bits & (~bits + _ONE)
            n += 1
            bits &= bits - _ONE
        mask[at + word] = found
