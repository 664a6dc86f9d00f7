"""How numbered frames lie in memory: as they are, or compressed."""

from __future__ import annotations

import math
import sys
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import numpy as np

from sb3_efficient.errors import MissingExtraError

#: In the standard library, and about twice as fast (extra ``zstd``)
CODECS = ("zlib", "zstd")
#: Frames that are kept decompressed for whoever reads them again
AT_HAND = 4096
_POINTER = 8


class FrameMemory(Protocol):
    """Frames by number; number 0 is black."""

    @property
    def nbytes(self) -> int:
        """Bytes when it is full."""

    def read(self, numbers: np.ndarray) -> np.ndarray:
        """
        :param numbers: (...)
        :return: A copy of the frames, (..., c, H, W)
        """

    def write(self, number: int, frame: np.ndarray) -> None:
        """
        :param number: One that there is room for
        :param frame: (c, H, W)
        """

    def grow(self, count: int) -> None:
        """Make room for more."""


class PlainFrames:
    """
    In arrays, whose memory is taken as it is written.

    :param count: For how many there is room at first
    :param shape: Of a frame
    """

    def __init__(self, count: int, shape: tuple[int, ...]) -> None:
        self._ordinary = np.zeros((count, *shape), np.uint8)
        # Apart, because to enlarge the other would need all its memory a second time
        self._further = np.zeros((0, *shape), np.uint8)
        self._written = 0

    def __getstate__(self) -> dict[str, Any]:
        # As in memory, what was not written yet takes nothing
        return {**vars(self), "_ordinary": self._ordinary[: self._written], "count": len(self._ordinary)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        count = state.pop("count")
        vars(self).update({"_written": count, **state})
        self._ordinary = with_slots(self._ordinary, count)

    @property
    def nbytes(self) -> int:
        return self._ordinary.nbytes + self._further.nbytes

    def read(self, numbers: np.ndarray) -> np.ndarray:
        frames = self._ordinary.take(numbers, axis=0, mode="clip")
        further = numbers >= len(self._ordinary)
        if further.any():
            frames[further] = self._further[numbers[further] - len(self._ordinary)]
        return frames

    def write(self, number: int, frame: np.ndarray) -> None:
        ordinary = len(self._ordinary)
        if number < ordinary:
            self._ordinary[number] = frame
            self._written = max(self._written, number + 1)
        else:
            self._further[number - ordinary] = frame

    def grow(self, count: int) -> None:
        self._further = np.concatenate([self._further, np.zeros((count, *self._further.shape[1:]), np.uint8)])


def with_slots(array: np.ndarray, slots: int) -> np.ndarray:
    """
    :param array: (n, ...)
    :param slots: At least n
    :return: (slots, ...), the further ones of zeros, whose memory is taken as they are written
    """
    if len(array) == slots:
        return array
    longer = np.zeros((slots, *array.shape[1:]), array.dtype)
    longer[: len(array)] = array
    return longer


class CompressedFrames:
    """
    Each compressed by itself, which loses nothing.

    :param count: As many are needed where every transition brings one
    :param shape: Of a frame
    :param codec: One of :data:`CODECS`
    """

    def __init__(self, count: int, shape: tuple[int, ...], codec: str) -> None:
        self._count, self._shape, self._codec = count, shape, codec
        self._compress, self._decompress = _functions(codec, math.prod(shape))
        self._compressed = [self._compress(bytes(math.prod(shape)))]
        self._bytes = sys.getsizeof(self._compressed[0])
        # What the last two reads found: next observations have most frames of the observations read before
        self._at_hand: tuple[dict[int, np.ndarray], dict[int, np.ndarray]] = ({}, {})

    def __getstate__(self) -> dict[str, Any]:
        # Files have each frame once, and no functions
        dropped = {"_at_hand", "_compress", "_decompress"}
        return {name: value for name, value in vars(self).items() if name not in dropped}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _at_hand=({}, {}))
        self._compress, self._decompress = _functions(self._codec, math.prod(self._shape))

    @property
    def nbytes(self) -> int:
        """Bytes when it is full of frames that compress as those there do on average; without those at hand."""
        there = len(self._compressed)
        return int((self._bytes / there + _POINTER) * max(there, self._count))

    def read(self, numbers: np.ndarray) -> np.ndarray:
        distinct, places = np.unique(numbers, return_inverse=True)
        frames = np.empty((len(distinct), *self._shape), np.uint8)
        for place, number in enumerate(distinct.tolist()):
            frames[place] = self._one(number)
        if len(distinct) <= AT_HAND:
            self._at_hand = (dict(zip(distinct.tolist(), frames, strict=True)), self._at_hand[0])
        return frames[places.reshape(numbers.shape)]

    def _one(self, number: int) -> np.ndarray:
        latest, earlier = self._at_hand
        found = latest.get(number)
        if found is None:
            found = earlier.get(number)
        if found is None:
            found = np.frombuffer(self._decompress(self._compressed[number]), np.uint8).reshape(self._shape)
        return found

    def write(self, number: int, frame: np.ndarray) -> None:
        # A copy, as zstandard's are cut from larger ones, whose rest malloc finds no use for
        compressed = bytes(memoryview(self._compress(frame.tobytes())))
        if number < len(self._compressed):
            self._bytes -= sys.getsizeof(self._compressed[number])
            self._compressed[number] = compressed
        else:
            self._compressed.append(compressed)
        self._bytes += sys.getsizeof(compressed)
        # Asked before the earlier one, which may have what this number was before
        self._at_hand[0][number] = frame.copy()

    def grow(self, count: int) -> None:
        """It has what it needs."""


def _functions(codec: str, size: int) -> tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]:
    """
    :param size: Bytes of a frame
    :return: What compresses, and what decompresses
    """
    if codec == "zlib":
        # Level 6 takes twice the time, for a tenth to a quarter fewer bytes of Atari's frames
        return partial(zlib.compress, level=1), partial(zlib.decompress, bufsize=size)
    try:
        import zstandard
    except ImportError:
        raise MissingExtraError(
            "compress='zstd' needs the package zstandard, which is not installed: pip install 'sb3-efficient[zstd]', "
            "or take compress='zlib'."
        ) from None
    return zstandard.ZstdCompressor(level=3).compress, zstandard.ZstdDecompressor().decompress
