"""The network of ``static-int8`` as steps that reuse knows, read from its graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from onnx import GraphProto, NodeProto, helper, numpy_helper
from torch import nn

from sb3_efficient.errors import OptionError
from sb3_efficient.reuse.network import Map, Network, Step, use, windows
from sb3_efficient.reuse.quantized import QuantizedConvolution, QuantizedLinear, QuantizedSum, Tail


def read_graph(graph: GraphProto, shape: tuple[int, int, int]) -> tuple[Network, Tail]:
    """
    :param graph: Of ``static-int8``
    :param shape: Of an image, (C, H, W)
    :return: The steps with the first linear layer, and the linear layers that follow it
    """
    reader = _Reader(graph, shape)
    for node in graph.node:
        reader.read(node)
    network, linear = reader.network, reader.linear
    if not linear:
        raise OptionError("The engine 'reuse' wants a linear layer behind the convolutions, and found none.")
    network.image.raw = True
    network.linear = linear[:1]  # type: ignore[assignment]
    network.activation = linear[0].zero is not None
    return network, Tail(linear[1:])


@dataclass(frozen=True, eq=False)
class _Value:
    """
    A tensor of bytes, quantized or on its way to the next layer.

    :param map: None behind the first linear layer
    :param positive: Whether it is the positive part of the map
    :param scale: Of a number, float32
    :param zero: What stands for zero
    """

    map: Map | None
    positive: bool
    scale: Any
    zero: int

    @property
    def read(self) -> tuple[Map, bool]:
        """As a step reads it."""
        assert self.map is not None
        return use((self.map, self.positive))


class _Reader:
    """
    Follows a graph from the image to its output.

    :param graph: Of ``static-int8``
    :param shape: Of an image, (C, H, W)
    """

    def __init__(self, graph: GraphProto, shape: tuple[int, int, int]) -> None:
        self.network = Network(Map(*shape))
        self.linear: list[QuantizedLinear] = []
        self._image = graph.input[0].name
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        self._makers = {name: node for node in graph.node for name in node.output}
        self._users: dict[str, list[NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self._users.setdefault(name, []).append(node)
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
        if node.input[0] in self._constants:
            # Weights, which their layer looks up
            return
        if node.input[0] == self._image and node.op_type == "DequantizeLinear":
            self._values[self._image] = _Value(self.network.image, False, *self._numbers(node))
        value = self._values.get(node.input[0])
        found = self._known[node.op_type](node, value) if value and node.op_type in self._known else None
        if found is None:
            raise OptionError(_unknown(node))
        self._values[node.output[0]] = found

    def _same(self, node: NodeProto, value: _Value) -> _Value | None:
        return value if self._numbers(node) == (value.scale, value.zero) else None

    def _moved(self, node: NodeProto, value: _Value) -> _Value | None:
        return value if self._after(node) in (None, (value.scale, value.zero)) else None

    def _positive(self, node: NodeProto, value: _Value) -> _Value | None:
        if len(node.input) != 2 or int(self._constant(node.input[1])) != value.zero:
            return None
        return replace(value, positive=True)

    def _convolution(self, node: NodeProto, value: _Value) -> _Value | None:
        attributes, after = _attributes(node), self._after(node)
        pads, strides = attributes.get("pads", [0] * 4), attributes.get("strides", [1, 1])
        plain = attributes.get("group", 1) == 1 and set(attributes.get("dilations", [1])) == {1}
        if not plain or len(set(pads)) > 1 or after is None:
            return None
        layer = QuantizedConvolution(*self._layer(node, value), stride=tuple(strides), padding=tuple(pads[:2]))
        result = Map(layer.out_features, *windows(layer, value.read[0]), zero=after[1])
        self.network.steps.append(Step("conv", *value.read, result, layer))
        return _Value(result, False, *after)

    def _max_pool(self, node: NodeProto, value: _Value) -> _Value | None:
        options = {"strides": [1, 1], "pads": [0] * 4, "dilations": [1, 1], "ceil_mode": 0, **_attributes(node)}
        kernel, stride, pads, ceil = (options[name] for name in ("kernel_shape", "strides", "pads", "ceil_mode"))
        plain = len({*kernel}) == len({*stride}) == len({*pads}) == len({1, *options["dilations"]}) == 1 and not ceil
        if not plain or self._after(node) != (value.scale, value.zero):
            return None
        module, source = nn.MaxPool2d(kernel[0], stride[0], pads[0]), value.read
        result = Map(source[0].channels, *windows(module, source[0]), zero=value.zero)
        self.network.steps.append(Step("max-pool", *source, result, module))
        return replace(value, map=result, positive=False)

    def _average(self, node: NodeProto, value: _Value) -> _Value | None:
        after, source = self._after(node), value.read
        if after is None:
            return None
        size = source[0].height * source[0].width
        scale = value.scale / np.float32(after[0] * np.float32(size))
        bias = np.array([-value.zero * size], np.int32)
        layer = QuantizedLinear(np.ones((1, size), np.int8), bias, np.array([scale], np.float32), after[1])
        result = Map(source[0].channels, 1, 1, zero=after[1])
        self.network.steps.append(Step("average", *source, result, layer))
        return _Value(result, False, *after)

    def _residual(self, node: NodeProto, value: _Value) -> _Value | None:
        """What is added to something is the result of a convolution, which nobody else reads."""
        branch, after, step = self._values.get(node.input[1]), self._after(node), self.network.steps[-1]
        if branch is None or branch.map is not step.result or step.kind != "conv" or step.residual is not None:
            return None
        quantized = self._makers[node.input[1]].input[0]
        if after is None or [len(self._users[name]) for name in (node.input[1], quantized)] != [1, 1]:
            return None
        step.residual = value.read
        numbers = (value.scale, value.zero), (branch.scale, branch.zero)
        step.module = replace(step.module, sum=QuantizedSum.of(*numbers, after))
        step.result.zero = after[1]
        return _Value(step.result, False, *after)

    def _linear(self, node: NodeProto, value: _Value) -> _Value | None:
        if not _attributes(node).get("transB"):
            return None
        if value.map is not None:
            self.network.last = value.read
        self.linear.append(QuantizedLinear(*self._layer(node, value)))
        scale, zero = self._after(node) or (None, 0)
        return _Value(None, False, scale, zero)

    def _layer(self, node: NodeProto, value: _Value) -> tuple[np.ndarray, np.ndarray, np.ndarray, int | None]:
        """Weight, bias, scale and zero, see :class:`QuantizedLinear`."""
        weights = self._makers[node.input[1]]
        weight = self._constant(weights.input[0])
        # In the order in which ONNX Runtime multiplies float32 numbers
        scales = value.scale * self._constant(weights.input[1])
        bias = np.zeros(len(weight), np.int32)
        if len(node.input) > 2:
            maker = self._makers[node.input[2]]
            bias = self._constant(maker.input[0])
            if not np.allclose(self._constant(maker.input[1]), scales, rtol=1e-5, atol=0):
                raise OptionError(f"{_unknown(node)} Here the bias is in another scale than what it is added to.")
        if weight.dtype != np.int8 or self._constant(weights.input[2]).any() or bias.dtype != np.int32:
            raise OptionError(_unknown(node))
        scale, zero = self._after(node) or (np.float32(1), None)
        sums = weight.reshape(len(weight), -1).sum(axis=1, dtype=np.int32)
        scales = np.broadcast_to(scales / scale, bias.shape).astype(np.float32)
        return weight, bias - value.zero * sums, scales, zero

    def _after(self, node: NodeProto) -> tuple[Any, int] | None:
        """Scale and zero that the result is rounded to; None for a result in float32."""
        users = self._users.get(node.output[0], [])
        return self._numbers(users[0]) if [user.op_type for user in users] == ["QuantizeLinear"] else None

    def _numbers(self, node: NodeProto) -> tuple[Any, int]:
        return self._constant(node.input[1])[()], int(self._constant(node.input[2]))

    def _constant(self, name: str) -> np.ndarray:
        return numpy_helper.to_array(self._constants[name])


def _attributes(node: NodeProto) -> dict[str, Any]:
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def _unknown(node: NodeProto) -> str:
    return (
        f"The engine 'reuse' computes compressed networks of convolutions, pooling, residuals and linear layers in "
        f"static-int8, and found {node.op_type} ({node.output[0]}): take the engine 'onnxruntime' or 'openvino'."
    )
