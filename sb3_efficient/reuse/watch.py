"""Whether layers and weights are still those that something was computed from."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch as th
from torch import nn

from sb3_efficient.extractors.impala import Residual
from sb3_efficient.extractors.max_pool import HalvingMaxPool
from sb3_efficient.extractors.pooling import AdaptiveMax, GlobalAverage
from sb3_efficient.extractors.recording import is_hooked
from sb3_efficient.weights import Weights, places

#: What layers are recognised as, subclasses included
_KINDS = (
    # Before the class it is made from
    HalvingMaxPool,
    *(nn.Conv2d, nn.Linear, nn.ReLU, nn.Tanh, nn.MaxPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.Flatten),
    *(nn.Sequential, Residual, GlobalAverage, AdaptiveMax),
)


class Watch:
    """
    :param module: Whose parameters and layers are watched
    """

    def __init__(self, module: nn.Module) -> None:
        self._modules = list(module.modules())
        self._places = places(self._modules)
        #: Of each layer, the parameters that it could have and has not, as a bias
        self._absent = [(m._parameters, name) for m in self._modules for name, p in m._parameters.items() if p is None]
        self._inside = [(m._modules, tuple(m._modules.values())) for m in self._modules]
        self._weights = Weights(self._places)
        self.changed = self._weights.changed

    @property
    def usable(self) -> bool:
        """Whether all parameters are float32 on the CPU, and all layers compute what their class says."""
        # The module itself is called by others, with its hooks
        return all(plain(layer) for layer in self._modules[1:]) and all(
            p.dtype == th.float32 and p.device.type == "cpu" for p in self._weights.tensors()
        )

    def replaced(self) -> bool:
        """
        :return: Whether there are other layers than at the start: another one has to watch those
        """
        same = all(tuple(inside.values()) == before for inside, before in self._inside)
        gone = any(owner.get(name) is None for owner, name in self._places)
        return not same or gone or any(owner.get(name) is not None for owner, name in self._absent)


def plain(layer: nn.Module) -> bool:
    """
    :param layer: Any
    :return: Whether calling it does what its class says: it is not parametrized, and has no hooks and no ``forward``
        of its own, as quantization-aware training or a subclass of a layer of torch gives it
    """
    kind: Any = type(layer)
    ordinary = "forward" not in layer.__dict__ and "parametrizations" not in layer._modules
    return ordinary and _as_its_kind(kind) and not is_hooked(layer)


@cache
def _as_its_kind(layer_class: Any) -> bool:
    kind: Any = next((kind for kind in _KINDS if issubclass(layer_class, kind)), None)
    methods = ("forward", "_conv_forward") if kind is nn.Conv2d else ("forward",)
    return kind is None or all(getattr(layer_class, name) is getattr(kind, name) for name in methods)
