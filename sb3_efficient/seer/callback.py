"""SEER as a callback of Stable-Baselines3."""

from __future__ import annotations

import logging
import warnings
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback

from sb3_efficient.fast.memory import give_back_memory
from sb3_efficient.seer.encoder import LatentEncoder
from sb3_efficient.seer.rollout import latent_rollout
from sb3_efficient.seer.schedule import freezes

_LOG = logging.getLogger("sb3_efficient")


class SEERCallback(BaseCallback):
    """
    Freeze the lower layers of the encoder during training, and learn from stored latents from then on.

    :param freeze_at: Timesteps or a fraction of training
    :param depth: ``"conv"``, ``"features"``, the number of a stage, or pairs of (when, depth)
    :param latent_dtype: ``"float16"`` or ``"float32"``
    """

    def __init__(self, freeze_at: Any = None, depth: Any = "conv", latent_dtype: str = "float16") -> None:
        super().__init__()
        self.schedule = freezes(freeze_at, depth)
        self.latent_dtype = latent_dtype
        self.encoder: LatentEncoder | None = None

    def _on_training_start(self) -> None:
        model = self.model
        start, total = model._num_timesteps_at_start, model._total_timesteps
        self.due = [(freeze.timestep(start, total), freeze.depth) for freeze in self.schedule]

    def _on_rollout_end(self) -> None:
        while self.due and self.num_timesteps >= self.due[0][0]:
            self._freeze(self.due.pop(0)[1])

    def _on_step(self) -> bool:
        return True

    def _freeze(self, depth: Any) -> None:
        """Build everything, then change the model; if that fails, training goes on as it was."""
        model: Any = self.model
        try:
            encoder = LatentEncoder(model, depth, self.latent_dtype)
            buffer = latent_rollout(model.rollout_buffer, encoder)
        except (RuntimeError, MemoryError) as error:
            warnings.warn(f"SEER could not freeze at {self.num_timesteps}, and trains on: {error}", stacklevel=2)
            return
        encoder.freeze()
        model.rollout_buffer = buffer
        self.encoder = encoder
        give_back_memory()
        self.logger.record("seer/frozen_at", self.num_timesteps)
