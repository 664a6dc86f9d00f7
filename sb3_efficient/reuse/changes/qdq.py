"""Look-ups in a graph that is quantized with pairs of QuantizeLinear and DequantizeLinear."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from onnx import GraphProto, NodeProto, numpy_helper

from sb3_efficient.errors import OptionError
from sb3_efficient.onnx_graph import constants, makers, users
from sb3_efficient.reuse.changes.quantized import Scale


class QuantizedGraph:
    """
    :param graph: Of ``static-int8``
    """

    def __init__(self, graph: GraphProto) -> None:
        self.image = graph.input[0].name
        self.outputs = [output.name for output in graph.output]
        self.constants, self.makers, self.users = constants(graph), makers(graph), users(graph)

    def leading_to(self, names: Iterable[str], given: str | None = None) -> set[str]:
        """These, and the names of all that they are computed of; not of what ``given`` is computed of."""
        found: set[str] = set()
        todo = [*names]
        while todo:
            name = todo.pop()
            if name and name not in found:
                found.add(name)
                todo += self.makers[name].input if name in self.makers and name != given else []
        return found

    def alone(self, name: str) -> bool:
        """Whether a dequantized tensor, and the bytes that it is made of, have one reader."""
        return [len(self.users[n]) for n in (name, self.makers[name].input[0])] == [1, 1]

    def layer(self, node: NodeProto, before: Scale) -> tuple[np.ndarray, np.ndarray, np.ndarray, int | None]:
        """
        :param node: Convolution or linear layer
        :param before: Of its input
        :return: Weight, bias, scale and zero, see :class:`QuantizedLinear`
        """
        weights = self.makers[node.input[1]]
        weight = self.constant(weights.input[0])
        # In the order in which ONNX Runtime multiplies float32 numbers
        scales = before[0] * self.constant(weights.input[1])
        bias = np.zeros(len(weight), np.int32)
        if len(node.input) > 2:
            maker = self.makers[node.input[2]]
            bias = self.constant(maker.input[0])
            if not np.allclose(self.constant(maker.input[1]), scales, rtol=1e-5, atol=0):
                raise OptionError(f"{unknown(node)} Here the bias is in another scale than what it is added to.")
        if weight.dtype != np.int8 or self.constant(weights.input[2]).any() or bias.dtype != np.int32:
            raise OptionError(unknown(node))
        scale, zero = self.after(node) or (np.float32(1), None)
        sums = weight.reshape(len(weight), -1).sum(axis=1, dtype=np.int32)
        scales = np.broadcast_to(scales / scale, bias.shape).astype(np.float32)
        return weight, bias - before[1] * sums, scales, zero

    def after(self, node: NodeProto) -> Scale | None:
        """Scale and zero that the result is rounded to; None for a result in float32."""
        users = self.users.get(node.output[0], [])
        return self.numbers(users[0]) if [user.op_type for user in users] == ["QuantizeLinear"] else None

    def numbers(self, node: NodeProto) -> Scale:
        """Scale and zero of a node that quantizes or dequantizes."""
        return self.constant(node.input[1])[()], int(self.constant(node.input[2]))

    def constant(self, name: str) -> np.ndarray:
        """Value of an initializer."""
        return numpy_helper.to_array(self.constants[name])


def unknown(node: NodeProto) -> str:
    """What is said of a node."""
    return (
        f"The engine 'reuse' computes compressed networks of convolutions, pooling, residuals and linear layers in "
        f"static-int8, and found {node.op_type} ({node.output[0]}): take the engine 'onnxruntime' or 'openvino'."
    )
