"""
Distinct patches of images: a number for each, equal numbers for equal bytes.

A patch is a window of ``k x k`` pixels and all channels. The rows of all windows are packed into 64-bit words once, and
a patch is then ``k`` short runs of words: found by hash, and believed only where all of its words are equal.

Shapes: ``B`` images, ``C`` channels, ``H W`` pixels, ``P`` positions of windows in raster order, ``N`` distinct
patches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sb3_efficient.compiled.jit import STAMP, jit
from sb3_efficient.errors import ObservationError, OptionError
from sb3_efficient.reuse.patches.packing import cut, number_images, reinsert

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
    patches = np.empty((count, images.shape[1], kernel, kernel), np.uint8)
    _cut(images, places[:count], kernel, stride, windows.columns, patches)
    return ids, patches


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


def _build(stamp: int) -> Any:
    # numba's cache looks at this file only; what it closes over counts, too
    @jit(cache=True)
    def number(  # type: ignore[no-untyped-def]
        images, start, kernel, stride, words, flags, ids, places, keys, slots, count, mask
    ):
        _ = stamp
        return number_images(images, start, kernel, stride, words, flags, ids, places, keys, slots, count, mask)

    @jit(cache=True)
    def enter_again(keys, count, slots, mask):  # type: ignore[no-untyped-def]
        _ = stamp
        reinsert(keys, count, slots, mask)

    @jit(cache=True)
    def cut_out(images, places, kernel, stride, columns, patches):  # type: ignore[no-untyped-def]
        _ = stamp
        cut(images, places, kernel, stride, columns, patches)

    return number, enter_again, cut_out


_number, _reinsert, _cut = _build(STAMP)
