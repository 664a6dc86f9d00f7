"""The network of ``static-int8`` as steps that reuse knows, read from its graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from onnx import GraphProto, NodeProto
from torch import nn

from sb3_efficient.errors import OptionError
from sb3_efficient.onnx_graph import attributes
from sb3_efficient.reuse.changes.network import Map, Network, Step, use
from sb3_efficient.reuse.changes.qdq import QuantizedGraph, unknown
from sb3_efficient.reuse.changes.quantized import QuantizedConvolution, QuantizedLinear, QuantizedSum, Scale
from sb3_efficient.reuse.changes.window import sizes


def read_graph(graph: GraphProto, shape: tuple[int, int, int]) -> tuple[Network, list[QuantizedLinear] | str]:
    """
    :param graph: Of ``static-int8``
    :param shape: Of an image, (C, H, W)
    :return: The steps with the first linear layer, and the linear layers that follow it; where there is something else
        behind it, the name of what it gives, bytes or float32
    """
    found = QuantizedGraph(graph)
    reader = _Reader(found, shape)
    first = next((node for node in graph.node if node.op_type == "Gemm"), None)
    upper = found.leading_to(first.output) if first else {*found.makers}
    for node in graph.node:
        if node.output[0] in upper:
            reader.read(node)
    network, linear = reader.network, reader.linear[:1]
    tail = _tail(reader, [node for node in graph.node if node.output[0] not in upper])
    if first is None or not linear:
        raise OptionError(
            "The engine 'reuse' wants linear layers behind the convolutions, and found none: take the engine "
            "'onnxruntime' or 'openvino'."
        )
    network.image.raw = True
    network.linear = linear  # type: ignore[assignment]
    network.activation = is_rounded = linear[0].zero is not None
    if tail is not None:
        return network, tail
    return network, found.users[first.output[0]][0].output[0] if is_rounded else first.output[0]


def _tail(reader: _Reader, nodes: list[NodeProto]) -> list[QuantizedLinear] | None:
    """All that is behind the first linear layer, if it is linear layers."""
    try:
        for node in nodes:
            reader.read(node)
    except OptionError:
        return None
    return reader.linear[1:] if reader.ends else None


@dataclass(frozen=True, eq=False)
class _Value:
    """
    A tensor of bytes, quantized or on its way to the next layer.

    :param map: None behind the first linear layer
    :param positive: Whether it is the positive part of the map
    :param scale: Of a number, float32
    :param zero: What stands for zero
    :param flat: Whether it was given another shape, in which only linear layers know it
    """

    map: Map | None
    positive: bool
    scale: Any
    zero: int
    flat: bool = False

    @property
    def numbers(self) -> Scale:
        return self.scale, self.zero

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        assert self.map is not None
        return self.map.height, self.map.width

    @property
    def read(self) -> tuple[Map, bool]:
        """As a step reads it."""
        assert self.map is not None
        return use((self.map, self.positive))


#: Nodes that read a value by channels, rows and columns
_ON_MAPS = ("Conv", "MaxPool", "GlobalAveragePool", "Add")


class _Reader:
    """
    Follows a graph from the image to its output.

    :param graph: Of ``static-int8``
    :param shape: Of an image, (C, H, W)
    """

    def __init__(self, graph: QuantizedGraph, shape: tuple[int, int, int]) -> None:
        self.network = Network(Map(*shape))
        self.linear: list[QuantizedLinear] = []
        #: What the last of them gives
        self.latent: _Value | None = None
        self._graph = graph
        self._values: dict[str, _Value] = {}
        self._known: dict[str, Callable[[NodeProto, _Value], _Value | None]] = {
            "DequantizeLinear": self._same,
            "QuantizeLinear": self._same,
            "Reshape": self._moved,
            "Flatten": self._moved,
            "Conv": self._convolution,
            "MaxPool": self._max_pool,
            "GlobalAveragePool": self._average,
            "Clip": self._positive,
            "Add": self._residual,
            "Gemm": self._linear,
        }

    def read(self, node: NodeProto) -> None:
        """Take one node more."""
        if not node.input or node.input[0] in self._graph.constants:
            # Weights, which their layer looks up
            return
        if node.input[0] == self._graph.image and node.op_type == "DequantizeLinear":
            self._values[self._graph.image] = _Value(self.network.image, False, *self._graph.numbers(node))
        value = self._values.get(node.input[0])
        found = self._known[node.op_type](node, value) if value and self._takes(node, value) else None
        if found is None:
            raise OptionError(unknown(node))
        self._values[node.output[0]] = found

    @property
    def ends(self) -> bool:
        """Whether the only output is what the last linear layer gives."""
        return [self._values.get(name) for name in self._graph.outputs] == [self.latent]

    def _takes(self, node: NodeProto, value: _Value) -> bool:
        return node.op_type in self._known and not (value.flat and node.op_type in _ON_MAPS)

    def _same(self, node: NodeProto, value: _Value) -> _Value | None:
        return value if self._graph.numbers(node) == value.numbers else None

    def _moved(self, node: NodeProto, value: _Value) -> _Value | None:
        if self._graph.after(node) not in (None, value.numbers):
            return None
        return value if value.map is None else replace(value, flat=True)

    def _positive(self, node: NodeProto, value: _Value) -> _Value | None:
        if len(node.input) != 2 or int(self._graph.constant(node.input[1])) != value.zero:
            return None
        return replace(value, positive=True)

    def _convolution(self, node: NodeProto, value: _Value) -> _Value | None:
        options, after = attributes(node), self._graph.after(node)
        pads, strides = options.get("pads", [0] * 4), options.get("strides", [1, 1])
        plain = options.get("group", 1) == 1 and set(options.get("dilations", [1])) == {1}
        square = all(len(set(sides)) == 1 for sides in (options["kernel_shape"], strides, pads))
        if not plain or not square or after is None:
            return None
        layer = QuantizedConvolution(
            *self._graph.layer(node, value.numbers), stride=tuple(strides), padding=tuple(pads[:2])
        )
        result = Map(layer.out_features, *sizes(layer, *value.size), zero=after[1])
        self.network.steps.append(Step("conv", *value.read, result, layer))
        return _Value(result, False, *after)

    def _max_pool(self, node: NodeProto, value: _Value) -> _Value | None:
        options = {"strides": [1, 1], "pads": [0] * 4, "dilations": [1, 1], "ceil_mode": 0, **attributes(node)}
        kernel, stride, pads, ceil = (options[name] for name in ("kernel_shape", "strides", "pads", "ceil_mode"))
        plain = len({*kernel}) == len({*stride}) == len({*pads}) == len({1, *options["dilations"]}) == 1 and not ceil
        if not plain or self._graph.after(node) != value.numbers:
            return None
        module, source = nn.MaxPool2d(kernel[0], stride[0], pads[0]), value.read
        result = Map(source[0].channels, *sizes(module, *value.size), zero=value.zero)
        self.network.steps.append(Step("max-pool", *source, result, module))
        return replace(value, map=result, positive=False)

    def _average(self, node: NodeProto, value: _Value) -> _Value | None:
        after = self._graph.after(node)
        if after is None:
            return None
        source, size = value.read, int(np.prod(value.size))
        scale = value.scale / np.float32(after[0] * np.float32(size))
        bias = np.array([-value.zero * size], np.int32)
        layer = QuantizedLinear(np.ones((1, size), np.int8), bias, np.array([scale], np.float32), after[1])
        result = Map(source[0].channels, 1, 1, zero=after[1])
        self.network.steps.append(Step("average", *source, result, layer))
        return _Value(result, False, *after)

    def _residual(self, node: NodeProto, value: _Value) -> _Value | None:
        """What is added to something else is the result of a convolution, which nobody else reads."""
        branch, after = self._values.get(node.input[1]), self._graph.after(node)
        step = self.network.steps[-1] if self.network.steps else None
        if step is None or step.kind != "conv" or step.residual is not None:
            return None
        if branch is None or branch.map is not step.result:
            return None
        if after is None or not self._graph.alone(node.input[1]) or not _adds_up(value.map, step.result):
            return None
        if value.map is self.network.image or value.map is step.result or branch.positive or branch.flat:
            return None
        step.residual = value.read
        step.module = replace(step.module, sum=QuantizedSum.of(value.numbers, branch.numbers, after))
        step.result.zero = after[1]
        return _Value(step.result, False, *after)

    def _linear(self, node: NodeProto, value: _Value) -> _Value | None:
        """The first takes a map, each other one what the one before it gives."""
        options = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0, **attributes(node)}
        plain = [options[name] for name in ("alpha", "beta", "transA", "transB")] == [1.0, 1.0, 0, 1]
        if not plain or (self.linear and value is not self.latent):
            return None
        layer = QuantizedLinear(*self._graph.layer(node, value.numbers))
        if not self.linear:
            self.network.last = value.read
            if layer.weight.shape[1] != self.network.flat:
                # Not all of an image's map at once
                return None
        self.linear.append(layer)
        self.latent = _Value(None, False, *(self._graph.after(node) or (None, 0)))
        return self.latent


def _adds_up(one: Map | None, other: Map) -> bool:
    """Whether none of two maps is repeated where they are added."""
    return one is not None and (one.channels, one.height, one.width) == (other.channels, other.height, other.width)
