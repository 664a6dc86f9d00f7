"""A network laid out for compiled code: the table of steps, the weights, and where everything lies in a state."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch as th

from sb3_efficient.compiled import kernels, linear
from sb3_efficient.reuse.changes import fields as at
from sb3_efficient.reuse.changes.masks import words
from sb3_efficient.reuse.changes.network import Map, Network, Step
from sb3_efficient.reuse.changes.window import window

_LINE = 64


class Program:
    """
    :param network: Steps
    :param scale: What a byte of the observation is divided by
    """

    #: That are computed with
    numbers = "float32"
    #: That a block of outputs is added up in
    sums: Any = np.float32

    def __init__(self, network: Network, scale: float) -> None:
        self.network = network
        self.state_bytes = 0
        self.padding = max((window(step.module)[2] for step in network.steps if step.kind == "conv"), default=0)
        self._maps: dict[Map, dict[str, int]] = {}
        #: Weights and biases, which the table has the addresses of
        self.shared: list[np.ndarray] = []
        self.table = np.full((len(network.steps) + 2, at.N_FIELDS), -1, np.int64)
        #: From a byte to a number. torch divides, too.
        self.pixels = np.arange(256, dtype=np.float32) / np.float32(scale)
        self._place(network.image, ["raw"])
        self.table[0] = self._scan()
        for i, step in enumerate(network.steps, start=1):
            wanted = [form for form in ("raw", "relu") if getattr(step.result, form)]
            self._place(step.result, wanted)
            self.table[i] = self._step(step)
        self.table[-1] = self._linear() if network.linear else self._flat()
        #: Positions of the largest map, and width of the widest
        self.positions = max(m.height * m.width for m in self._maps)
        self.widest = max(m.width for m in self._maps)
        self.load()

    def load(self) -> None:
        """Take the weights that the layers have now."""
        self.shared.clear()
        for row, step in zip(self.table[1:-1], self.network.steps, strict=True):
            if step.kind == "conv":
                row[at.WEIGHTS], row[at.BIAS] = self._share(*_convolution(step, int(row[at.SOURCE_CHANNELS])))
        if not self.network.linear:
            return
        weights = [self._share(part) for part in _flattened(self.network, int(self.table[-1, at.SOURCE_CHANNELS]))]
        (self.table[-1, at.WEIGHTS],), (self.table[-1, at.BIAS],) = weights

    def blank(self) -> np.ndarray:
        """
        :return: A state that has seen nothing, (state_bytes,) uint8
        """
        return np.zeros(self.state_bytes, np.uint8)

    def bytes_of(self, row: np.ndarray) -> int:
        """
        :param row: Of the table
        :return: What the state remembers for this step
        """
        if row[at.KIND] in (at.LINEAR, at.FLATTEN):
            return int(self.state_bytes - row[at.SEEN] * 4) if row[at.KIND] == at.LINEAR else 0
        side, forms = 2 * self.padding, sum(row[column] >= 0 for column in (at.RAW, at.RELU))
        numbers = (row[at.HEIGHT] + side) * (row[at.WIDTH] + side) * row[at.CHANNELS]
        seen = row[at.HEIGHT] * row[at.WIDTH] * row[at.OUTPUTS] if row[at.KIND] == at.SCAN else 0
        return int(numbers * 4 * forms + seen)

    def _stored(self, what: Map) -> int:
        """Numbers that a position of a map has in memory."""
        return what.channels if what is self.network.image else kernels.rounded(what.channels)

    def _share(self, *arrays: np.ndarray) -> list[int]:
        copies = [aligned(array) for array in arrays]
        self.shared += copies
        return [copy.ctypes.data for copy in copies]

    def _reserve(self, n: int, size: int) -> int:
        """Room for ``n`` things of ``size`` bytes; its offset, counted in them."""
        offset = self.state_bytes
        self.state_bytes += -(-n * size // _LINE) * _LINE
        return offset // size

    def _place(self, what: Map, forms: list[str]) -> None:
        channels = self._stored(what)
        height, width = what.height + 2 * self.padding, what.width + 2 * self.padding
        place = {"height": what.height, "width": what.width, "channels": channels, "step": width * channels}
        # Of the numbers, behind the padding
        place["origin"] = self.padding * (width + 1) * channels
        for form in forms:
            place[form] = self._reserve(height * width * channels, 4) + place["origin"]
            place[f"{form} mask"] = self._reserve(what.height * words(what.width), 8)
        self._maps[what] = place

    def _scan(self) -> np.ndarray:
        row, place = self._row(at.SCAN), self._maps[self.network.image]
        self._result(row, place)
        row[at.OUTPUTS] = self.network.image.channels
        row[at.SEEN] = self._reserve(place["height"] * place["width"] * self.network.image.channels, 1)
        return row

    def _step(self, step: Step) -> np.ndarray:
        kinds = {"conv": at.CONV, "max-pool": at.MAX_POOL, "average": at.AVERAGE, "adaptive-max": at.ADAPTIVE_MAX}
        row = self._row(kinds[step.kind])
        self._source(row, step.source, step.positive)
        self._result(row, self._maps[step.result])
        if step.kind in ("conv", "max-pool"):
            row[at.KERNEL], row[at.STRIDE], row[at.PADDING] = window(step.module)
        if step.kind == "conv":
            row[at.SOURCE] -= row[at.PADDING] * (row[at.SOURCE_STEP] + row[at.SOURCE_CHANNELS])
        if step.residual is not None:
            place, form = self._maps[step.residual[0]], _form(step.residual[1])
            row[at.RESIDUAL], row[at.RESIDUAL_MASK] = place[form], place[f"{form} mask"]
        return row

    def _linear(self) -> np.ndarray:
        row = self._row(at.LINEAR)
        self._source(row, *self.network.last)
        size = int(row[at.SOURCE_HEIGHT] * row[at.SOURCE_WIDTH] * row[at.SOURCE_CHANNELS])
        row[at.OUTPUTS] = kernels.rounded(self.network.outputs)
        row[at.ACTIVATION] = self.network.activation
        row[at.SEEN], row[at.INDEXES], row[at.FACTORS] = (self._reserve(size + 1, 4) for _ in range(3))
        row[at.TOTAL], row[at.COUNTERS] = self._reserve(int(row[at.OUTPUTS]), 8), self._reserve(2, 8)
        return row

    def _flat(self) -> np.ndarray:
        row = self._row(at.FLATTEN)
        self._source(row, *self.network.last)
        row[at.OUTPUTS] = self.network.last[0].channels
        return row

    def _row(self, kind: int) -> np.ndarray:
        row = np.full(at.N_FIELDS, -1, np.int64)
        row[at.KIND], row[at.FLOOR] = kind, 0
        return row

    def _source(self, row: np.ndarray, source: Map, positive: bool) -> None:
        place, form = self._maps[source], _form(positive)
        row[at.SOURCE], row[at.SOURCE_MASK] = place[form], place[f"{form} mask"]
        row[at.SOURCE_HEIGHT], row[at.SOURCE_WIDTH] = place["height"], place["width"]
        row[at.SOURCE_CHANNELS], row[at.SOURCE_STEP] = place["channels"], place["step"]

    def _result(self, row: np.ndarray, place: dict[str, int]) -> None:
        row[at.HEIGHT], row[at.WIDTH] = place["height"], place["width"]
        row[at.CHANNELS], row[at.STEP] = place["channels"], place["step"]
        row[at.RAW], row[at.RELU] = place.get("raw", -1), place.get("relu", -1)
        row[at.RAW_MASK], row[at.RELU_MASK] = place.get("raw mask", -1), place.get("relu mask", -1)


def _form(positive: bool) -> str:
    return "relu" if positive else "raw"


def _convolution(step: Step, stored: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights as the kernel reads them, and bias; ``stored`` channels of the source are in memory."""
    weight = _numpy(step.module.weight)
    weight = np.pad(weight, ((0, 0), (0, stored - weight.shape[1]), (0, 0), (0, 0)))
    n_output = weight.shape[0]
    bias = np.zeros(kernels.rounded(n_output), np.float32)
    if step.module.bias is not None:
        bias[:n_output] = _numpy(step.module.bias)
    return kernels.blocked(weight.transpose(2, 3, 1, 0).reshape(-1, n_output)), bias


def _flattened(network: Network, stored: int) -> tuple[np.ndarray, np.ndarray]:
    """The same for the linear layers: torch flattens (C, H, W), memory holds (H, W, C)."""
    last = network.last[0]
    weight = np.concatenate([_numpy(layer.weight) for layer in network.linear])
    weight = weight.reshape(-1, last.channels, last.height, last.width).transpose(2, 3, 1, 0)
    n_output = weight.shape[-1]
    rounded = kernels.rounded(n_output)
    weight = np.pad(weight, ((0, 0), (0, 0), (0, stored - last.channels), (0, rounded - n_output)))
    biases = [np.zeros(x.out_features) if x.bias is None else _numpy(x.bias) for x in network.linear]
    bias = np.pad(np.concatenate(biases), (0, rounded - n_output)).astype(np.float32)
    return linear.in_blocks(weight.reshape(-1, rounded)), bias


def _numpy(parameter: Any) -> np.ndarray:
    return parameter.detach().to("cpu", th.float32).numpy()


def aligned(array: np.ndarray) -> np.ndarray:
    """A copy that begins at a line of the cache."""
    room = np.empty(array.nbytes + _LINE, np.uint8)
    start = -room.ctypes.data % _LINE
    copy = room[start : start + array.nbytes].view(array.dtype)
    copy[:] = array.ravel()
    return copy
