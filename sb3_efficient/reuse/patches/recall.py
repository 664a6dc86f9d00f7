"""
The compiled loop of :class:`~sb3_efficient.reuse.patches.memo.Memo`: one frame, from its pixels to the outputs.

Its arrays, which are passed on from function to function:

    image, before          frame and the one before, (C, H, W)
    words                  packed rows of the frame, (H, columns, row_words)
    contributions, total   of each position to the outputs, (P, A), and their sum, (A,)
    used, near, kept       contributions remembered: whether there is one, its patch, its numbers; some slots a position
    keys, slots            table of patches, see ``packing.find``
    values                 results of the convolutions, (capacity, F)
    weight                 of the linear layer, (P, A, F)

What is remembered is spread over more than the caches hold, and a frame needs it at hundreds of places. So each loop
over positions has one in front that says what will be needed: waiting for it one by one would take most of the time.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sb3_efficient.compiled.jit import STAMP, jit
from sb3_efficient.compiled.vectors import prefetch
from sb3_efficient.reuse.patches.packing import find, hash_at, same, update
from sb3_efficient.reuse.patches.stack import compute

#: What is counted
COUNTERS = ("patches", "frames", "positions", "changed", "remembered", "looked_up", "computed", "emptied")
PATCHES, FRAMES, POSITIONS, CHANGED, REMEMBERED, LOOKED_UP, COMPUTED, EMPTIED = range(len(COUNTERS))
_CACHE_LINE = 64


@jit(fastmath=True)
def dot(one, other):  # type: ignore[no-untyped-def]
    total = np.float32(0)
    for f in range(one.shape[0]):
        total += one[f] * other[f]
    return total


@jit
def _slot(p, code, mask, used, positions):  # type: ignore[no-untyped-def]
    """Where a contribution of a position is remembered: one of its slots, by hash."""
    ways = np.int64(used.shape[0] // positions)
    return p * ways + (np.int64(code & mask) & (ways - 1))


@jit
def _fetch(rows, row):  # type: ignore[no-untyped-def]
    start, size = rows.ctypes.data + row * rows.strides[0], rows.strides[0]
    for offset in range(0, size, _CACHE_LINE):
        prefetch(start + offset)
    # Rows do not begin where lines do
    prefetch(start + size - 1)


@jit
def _exchange(p, a, new, contributions, total):  # type: ignore[no-untyped-def]
    # Differences of float32 numbers are exact in float64, but for the last bits
    total[a] += np.float64(new) - np.float64(contributions[p, a])
    contributions[p, a] = new


@jit
def _recall(  # type: ignore[no-untyped-def]
    n, positions, missed, codes, words, kernel, stride, mask, used, near, kept, contributions, total
):
    """
    Contributions that are remembered.

    :return: Number of positions that are left, which are written to ``missed``, and their hashes to ``codes``
    """
    columns = words.shape[1]
    for i in range(n):
        p = positions[i]
        code = hash_at(words, p // columns * stride, p % columns, kernel)
        codes[i] = np.int64(code)
        slot = _slot(p, code, mask, used, contributions.shape[0])
        _fetch(used, slot)
        _fetch(near, slot)
        _fetch(kept, slot)
    n_missed = 0
    for i in range(n):
        p = positions[i]
        y, x = p // columns * stride, p % columns
        slot = _slot(p, np.uint64(codes[i]), mask, used, contributions.shape[0])
        if used[slot] and same(words, y, x, kernel, near[slot]):
            for a in range(total.shape[0]):
                _exchange(p, a, kept[slot, a], contributions, total)
        else:
            missed[n_missed] = p
            codes[n_missed] = codes[i]
            n_missed += 1
    return n_missed


@jit
def _fetch_patches(begin, n, codes, mask, keys, slots, values):  # type: ignore[no-untyped-def]
    mask &= np.uint64(slots.shape[0] - 1)
    for i in range(begin, n):
        prefetch(slots.ctypes.data + slots.itemsize * np.int64(np.uint64(codes[i]) & mask))
    for i in range(begin, n):
        number = slots[np.uint64(codes[i]) & mask]
        if number >= 0:
            _fetch(keys, number)
            _fetch(values, number)


@jit
def _number(  # type: ignore[no-untyped-def]
    begin, n, missed, codes, found, words, kernel, stride, mask, keys, slots, patches
):
    """
    Look patches up, and enter those that are new, until there is no room for one.

    :return: Where it ended, and how many patches there are
    """
    columns = words.shape[1]
    for i in range(begin, n):
        y, x = missed[i] // columns * stride, missed[i] % columns
        number = find(words, y, x, kernel, np.uint64(codes[i]), keys, slots, patches, mask)
        if number < 0:
            return i, patches
        found[i] = number
        patches = max(patches, number + 1)
    return n, patches


@jit
def _remember(  # type: ignore[no-untyped-def]
    begin,
    end,
    missed,
    codes,
    found,
    words,
    kernel,
    stride,
    mask,
    used,
    near,
    kept,
    contributions,
    total,
    values,
    weight,
):
    """Contributions from results of patches."""
    columns, row_words = words.shape[1], words.shape[2]
    for j in range(begin, end):
        p = missed[j]
        y, x = p // columns * stride, p % columns
        slot = _slot(p, np.uint64(codes[j]), mask, used, contributions.shape[0])
        used[slot] = True
        for i in range(kernel):
            for w in range(row_words):
                near[slot, i * row_words + w] = words[y + i, x, w]
        for a in range(total.shape[0]):
            kept[slot, a] = dot(weight[p, a], values[found[j]])
            _exchange(p, a, kept[slot, a], contributions, total)


def _make_step(stamp: int) -> Any:
    """numba keeps the compiled function for as long as what it encloses is the same."""

    @jit(cache=True)
    def step(  # type: ignore[no-untyped-def]
        image, before, words, contributions, total, seen, flags, lists, counts, used, near, kept, keys, slots, mask,
        values, weight, kernel, stride, pixels, table, offsets, numbers, scratch, marks, bias, result,
    ):  # fmt: skip
        _ = stamp
        positions, missed, found, codes = lists[0], lists[1], lists[2], lists[3]
        n = update(image, before, kernel, stride, words, flags, positions)
        if not seen[0]:
            seen[0] = True
            n = flags.shape[0]
            for p in range(n):
                positions[p] = p
        n_missed = _recall(
            n, positions, missed, codes, words, kernel, stride, mask, used, near, kept, contributions, total
        )
        begin = 0
        while begin < n_missed:
            known = counts[PATCHES]
            _fetch_patches(begin, n_missed, codes, mask, keys, slots, values)
            end, counts[PATCHES] = _number(
                begin, n_missed, missed, codes, found, words, kernel, stride, mask, keys, slots, known
            )
            compute(keys, known, counts[PATCHES], kernel, values, pixels, table, offsets, numbers, scratch, marks)
            counts[COMPUTED] += counts[PATCHES] - known
            _remember(
                begin, end, missed, codes, found, words, kernel, stride, mask, used, near, kept, contributions, total,
                values, weight,
            )  # fmt: skip
            if end < n_missed:
                for s in range(slots.shape[0]):
                    slots[s] = -1
                counts[PATCHES] = 0
                counts[EMPTIED] += 1
            begin = end
        counts[FRAMES] += 1
        counts[POSITIONS] += flags.shape[0]
        counts[CHANGED] += n
        counts[REMEMBERED] += n - n_missed
        counts[LOOKED_UP] += n_missed
        for a in range(total.shape[0]):
            result[a] = total[a] + bias[a]

    return step


#: Outputs of one frame, written to ``result``, (A,)
step = _make_step(STAMP)
