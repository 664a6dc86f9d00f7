"""Replay buffers whose observations are numbers of frames."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from inspect import signature
from typing import Any, Literal

import numpy as np
import psutil
import torch as th
from gymnasium import spaces
from stable_baselines3.common.buffers import NStepReplayBuffer, ReplayBuffer

from sb3_efficient.errors import ConflictError, ObservationError, OptionError, suggestion
from sb3_efficient.frames.memory import CODECS, CompressedFrames, PlainFrames
from sb3_efficient.frames.store import FrameStacks, FrameStore
from sb3_efficient.options import check_known, number, whole_number

#: Transitions after which it is said how much memory compressed ones need
ENOUGH = 1000


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
    :param frame_channels: Channels of each frame: 1 for grey, 3 for RGB; None: 1
    :param compress: Whether each frame is compressed, without loss: a fourth to a twentieth of the bytes in games of
        Atari, for the time to compress a frame a step, and to decompress about five for each sampled transition.
        True or ``"zlib"``, or ``"zstd"``, which is smaller and about twice as fast, and needs the extra ``zstd``
    :param kwargs: Of the other base class, if there is one
    """

    #: Whether ``nbytes`` says anything: how much compressed frames take shows when there are some
    memory_known = True

    def __init__(
        self,
        buffer_size: int,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        device: th.device | str = "auto",
        n_envs: int = 1,
        optimize_memory_usage: bool = False,
        handle_timeout_termination: bool = True,
        frame_channels: int | None = None,
        compress: bool | str = False,
        **kwargs: Any,
    ) -> None:
        check_options(type(self), kwargs)
        #: False, or by what each frame is compressed
        self.compress = codec_of(compress)
        if optimize_memory_usage:
            raise ConflictError(
                "optimize_memory_usage=True is unnecessary beside FrameReplayBuffer, which needs less memory than "
                "that, also where episodes time out. Leave it out."
            )
        frame_channels, k = _frames_in(observation_space, frame_channels)
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
        count = (self.buffer_size + k + 1) * n_envs + 1
        frame = (frame_channels, *shape[1:])
        frames = CompressedFrames(count, frame, self.compress) if self.compress else PlainFrames(count, frame)
        self._store = FrameStore(frames, count)
        now, then = (np.zeros((self.buffer_size, n_envs, k), np.int32) for _ in range(2))
        self._numbers = (now, then)
        self.observations = FrameStacks(self._store, now, then, 0, shape)  # type: ignore[assignment]
        self.next_observations = FrameStacks(self._store, then, now, 1, shape)  # type: ignore[assignment]
        self.memory_known = not self.compress
        if self.memory_known:
            self._check_memory(0)

    def add(self, *args: Any, **kwargs: Any) -> None:
        super().add(*args, **kwargs)
        if not self.memory_known and self.size() * self.n_envs >= ENOUGH:
            self.memory_known = True
            self._check_memory(int(self.nbytes * self.size() / self.buffer_size))

    def _check_memory(self, taken: int) -> None:
        """
        :param taken: Bytes that it has already
        """
        available = psutil.virtual_memory().available + taken
        if self.nbytes > available:
            warnings.warn(
                f"FrameReplayBuffer needs {self.nbytes / 1e9:.2f} GB when it is full, and "
                f"{available / 1e9:.2f} GB are available. Choose a smaller buffer_size than "
                f"{self.buffer_size * self.n_envs}.",
                stacklevel=3,
            )

    @property
    def nbytes(self) -> int:
        """
        Bytes when it is full; of compressed frames, as those so far say. Room for first and last frames of episodes is
        made, and counted, as they come.
        """
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

    :param n_steps: Rewards that a return sums up before it bootstraps
    :param gamma: Discount factor: the model's
    """

    def __init__(self, *args: Any, n_steps: int | None = None, gamma: float | None = None, **kwargs: Any) -> None:
        if n_steps is None or gamma is None:
            raise OptionError(
                "FrameNStepReplayBuffer needs n_steps and gamma, the model's, which SB3 does not hand to it: give "
                "replay_buffer_kwargs=dict(n_steps=3, gamma=0.99)."
            )
        if number("gamma", gamma, least=0) > 1:
            raise OptionError(f"gamma must be at most 1, got {gamma!r}.")
        super().__init__(*args, n_steps=whole_number("n_steps", n_steps), gamma=gamma, **kwargs)


def check_options(buffer_class: type[ReplayBuffer], names: Collection[str]) -> None:
    """
    Refuse what is no option of a replay buffer: SB3's error would name a class that nobody chose.

    :param buffer_class: One of those above, or derived from them
    :param names: That it hands on to the classes that it is derived from
    """
    if {"n_steps", "gamma"} & {*names} and not issubclass(buffer_class, NStepReplayBuffer):
        raise OptionError("FrameReplayBuffer keeps single steps: for n_steps and gamma use FrameNStepReplayBuffer.")
    classes = [base for base in buffer_class.__mro__ if issubclass(base, ReplayBuffer)]
    accepted = dict.fromkeys(name for base in classes for name in signature(base.__init__).parameters)
    check_known(buffer_class.__name__, names, [name for name in accepted if name not in ("self", "args", "kwargs")])


def codec_of(compress: bool | str) -> str | Literal[False]:
    """
    :param compress: As :class:`FrameReplayBuffer` takes it
    :return: One of :data:`CODECS`; False for none
    """
    if compress in (True, False):
        return "zlib" if compress else False
    if compress not in CODECS:
        hint = suggestion(compress, CODECS)
        raise OptionError(f"compress must be true, false, 'zlib' or 'zstd', got {compress!r}.{hint}")
    return str(compress)


def _frames_in(space: spaces.Space, asked: int | None) -> tuple[int, int]:
    """
    :return: Channels of a frame, and ``k``, the number of frames in a stack
    """
    frame_channels = whole_number("frame_channels", 1 if asked is None else asked)
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
    if asked is None and channels == 3:
        warnings.warn(
            f"FrameReplayBuffer takes observations of {space.shape} for three grey frames. If they are one image in "
            "RGB, it saves nothing and needs three times the memory that it says: give frame_channels=3 (or 1, if they "
            "are grey).",
            stacklevel=3,
        )
    return frame_channels, channels // frame_channels
