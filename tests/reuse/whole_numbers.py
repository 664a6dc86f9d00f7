"""What a quantized network gives, computed everywhere and for every image in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np

from sb3_efficient.compression import CompressedPolicy
from sb3_efficient.engines.tail import chain
from sb3_efficient.reuse.changes.network import Map, Step
from sb3_efficient.reuse.changes.quantized_graph import read_graph
from sb3_efficient.reuse.changes.window import window


def dense(compressed: CompressedPolicy, batch: np.ndarray) -> np.ndarray:
    """(B, A), of the only output."""
    network, tail = read_graph(compressed.proto.graph, batch.shape[1:])  # type: ignore[arg-type]
    maps = {network.image: batch}

    def read(source: Map, positive: bool) -> np.ndarray:
        return np.maximum(maps[source], source.zero) if positive else maps[source]

    for step in network.steps:
        found = COMPUTED[step.kind](step, read(step.source, step.positive))
        maps[step.result] = found if step.residual is None else step.module.sum(found, read(*step.residual))
    first: Any = network.linear[0]
    return chain([first, *tail])(read(*network.last).reshape(len(batch), -1))  # type: ignore[list-item]


def windows(step: Step, maps: np.ndarray, padding: int) -> np.ndarray:
    """(B, C, H, W, kernel, kernel)."""
    kernel, stride, width = window(step.module)
    maps = np.pad(maps, [(0, 0), (0, 0), (width, width), (width, width)], constant_values=padding)
    found = np.lib.stride_tricks.sliding_window_view(maps, (kernel, kernel), axis=(2, 3))
    return found[:, :, ::stride, ::stride]


def convolution(step: Step, maps: np.ndarray) -> np.ndarray:
    layer = step.module
    columns = windows(step, maps, step.source.zero).transpose(0, 2, 3, 1, 4, 5)
    weight = layer.weight.reshape(len(layer.weight), -1).T.astype(np.int64)
    sums = columns.reshape(*columns.shape[:3], -1).astype(np.int64) @ weight + layer.bias
    return layer.rounded(sums).transpose(0, 3, 1, 2)


COMPUTED: dict[str, Any] = {
    "conv": convolution,
    "max-pool": lambda step, maps: windows(step, maps, 0).max(axis=(4, 5)),
    "average": lambda step, maps: step.module(maps.reshape(*maps.shape[:2], -1)).reshape(*maps.shape[:2], 1, 1),
}
