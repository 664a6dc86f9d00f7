"""Features of images from remembered patches: a :class:`Memo` with the interface of :class:`Reuser`."""

from __future__ import annotations

import threading
from itertools import pairwise
from typing import Any

import numpy as np
from torch import nn

from sb3_efficient.compiled.jit import LANES
from sb3_efficient.reuse.changes.network import Network
from sb3_efficient.reuse.changes.plan import Layer, Plan
from sb3_efficient.reuse.changes.reuser import Announced
from sb3_efficient.reuse.changes.window import window
from sb3_efficient.reuse.patches.memo import MEMORY, Memo
from sb3_efficient.reuse.patches.stack import Stack, receptive_field

#: Bytes of the largest patches, and outputs of the widest linear layer, that are remembered
PATCH_BYTES, OUTPUTS = 64, 64


def suits(network: Network) -> bool:
    """
    :return: Whether a network is a row of unpadded convolutions with ReLUs, of which each result depends on a small
        patch of the image, in front of a narrow linear layer: for others a patch hardly ever comes back
    """
    steps = network.steps
    # Without linear layers, outputs are read off the map itself
    if not steps or not network.linear:
        return False
    if any(step.kind != "conv" or step.residual or window(step.module)[2] for step in steps):
        return False
    in_a_row = all(b.source is a.result and b.positive for a, b in pairwise(steps))
    in_a_row &= steps[0].source is network.image and network.last == (steps[-1].result, True)
    side, _ = receptive_field([step.module for step in steps])
    return in_a_row and network.image.channels * side**2 <= PATCH_BYTES and network.outputs <= OUTPUTS


class Rememberer:
    """
    :param network: Steps, with the weights; it :func:`suits`
    :param scale: What a byte of an image is divided by
    :param memory: Bytes that may be remembered, or None for the default of :class:`Memo`
    """

    def __init__(self, network: Network, scale: float = 255.0, memory: int | None = None) -> None:
        self.network, self.scale, self.memory = network, scale, memory
        self._lock = threading.Lock()
        # Compiles, or loads what was compiled
        with Announced():
            self.memo = Memo(*self._weights(), memory=MEMORY if memory is None else memory)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """
        :param images: (B, C, H, W), uint8
        :return: (B, F), float32
        """
        # Where nothing is said about memory, large batches are computed in parts, which take turns in the states
        part = len(images) if self.memory else max(1, MEMORY // 4 // self.memo.state_bytes)
        with self._lock:
            parts = [self.memo.outputs(images[i : i + part]) for i in range(0, max(1, len(images)), part or 1)]
        features = np.concatenate(parts)
        return np.maximum(features, 0) if self.network.activation else features

    def load(self) -> None:
        """Take the weights that the layers have now, upon which everything that was computed is void."""
        with self._lock:
            self.memo.load(*self._weights())

    def __reduce__(self) -> Any:
        # Without what was seen, and a lock
        return type(self), (self.network, self.scale, self.memory)

    @property
    def rows(self) -> int:
        """States that there are: rows of the largest batch so far."""
        return self.memo.rows

    @property
    def plan(self) -> Plan:
        """What is computed how, and how much of it so far."""
        report = self.memo.report()
        frames, seen = report["frames"], max(report["positions"], 1)
        layers = [Layer("image", "bytes compared", 0, int(np.prod(self.memo.windows.shape)), None)]
        for step in self.network.steps:
            share = report["computed"] / seen if frames else None
            layers.append(Layer(step.name, "once per distinct patch", step.work, 0, share))
        n_inputs = self.network.last[0].channels * self.memo.windows.positions
        share = report["looked_up"] / seen if frames else None
        name, work = f"linear, {n_inputs} -> {self.network.outputs}", n_inputs * self.network.outputs
        algorithm = "once per position and patch, float64 total"
        layers.append(Layer(name, algorithm, work, self.memo.state_bytes - layers[0].state_bytes, share))
        side = self.memo.windows.kernel
        remarks = (
            f"All environments share {report['bytes'] / 1e6:.1f} MB: {report['patches']:,} patches of "
            f"{side}x{side} pixels, compared by their bytes, and what they add at "
            f"each position. At most {self.memo.table.capacity:,} patches; emptied {report['emptied']} times.",
        )
        return Plan(tuple(layers), self.memo.state_bytes, frames, LANES, remarks)

    def _weights(self) -> tuple[Stack, np.ndarray, np.ndarray]:
        image, layers = self.network.image, self.network.linear
        convolutions = [layer for step in self.network.steps for layer in (step.module, nn.ReLU())]
        stack = Stack(convolutions, (image.channels, image.height, image.width), self.scale)
        weights = [layer.weight.detach().cpu().float().numpy() for layer in layers]
        biases = [
            np.zeros(x.out_features, np.float32) if x.bias is None else x.bias.detach().cpu().float().numpy()
            for x in layers
        ]
        return stack, np.concatenate(weights), np.concatenate(biases)
