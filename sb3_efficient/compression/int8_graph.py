"""
What a quantizer leaves to be done until a network computes in int8 from the image to the last layer.

Quantized graphs are written with pairs of QuantizeLinear and DequantizeLinear ("QDQ"), which runtimes fuse with the
operator between them. Each pass below changes a graph in place.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from onnx import GraphProto, NodeProto, TensorProto, helper

from sb3_efficient.errors import OptionError
from sb3_efficient.onnx_graph import add_constant, attributes, constant, makers, rename, users

#: Operators that runtimes have in int8
INT8 = ("Conv", "Gemm", "MatMul", "Add", "MaxPool", "Reshape", "Relu", "GlobalAveragePool", "Concat", "Flatten")


def under_logarithms(graph: GraphProto) -> list[str]:
    """
    :return: Names of the nodes whose results logarithms are taken of: in 8 bits small ones would be none
    """
    of = {node.input[0] for node in graph.node if node.op_type == "Log"}
    return [node.name for node in graph.node if of & {*node.output}]


def take_factors_in(graph: GraphProto) -> None:
    """Multiply the factors of linear layers into weights and bias, as quantizers leave them out; before one works."""
    for node in [node for node in graph.node if node.op_type == "Gemm"]:
        factors = {name: value for name, value in attributes(node).items() if name in ("alpha", "beta")}
        for name, place in (("alpha", 1), ("beta", 2)):
            factor = factors.get(name, 1.0)
            if factor == 1.0 or place >= len(node.input):
                continue
            value = constant(graph, node.input[place])
            if value is None:
                raise OptionError(
                    f"8 bits want weights and biases that stay, and {node.name} multiplies by {factor:g} what is "
                    "computed: take a recipe in float16."
                )
            scaled = (factor * value).astype(value.dtype)
            node.input[place] = add_constant(graph, f"{node.output[0]}_{name}", scaled)
        for attribute in [attribute for attribute in node.attribute if attribute.name in factors]:
            node.attribute.remove(attribute)


def pool_whole_maps(graph: GraphProto) -> None:
    """Write means of maps as the operator that runtimes have in int8; before a graph is quantized."""
    for node in [node for node in graph.node if node.op_type == "ReduceMean" and len(node.input) == 2]:
        axes = constant(graph, node.input[1])
        kept = [attribute.i for attribute in node.attribute if attribute.name == "keepdims"] in ([], [1])
        if axes is not None and sorted(axes.ravel().tolist()) == [2, 3] and kept:
            node.CopyFrom(helper.make_node("GlobalAveragePool", [node.input[0]], node.output, node.name))
    drop_unused(graph)


def feed_pixels(graph: GraphProto) -> None:
    """
    Let the first layer take the image as it is: a pixel is the quantized form of pixel / 255, without error.

    ``Cast -> Div 255 -> Quantize -> Dequantize`` becomes one Dequantize.
    """
    producers = makers(graph)
    for divide in [node for node in graph.node if node.op_type == "Div"]:
        cast = producers.get(divide.input[0])
        if cast is None or cast.op_type != "Cast" or not _is(constant(graph, divide.input[1]), 255.0):
            continue
        if not _is_uint8(graph, cast.input[0], producers):
            continue
        quantizers = users(graph).get(divide.output[0], [])
        if any(node.op_type != "QuantizeLinear" for node in quantizers):
            # What pools, flattens or clips first reads numbers, not pixels
            continue
        for quantize in quantizers:
            (dequantize,) = users(graph).get(quantize.output[0], [])
            scale = add_constant(graph, f"{cast.input[0]}_scale", np.float32(1 / 255))
            zero = add_constant(graph, f"{cast.input[0]}_zero_point", np.uint8(0))
            dequantize.input[:] = [cast.input[0], scale, zero]
            graph.node.remove(quantize)
        graph.node.remove(divide)
        graph.node.remove(cast)


def clip_in_int8(graph: GraphProto) -> None:
    """
    Let a Relu that no convolution precedes clip the quantized numbers at their zero point, where it stands between
    two roundings otherwise: ``Dequantize -> Relu -> Quantize -> Dequantize`` becomes ``Clip -> Dequantize``.
    """
    producers = makers(graph)
    for relu in [node for node in graph.node if node.op_type == "Relu"]:
        before = producers[relu.input[0]]
        after = users(graph).get(relu.output[0], [])
        if before.op_type != "DequantizeLinear" or [node.op_type for node in after] != ["QuantizeLinear"]:
            continue
        (quantize,) = after
        (dequantize,) = users(graph).get(quantize.output[0], [])
        quantize.CopyFrom(helper.make_node("Clip", [before.input[0], before.input[2]], quantize.output, quantize.name))
        dequantize.input[1:] = before.input[1:]
        graph.node.remove(relu)


def match_biases(graph: GraphProto) -> None:
    """
    Round biases again to the product of the scales of input and weights, which the passes above may have changed:
    runtimes add them to sums in that scale, and compute a layer in float32 whose bias has another one.
    """
    producers = makers(graph)
    for node in [node for node in graph.node if node.op_type in ("Conv", "Gemm") and len(node.input) > 2]:
        made = [producers.get(name) for name in node.input]
        if any(maker is None or maker.op_type != "DequantizeLinear" for maker in made):
            continue
        scales = [np.asarray(constant(graph, maker.input[1])) for maker in made]  # type: ignore[union-attr]
        bias, wanted = made[2], scales[0] * scales[1]
        assert bias is not None
        numbers = np.asarray(constant(graph, bias.input[0]), np.float64) * scales[2] / wanted
        numbers = np.rint(numbers).clip(np.iinfo(np.int32).min, np.iinfo(np.int32).max)
        bias.input[0] = add_constant(graph, f"{node.input[2]}_matched", numbers.astype(np.int32))
        bias.input[1] = add_constant(graph, f"{node.input[2]}_matched_scale", wanted.astype(np.float32))


def clipped(graph: GraphProto) -> set[str]:
    """
    :return: Names of what a Relu gives
    """
    return {node.output[0] for node in graph.node if node.op_type == "Relu"}


def keep_outputs_float(graph: GraphProto, positive: set[str]) -> None:
    """
    Drop pairs that no operator in int8 follows: they would only round the outputs.

    :param positive: What the network clips at zero. The quantizer has left out a Relu where rounding does that, too,
        and given its name to what it took
    """
    for quantize in [node for node in graph.node if node.op_type == "QuantizeLinear"]:
        consumers = users(graph)
        followers, number = consumers.get(quantize.output[0], []), quantize.input[0]
        if any(node.op_type != "DequantizeLinear" for node in followers):
            continue
        if any(user.op_type in INT8 for node in followers for user in consumers.get(node.output[0], [])):
            continue
        if number in positive - clipped(graph):
            quantize.CopyFrom(helper.make_node("Relu", [number], quantize.output, quantize.name))
            number = quantize.output[0]
        else:
            graph.node.remove(quantize)
        for dequantize in followers:
            _replace(graph, dequantize.output[0], number)
            graph.node.remove(dequantize)


def drop_unused(graph: GraphProto) -> None:
    """Remove nodes and constants that nothing uses any more."""
    while True:
        used = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
        unused = [node for node in graph.node if not used & set(node.output)]
        for node in unused:
            graph.node.remove(node)
        if not unused:
            break
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in used]:
        graph.initializer.remove(tensor)
    del graph.value_info[:]


def _replace(graph: GraphProto, old: str, new: str) -> None:
    """Let a tensor take the place of another; the name of an output of the graph stays."""
    if old in {output.name for output in graph.output}:
        old, new = new, old
    rename(graph, old, new)


def _is(found: np.ndarray | None, number: float) -> bool:
    return found is not None and found.size == 1 and found.item() == number


def _is_uint8(graph: GraphProto, name: str, producers: Mapping[str, NodeProto]) -> bool:
    """Whether a tensor is an input of bytes, in this order or another."""
    while name in producers and producers[name].op_type in ("Transpose", "Reshape", "Identity"):
        name = producers[name].input[0]
    return any(given.name == name and given.type.tensor_type.elem_type == TensorProto.UINT8 for given in graph.input)
