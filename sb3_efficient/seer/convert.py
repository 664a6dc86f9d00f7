"""A replay buffer of images made one of latents."""

from __future__ import annotations

from typing import Any

import numpy as np
import psutil
import torch as th
from gymnasium import spaces
from stable_baselines3.common.buffers import NStepReplayBuffer, ReplayBuffer

from sb3_efficient.errors import ConversionError, ObservationError, OptionError
from sb3_efficient.frames import FrameNStepReplayBuffer, FrameReplayBuffer
from sb3_efficient.progress import progress_bar
from sb3_efficient.seer.capacity import latent_bytes, room, stored_transitions
from sb3_efficient.seer.encoder import CHUNK, LatentEncoder
from sb3_efficient.seer.replay import PER_SLOT, LatentNStepReplayBuffer, LatentReplayBuffer
from sb3_efficient.seer.rollout import latent_space

#: Transitions from which on a progress bar says how far it is
LONG = 20_000

#: Exactly these, no subclasses of them: those may do anything with their images
_CONVERTED: dict[type, type[LatentReplayBuffer]] = {
    ReplayBuffer: LatentReplayBuffer,
    NStepReplayBuffer: LatentNStepReplayBuffer,
    FrameReplayBuffer: LatentReplayBuffer,
    FrameNStepReplayBuffer: LatentNStepReplayBuffer,
    LatentReplayBuffer: LatentReplayBuffer,
    LatentNStepReplayBuffer: LatentNStepReplayBuffer,
}


def convert(buffer: ReplayBuffer, encoder: LatentEncoder, capacity: int) -> LatentReplayBuffer:
    """
    All transitions, oldest first, in a new buffer; the other one is only read.

    Needs no more memory than the latents and a chunk of images. Every image is encoded once: what a transition ended
    with is so only where the next one does not begin with the same pixels.

    :param buffer: SB3's, in either layout, or one of latents of a shallower depth
    :param encoder: Latents in place of these
    :param capacity: Transitions over all environments, of :func:`sb3_efficient.seer.capacity.new_capacity`
    :return: Buffer of latents
    """
    check_convertible(buffer)
    stored = stored_transitions(buffer)
    if capacity // buffer.n_envs * buffer.n_envs < stored:
        raise OptionError(f"A replay buffer for {capacity} transitions was asked for, to hold the {stored} stored.")
    # Memory is taken as it is written, so that too much of it ends the process in place of an allocation
    needed, available = stored * latent_bytes(buffer, encoder), psutil.virtual_memory().available
    if needed > available:
        raise ConversionError(
            f"{stored} transitions need {needed / 1e9:.2f} GB as latents of depth={encoder.depth!r}, beside what they "
            f"were made of, and {available / 1e9:.2f} GB are available."
        )
    try:
        latents = empty_latents(buffer, encoder, capacity)
        latents.room = room(buffer) or 0
        _fill(latents, buffer, encoder)
    except (RuntimeError, MemoryError, ValueError) as error:
        # The last of a capacity beyond all arrays
        raise ConversionError(f"{stored} transitions could not be made latents: {error!r}.") from error
    return latents


def check_convertible(buffer: Any) -> None:
    """Refuse a buffer of which it is not known where it has its images."""
    if type(buffer) not in _CONVERTED:
        raise ObservationError(
            f"SEER makes latents of SB3's ReplayBuffer and NStepReplayBuffer, and of FrameReplayBuffer, and found "
            f"{type(buffer).__name__}: leave out replay_buffer_class."
        )


def release(buffer: ReplayBuffer) -> None:
    """
    Free the arrays of a buffer that was converted, now.

    SB3 holds it until the next step of the environment (``collect_rollouts``, and ``locals`` of callbacks).

    :param buffer: Never to be used again; who looks at it finds it empty
    """
    plain = (bool, int, float, str, spaces.Space, th.device)
    for name, value in list(vars(buffer).items()):
        if not all(isinstance(one, plain) for one in (value if isinstance(value, tuple) else [value])):
            delattr(buffer, name)
    buffer.pos, buffer.full = 0, False


def empty_latents(buffer: ReplayBuffer, encoder: LatentEncoder, capacity: int) -> LatentReplayBuffer:
    """
    :param buffer: To be converted
    :param encoder: Latents in place of its images
    :param capacity: Transitions over all environments
    :return: A buffer with the options of ``buffer``, without its content
    """
    options: dict[str, Any] = {"handle_timeout_termination": buffer.handle_timeout_termination}
    if isinstance(buffer, NStepReplayBuffer):
        options |= {"n_steps": buffer.n_steps, "gamma": buffer.gamma}
    latents = _CONVERTED[type(buffer)](
        capacity, latent_space(encoder), buffer.action_space, buffer.device, buffer.n_envs, **options
    )
    latents.attach(encoder)
    return latents


def _fill(latents: LatentReplayBuffer, buffer: ReplayBuffer, encoder: LatentEncoder) -> None:
    slots = _oldest_first(buffer)
    for name in PER_SLOT[1:]:
        getattr(latents, name)[: len(slots)] = getattr(buffer, name)[slots]
    step = max(1, CHUNK // buffer.n_envs)
    starts = range(0, len(slots), step)
    with progress_bar("SEER: latents" if len(slots) * buffer.n_envs > LONG else None, len(starts)) as advance:
        for start in starts:
            # One more, to compare what follows the last one with
            latents.pos += fill_chunk(latents, start, buffer, slots[start : start + step + 1], step, encoder)
            advance()
    if latents.pos != len(slots):
        raise ConversionError(f"{latents.pos} of {len(slots)} slots were made latents.")
    latents.full = len(slots) == latents.buffer_size
    latents.pos %= latents.buffer_size


def fill_chunk(
    latents: LatentReplayBuffer, start: int, buffer: ReplayBuffer, slots: np.ndarray, n: int, encoder: LatentEncoder
) -> int:
    """
    :param latents: Filled from slot ``start`` on
    :param start: Slot
    :param buffer: Of images, or of latents of a shallower depth
    :param slots: Of ``buffer``, oldest first: ``n`` of them, and the next one, if there is one
    :param n: Slots to fill
    :param encoder: Of ``latents``
    :return: How many slots were filled
    """
    made_by = buffer.attached() if isinstance(buffer, LatentReplayBuffer) else None
    images, following = buffer.observations[slots], _following(buffer, slots[:n])
    n, after = len(following), images[1:]
    differs = np.ones(following.shape[:2], bool)
    differs[: len(after)] = (following[: len(after)] != after).any(axis=tuple(range(2, after.ndim)))
    where, envs = np.nonzero(differs)
    following = following[where, envs][:, None]
    latents.observations[start : start + n] = _encoded(images[:n], encoder, made_by)
    if len(where):
        latents.next_observations.keep(start + where, envs, _encoded(following, encoder, made_by)[:, 0])
    return n


def _oldest_first(buffer: ReplayBuffer) -> np.ndarray:
    n = stored_transitions(buffer) // buffer.n_envs
    return (buffer.pos - n + np.arange(n)) % buffer.buffer_size


def _following(buffer: ReplayBuffer, slots: np.ndarray) -> np.ndarray:
    if buffer.optimize_memory_usage:
        return buffer.observations[(slots + 1) % buffer.buffer_size]
    return buffer.next_observations[slots]


def _encoded(images: np.ndarray, encoder: LatentEncoder, made_by: LatentEncoder | None) -> np.ndarray:
    """
    :param images: (slots, environments, ...)
    :return: (slots, environments, L)
    """
    latents = encoder.reencode(images.reshape(-1, *images.shape[2:]), made_by)
    return latents.reshape(*images.shape[:2], -1)
