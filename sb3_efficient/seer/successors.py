"""The next observations of a replay buffer, without storing what is stored as observations already."""

from __future__ import annotations

from typing import Any

import numpy as np


class Successors:
    """
    In place of the array ``next_observations`` of SB3's replay buffer.

    What follows a slot is the observation in the next slot, wherever that is so. A latent of its own is kept for the
    newest slot, and where the next slot holds something else: at the end of an episode (what it ended with, the next
    slot has what the following one began with), and where training was begun anew. Which of the two it is, is decided
    by comparing the latents, not by ``dones``.

    :param observations: (slots, environments, L), of the buffer
    """

    def __init__(self, observations: np.ndarray) -> None:
        self.observations = observations
        slots, n_envs, dim = observations.shape
        # Row of ``kept``, 0 for none: zeros take memory only where they are written
        self.row = np.zeros((slots, n_envs), np.int32)
        self.kept = np.zeros((1, dim), observations.dtype)
        self.free: list[int] = []

    def __getitem__(self, index: Any) -> np.ndarray:
        """
        :param index: Slots; or slots and environments; more is ignored
        :return: (..., L)
        """
        slots, envs = (*index, slice(None))[:2] if isinstance(index, tuple) else (index, slice(None))
        if isinstance(slots, slice):
            slots = np.arange(*slots.indices(len(self.row)))
        latents: np.ndarray = self.observations[(slots + 1) % len(self.row), envs]
        rows = self.row[slots, envs]
        return np.where((rows > 0)[..., None], self.kept[rows], latents) if np.any(rows) else latents

    def __setitem__(self, slot: int, latents: np.ndarray) -> None:
        """
        :param slot: The newest one from now on
        :param latents: (environments, L)
        """
        self._drop(slot, self.row[slot] > 0)
        self.keep(slot, np.arange(len(latents)), latents)

    def follow(self, slot: int, latents: np.ndarray) -> None:
        """
        Forget what came after the slot before this one, where it is what this one begins with.

        :param slot: The newest one
        :param latents: (environments, L), written there as observations
        """
        rows = self.row[slot - 1]
        self._drop(slot - 1, (rows > 0) & (self.kept[rows] == latents).all(axis=1))

    def keep(self, slots: Any, envs: np.ndarray, latents: np.ndarray) -> None:
        """
        :param slots: One, or as many as there are latents; nothing is kept for them yet
        :param envs: (B,)
        :param latents: (B, L), what follows there
        """
        rows = self._take(len(latents))
        self.kept[rows] = latents
        self.row[slots, envs] = rows

    @property
    def n_kept(self) -> int:
        """Latents of their own."""
        return len(self.kept) - 1 - len(self.free)

    @property
    def nbytes(self) -> int:
        """Bytes beside the observations."""
        return self.row.nbytes + self.kept.nbytes

    def _drop(self, slot: int, envs: np.ndarray) -> None:
        rows = self.row[slot, envs].tolist()
        # First, so that Ctrl-C in between leaves no row with two owners
        self.row[slot, envs] = 0
        self.free.extend(rows)

    def _take(self, n: int) -> list[int]:
        if n > len(self.free):
            used = len(self.kept)
            more = max(n, used // 4, 16)
            self.kept = np.concatenate([self.kept, np.zeros((more, *self.kept.shape[1:]), self.kept.dtype)])
            self.free.extend(range(used + more - 1, used - 1, -1))
        taken = self.free[len(self.free) - n :]
        del self.free[len(self.free) - n :]
        return taken
