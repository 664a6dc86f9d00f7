"""How many transitions fit: the memory of images buys more of latents."""

from __future__ import annotations

from typing import Any

import numpy as np
from stable_baselines3.common.buffers import ReplayBuffer

from sb3_efficient.errors import OptionError, suggestion
from sb3_efficient.frames import FrameReplayBuffer
from sb3_efficient.seer.encoder import LatentEncoder
from sb3_efficient.seer.successors import Successors

Capacity = int | str
RULES = ("same-memory", "same-length")


def check_capacity(rule: Any) -> None:
    """Refuse what is not a rule for the capacity."""
    if isinstance(rule, (int, np.integer)) and not isinstance(rule, bool) and rule > 0:
        return
    if rule in RULES:
        return
    hint = suggestion(rule, RULES)
    raise OptionError(f"capacity must be 'same-memory', 'same-length' or a number of transitions, got {rule!r}.{hint}")


def new_capacity(rule: Capacity, buffer: ReplayBuffer, encoder: LatentEncoder, left: int) -> int:
    """
    :param rule: ``"same-memory"``: as many as fit into the bytes of ``buffer``, if it knows them; ``"same-length"``:
        as many as it has now; or how many
    :param buffer: To be converted
    :param encoder: What latents are going to be made by
    :param left: Transitions (timesteps) that may come yet
    :return: Transitions over all environments. A number is taken as it is; by rule, growth ends where nothing more can
        come. What is stored always fits: there may be a rollout more of it than at the time that the user gave
    """
    check_capacity(rule)
    stored, now = stored_transitions(buffer), buffer.buffer_size * buffer.n_envs
    if not isinstance(rule, str):
        return max(stored, int(rule))
    fits = room(buffer)
    wanted = now if rule == "same-length" or fits is None else fits // latent_bytes(buffer, encoder)
    # Slots that stay empty take no memory, so that nothing is gained by fewer than now: a later learn() may need them
    return max(stored, min(wanted, max(stored + left, now)))


def stored_transitions(buffer: ReplayBuffer) -> int:
    """
    :return: Transitions over all environments that can be sampled
    """
    # With one array for both, the observation that the oldest transition began with is overwritten
    lost = int(buffer.full and buffer.optimize_memory_usage)
    return (buffer.size() - lost) * buffer.n_envs


def buffer_bytes(buffer: ReplayBuffer) -> int:
    """
    :return: Bytes of all slots of a replay buffer, written or not
    """
    if isinstance(buffer, FrameReplayBuffer):
        return buffer.nbytes
    return sum(value.nbytes for value in vars(buffer).values() if isinstance(value, (np.ndarray, Successors)))


def room(buffer: ReplayBuffer) -> int | None:
    """
    :return: Bytes that latents may take in place of this buffer: those of the images, if it has latents itself; None
        where compressed frames are too few to say
    """
    if not getattr(buffer, "memory_known", True):
        return None
    return max(buffer_bytes(buffer), getattr(buffer, "room", 0))


def latent_bytes(buffer: ReplayBuffer, encoder: LatentEncoder) -> int:
    """
    :return: Bytes that a transition of latents takes
    """
    others = sum(array[0, 0].nbytes for array in (buffer.actions, buffer.rewards, buffer.dones, buffer.timeouts))
    return encoder.latent_dim * encoder.dtype.itemsize + others + np.dtype(np.int32).itemsize
