"""
Compiled code of :mod:`~.patches.distinct`: rows of windows as 64-bit words, and patches found by them.
"""

from __future__ import annotations

import numpy as np

from sb3_efficient.compiled.jit import jit


@jit
def pack_row(image, y, first, last, kernel, stride, words):  # type: ignore[no-untyped-def]
    """Pack row ``y`` of the windows in columns first to last (exclusive)."""
    for x in range(first, last):
        word, shift, w = np.uint64(0), np.uint64(0), 0
        for c in range(image.shape[0]):
            for j in range(kernel):
                word |= np.uint64(image[c, y, x * stride + j]) << shift
                shift += np.uint64(8)
                if shift == 64:
                    words[y, x, w] = word
                    word, shift, w = np.uint64(0), np.uint64(0), w + 1
        if shift > 0:
            words[y, x, w] = word


@jit
def update(image, before, kernel, stride, words, flags, positions):  # type: ignore[no-untyped-def]
    """
    Pack what differs between two images.

    :param image: (C, H, W)
    :param before: The image that ``words`` belongs to; becomes a copy of ``image``
    :param words: (H, columns, row_words)
    :param flags: (P,), all False before and after
    :param positions: Those whose patches differ are written here, in order, (P,)
    :return: Their number
    """
    columns = words.shape[1]
    rows = flags.shape[0] // columns
    top, bottom = rows, 0
    for y in range(image.shape[1]):
        upper, lower = max(0, (y - kernel + stride) // stride), min(rows, y // stride + 1)
        if _row_differs(image, before, y) and upper < lower:
            top, bottom = min(top, upper), max(bottom, lower)
            _update_row(image, before, y, upper, lower, kernel, stride, words, flags)
    n = 0
    for p in range(top * columns, bottom * columns):
        if flags[p]:
            flags[p] = False
            positions[n] = p
            n += 1
    return n


@jit
def _update_row(image, before, y, upper, lower, kernel, stride, words, flags):  # type: ignore[no-untyped-def]
    columns = words.shape[1]
    done = 0
    for pixel in range(image.shape[2]):
        differs = False
        for c in range(image.shape[0]):
            differs |= image[c, y, pixel] != before[c, y, pixel]
        if differs:
            first = max(done, (pixel - kernel + stride) // stride)
            done = min(columns, pixel // stride + 1)
            pack_row(image, y, first, done, kernel, stride, words)
            for row in range(upper, lower):
                for x in range(first, done):
                    flags[row * columns + x] = True
            for c in range(image.shape[0]):
                before[c, y, pixel] = image[c, y, pixel]


@jit
def _row_differs(image, before, y):  # type: ignore[no-untyped-def]
    found = np.uint8(0)
    for c in range(image.shape[0]):
        for x in range(image.shape[2]):
            found |= image[c, y, x] ^ before[c, y, x]
    return found != 0


@jit
def pack_all(image, kernel, stride, words):  # type: ignore[no-untyped-def]
    """Pack a whole image."""
    for y in range(image.shape[1]):
        pack_row(image, y, 0, words.shape[1], kernel, stride, words)


@jit
def hash_at(words, y, x, kernel):  # type: ignore[no-untyped-def]
    """The 64 bits that the patch whose first row is ``y`` is found by."""
    total, factor = np.uint64(0), np.uint64(0x9E3779B97F4A7C15)
    for i in range(kernel):
        for w in range(words.shape[2]):
            total += (words[y + i, x, w] ^ (words[y + i, x, w] >> np.uint64(31))) * factor
            factor = factor * np.uint64(0xD1342543DE82EF95) + np.uint64(2)
    total ^= total >> np.uint64(32)
    total *= np.uint64(0x9FB21C651E98DF25)
    return total ^ (total >> np.uint64(29))


@jit
def same(words, y, x, kernel, key):  # type: ignore[no-untyped-def]
    """Whether the bytes of a patch are those of a key."""
    n = words.shape[2]
    for i in range(kernel):
        for w in range(n):
            if words[y + i, x, w] != key[i * n + w]:
                return False
    return True


@jit
def find(words, y, x, kernel, code, keys, slots, count, mask):  # type: ignore[no-untyped-def]
    """
    :param code: What :func:`hash_at` gave
    :return: Number of the patch; ``count`` if it is new, and has been entered; -1 if there is no room
    """
    last = np.uint64(slots.shape[0] - 1)
    slot = code & mask & last
    while slots[slot] >= 0:
        if same(words, y, x, kernel, keys[slots[slot]]):
            return np.int64(slots[slot])
        slot = (slot + np.uint64(1)) & last
    if count == keys.shape[0]:
        return np.int64(-1)
    n = words.shape[2]
    for i in range(kernel):
        for w in range(n):
            keys[count, i * n + w] = words[y + i, x, w]
    slots[slot] = count
    return np.int64(count)


@jit
def number_images(images, start, kernel, stride, words, flags, ids, places, keys, slots, count, mask):  # type: ignore[no-untyped-def]
    """Go on with ``distinct``: the image that did not fit, and how many patches there are."""
    columns = words.shape[1]
    positions = np.empty(flags.shape[0], np.int64)
    before = images[max(start - 1, 0)].copy()
    pack_all(before, kernel, stride, words)
    for b in range(start, images.shape[0]):
        n = update(images[b], before, kernel, stride, words, flags, positions)
        if b == 0:
            n = flags.shape[0]
        for p in range(flags.shape[0]):
            if b == 0:
                positions[p] = p
            else:
                ids[b, p] = ids[b - 1, p]
        for i in range(n):
            p = positions[i]
            y, x = p // columns * stride, p % columns
            number = find(words, y, x, kernel, hash_at(words, y, x, kernel), keys, slots, count, mask)
            if number < 0:
                return b, count
            if number == count:
                places[count] = b * flags.shape[0] + p
                count += 1
            ids[b, p] = number
    return images.shape[0], count


@jit
def reinsert(keys, count, slots, mask):  # type: ignore[no-untyped-def]
    last = np.uint64(slots.shape[0] - 1)
    words = np.empty((keys.shape[1], 1, 1), np.uint64)
    for number in range(count):
        for w in range(keys.shape[1]):
            words[w, 0, 0] = keys[number, w]
        slot = hash_at(words, 0, 0, keys.shape[1]) & mask & last
        while slots[slot] >= 0:
            slot = (slot + np.uint64(1)) & last
        slots[slot] = number


@jit
def cut(images, places, kernel, stride, columns, patches):  # type: ignore[no-untyped-def]
    """Copy the patches at some places, counted through all images, to (N, C, kernel, kernel)."""
    positions = ((images.shape[2] - kernel) // stride + 1) * columns
    for i in range(places.shape[0]):
        b, p = places[i] // positions, places[i] % positions
        y, x = p // columns * stride, p % columns * stride
        for c in range(images.shape[1]):
            for j in range(kernel):
                for k in range(kernel):
                    patches[i, c, j, k] = images[b, c, y + j, x + k]
