"""
Layers that compute with coarser weights and inputs than they have, while gradients pass straight through.

Bengio et al., "Estimating or Propagating Gradients Through Stochastic Neurons" (2013). Only a layer's ``forward``
changes: parameters, their names, optimizers and saved files are those of the ordinary layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch as th
import torch.nn.functional as F
from torch import nn

from sb3_efficient.compression.layers import Layer

Function = Callable[[th.Tensor], th.Tensor]


class _Forward:
    def __init__(self, layer: Layer, weights: Function, inputs: Function) -> None:
        self.layer, self.weights, self.inputs = layer, weights, inputs

    def __call__(self, x: th.Tensor) -> th.Tensor:
        layer, weight = self.layer, self.weights(self.layer.weight)
        if isinstance(layer, nn.Conv2d):
            return layer._conv_forward(self.inputs(x), weight, layer.bias)
        return F.linear(self.inputs(x), weight, layer.bias)


def coarsen(layer: Layer, weights: Function, inputs: Function = lambda x: x) -> None:
    """
    :param layer: Computes coarsely from now on
    :param weights: From the weights to those it computes with, differentiable
    :param inputs: The same for its inputs
    """
    layer.forward = _Forward(layer, weights, inputs)  # type: ignore[method-assign, assignment]


@th.no_grad()
def settle(layers: Iterable[Layer]) -> None:
    """
    Make layers ordinary again, their weights those that they computed with.

    :param layers: Any; those that are not coarse are left alone
    """
    for layer in layers:
        forward = vars(layer).get("forward")
        if isinstance(forward, _Forward):
            del layer.forward
            layer.weight.copy_(forward.weights(layer.weight))


@contextmanager
def settled_at_the_end(layers: list[Layer]) -> Iterator[None]:
    """
    :param layers: Made ordinary whatever happens inside
    """
    try:
        yield
    finally:
        settle(layers)
