"""
Replay buffers that keep every frame of a frame stack once.

SB3's ``ReplayBuffer`` keeps two stacks a transition, 56,448 bytes at 4x84x84, and each frame comes eight times.
Here it comes once, 7,056 bytes, and 36 for what refers to it; what is sampled is the same, bit for bit::

    model = DQN("CnnPolicy", env, replay_buffer_class=FrameReplayBuffer)

In rl-zoo3: ``-params replay_buffer_class=sb3_efficient.frames.FrameReplayBuffer``, or the same key in YAML. Without our
hook it evaluates the key as Python, where it is ``"__import__('sb3_efficient.frames').frames.FrameReplayBuffer"``.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import psutil
import torch as th
from gymnasium import spaces
from stable_baselines3.common.buffers import NStepReplayBuffer, ReplayBuffer

from sb3_efficient.errors import ConflictError, ObservationError, OptionError
from sb3_efficient.options import whole_number


class _FrameStore:
    """
    Frames by number, and how often each is in use. Number 0 is black, as the padding at the start of an episode.

    :param count: How many frames are needed where every transition brings one; more are made room for as they come
    :param shape: Of a frame
    """

    def __init__(self, count: int, shape: tuple[int, ...]) -> None:
        self._ordinary = np.zeros((count, *shape), np.uint8)
        # Apart, because to enlarge the other would need all its memory a second time
        self._further = np.zeros((0, *shape), np.uint8)
        self._uses = np.zeros(count, np.int32)
        self._free: list[int] = []
        self._top = 1
        self._warned = False

    @property
    def nbytes(self) -> int:
        return self._ordinary.nbytes + self._further.nbytes + self._uses.nbytes

    def read(self, numbers: np.ndarray) -> np.ndarray:
        """
        :param numbers: (...)
        :return: A copy of the frames, (..., c, H, W)
        """
        frames = self._ordinary.take(numbers, axis=0, mode="clip")
        further = numbers >= len(self._ordinary)
        if further.any():
            frames[further] = self._further[numbers[further] - len(self._ordinary)]
        return frames

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
            self._top += 1
        ordinary = len(self._ordinary)
        if number < ordinary:
            self._ordinary[number] = frame
        else:
            self._further[number - ordinary] = frame
        return number

    def exchange(self, old: np.ndarray, new: np.ndarray) -> None:
        """Count uses, and free what is in use no more."""
        old = old.ravel()
        np.add.at(self._uses, new.ravel(), 1)
        np.subtract.at(self._uses, old, 1)
        self._free.extend(set(old[self._uses[old] == 0].tolist()) - {0})

    def _grow(self) -> None:
        room = np.zeros((max(16, len(self._further) // 2), *self._further.shape[1:]), np.uint8)
        if len(self._further) > len(self._ordinary) and not self._warned:
            self._warned = True
            warnings.warn(
                "FrameReplayBuffer keeps more than two frames for each transition: these observations share few frames "
                "with the ones before, or no whole ones (frame_channels=3 for stacks of RGB). It works, but saves "
                "little memory.",
                stacklevel=2,
            )
        self._further = np.concatenate([self._further, room])
        self._uses = np.concatenate([self._uses, np.zeros(len(room), np.int32)])


class _Stacks:
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
        self, store: _FrameStore, numbers: np.ndarray, before: np.ndarray, later: int, stack_shape: tuple[int, ...]
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
        self._store.exchange(self._numbers[slot], numbers)
        self._numbers[slot] = numbers


class FrameReplayBuffer(ReplayBuffer):
    """
    :class:`ReplayBuffer` of stacked frames that keeps each frame once.

    Nothing is assumed about the observations: each is compared with the one before, and what has not been there is
    kept. Ends of episodes (also by lost lives), truncations and interrupted training come back exactly as from SB3's,
    with any number of environments, and cost a frame each; padding with zeros or with the first frame costs nothing.

    :param buffer_size: Number of transitions
    :param observation_space: Channel-first uint8 images, oldest frame first: those of ``AleVecEnv``, and those of
        ``VecFrameStack`` as SB3's algorithms transpose them
    :param action_space: Action space
    :param device: Of the minibatches
    :param n_envs: Number of environments
    :param optimize_memory_usage: Must stay False: it saves less, and is not exact at timeouts
    :param handle_timeout_termination: As in ``ReplayBuffer``
    :param frame_channels: Channels of each frame: 1 for grey, 3 for RGB
    :param kwargs: Of the other base class, if there is one
    """

    def __init__(
        self,
        buffer_size: int,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        device: th.device | str = "auto",
        n_envs: int = 1,
        optimize_memory_usage: bool = False,
        handle_timeout_termination: bool = True,
        frame_channels: int = 1,
        **kwargs: Any,
    ) -> None:
        if optimize_memory_usage:
            raise ConflictError(
                "optimize_memory_usage=True is unnecessary beside FrameReplayBuffer, which needs less memory than "
                "that, also where episodes time out. Leave it out."
            )
        k = _frames_in(observation_space, frame_channels)
        # SB3 would make room for stacks
        nothing = spaces.Box(0, 255, (0,), np.uint8)
        timeouts = handle_timeout_termination
        super().__init__(
            buffer_size, nothing, action_space, device, n_envs, handle_timeout_termination=timeouts, **kwargs
        )
        shape = observation_space.shape
        assert shape is not None
        self.observation_space, self.obs_shape = observation_space, shape
        # One a transition, those before the first and after the last, and the black one
        self._store = _FrameStore((self.buffer_size + k + 1) * n_envs + 1, (frame_channels, *shape[1:]))
        now, then = (np.zeros((self.buffer_size, n_envs, k), np.int32) for _ in range(2))
        self._numbers = (now, then)
        self.observations = _Stacks(self._store, now, then, 0, shape)  # type: ignore[assignment]
        self.next_observations = _Stacks(self._store, then, now, 1, shape)  # type: ignore[assignment]
        available = psutil.virtual_memory().available
        if self.nbytes > available:
            warnings.warn(
                f"FrameReplayBuffer needs {self.nbytes / 1e9:.2f} GB when it is full, and "
                f"{available / 1e9:.2f} GB are available. Choose a smaller buffer_size than {buffer_size}.",
                stacklevel=2,
            )

    @property
    def nbytes(self) -> int:
        """Bytes when it is full. Room for first and last frames of episodes is made, and counted, as they come."""
        arrays = (*self._numbers, self.actions, self.rewards, self.dones, self.timeouts)
        return self._store.nbytes + sum(array.nbytes for array in arrays)

    def to_torch(self, array: np.ndarray, copy: bool = False) -> th.Tensor:
        # Picked by arrays of indices, which copies already
        return super().to_torch(array, copy=copy)


class FrameNStepReplayBuffer(FrameReplayBuffer, NStepReplayBuffer):
    """
    :class:`NStepReplayBuffer` of stacked frames that keeps each frame once.

    SB3 hands ``n_steps`` and ``gamma`` to its own class only, so they are given as
    ``replay_buffer_kwargs=dict(n_steps=3, gamma=0.99)``; the rest is as in :class:`FrameReplayBuffer`.
    """


def _frames_in(space: spaces.Space, frame_channels: int) -> int:
    """
    :return: ``k``, the number of frames in a stack
    """
    whole_number("frame_channels", frame_channels)
    if not isinstance(space, spaces.Box) or len(space.shape) != 3 or space.dtype != np.uint8:
        raise ObservationError(
            f"FrameReplayBuffer is for stacked images, a Box of uint8 and shape (C, H, W), got {space}. "
            "Use SB3's own replay buffer."
        )
    channels, height, width = space.shape
    if width < min(channels, height):
        raise ObservationError(
            f"FrameReplayBuffer takes channel-first images, (C, H, W), got {space.shape}. Wrap the environment "
            "in VecTransposeImage, as SB3's algorithms do."
        )
    if channels % frame_channels:
        raise ObservationError(
            f"Stacks of {channels} channels, {space.shape}, are no whole number of frames of frame_channels="
            f"{frame_channels}. Give the number of channels that one frame has: 1 for grey, 3 for RGB."
        )
    return channels // frame_channels
