"""Reuse inside of a features extractor: for acting, between the updates of training."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import torch as th
from torch import nn

from sb3_efficient.errors import OptionError
from sb3_efficient.extractors.base import EncoderExtractor
from sb3_efficient.reuse.changes.network import Network, read_layers
from sb3_efficient.reuse.changes.reuser import Reuser
from sb3_efficient.reuse.watch import Watch


class Acting:
    """
    :param extractor: Whose layers are computed
    :param rows: Largest batch; larger ones are no environments that act, but minibatches
    """

    def __init__(self, extractor: EncoderExtractor, rows: int) -> None:
        self.rows = rows
        self._extractor = extractor
        self._lock = threading.Lock()
        self._begin()

    def _begin(self) -> None:
        self._watch = Watch(self._extractor)
        self._parts: dict[str, Reuser] = {}

    def features(self, images: th.Tensor) -> th.Tensor | None:
        """
        :param images: (B, C, H, W)
        :return: (B, F), or None where the network itself is to compute them
        """
        linear = self._extractor.linear
        if not len(linear):
            return self.latents(images)
        found = self._computed("features", images)
        return None if found is None else linear[2:](found)

    def latents(self, images: th.Tensor) -> th.Tensor | None:
        """
        :param images: (B, C, H, W)
        :return: (B, D), or None where the network itself is to compute them
        """
        return self._computed("latents", images)

    @property
    def plans(self) -> dict[str, Any]:
        """Of what was computed so far: ``features``, ``latents``."""
        return {name: part.plan for name, part in self._parts.items()}

    def _computed(self, name: str, images: th.Tensor) -> th.Tensor | None:
        if not 0 < len(images) <= self.rows or images.device.type != "cpu" or th.is_autocast_enabled("cpu"):
            return None
        pixels = as_bytes(images, self._extractor.normalized_image)
        if pixels is None:
            return None
        with self._lock:
            if self._watch.replaced():
                self._begin()
            if not self._watch.usable:
                return None
            if self._watch.changed():
                for part in self._parts.values():
                    part.load()
            if name not in self._parts:
                self._parts[name] = self._make(name)
            return th.from_numpy(self._parts[name](pixels))

    def _make(self, name: str) -> Reuser:
        extractor = self._extractor
        shape: Any = extractor._observation_space.shape
        network, _ = read(extractor, shape)
        if name == "features":
            network.linear, network.activation = [extractor.linear[0]], True  # type: ignore[list-item]
        return Reuser(network)


def read(extractor: Any, shape: tuple[int, int, int]) -> tuple[Network, list[nn.Module]]:
    """
    :return: Steps of an extractor, which it computes in the order of ``cnn``
    """
    try:
        return read_layers(extractor.cnn, shape)
    except OptionError as error:
        raise OptionError(f"{type(extractor).__name__} cannot reuse what it computed. {error}") from error


def as_bytes(images: th.Tensor, normalized: bool) -> np.ndarray | None:
    """
    :param images: (B, C, H, W), as SB3's preprocessing leaves them
    :param normalized: Whether floats were divided by 255
    :return: The same as uint8, or None if they hold anything else
    """
    if images.dtype == th.uint8:
        return images.contiguous().numpy()
    if images.dtype != th.float32:
        return None
    pixels = (images * 255).round_() if normalized else images
    found = pixels.to(th.uint8)
    back = found.to(th.float32)
    same = th.equal(back.div_(255), images) if normalized else th.equal(back, images)
    return found.contiguous().numpy() if same else None
