"""Layers whose weights are one bit each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_efficient.compression.copying import copied
from sb3_efficient.compression.distillation import Training, distil
from sb3_efficient.compression.layers import chosen_layers
from sb3_efficient.compression.networks import networks
from sb3_efficient.compression.recipe import ModelMethod, register_method
from sb3_efficient.compression.straight_through import coarsen, settled_at_the_end


@register_method("binary")
@dataclass(frozen=True)
class Binary(Training, ModelMethod):
    """
    Weights of some layers are a sign, and one scale for each output: trained so by distillation.

    Rastegari et al., "XNOR-Net" (2016), with centred weights, as tiny_rl had it for its first dense layer. Other steps
    that train come before it, since they would not keep to two values.

    :param layers: Names as ``("linear.0",)``; none: the first dense layer
    """

    layers: tuple[str, ...] = ()
    needs_observations = True
    undone_by_training = True

    def check(self, model: BaseAlgorithm) -> None:
        chosen_layers(networks(model), self.layers)

    def apply(self, model: BaseAlgorithm, *, teacher: BaseAlgorithm, observations: np.ndarray | None) -> BaseAlgorithm:
        self.check(model)
        student = copied(model)
        found = networks(student)
        layers = chosen_layers(found, self.layers)
        with settled_at_the_end(layers):
            for layer in layers:
                coarsen(layer, binarized)
            distil(student, teacher, observations, self)
        found.synchronize_targets()
        return student


def binarized(weight: th.Tensor) -> th.Tensor:
    """
    :param weight: (outputs, inputs) or (outputs, inputs, height, width)
    :return: The same with one number and its negative in each output; gradients pass where weights lie in [-1, 1]
    """
    inside = list(range(1, weight.ndim))
    # Over the input channels, or the window of a single one; a single number would be its own mean
    mean = weight.mean(dim=1 if weight.shape[1] > 1 else inside, keepdim=True)
    centred = weight - mean if weight[0].numel() > 1 else weight
    scale = centred.abs().mean(dim=inside, keepdim=True)
    clipped = centred.clamp(-1, 1)
    signs = th.where(centred >= 0, 1.0, -1.0)
    return scale * (clipped + (signs - clipped).detach())
