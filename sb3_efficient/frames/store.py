"""Frames kept once, and what looks like SB3's array of stacks made of them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from sb3_efficient.errors import OptionError
from sb3_efficient.frames.memory import FrameMemory


class FrameStore:
    """
    Frames by number, and how often each is in use. Number 0 is black, as the padding at the start of an episode.

    :param frames: Where they are
    :param count: How many are needed where every transition brings one; more are made room for as they come
    """

    def __init__(self, frames: FrameMemory, count: int) -> None:
        self._frames, self._count = frames, count
        self._uses = np.zeros(count, np.int32)
        self._free: list[int] = []
        self._top = 1
        self._warned = False

    @property
    def nbytes(self) -> int:
        return self._frames.nbytes + self._uses.nbytes

    def read(self, numbers: np.ndarray) -> np.ndarray:
        """
        :param numbers: (...)
        :return: A copy of the frames, (..., c, H, W)
        """
        return self._frames.read(numbers)

    def keep(self, frame: np.ndarray) -> int:
        """
        :return: The number of the new frame, which is not in use yet
        """
        if self._free:
            number = self._free.pop()
        else:
            if self._top == len(self._uses):
                self._grow()
            number = self._top
        self._frames.write(number, frame)
        # Not before it is written: whoever goes on after Ctrl-C writes it again
        self._top = max(self._top, number + 1)
        return number

    def use(self, numbers: np.ndarray) -> None:
        """Count uses up."""
        np.add.at(self._uses, numbers.ravel(), 1)

    def release(self, numbers: np.ndarray) -> None:
        """Count uses down, and free what is in use no more."""
        numbers = numbers.ravel()
        np.subtract.at(self._uses, numbers, 1)
        self._free.extend(set(numbers[self._uses[numbers] == 0].tolist()) - {0})

    def _grow(self) -> None:
        further = len(self._uses) - self._count
        if further > self._count and not self._warned:
            self._warned = True
            warnings.warn(
                "FrameReplayBuffer keeps more than two frames for each transition: these observations share few frames "
                "with the ones before, or no whole ones (frame_channels=3 for stacks of RGB). It works, but saves "
                "little memory.",
                stacklevel=2,
            )
        room = max(16, further // 2)
        self._frames.grow(room)
        self._uses = np.concatenate([self._uses, np.zeros(room, np.int32)])


class FrameStacks:
    """
    What looks like SB3's array of observations, (slots, environments, C, H, W), and has the numbers of their frames.

    It is read with indices for the first one or two dimensions, and written a slot at a time.

    :param store: Where the frames are
    :param numbers: Of the frames of each stack, (slots, environments, k)
    :param before: The same of the stacks that come before these in time
    :param later: By how many frames: 0 for observations (which continue the next observations of the slot before),
        1 for next observations (which continue the observations of the same slot)
    :param stack_shape: (C, H, W)
    """

    dtype = np.dtype(np.uint8)

    def __init__(
        self, store: FrameStore, numbers: np.ndarray, before: np.ndarray, later: int, stack_shape: tuple[int, ...]
    ) -> None:
        self._store, self._numbers, self._before, self._later = store, numbers, before, later
        self.shape = (*numbers.shape[:2], *stack_shape)

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: Any) -> np.ndarray:
        index = index if isinstance(index, tuple) else (index,)
        pixels = index[2:]
        if (len(index) > 1 and any(i is None or i is Ellipsis for i in index[:2])) or not all(
            i is Ellipsis or (isinstance(i, slice) and i == slice(None)) for i in pixels
        ):
            raise OptionError(
                f"The observations of a FrameReplayBuffer are read by slots and environments, got {index!r}. "
                "Read whole observations, observations[slots, envs], and index these."
            )
        numbers = self._numbers[index[:2]]
        return self._store.read(numbers).reshape(*numbers.shape[:-1], *self.shape[2:])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[...].astype(dtype or self.dtype, copy=False)

    def __setitem__(self, slot: int, stacks: np.ndarray) -> None:
        if not isinstance(slot, (int, np.integer)):
            raise OptionError(f"The observations of a FrameReplayBuffer are written one slot at a time, got {slot!r}.")
        n, k = self._numbers.shape[1:]
        whole = np.broadcast_to(stacks, self.shape[1:]).astype(np.uint8, copy=False)
        frames = whole.reshape(n, k, -1, *self.shape[3:])
        # A guess, compared and not trusted; numbers are chosen anew only where it is wrong
        numbers = self._before[slot - 1 + self._later][:, np.minimum(np.arange(k) + self._later, k - 1)]
        equal = (frames == self._store.read(numbers)).reshape(n, k, -1).all(axis=-1)
        for env, i in np.argwhere(~equal).tolist():
            frame = frames[env, i]
            if not frame.any():
                numbers[env, i] = 0
            elif i > 0 and np.array_equal(frame, frames[env, i - 1]):
                numbers[env, i] = numbers[env, i - 1]
            else:
                numbers[env, i] = self._store.keep(frame)
        # In this order Ctrl-C in between, after which the slot is written again, costs no frame that is in use
        before = self._numbers[slot].copy()
        self._store.use(numbers)
        self._numbers[slot] = numbers
        self._store.release(before)
