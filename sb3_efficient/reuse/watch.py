"""Whether layers and weights are still those that something was computed from."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch as th
from torch import nn

from sb3_efficient.extractors.impala import Residual
from sb3_efficient.extractors.pooling import AdaptiveMax, GlobalAverage

#: What layers are recognised as, subclasses included
_KINDS = (
    *(nn.Conv2d, nn.Linear, nn.ReLU, nn.Tanh, nn.MaxPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.Flatten),
    *(nn.Sequential, Residual, GlobalAverage, AdaptiveMax),
)
#: Numbers of each tensor that are looked at
SAMPLES = 16


class Watch:
    """
    Optimizers, ``load_state_dict``, ``.to`` and new parameters are noticed by version and address. Writing to
    ``parameter.data``, as SB3's ``polyak_update`` does, leaves both as they are: it is noticed by some numbers of each
    tensor, of which it changes all.

    :param module: Whose parameters and layers are watched
    """

    def __init__(self, module: nn.Module) -> None:
        self._modules = list(module.modules())
        self._owners = [
            (m._parameters, name) for m in self._modules for name, p in m._parameters.items() if p is not None
        ]
        self._inside = [(m._modules, tuple(m._modules.values())) for m in self._modules]
        self._seen: tuple[tuple[int, int], ...] = ()
        self._samples: list[np.ndarray] = []
        self._views: list[np.ndarray] = []

    @property
    def usable(self) -> bool:
        """Whether all parameters are float32 on the CPU, and all layers compute what their class says."""
        # The module itself is called by others, with its hooks
        return all(plain(layer) for layer in self._modules[1:]) and all(
            p.dtype == th.float32 and p.device.type == "cpu" for p in self._tensors()
        )

    def replaced(self) -> bool:
        """
        :return: Whether there are other layers than at the start: another one has to watch those
        """
        same = all(tuple(inside.values()) == before for inside, before in self._inside)
        return not same or any(owner.get(name) is None for owner, name in self._owners)

    def changed(self) -> bool:
        """
        :return: Whether anything changed since the last call; True the first time
        """
        tensors = self._tensors()
        seen = tuple((p.data_ptr(), p._version) for p in tensors)
        if seen == self._seen and all(np.array_equal(v, s) for v, s in zip(self._views, self._samples, strict=True)):
            return False
        self._seen = seen
        self._views = [_some(p) for p in tensors]
        self._samples = [view.copy() for view in self._views]
        return True

    def _tensors(self) -> list[th.Tensor]:
        return [owner[name] for owner, name in self._owners]  # type: ignore[misc]


def plain(layer: nn.Module) -> bool:
    """
    :param layer: Any
    :return: Whether calling it does what its class says: it is not parametrized, and has no hooks and no ``forward``
        of its own, as quantization-aware training or a subclass of a layer of torch gives it
    """
    kind: Any = type(layer)
    ordinary = "forward" not in layer.__dict__ and "parametrizations" not in layer._modules
    return ordinary and _as_its_kind(kind) and not layer._forward_hooks and not layer._forward_pre_hooks


@cache
def _as_its_kind(layer_class: Any) -> bool:
    kind: Any = next((kind for kind in _KINDS if issubclass(layer_class, kind)), None)
    methods = ("forward", "_conv_forward") if kind is nn.Conv2d else ("forward",)
    return kind is None or all(getattr(layer_class, name) is getattr(kind, name) for name in methods)


def _some(tensor: th.Tensor) -> np.ndarray:
    """A few numbers all over the tensor; the memory is that of the tensor."""
    if tensor.device.type != "cpu" or not tensor.is_contiguous():
        return np.zeros(0, np.float32)
    flat = tensor.detach().view(-1).numpy()
    # An odd step meets every row and column sooner or later
    return flat[:: max(1, len(flat) // SAMPLES) | 1]
