"""
The first convolution of an int8 graph on blocks of pixels, as :mod:`sb3_efficient.extractors.blocks` has it.

ONNX Runtime's int8 convolutions, too, are made for many channels: NatureCNN on 16 images takes two thirds of the time.
Sums of integers are the same in any order, and so are the outputs, bit for bit. In float32 it gains nothing. A graph is
rewritten when a session is made, and its images rearranged before they are handed over; files stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch as th
from onnx import GraphProto, ModelProto, NodeProto, helper

from sb3_efficient.extractors.blocks import blocked, covered, fits
from sb3_efficient.onnx_graph import add_constant, attributes, constant, makers, users


@dataclass(frozen=True)
class Blocks:
    """
    :param side: Of a block, pixels
    :param rows: Pixels from the top that the convolution sees, a multiple of ``side``
    :param columns: The same from the left
    """

    side: int
    rows: int
    columns: int

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """
        :param images: (B, C, H, W), uint8, contiguous
        :return: (B, rows / side, columns / side, C * side * side)
        """
        batch, channels = images.shape[:2]
        height, width = self.rows // self.side, self.columns // self.side
        whole = np.ascontiguousarray(images[..., : self.rows, : self.columns])
        # An integer holds a row of a block, which is moved as one
        rows = whole.view(f"i{self.side}").reshape(batch, channels, height, self.side, width)
        pixels = rows.transpose(0, 2, 4, 1, 3).copy().view(np.uint8)
        # Not -1, of which numpy makes nothing where there is no image
        return pixels.reshape(batch, height, width, channels * self.side**2)


def block_pixels(proto: ModelProto) -> tuple[ModelProto, dict[str, Blocks]]:
    """
    :param proto: Any graph, stays as it is
    :return: One that takes blocks for some of its images, and how to make them, by the name of the input
    """
    found = ModelProto()
    found.CopyFrom(proto)
    blocks = {}
    for value in found.graph.input:
        way = _way(found.graph, value)
        if way is not None:
            conv, weight, plan = way
            _rewrite(found.graph, value, conv, weight, plan)
            blocks[value.name] = plan
    return found, blocks


def _way(graph: GraphProto, value: Any) -> tuple[NodeProto, NodeProto, Blocks] | None:
    """The convolution that alone computes on this image, what makes its weights, and the blocks it would take."""
    conv = _only_user(graph, _only_user(graph, value, "DequantizeLinear"), "Conv")
    shape = [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
    if conv is None or len(shape) != 4 or conv.input[1] not in (made := makers(graph)):
        return None
    options = attributes(conv)
    (side, *others), (kernel, *_) = options.get("strides", [1]), options["kernel_shape"]
    is_plain = not any(options.get("pads", [])) and options.get("group", 1) == 1
    is_plain &= {*options.get("dilations", [1])} == {1} and options.get("auto_pad", b"NOTSET") == b"NOTSET"
    is_square = {side} == {*others} and {kernel} == {*options["kernel_shape"]}
    weight = made[conv.input[1]]
    if not (is_plain and is_square and fits(kernel, side) and weight.op_type == "DequantizeLinear"):
        return None
    return conv, weight, Blocks(side, *(covered(length, kernel, side) for length in shape[2:]))


def _rewrite(graph: GraphProto, value: Any, conv: NodeProto, weight: NodeProto, plan: Blocks) -> None:
    side = plan.side
    # The graph's own numbers cannot be written to
    kernels = blocked(th.tensor(constant(graph, weight.input[0])), side).numpy()
    name = f"{value.name}.blocks"
    weight.input[0] = add_constant(graph, f"{name}.weight", kernels)
    for attribute in conv.attribute:
        if attribute.name in ("strides", "kernel_shape"):
            attribute.ints[:] = [1, 1] if attribute.name == "strides" else kernels.shape[2:]
    dequantize = next(node for node in graph.node if value.name in node.input)
    dequantize.input[0] = name
    # Runtimes compute channels-last in int8, and leave this out
    graph.node.insert(0, helper.make_node("Transpose", [value.name], [name], perm=[0, 3, 1, 2]))
    sides = [plan.rows // side, plan.columns // side, kernels.shape[1]]
    for dimension, length in zip(value.type.tensor_type.shape.dim[1:], sides, strict=False):
        dimension.dim_value = length
    del graph.value_info[:]


def _only_user(graph: GraphProto, made: Any, op_type: str) -> NodeProto | None:
    """The one node of this type that uses what an input or a node gives, if it is the only one."""
    if made is None:
        return None
    name = made.output[0] if isinstance(made, NodeProto) else made.name
    readers = users(graph).get(name, [])
    is_output = any(output.name == name for output in graph.output)
    return readers[0] if [node.op_type for node in readers] == [op_type] and not is_output else None
