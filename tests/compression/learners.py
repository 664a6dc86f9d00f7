"""Small agents of every algorithm that compression knows, and what they are compared by."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch as th
from sb3_contrib import QRDQN, TQC, TRPO, MaskablePPO
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.envs import FakeImageEnv

from sb3_efficient import policy_kwargs
from sb3_efficient.compression.networks import networks

OFF_POLICY = {"buffer_size": 200, "learning_starts": 8, "batch_size": 8}
ON_POLICY = {"n_steps": 16, "batch_size": 16}
ALGORITHMS: dict[str, tuple[type[BaseAlgorithm], dict[str, Any]]] = {
    "ppo": (PPO, ON_POLICY),
    "ppo_mask": (MaskablePPO, ON_POLICY),
    "trpo": (TRPO, ON_POLICY),
    "a2c": (A2C, {"n_steps": 8}),
    "dqn": (DQN, OFF_POLICY),
    "qrdqn": (QRDQN, OFF_POLICY),
    "sac": (SAC, OFF_POLICY),
    "tqc": (TQC, OFF_POLICY),
    "td3": (TD3, OFF_POLICY),
    "ddpg": (DDPG, OFF_POLICY),
    "ppo gsde": (PPO, {**ON_POLICY, "use_sde": True}),
    "sac gsde": (SAC, {**OFF_POLICY, "use_sde": True}),
}
CONTINUOUS = ("sac", "tqc", "td3", "ddpg", "ppo gsde", "sac gsde")


class Environment(FakeImageEnv):
    """Random images, every action allowed."""

    def action_masks(self) -> np.ndarray:
        return np.ones(self.action_space.n, bool)


def environment(discrete: bool = True, side: int = 36) -> gym.Env:
    return Environment(screen_height=side, screen_width=side, n_channels=2, discrete=discrete)


def agent(algo: str = "ppo", extractor: str | None = None, discrete: bool | None = None, **kwargs: Any) -> Any:
    """
    :param extractor: A registered name with options of it in ``kwargs``; None: the stock policy
    """
    algo_class, settings = ALGORITHMS[algo]
    env = environment(algo not in CONTINUOUS if discrete is None else discrete)
    own = kwargs.pop("policy_kwargs", {})
    if extractor:
        own = {**policy_kwargs(extractor, algo_class, **kwargs.pop("options", {})), **own}
    return algo_class("CnnPolicy", env, seed=0, device="cpu", policy_kwargs=own, **settings, **kwargs)


def images(n: int = 64, side: int = 36) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, 2, side, side), dtype=np.uint8)


def tensors(model: BaseAlgorithm, actions: th.Tensor | None = None) -> list[th.Tensor]:
    """All outputs of actor and critics for some images."""
    with th.no_grad():
        outputs = networks(model).outputs(th.as_tensor(images(16)), actions)
    return [*outputs.action, *outputs.values]


def actions(model: BaseAlgorithm) -> th.Tensor | None:
    """Actions for critics to judge."""
    with th.no_grad():
        return networks(model).outputs(th.as_tensor(images(16))).actions
