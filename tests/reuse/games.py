"""Real frames, as the reuse paper samples them down, and networks of it."""

from __future__ import annotations

from functools import cache

import ale_py
import gymnasium as gym
import numpy as np
import torch as th
from torch import nn


@cache
def frames(game: str, n: int, factor: int = 4, seed: int = 0) -> np.ndarray:
    """(n, 1, H, W), uint8: the last action is kept with probability 0.7."""
    gym.register_envs(ale_py)
    rng = np.random.default_rng(seed)
    env = gym.make(f"ALE/{game}-v5", frameskip=(2, 5))
    screen, _ = env.reset(seed=seed)
    found, action = [], 0
    for _ in range(n):
        if rng.random() < 0.3:
            action = int(rng.integers(env.action_space.n))  # type: ignore[attr-defined]
        screen, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            screen, _ = env.reset()
        found.append(screen[::factor, ::factor, :1].transpose(2, 0, 1))
    env.close()
    return np.array(found)


def network(filters: int, shape: tuple[int, ...], n_outputs: int = 6) -> nn.Sequential:
    """The paper's, for images of (1, H, W) in [0, 1]."""
    height, width = shape[-2] - 4, shape[-1] - 4
    return nn.Sequential(
        nn.Conv2d(1, filters, 3),
        nn.ReLU(),
        nn.Conv2d(filters, 2 * filters, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(2 * filters * height * width, n_outputs),
    )


def dense(net: nn.Module, images: np.ndarray) -> np.ndarray:
    with th.no_grad():
        return net(th.as_tensor(images).float() / 255).numpy()
