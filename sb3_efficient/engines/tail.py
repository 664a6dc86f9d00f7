"""What is behind the first linear layer, in numpy: for one observation torch's calls cost more than the numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch as th
from torch import nn

Function = Callable[[np.ndarray], np.ndarray]


class Tail:
    """
    :param hidden: Layers in order
    :param last: Layers that take what the last of them gives
    """

    def __init__(self, hidden: Sequence[nn.Module], last: Sequence[nn.Module]) -> None:
        self._hidden = chain([_in_numpy(layer) for layer in hidden if not isinstance(layer, nn.Identity)])
        self._last = [_in_numpy(layer) for layer in last]

    def __call__(self, features: np.ndarray) -> list[np.ndarray]:
        """
        :param features: (B, F)
        :return: (B, A) for each of the last layers
        """
        features = self._hidden(features)
        return [layer(features) for layer in self._last]


def _in_numpy(layer: Any) -> Function:
    if isinstance(layer, nn.Linear):
        weight = np.ascontiguousarray(layer.weight.detach().numpy().T)
        bias = None if layer.bias is None else layer.bias.detach().numpy().copy()
        return (lambda x: x @ weight) if bias is None else (lambda x: x @ weight + bias)
    if isinstance(layer, nn.ReLU):
        return lambda x: np.maximum(x, 0)
    if isinstance(layer, nn.Tanh):
        return np.tanh
    if isinstance(layer, nn.Sequential):
        return chain([_in_numpy(part) for part in layer])
    return lambda x: _by_torch(layer, x)


def chain(functions: Sequence[Function]) -> Function:
    """
    :param functions: From (B, F) to (B, A)
    :return: One after the other
    """

    def every(x: np.ndarray) -> np.ndarray:
        for function in functions:
            x = function(x)
        return x

    return every


def _by_torch(layer: nn.Module, x: np.ndarray) -> np.ndarray:
    with th.inference_mode():
        return layer(th.from_numpy(x)).numpy()
