"""The one buffer of a model, whichever kind it is: what is in it, and what it becomes."""

from __future__ import annotations

import logging
from typing import Any

from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.her.her_replay_buffer import HerReplayBuffer

from sb3_efficient.errors import ConflictError, OptionError
from sb3_efficient.fast.memory import give_back_memory
from sb3_efficient.seer.capacity import buffer_bytes, latent_bytes, new_capacity, room, stored_transitions
from sb3_efficient.seer.convert import check_convertible, convert, release
from sb3_efficient.seer.encoder import LatentEncoder
from sb3_efficient.seer.replay import LatentReplayBuffer
from sb3_efficient.seer.rollout import LATENT_FORM, is_latent_rollout, latent_rollout

_LOG = logging.getLogger("sb3_efficient")


def buffer_of(model: Any) -> Any:
    """
    :param model: Any SB3 model
    :return: Its rollout buffer or its replay buffer; None of ARS, which has neither
    """
    return getattr(model, "rollout_buffer", None) or getattr(model, "replay_buffer", None)


def set_buffer(model: Any, buffer: Any) -> Any:
    """
    Put ``buffer`` in the place of the model's.

    :return: A replay buffer that was there: :func:`give_back` frees it, once no callback is going to look at it
    """
    old = buffer_of(model)
    if isinstance(buffer, RolloutBuffer):
        model.rollout_buffer = buffer
        give_back_memory()
        return None
    model.replay_buffer = buffer
    return None if old is buffer else old


def give_back(replaced: Any) -> None:
    """
    :param replaced: By :func:`set_buffer`
    """
    release(replaced)
    give_back_memory()


def latent_buffer(model: Any, encoder: LatentEncoder, capacity: str | int) -> Any:
    """
    :param model: Its content stays; a rollout that has been learnt from is begun again, loaded latents get the encoder
    :param encoder: Latents in place of what is stored
    :param capacity: See :class:`~sb3_efficient.seer.SEERCallback`
    :return: A buffer of latents with the same content; the model's own if that has been loaded with it
    """
    buffer = buffer_of(model)
    if isinstance(buffer, RolloutBuffer):
        if buffer.generator_ready:
            # Learnt from already, its arrays are flat; the next rollout begins with this, too
            buffer.reset()
        return latent_rollout(buffer, encoder)
    before = buffer.buffer_size * buffer.n_envs
    if isinstance(buffer, LatentReplayBuffer) and buffer.encoder is None:
        buffer.attach(encoder)
        if not isinstance(capacity, str) and capacity // buffer.n_envs != buffer.buffer_size:
            _LOG.warning("SEER: the replay buffer was loaded with room for %s transitions, and keeps it", f"{before:,}")
        return buffer
    # The model may be trained on later, so that it is to hold what it was made for
    left = max(model._total_timesteps - model.num_timesteps, model.buffer_size - stored_transitions(buffer))
    after, fits = new_capacity(capacity, buffer, encoder, left), room(buffer)
    bytes_before, bytes_after = buffer_bytes(buffer), after * latent_bytes(buffer, encoder)
    if capacity == "same-memory" and fits is not None and (after < before or bytes_after > fits):
        # What is stored is kept in any case
        smaller = [depth for depth in ("conv", "features") if _latent_dim(model, depth) < encoder.latent_dim]
        _LOG.warning(
            "SEER: latents of depth=%r are larger than what was stored before: the replay buffer holds %s transitions "
            "in %.3g MB from now on, and held %s in %.3g MB.%s",
            *(encoder.depth, f"{after:,}", bytes_after / 1e6, f"{before:,}", bytes_before / 1e6),
            f" Those of {' and '.join(map(repr, smaller))} are smaller." if smaller else "",
        )
    return convert(buffer, encoder, after)


def _latent_dim(model: Any, depth: str) -> int:
    return LatentEncoder(model, depth, "float32").latent_dim


def check_room(model: Any, capacity: str | int, freeze_at: int) -> None:
    """Refuse a capacity below what is going to be stored at the freeze."""
    buffer = buffer_of(model)
    if isinstance(buffer, RolloutBuffer):
        if capacity != "same-memory":
            raise ConflictError(f"capacity={capacity!r} is for replay buffers, and a rollout is as long as n_steps.")
        return
    if not isinstance(capacity, str):
        more = max(0, freeze_at - model.num_timesteps)
        stored = min(buffer.buffer_size * buffer.n_envs, stored_transitions(buffer) + more)
        if capacity < stored:
            raise OptionError(
                f"capacity={capacity} does not hold the {stored} transitions that will be stored at the freeze: "
                "choose at least as many, or 'same-memory'."
            )


def check_no_goals(model: Any) -> None:
    """Refuse hindsight experience replay, whose observations are dictionaries in any case."""
    if isinstance(getattr(model, "replay_buffer", None), HerReplayBuffer):
        raise ConflictError(
            "HerReplayBuffer makes goals up from dictionaries of observations, which SEER cannot encode: leave out one "
            "of the two."
        )


def check_buffer(model: Any) -> None:
    """Refuse a buffer that may do anything with its images."""
    buffer = buffer_of(model)
    if buffer.n_envs != model.n_envs:
        raise ConflictError(
            f"The replay buffer is of {buffer.n_envs} environments, and this model has {model.n_envs}: continue with "
            "as many as before, or without the replay buffer."
        )
    if isinstance(buffer, LatentReplayBuffer) and buffer.encoder is None and not hasattr(model, "seer"):
        raise ConflictError(
            f"The replay buffer holds latents ({buffer.made_by}), and this model is not frozen: load the model that "
            "was saved together with them, or no replay buffer (in rl-zoo3: move replay_buffer.pkl away)."
        )
    if isinstance(buffer, RolloutBuffer) and type(buffer) not in LATENT_FORM and not is_latent_rollout(buffer):
        known = ", ".join(cls.__name__ for cls in LATENT_FORM)
        raise ConflictError(f"SEER can turn {known} into buffers of latents, found {type(buffer).__name__}.")
    if not isinstance(buffer, RolloutBuffer):
        check_convertible(buffer)
