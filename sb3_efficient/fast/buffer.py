"""Minibatches that are copied once."""

from __future__ import annotations

from functools import partial
from typing import Any

from sb3_contrib.common.maskable.buffers import MaskableDictRolloutBuffer, MaskableRolloutBuffer
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import (
    BaseBuffer,
    DictReplayBuffer,
    DictRolloutBuffer,
    NStepReplayBuffer,
    ReplayBuffer,
    RolloutBuffer,
)

from sb3_efficient.fast.plan import Plan

#: These pick a minibatch by an array of indices, which copies already; nobody else holds the result
_COPY_TWICE = (
    ReplayBuffer,
    DictReplayBuffer,
    NStepReplayBuffer,
    RolloutBuffer,
    DictRolloutBuffer,
    MaskableRolloutBuffer,
    MaskableDictRolloutBuffer,
)


def plan_buffer(plan: Plan, model: BaseAlgorithm) -> None:
    """
    :param plan: Gets what is to be done
    :param model: Any SB3 model
    """
    buffer: Any = getattr(model, "rollout_buffer", None) or getattr(model, "replay_buffer", None)
    if isinstance(buffer, BaseBuffer) and type(buffer).to_torch is not BaseBuffer.to_torch:
        # Ours, of frames and of latents, copy once
        plan.leave(f"buffer: {type(buffer).__name__} has its own way to make minibatches")
    elif type(buffer) not in _COPY_TWICE:
        plan.leave(f"buffer: {type(buffer).__name__} is not one whose minibatches are known to be copies")
    else:
        copy_once(plan, buffer)


def copy_once(plan: Plan, buffer: Any) -> None:
    """
    :param plan: Gets what is to be done
    :param buffer: A buffer whose minibatches are copies
    """
    if "to_torch" not in vars(buffer):
        # A partial of SB3's own method: a pickled replay buffer loads where this package is not installed
        plan.set(buffer, "to_torch", partial(type(buffer).to_torch, buffer, copy=False))
        plan.change("buffer: minibatches are copied once, not twice")
