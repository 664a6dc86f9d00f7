"""Whether weights are still those that something was computed from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch as th
from torch import nn

#: Numbers of each tensor that are looked at
SAMPLES = 16

#: Where a tensor is kept: what is put there later, as by ``load_state_dict(..., assign=True)``, is found by it
Place = tuple[dict[str, Any], str]


def places(modules: Iterable[nn.Module], *, statistics: bool = False) -> list[Place]:
    """
    :param modules: Layers
    :param statistics: Whether buffers count as well
    :return: Of their own parameters, not of those of layers inside them
    """
    kept = [(m._parameters, m._buffers) if statistics else (m._parameters,) for m in modules]
    return [(owner, name) for owners in kept for owner in owners for name, t in owner.items() if t is not None]


class Weights:
    """
    Optimizers, ``load_state_dict``, ``.to`` and new parameters are noticed by version and address. Writing to
    ``parameter.data``, as SB3's ``polyak_update`` does, leaves both as they are, and changes every number: a sample of
    each tensor's is compared (on the CPU; elsewhere to read them would wait for the device). What is written there to
    a few numbers of a tensor may escape it; in place, under ``torch.no_grad()``, it is noticed.

    :param places: Where they are kept
    """

    def __init__(self, places: Sequence[Place]) -> None:
        self._places = places
        self._seen: tuple[tuple[int, int], ...] = ()
        self._samples: list[bytes] = []
        self._views: list[np.ndarray] = []

    def tensors(self) -> list[th.Tensor]:
        """
        :return: What is there now
        """
        return [owner[name] for owner, name in self._places if owner.get(name) is not None]

    def changed(self) -> bool:
        """
        :return: Whether anything changed since the last call; True the first time
        """
        tensors = self.tensors()
        # Those that were made in inference mode count no versions
        seen = tuple((t.data_ptr(), 0 if t.is_inference() else t._version) for t in tensors)
        if seen == self._seen and [view.tobytes() for view in self._views] == self._samples:
            return False
        self._seen = seen
        self._views = [_some(t) for t in tensors]
        self._samples = [view.tobytes() for view in self._views]
        return True


def _some(tensor: th.Tensor) -> np.ndarray:
    """A few numbers all over the tensor; the memory is that of the tensor."""
    tensor = tensor.detach()
    if not tensor.is_contiguous() and tensor.ndim == 4:
        # Channels-last weights are contiguous in this order
        tensor = tensor.permute(0, 2, 3, 1)
    if tensor.device.type != "cpu":
        return np.zeros(0, np.float32)
    if not tensor.is_contiguous():
        # Some of every dimension
        return tensor.numpy()[tuple(slice(None, None, max(1, side // 4) | 1) for side in tensor.shape)]
    flat = tensor.view(-1).numpy()
    # An odd step meets every row and column sooner or later
    return flat[:: max(1, len(flat) // SAMPLES) | 1]
