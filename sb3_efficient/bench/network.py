"""
What ``bench nets`` computes: an extractor, a linear layer of ten outputs behind it, and images.

The source (rl-nn-benchmarks, Stooke 2017) has 6,400 images of 4x84x84 of normally distributed floats; here they are
uint8, as games give them, and what divides them by 255 is part of the network.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import gymnasium as gym
import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3 import DQN
from torch import nn

from sb3_efficient.extractors.base import EncoderExtractor
from sb3_efficient.policies import policy_kwargs
from sb3_efficient.sizes import size

IMAGE = (4, 84, 84)
SPACE = spaces.Box(0, 255, IMAGE, np.uint8)
N_CLASSES = 10
LEARNING_RATE = 1e-3
N_IMAGES = 6400
#: Of a game, for what computes what changed
N_FRAMES = 2000
#: Images that int8 is calibrated with
CALIBRATION = 256


@dataclass(frozen=True)
class Network:
    """
    :param name: Registered extractor
    :param threads: That may compute
    """

    name: str
    threads: int = 1

    def model(self, precision: str = "fp32") -> DQN:
        """
        :param precision: Of the extractor
        :return: An SB3 model of this network, whose Q-values are the outputs; the same weights every time
        """
        options = policy_kwargs(self.name, DQN, precision=precision)
        return DQN("CnnPolicy", _Images(), buffer_size=1, policy_kwargs=options, seed=0, device="cpu")

    def modules(self) -> tuple[nn.Module, nn.Module, nn.Module]:
        """
        :return: Convolutions, linear layers behind them and output layer, for images (B, C, H, W) in [0, 1]
        """
        q_net = self.model().q_net
        extractor = q_net.features_extractor
        assert isinstance(extractor, EncoderExtractor)
        return extractor.cnn, extractor.linear, q_net.q_net

    @cached_property
    def macs(self) -> int:
        """Multiply-accumulates for one image."""
        found = size(self.name, IMAGE)
        return found.macs + found.features_dim * N_CLASSES


def images(count: int = N_IMAGES) -> tuple[np.ndarray, np.ndarray]:
    """
    :param count: How many
    :return: Images (N, 4, 84, 84), uint8, and labels (N,), int64, at random and the same every time
    """
    rng = np.random.default_rng(0)
    return (
        rng.integers(0, 256, (count, *IMAGE), dtype=np.uint8),
        rng.integers(0, N_CLASSES, count, dtype=np.int64),
    )


def frames(count: int = N_FRAMES) -> tuple[np.ndarray, np.ndarray]:
    """
    :param count: How many
    :return: As :func:`images`: observations of Pong in their order, random actions; the same every time
    """
    from sb3_efficient.envs import AleVecEnv

    env: Any = AleVecEnv("PongNoFrameskip-v4", 1, seed=0)
    rng, found = np.random.default_rng(0), np.empty((count, *IMAGE), np.uint8)
    found[0] = env.reset()
    for i in range(1, count):
        found[i] = env.step(rng.integers(0, env.action_space.n, 1))[0]
    env.close()
    return found, rng.integers(0, N_CLASSES, count, dtype=np.int64)


def matrix_peak(device: str = "cpu") -> float:
    """
    :param device: Where it is computed
    :return: Multiply-accumulates a second of torch's float32 matrix product, with the threads torch has now
    """
    import time

    seconds, side = 1.0, 2048
    a, b = th.randn(2, side, side, device=device)
    fastest, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        # To read a number of it waits for the product
        (a @ b)[0, 0].item()
        fastest = min(fastest, time.perf_counter() - start)
    return side**3 / fastest


class _Images(gym.Env[np.ndarray, np.int64]):
    """Only spaces: nothing is played."""

    observation_space = SPACE
    action_space = spaces.Discrete(N_CLASSES)
