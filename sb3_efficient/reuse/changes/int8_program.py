"""
A quantized network laid out for compiled code, see :mod:`~sb3_efficient.reuse.changes.program`. What counts numbers
there counts words of four bytes here: four channels of a map.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sb3_efficient.compiled.int8_kernels import blocked_int8, summed_int8
from sb3_efficient.reuse.changes import fields as at
from sb3_efficient.reuse.changes.network import Map, Network
from sb3_efficient.reuse.changes.program import Program
from sb3_efficient.reuse.changes.quantized import QuantizedConvolution, QuantizedLinear

#: Channels of a map in memory, and outputs of the linear layer, are rounded up to multiples of these
CHANNELS, OUTPUTS = 16, 32


class Int8Program(Program):
    """
    :param network: Steps
    """

    numbers, sums = "int8", np.int32

    def __init__(self, network: Network) -> None:
        super().__init__(network, 1.0)
        self.pixels = np.arange(256, dtype=np.uint8)

    def load(self) -> None:
        """See :class:`Program`."""
        self.shared.clear()
        for row, step in zip(self.table[1:-1], self.network.steps, strict=True):
            row[at.FLOOR] = step.result.zero
            if step.kind == "conv":
                self._convolution(row, step.module)
            elif step.kind == "average":
                self._layer(row, step.module, step.module.weight)
        row, last = self.table[-1], self.network.last[0]
        layer: Any = self.network.linear[0]
        weight = layer.weight.reshape(-1, last.channels, last.height, last.width)
        self._layer(row, layer, summed_int8(_padded(weight, 4 * int(row[at.SOURCE_CHANNELS]), OUTPUTS)))

    def blank(self) -> np.ndarray:
        """See :class:`Program`: with the padding, which stands for zero."""
        state = super().blank()
        for what, place in self._maps.items():
            size = 4 * (what.height + 2 * self.padding) * place["step"]
            for start in (4 * (place[form] - place["origin"]) for form in ("raw", "relu") if form in place):
                state[start : start + size] = what.zero
        return state

    def _convolution(self, row: np.ndarray, layer: QuantizedConvolution) -> None:
        weight = _padded(layer.weight, 4 * int(row[at.SOURCE_CHANNELS]), CHANNELS)
        self._layer(row, layer, blocked_int8(weight))
        if layer.sum is not None:
            sums = np.array([layer.sum.factor, layer.sum.residual, layer.sum.fixed], np.float32)
            (row[at.SUM],) = self._share(sums)

    def _layer(self, row: np.ndarray, layer: QuantizedLinear, weights: np.ndarray) -> None:
        numbers = np.zeros((2, -(-layer.out_features // OUTPUTS) * OUTPUTS), np.int32)
        numbers[0, : layer.out_features] = layer.bias
        numbers.view(np.float32)[1, : layer.out_features] = layer.scale
        row[at.WEIGHTS], row[at.BIAS], row[at.SCALES] = self._share(weights, *numbers)
        row[at.ZERO] = layer.zero or 0

    def bytes_of(self, row: np.ndarray) -> int:
        """See :class:`Program`."""
        return int(self.state_bytes - row[at.SEEN]) if row[at.KIND] == at.LINEAR else super().bytes_of(row)

    def _stored(self, what: Map) -> int:
        multiple = 4 if what is self.network.image else CHANNELS
        return -(-what.channels // multiple) * multiple // 4

    def _linear(self) -> np.ndarray:
        row = self._row(at.LINEAR)
        self._source(row, *self.network.last)
        size = 4 * int(row[at.SOURCE_HEIGHT] * row[at.SOURCE_WIDTH] * row[at.SOURCE_CHANNELS])
        row[at.OUTPUTS] = -(-self.network.outputs // OUTPUTS) * OUTPUTS
        row[at.ACTIVATION] = self.network.activation
        row[at.SEEN], row[at.INDEXES] = self._reserve(size, 1), self._reserve(size + 1, 4)
        row[at.FACTORS], row[at.TOTAL] = self._reserve(size + 1, 2), self._reserve(int(row[at.OUTPUTS]), 4)
        row[at.COUNTERS] = self._reserve(2, 8)
        return row


def _padded(weight: np.ndarray, stored: int, multiple: int) -> np.ndarray:
    """(F, C, H, W) -> (H * W * stored, F rounded up)."""
    n_output, n_input = weight.shape[:2]
    weight = np.pad(weight, ((0, -n_output % multiple), (0, stored - n_input), (0, 0), (0, 0)))
    return weight.transpose(2, 3, 1, 0).reshape(-1, weight.shape[0])
