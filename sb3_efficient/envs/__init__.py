"""Environments and wrappers. Importing this module registers ``Catch-v0`` with gymnasium."""

import gymnasium as gym

from sb3_efficient.envs.catch import CatchEnv
from sb3_efficient.envs.downsample import DownsampleWrapper

__all__ = ["CatchEnv", "DownsampleWrapper"]

gym.register("Catch-v0", entry_point="sb3_efficient.envs.catch:CatchEnv")
