"""Transitions whose images are numbered, and an encoder whose latents say which image they are of."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.buffers import NStepReplayBuffer, ReplayBuffer

from sb3_efficient.frames import FrameReplayBuffer

IMAGES = spaces.Box(0, 255, (1, 2, 2), np.uint8)
ACTIONS = spaces.Discrete(5)
CLASSES: dict[str, tuple[type[ReplayBuffer], dict[str, Any]]] = {
    "two arrays": (ReplayBuffer, {}),
    "one array": (ReplayBuffer, {"optimize_memory_usage": True, "handle_timeout_termination": False}),
    "n-step": (NStepReplayBuffer, {"n_steps": 3, "gamma": 0.9}),
    "compressed frames": (FrameReplayBuffer, {"compress": True}),
}


class Stub:
    """A LatentEncoder without a model. Depth 1: the four pixels; depth 2: two numbers made of them."""

    precision = "fp32"

    def __init__(self, depth: int = 1, weights: str = "a", dtype: str = "float32") -> None:
        self.depth, self.weights, self.dtype = depth, weights, np.dtype(dtype)
        self.latent_dim = 4 // depth
        self.rows = self.version = 0

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return self.reencode(images)

    def reencode(self, stored: np.ndarray, shallower: Stub | None = None) -> np.ndarray:
        self.rows += len(stored)
        pixels = stored.reshape(-1, 4).astype(np.float32)
        latents = pixels if self.depth == 1 else pixels[:, ::2] + 256 * pixels[:, 1::2]
        with np.errstate(over="ignore"):
            return latents.astype(self.dtype)

    def digest(self) -> str:
        return f"{self.weights}{self.depth}"


class Trail:
    """
    What an off-policy algorithm hands to its buffer, with everything that can happen on the way.

    :param n_envs: Number of environments
    :param seed: Decides what happens
    """

    def __init__(self, n_envs: int, seed: int) -> None:
        self.n_envs, self.rng, self.drawn = n_envs, np.random.default_rng(seed), 0
        self.last = self._new(np.ones(n_envs, bool), np.zeros((n_envs, 1, 2, 2), np.uint8))

    def step(self) -> tuple[Any, ...]:
        """Arguments of ``add``. Episodes end and are cut short, screens stand still, learn() is called again."""
        if self._happens(0.05)[0]:
            self.last = self._new(np.ones(self.n_envs, bool), self.last)
        obs = self.last
        next_obs = self._new(~self._happens(0.1), obs)
        done, timeout = self._happens(0.2), self._happens(0.4)
        # Now and then an episode begins with what the one before ended with
        self.last = self._new(done & ~self._happens(0.1), next_obs)
        infos = [{"TimeLimit.truncated": bool(t)} for t in done & timeout]
        actions = self.rng.integers(5, size=self.n_envs)
        return obs, next_obs, actions, self.rng.normal(size=self.n_envs), done, infos

    def _happens(self, probability: float) -> np.ndarray:
        return self.rng.random(self.n_envs) < probability

    def _new(self, which: np.ndarray, images: np.ndarray) -> np.ndarray:
        images = images.copy()
        for env in np.flatnonzero(which):
            self.drawn += 1
            images[env] = np.frombuffer(self.drawn.to_bytes(4, "little"), np.uint8).reshape(1, 2, 2)
        return images


def image_buffer(layout: str, slots: int, n_envs: int) -> Any:
    """
    :param layout: One of ``CLASSES``
    """
    cls, options = CLASSES[layout]
    return cls(slots * n_envs, IMAGES, ACTIONS, "cpu", n_envs, **options)


def samples(buffer: Any, slots: np.ndarray, encoder: Stub | None = None, env: Any = None) -> list[np.ndarray]:
    """What ``_get_samples`` makes of slots, images encoded; the environments are always drawn alike."""
    np.random.seed(7)  # noqa: NPY002  (what SB3 draws from)
    obs, actions, following, *others = [
        None if tensor is None else tensor.numpy() for tensor in buffer._get_samples(slots, env=env)
    ]
    if encoder is not None:
        obs, following = encoder(obs), encoder(following)
    return [x for x in (obs, actions, following, *others) if x is not None]


def assert_same(ours: list[np.ndarray], expected: list[np.ndarray]) -> None:
    """Same arrays, number by number."""
    assert len(ours) == len(expected)
    for one, other in zip(ours, expected, strict=True):
        np.testing.assert_array_equal(one, other)
