"""
The network of ``static-int8`` as steps that reuse knows: a row of convolutions, and linear layers behind them.

Every number is one of 256. A layer adds up products of bytes in int32, multiplies the sum by a float32, and rounds to
even: what ONNX Runtime computes, and here, too, bit by bit.

Shapes: ``B`` batch, ``C H W`` map, ``D`` flattened map, ``F`` outputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from onnx import GraphProto, NodeProto, helper, numpy_helper

from sb3_efficient.errors import OptionError
from sb3_efficient.reuse.network import Map, Network, Step, window


@dataclass(frozen=True, eq=False)
class QuantizedLinear:
    """
    :param weight: int8, (F, C, kernel, kernel) or (F, D)
    :param bias: int32, (F,)
    :param scale: float32, (F,): what sums are multiplied with
    :param zero: What stands for zero in the result; None for a result in float32
    """

    weight: np.ndarray
    bias: np.ndarray
    scale: np.ndarray
    zero: int | None

    @property
    def out_features(self) -> int:
        """``F``"""
        return len(self.weight)

    @cached_property
    def _matrix(self) -> np.ndarray:
        return self.weight.T.astype(np.float64)

    def __call__(self, numbers: np.ndarray) -> np.ndarray:
        """
        As a linear layer.

        :param numbers: (B, D), whole numbers from 0 to 255, any dtype
        :return: (B, F), float32; whole numbers again but for the last layer
        """
        # Sums are below 2^53, so that any order of adding gives the same
        return self.rounded(numbers.astype(np.float64) @ self._matrix + self.bias)

    def rounded(self, sums: np.ndarray) -> np.ndarray:
        """
        :param sums: (..., F), whole numbers
        :return: (..., F), float32
        """
        values = sums.astype(np.float32) * self.scale
        if self.zero is None:
            return values
        zero = np.float32(self.zero)
        return np.rint(np.clip(values, -zero, 255 - zero)) + zero


@dataclass(frozen=True, eq=False)
class QuantizedConvolution(QuantizedLinear):
    """
    :param stride: Pixels from one result to the next
    :param padding: Pixels, of zeros
    """

    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int] = (1, 1)

    @property
    def kernel_size(self) -> tuple[int, ...]:
        """Pixels."""
        return self.weight.shape[2:]


def read_graph(graph: GraphProto, shape: tuple[int, int, int]) -> tuple[Network, Tail]:
    """
    :param graph: Of ``static-int8``
    :param shape: Of an image, (C, H, W)
    :return: The steps with the first linear layer, and the linear layers that follow it
    """
    reader = _Reader(graph)
    network, linear = Network(Map(*shape)), []
    value, positive = network.image, False
    for node, layer in reader.layers():
        if isinstance(layer, QuantizedConvolution):
            kernel, stride, padding = window(layer)
            height, width = ((side + 2 * padding - kernel) // stride + 1 for side in (value.height, value.width))
            result = Map(layer.out_features, height, width, raw=True)
            network.steps.append(Step("conv", value, positive, result, layer))
            value = result
        elif isinstance(layer, QuantizedLinear):
            linear.append(layer)
        elif not linear and node.op_type not in ("Reshape", "Flatten"):
            raise OptionError(_unknown(node))
    if not linear:
        raise OptionError("The engine 'reuse' wants a linear layer behind the convolutions, and found none.")
    network.image.raw = True
    network.last = value, False
    network.linear = linear[:1]  # type: ignore[assignment]
    network.activation = linear[0].zero is not None
    return network, Tail(linear[1:])


class Tail:
    """
    :param layers: Linear ones behind the first
    """

    def __init__(self, layers: list[QuantizedLinear]) -> None:
        self._layers = layers

    def __call__(self, numbers: np.ndarray) -> list[np.ndarray]:
        """
        :param numbers: (B, F), what the first linear layer gives
        :return: (B, A), the only output
        """
        for layer in self._layers:
            numbers = layer(numbers)
        return [numbers]


class _Reader:
    """Follows a graph from the image to its only output."""

    def __init__(self, graph: GraphProto) -> None:
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        self._makers = {name: node for node in graph.node for name in node.output}
        self._users: dict[str, list[NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self._users.setdefault(name, []).append(node)
        self._image = graph.input[0].name
        self._outputs = [output.name for output in graph.output]

    def layers(self) -> Any:
        """Nodes in order, each with what it is: a layer, or None for one that only moves numbers."""
        node = self._user(self._image)
        if node.op_type != "DequantizeLinear":
            raise OptionError(_unknown(node))
        scale, zero, name = self._scale(node), self._zero(node), node.output[0]
        while name not in self._outputs:
            node = self._user(name)
            after, new_scale, new_zero = self._quantized(node.output[0])
            if node.op_type in ("Conv", "Gemm"):
                if zero != 0:
                    raise OptionError(f"{_unknown(node)} Here 0 is not what stands for zero.")
                yield node, self._layer(node, scale, new_scale, new_zero)
            elif node.op_type in ("Reshape", "Flatten") and new_scale in (None, scale):
                yield node, None
                new_scale, new_zero = scale, zero
            else:
                raise OptionError(_unknown(node))
            name, scale, zero = after, new_scale, new_zero

    def _quantized(self, name: str) -> tuple[str, Any, Any]:
        """Past the pair of quantizing and dequantizing that follows, its scale and its zero; None if there is none."""
        users = self._users.get(name, [])
        if len(users) != 1 or users[0].op_type != "QuantizeLinear":
            return name, None, None
        quantize = users[0]
        return self._user(quantize.output[0]).output[0], self._scale(quantize), self._zero(quantize)

    def _layer(self, node: NodeProto, scale: Any, new_scale: Any, zero: int | None) -> QuantizedLinear:
        weights = self._makers[node.input[1]]
        weight = self._value(weights.input[0])
        bias = np.zeros(len(weight), np.int32)
        if len(node.input) > 2:
            bias = self._value(self._makers[node.input[2]].input[0])
        # In the order in which ONNX Runtime multiplies float32 numbers
        scales = scale * self._value(weights.input[1])
        if bias.any() and not np.allclose(self._value(self._makers[node.input[2]].input[1]), scales, rtol=1e-5, atol=0):
            raise OptionError(f"{_unknown(node)} Here the bias is in another scale than what it is added to.")
        if new_scale is not None:
            scales = scales / new_scale
        if weight.dtype != np.int8 or self._value(weights.input[2]).any() or bias.dtype != np.int32:
            raise OptionError(_unknown(node))
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        options = weight, bias, np.broadcast_to(scales, bias.shape).astype(np.float32), zero
        if node.op_type == "Gemm":
            if not attributes.get("transB"):
                raise OptionError(_unknown(node))
            return QuantizedLinear(*options)
        pads, strides = attributes.get("pads", [0] * 4), attributes.get("strides", [1, 1])
        plain = attributes.get("group", 1) == 1 and set(attributes.get("dilations", [1])) == {1}
        if not plain or len(set(pads)) > 1 or zero is None:
            raise OptionError(_unknown(node))
        return QuantizedConvolution(*options, stride=tuple(strides), padding=tuple(pads[:2]))

    def _user(self, name: str) -> NodeProto:
        users = self._users.get(name, [])
        if len(users) != 1:
            raise OptionError(
                f"The engine 'reuse' computes compressed networks whose layers follow each other, and {name} goes to "
                f"{len(users)}: {_INSTEAD}"
            )
        return users[0]

    def _scale(self, node: NodeProto) -> Any:
        return self._value(node.input[1])

    def _zero(self, node: NodeProto) -> int:
        return int(self._value(node.input[2]))

    def _value(self, name: str) -> np.ndarray:
        return numpy_helper.to_array(self._constants[name])


_INSTEAD = "take the engine 'onnxruntime' or 'openvino'."


def _unknown(node: NodeProto) -> str:
    return (
        f"The engine 'reuse' computes compressed networks of convolutions and linear layers in static-int8, and found "
        f"{node.op_type} ({node.output[0]}): {_INSTEAD}"
    )
