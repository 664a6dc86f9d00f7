"""
Distinct patches of images: a number for each, equal numbers for equal bytes.

A patch is a window of ``k x k`` pixels and all channels. The rows of all windows are packed into 64-bit words once, and
a patch is then ``k`` short runs of words: found by hash, and believed only where all of its words are equal.

Shapes: ``B`` images, ``C`` channels, ``H W`` pixels, ``P`` positions of windows in raster order, ``N`` distinct patches.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sb3_efficient.errors import ObservationError, OptionError
from sb3_efficient.reuse.jit import STAMP, jit

#: Most bits of a hash that are looked at; tests make it small, so that different patches meet
HASH_BITS = 63


@dataclass(frozen=True)
class Windows:
    """
    Where the windows of an image are.

    :param shape: (C, H, W) of the images
    :param kernel: Side of a window, pixels
    :param stride: From one window to the next, pixels
    """

    shape: tuple[int, int, int]
    kernel: int
    stride: int

    @property
    def rows(self) -> int:
        return (self.shape[1] - self.kernel) // self.stride + 1

    @property
    def columns(self) -> int:
        return (self.shape[2] - self.kernel) // self.stride + 1

    @property
    def positions(self) -> int:
        """``P``"""
        return self.rows * self.columns

    @property
    def row_words(self) -> int:
        """64-bit words in one row of a window."""
        return -(-self.kernel * self.shape[0] // 8)

    @property
    def words(self) -> int:
        """64-bit words in a patch."""
        return self.kernel * self.row_words

    def empty_words(self) -> np.ndarray:
        """
        :return: Room for the packed rows of one image, (H, columns, row_words)
        """
        return np.zeros((self.shape[1], self.columns, self.row_words), np.uint64)


def distinct(images: np.ndarray, kernel: int, stride: int, hash_bits: int = HASH_BITS) -> tuple[np.ndarray, np.ndarray]:
    """
    Number the distinct patches of a batch. Images that follow each other in time cost least, because only what
    differs from the image before is looked up; any order gives the same partition.

    :param images: (B, C, H, W), uint8
    :param kernel: Side of a window, pixels
    :param stride: From one window to the next, pixels
    :param hash_bits: Of the hash; few make it bad, and the result no different
    :return: The number of each patch, (B, P), int32, in order of first appearance; and the N patches,
        (N, C, kernel, kernel), uint8
    """
    if images.ndim != 4 or images.dtype != np.uint8:
        raise ObservationError(
            f"Patches are compared by their bytes: images must be uint8 of shape (B, C, H, W), got {images.dtype} "
            f"of shape {images.shape}."
        )
    if min(images.shape[2:]) < kernel:
        raise ObservationError(
            f"Images of {images.shape[2]}x{images.shape[3]} pixels have no window of {kernel}x{kernel}."
        )
    windows = Windows(images.shape[1:], kernel, stride)
    images = np.ascontiguousarray(images)
    ids = np.empty((len(images), windows.positions), np.int32)
    table = PatchTable(windows, 1 << 12, hash_bits)
    words, flags = windows.empty_words(), np.zeros(windows.positions, np.bool_)
    places = np.empty(table.capacity, np.int64)
    done = 0
    while True:
        done, count = _number(
            images, done, kernel, stride, words, flags, ids, places, table.keys, table.slots, table.count, table.mask
        )
        table.count = count
        if done == len(images):
            break
        table.grow()
        places = np.resize(places, table.capacity)
    return ids, _cut(images, places[:count], kernel, stride, windows.columns, windows.positions)


class PatchTable:
    """
    Patch -> number, by hash with all bytes compared.

    :param windows: Of which patches
    :param capacity: How many patches fit. What happens when it is full is for its user to say: ``grow`` or ``clear``.
    :param hash_bits: Of the hash
    """

    def __init__(self, windows: Windows, capacity: int, hash_bits: int = HASH_BITS) -> None:
        if capacity < 1:
            raise OptionError(f"A table of patches needs room for at least one, got {capacity}.")
        self.windows = windows
        self.capacity = capacity
        self.count = 0
        self.mask = np.uint64((1 << hash_bits) - 1)
        self.keys = np.empty((capacity, windows.words), np.uint64)
        self.slots = _empty_slots(capacity)

    def clear(self) -> None:
        """Forget all patches."""
        self.count = 0
        self.slots.fill(-1)

    def grow(self) -> None:
        """Twice the room; numbers stay."""
        self.capacity *= 2
        self.keys = np.resize(self.keys, (self.capacity, self.windows.words))
        self.slots = _empty_slots(self.capacity)
        _reinsert(self.keys, self.count, self.slots, self.mask)


def _empty_slots(capacity: int) -> np.ndarray:
    """At most half of them are ever taken, and their number is a power of two."""
    return np.full(1 << (2 * capacity - 1).bit_length(), -1, np.int32)


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
            done = 0
            for pixel in range(image.shape[2]):
                if _pixel_differs(image, before, y, pixel):
                    first = max(done, (pixel - kernel + stride) // stride)
                    done = min(columns, pixel // stride + 1)
                    pack_row(image, y, first, done, kernel, stride, words)
                    for row in range(upper, lower):
                        for x in range(first, done):
                            flags[row * columns + x] = True
            for c in range(image.shape[0]):
                for x in range(image.shape[2]):
                    before[c, y, x] = image[c, y, x]
    n = 0
    for p in range(top * columns, bottom * columns):
        if flags[p]:
            flags[p] = False
            positions[n] = p
            n += 1
    return n


@jit
def _row_differs(image, before, y):  # type: ignore[no-untyped-def]
    found = np.uint8(0)
    for c in range(image.shape[0]):
        for x in range(image.shape[2]):
            found |= image[c, y, x] ^ before[c, y, x]
    return found != 0


@jit
def _pixel_differs(image, before, y, x):  # type: ignore[no-untyped-def]
    for c in range(image.shape[0]):
        if image[c, y, x] != before[c, y, x]:
            return True
    return False


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


@jit(cache=True)
def _number(images, start, kernel, stride, words, flags, ids, places, keys, slots, count, mask):  # type: ignore[no-untyped-def]
    """Go on with ``distinct``: the image that did not fit, and how many patches there are."""
    assert STAMP >= 0
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


@jit(cache=True)
def _reinsert(keys, count, slots, mask):  # type: ignore[no-untyped-def]
    assert STAMP >= 0
    last = np.uint64(slots.shape[0] - 1)
    words = np.empty((keys.shape[1], 1, 1), np.uint64)
    for number in range(count):
        for w in range(keys.shape[1]):
            words[w, 0, 0] = keys[number, w]
        slot = hash_at(words, 0, 0, keys.shape[1]) & mask & last
        while slots[slot] >= 0:
            slot = (slot + np.uint64(1)) & last
        slots[slot] = number


@jit(cache=True)
def _cut(images, places, kernel, stride, columns, positions):  # type: ignore[no-untyped-def]
    assert STAMP >= 0
    patches = np.empty((places.shape[0], images.shape[1], kernel, kernel), np.uint8)
    for i in range(places.shape[0]):
        b, p = places[i] // positions, places[i] % positions
        y, x = p // columns * stride, p % columns * stride
        for c in range(images.shape[1]):
            for j in range(kernel):
                for k in range(kernel):
                    patches[i, c, j, k] = images[b, c, y + j, x + k]
    return patches
