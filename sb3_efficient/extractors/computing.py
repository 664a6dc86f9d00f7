"""What computes in a number format of its own: extractors of this package, and what makes others faster."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch as th
from torch import nn

from sb3_efficient.extractors import blocks
from sb3_efficient.extractors.precision import Precision
from sb3_efficient.extractors.recording import is_exported


class Computing:
    """
    To be derived from. Weights are float32, activations are channels-last and in the number format of ``precision``.
    """

    precision: Precision
    #: Smaller batches without gradients stay in float32
    fp32_below = 0

    def pixels(self, images: th.Tensor) -> th.Tensor:
        """
        :param images: (B, C, H, W), uint8, or as they come from SB3's preprocessing
        :return: What the first layer is to be given: in [0, 1] if these are images, channels-last
        """
        raise NotImplementedError

    def takes_uint8(self, normalize_images: bool) -> bool:
        """
        :param normalize_images: Setting of the policy
        :return: Whether uint8 images without SB3's preprocessing give the same
        """
        raise NotImplementedError

    def as_for(self, n: int) -> Computing:
        """
        :param n: How many images, without gradients
        :return: What computes every batch in the number format which is used for that many
        """
        return self

    def through(self, layers: nn.Sequential, images: th.Tensor) -> th.Tensor:
        """
        :param layers: The first ones of the network
        :param images: As of :meth:`pixels`
        :return: What comes out of them, in the number format of ``precision``
        """
        with self.computing(images):
            return blocks.through(layers, images, self.dtype(images), self.pixels)

    def computing(self, like: th.Tensor) -> AbstractContextManager[Any]:
        """
        :param like: A batch on the device that is going to compute
        :return: The context that a part of the network is to be called in
        """
        # fp32 opens no context of its own, so that an autocast around the whole policy stays in force
        if self.dtype(like) == th.float32:
            return nullcontext()
        # Every weight is used once, so that keeping its bf16 copy only costs time
        return th.autocast(like.device.type, dtype=th.bfloat16, cache_enabled=False)

    def dtype(self, like: th.Tensor) -> th.dtype:
        """
        :param like: A batch
        :return: Number format of its activations
        """
        if self.precision != "bf16" or is_exported():
            return th.float32
        return th.bfloat16 if th.is_grad_enabled() or len(like) >= self.fp32_below else th.float32
