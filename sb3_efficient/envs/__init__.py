"""Environments and wrappers. Importing this module registers ``Catch-v0`` and two games of consoles with gymnasium."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gymnasium as gym

from sb3_efficient.envs.catch import CatchEnv
from sb3_efficient.envs.downsample import DownsampleWrapper
from sb3_efficient.envs.retro import FREE, register

if TYPE_CHECKING:
    from sb3_efficient.envs.ale import AleVecEnv

__all__ = ["AleVecEnv", "CatchEnv", "DownsampleWrapper"]

gym.register("Catch-v0", entry_point="sb3_efficient.envs.catch:CatchEnv")
register(*FREE)


def __getattr__(name: str) -> Any:
    # It needs SB3 and ale-py, which the others do without
    if name == "AleVecEnv":
        from sb3_efficient.envs.ale import AleVecEnv

        return AleVecEnv
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
