"""The one buffer of a model, whichever kind it is: what is in it, and what it becomes."""

from __future__ import annotations

from typing import Any

from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.her.her_replay_buffer import HerReplayBuffer

from sb3_efficient.errors import ConflictError
from sb3_efficient.seer.encoder import LatentEncoder
from sb3_efficient.seer.rollout import LATENT_FORM, is_latent_rollout, latent_rollout


def buffer_of(model: Any) -> Any:
    """
    :param model: Any SB3 model
    :return: Its rollout buffer or its replay buffer
    """
    return getattr(model, "rollout_buffer", None) or model.replay_buffer


def set_buffer(model: Any, buffer: Any) -> None:
    """Put ``buffer`` in the place of the model's."""
    setattr(model, "rollout_buffer" if isinstance(buffer, RolloutBuffer) else "replay_buffer", buffer)


def latent_buffer(model: Any, encoder: LatentEncoder, capacity: str | int) -> Any:
    """
    :param model: Its buffer is not changed
    :param encoder: Latents in place of what is stored
    :param capacity: See :class:`~sb3_efficient.seer.SEERCallback`
    :return: A buffer of latents with the same content
    """
    return latent_rollout(buffer_of(model), encoder)


def check_buffer(model: Any) -> None:
    """Refuse a buffer that may do anything with its images."""
    buffer = buffer_of(model)
    if isinstance(buffer, HerReplayBuffer):
        raise ConflictError(
            "HerReplayBuffer makes goals up from dictionaries of observations: SEER cannot encode them."
        )
    if isinstance(buffer, RolloutBuffer) and type(buffer) not in LATENT_FORM and not is_latent_rollout(buffer):
        known = ", ".join(cls.__name__ for cls in LATENT_FORM)
        raise ConflictError(f"SEER can turn {known} into buffers of latents, found {type(buffer).__name__}.")
