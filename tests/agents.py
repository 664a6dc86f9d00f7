"""Small agents of every algorithm that acts on images, for tests of what is done with trained policies."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch as th
from gymnasium import spaces
from sb3_contrib import QRDQN, TQC, TRPO, MaskablePPO
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.envs import FakeImageEnv

from sb3_efficient import policy_kwargs

BOX = spaces.Box(np.array([-1.0, -2.0], np.float32), np.array([1.0, 3.0], np.float32))
SMALL = {"buffer_size": 8}


class Images(FakeImageEnv):
    """Random images of 36x36, with any action space."""

    def __init__(self, action_space: spaces.Space | None = None) -> None:
        super().__init__(screen_height=36, screen_width=36, n_channels=2, channel_first=True)
        self.action_space = action_space or spaces.Discrete(6)


class ImageAndNumbers(gym.Env):
    """Dictionary of an image, two numbers and a one of three."""

    def __init__(self) -> None:
        image = spaces.Box(0, 255, (2, 36, 36), np.uint8)
        numbers = spaces.Box(-1, 1, (2,), np.float32)
        self.observation_space = spaces.Dict({"numbers": numbers, "image": image, "mode": spaces.Discrete(3)})
        self.action_space = spaces.Discrete(4)

    def reset(self, **_: Any) -> tuple[Any, dict[str, Any]]:
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self.observation_space.sample(), 0.0, True, False, {}


AGENTS: dict[str, tuple[type[BaseAlgorithm], dict[str, Any]]] = {
    "ppo": (PPO, {}),
    "ppo box": (PPO, {"env": Images(BOX)}),
    "ppo multi-discrete": (PPO, {"env": Images(spaces.MultiDiscrete([3, 2, 4]))}),
    "ppo multi-binary": (PPO, {"env": Images(spaces.MultiBinary(5))}),
    "ppo two extractors": (PPO, {"policy_kwargs": {"share_features_extractor": False, "net_arch": [16]}}),
    "ppo nature": (PPO, {"policy_kwargs": policy_kwargs("nature", PPO, features_dim=64)}),
    "ppo impala": (PPO, {"policy_kwargs": policy_kwargs("impala", PPO, features_dim=64)}),
    "ppo tiny-rl": (PPO, {"policy_kwargs": policy_kwargs("tiny-rl", PPO)}),
    "a2c": (A2C, {}),
    "trpo": (TRPO, {}),
    "maskable": (MaskablePPO, {}),
    "dqn": (DQN, {**SMALL, "policy_kwargs": {"net_arch": [32]}}),
    "qrdqn": (QRDQN, {**SMALL, "policy_kwargs": {"n_quantiles": 25}}),
    "sac": (SAC, {**SMALL, "env": Images(BOX)}),
    "ppo gsde": (PPO, {"env": Images(BOX), "use_sde": True, "policy_kwargs": {"net_arch": [16]}}),
    "sac gsde": (SAC, {**SMALL, "env": Images(BOX), "use_sde": True}),
    "tqc": (TQC, {**SMALL, "env": Images(BOX)}),
    "td3": (TD3, {**SMALL, "env": Images(BOX)}),
    "ddpg impala": (DDPG, {**SMALL, "env": Images(BOX), "policy_kwargs": policy_kwargs("impala", DDPG)}),
}


def agent(name: str = "ppo", **options: Any) -> Any:
    """
    A new agent whose outputs depend on what it sees, which those of a newly initialised one hardly do; with options of
    its algorithm beside its own.
    """
    algo, kwargs = AGENTS[name]
    model = algo("CnnPolicy", **{"env": Images(), "device": "cpu", "seed": 0, **kwargs, **options})
    with th.no_grad():
        for parameter in model.policy.parameters():
            if parameter.ndim > 1:
                parameter.mul_(1.5)
    return model


def dict_agent() -> PPO:
    return PPO("MultiInputPolicy", ImageAndNumbers(), policy_kwargs=policy_kwargs("nature", PPO), device="cpu", seed=0)


def images(n: int, seed: int = 0) -> np.ndarray:
    """Pictures with large and small shapes, (n, 2, 36, 36), uint8."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (n, 2, 6, 6)).repeat(6, axis=2).repeat(6, axis=3)
    return np.clip(coarse + rng.integers(-20, 20, coarse.shape), 0, 255).astype(np.uint8)
