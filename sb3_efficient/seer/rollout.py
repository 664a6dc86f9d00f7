"""Rollout buffers of latents, for the on-policy algorithms."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from sb3_contrib.common.maskable.buffers import MaskableRolloutBuffer
from sb3_contrib.common.recurrent.buffers import RecurrentRolloutBuffer
from stable_baselines3.common.buffers import BaseBuffer, RolloutBuffer

from sb3_efficient.errors import ConflictError
from sb3_efficient.seer.encoder import CHUNK, LatentEncoder


class _Latents(BaseBuffer):
    """Given images, keeps latents; everything else as its other base class does it."""

    observations: np.ndarray
    encoder: LatentEncoder

    @classmethod
    def from_images(cls, full: Any, encoder: LatentEncoder) -> Any:
        """
        :param full: Rollout of images that is about to be learnt from, with its values and advantages
        :param encoder: Latents in place of images
        :return: The same rollout of latents; the other is not changed
        """
        self = cls.__new__(cls)
        # Methods that accelerate() has set are bound to the other buffer
        vars(self).update({name: value for name, value in vars(full).items() if not callable(value)})
        self.encoder = encoder
        self._remember_encoder()
        self.observation_space = latent_space(encoder)
        self.obs_shape = (encoder.latent_dim,)
        self.observations = _encoded(full, encoder)
        return self

    def add(self, obs: np.ndarray, *args: Any, **kwargs: Any) -> None:
        """
        :param obs: (n_envs, C, H, W)
        """
        self._check_encoder()
        super().add(self.encoder(obs), *args, **kwargs)

    def get(self, *args: Any, **kwargs: Any) -> Any:
        """As in SB3; observations are latents."""
        self._check_encoder()
        return super().get(*args, **kwargs)  # type: ignore[misc]

    def reset(self) -> None:
        """Begin a rollout, with the weights that the encoder has now."""
        super().reset()
        if self.encoder.version != self._version:
            self._remember_encoder()

    def _remember_encoder(self) -> None:
        self._version, self._digest = self.encoder.version, self.encoder.digest()

    def _check_encoder(self) -> None:
        if self.encoder.version == self._version:
            return
        if self.encoder.digest() != self._digest:
            raise ConflictError(
                "Other weights were put into the frozen layers in the middle of a rollout, whose latents those before "
                "have made: put them in between rollouts, in a callback's on_rollout_start."
            )
        self._version = self.encoder.version

    def to_torch(self, array: np.ndarray, copy: bool = False) -> th.Tensor:
        # Picked by an array of indices, which copies already
        return super().to_torch(array, copy=copy)


class LatentRolloutBuffer(_Latents, RolloutBuffer):
    """:class:`RolloutBuffer` of latents."""


class LatentMaskableRolloutBuffer(_Latents, MaskableRolloutBuffer):  # type: ignore[misc]
    """:class:`MaskableRolloutBuffer` of latents."""


class LatentRecurrentRolloutBuffer(_Latents, RecurrentRolloutBuffer):  # type: ignore[misc]
    """:class:`RecurrentRolloutBuffer` of latents."""


#: Exactly these, no subclasses of them: those may do anything with their images
LATENT_FORM: dict[type[RolloutBuffer], type[_Latents]] = {
    RolloutBuffer: LatentRolloutBuffer,
    MaskableRolloutBuffer: LatentMaskableRolloutBuffer,
    RecurrentRolloutBuffer: LatentRecurrentRolloutBuffer,
}


def latent_space(encoder: LatentEncoder) -> spaces.Box:
    """
    :return: Space of what ``encoder`` returns
    """
    return spaces.Box(-np.inf, np.inf, (encoder.latent_dim,), encoder.dtype.type)


def latent_rollout(buffer: Any, encoder: LatentEncoder) -> Any:
    """
    :param buffer: Rollout of images, or of latents of a shallower depth
    :param encoder: Latents in place of these
    :return: Rollout of latents
    """
    form = type(buffer) if isinstance(buffer, _Latents) else LATENT_FORM[type(buffer)]
    return form.from_images(buffer, encoder)


def _encoded(buffer: Any, encoder: LatentEncoder) -> np.ndarray:
    """(steps, environments, L), zeros where nothing has been stored yet"""
    observations = np.asarray(buffer.observations)
    rows = observations.reshape(-1, *observations.shape[2:])
    latents = np.zeros((len(rows), encoder.latent_dim), encoder.dtype)
    for start in range(0, buffer.pos * buffer.n_envs, CHUNK):
        chunk = slice(start, start + CHUNK)
        latents[chunk] = encoder.reencode(rows[chunk], getattr(buffer, "encoder", None))
    return latents.reshape(*observations.shape[:2], -1)


def is_latent_rollout(buffer: object) -> bool:
    """
    :return: Whether ``buffer`` is one of those made here
    """
    return isinstance(buffer, _Latents)
