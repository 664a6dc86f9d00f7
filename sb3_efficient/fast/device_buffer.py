"""
Images of a rollout kept where the model computes.

SB3 keeps a rollout in main memory and sends every minibatch to the GPU: each image crosses to be acted on, and again in
every epoch. Here it crosses to be acted on and to be added, and minibatches are picked on the device. Everything else
in the buffer is SB3's. Not yet run on a GPU.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import RolloutBuffer

from sb3_efficient.fast.buffer import copy_once
from sb3_efficient.fast.plan import Plan


class DeviceImages:
    """
    What ``RolloutBuffer`` does with its array ``observations`` until it makes minibatches, done with a tensor.

    ``RolloutBuffer.get`` then puts ``swapaxes(0, 1).reshape(...)`` of it in its place, which is an ordinary tensor.

    :param shape: (steps, environments, C, H, W)
    :param device: Where the images are kept
    """

    def __init__(self, shape: tuple[int, ...], device: th.device) -> None:
        self.shape = shape
        self._images = th.zeros(shape, dtype=th.uint8, device=device)
        self._staging = th.empty(shape[1:], dtype=th.uint8, pin_memory=device.type == "cuda")

    def __setitem__(self, step: int, images: np.ndarray) -> None:
        # SB3's add() reads values from the device after this, and so waits for it before the next step
        self._staging.copy_(th.from_numpy(images))
        self._images[step].copy_(self._staging, non_blocking=True)

    def __getitem__(self, index: Any) -> np.ndarray:
        """
        :return: A copy in main memory: what callbacks look at, as they would at SB3's array
        """
        return self._images[index].cpu().numpy()

    def __len__(self) -> int:
        return len(self._images)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self._images.cpu().numpy(), dtype)

    def __getattr__(self, name: str) -> Any:
        """Whatever else an array has, of a copy in main memory."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(np.asarray(self), name)

    def swapaxes(self, first: int, second: int) -> th.Tensor:
        """The tensor, with two of its axes exchanged."""
        return self._images.swapaxes(first, second)


def plan_device_buffer(plan: Plan, model: BaseAlgorithm, wanted: bool | None) -> None:
    """
    :param plan: Gets what is to be done
    :param model: Any SB3 model
    :param wanted: None: where the model is on a GPU
    """
    buffer: Any = getattr(model, "rollout_buffer", None)
    if wanted is False or (wanted is None and model.device.type == "cpu"):
        return
    if type(buffer) is not RolloutBuffer or model.observation_space.dtype != np.uint8:
        if wanted:
            plan.leave("images: only rollouts of PPO, A2C and TRPO with plain uint8 images can be kept on the device")
    elif "reset" not in vars(buffer):
        # Takes effect with the next rollout, which begins with it
        copy_once(plan, buffer)
        plan.set(buffer, "reset", partial(_reset, buffer))
        plan.change(f"images: a rollout's stay on {buffer.device}, where its minibatches are picked")


def _reset(buffer: Any) -> None:
    type(buffer).reset(buffer)
    buffer.observations = DeviceImages(buffer.observations.shape, buffer.device)
