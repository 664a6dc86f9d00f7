"""
Fewer bits for trained weights: int8 and float16. The one file that quantizes with ONNX Runtime.

Static methods compute in the narrow format; dynamic ones store weights in it and leave activations in float32.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, TensorProto, helper, numpy_helper

from sb3_efficient.compression import int8_graph
from sb3_efficient.compression.recipe import LastMethod, register_method
from sb3_efficient.engines import ActingGraph
from sb3_efficient.engines.network import input_spaces
from sb3_efficient.onnx_graph import rename
from sb3_efficient.options import whole_number

#: Images that are calibrated with at once
CHUNK = 32


@register_method("static-int8")
@dataclass(frozen=True)
class StaticInt8(LastMethod):
    """
    Weights and activations in 8 bits, from the image to the last layer, whose outputs are float32.

    Weights: int8, one scale an output channel. Activations: uint8, one scale and zero point a layer, from the mean of
    their ranges over batches of 32 calibration observations. Images are uint8 already and enter as they are.
    CPUs without VNNI (AMD's before Zen 4) have a faster way that adds two products in 16 bits, which overflow: engines
    here do without it. There, sessions of ONNX Runtime that are made otherwise need ``session.x64quantprecision`` set
    to 1.

    :param images: Of the calibration observations at most so many are looked at: more of them change little
    """

    images: int = 1024
    needs_observations: ClassVar[bool] = True

    def __post_init__(self) -> None:
        whole_number("images", self.images)

    def convert(self, graph: ActingGraph, observations: np.ndarray | None) -> ModelProto:
        """See :class:`LastMethod`."""
        from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

        class Batches(CalibrationDataReader):
            def __init__(self, batches: Iterator[dict[str, np.ndarray]]) -> None:
                self._rest = batches

            def get_next(self) -> dict[str, np.ndarray] | None:
                return next(self._rest, None)

        assert observations is not None
        batches = Batches(self.batches(next(iter(input_spaces(graph.observation_space))), observations))
        prepared = _prepared(graph.proto)
        int8_graph.pool_whole_maps(prepared.graph)
        positive = int8_graph.clipped(prepared.graph)
        quantized = _in_a_file(
            lambda path: quantize_static(
                prepared,
                path,
                batches,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                op_types_to_quantize=list(int8_graph.INT8),
                nodes_to_exclude=int8_graph.under_logarithms(prepared.graph),
                # The mean of a few maxima is less at the mercy of one picture than the maximum of all
                extra_options={"CalibMovingAverage": True},
            )
        )
        int8_graph.feed_pixels(quantized.graph)
        int8_graph.clip_in_int8(quantized.graph)
        int8_graph.match_biases(quantized.graph)
        int8_graph.keep_outputs_float(quantized.graph, positive)
        int8_graph.drop_unused(quantized.graph)
        return quantized

    def batches(self, name: str, observations: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
        """
        :param name: Of the network's input
        :param observations: (N, C, H, W)
        :return: What ONNX Runtime is to look at: from all parts of them, in batches of one size, or nearly
        """
        n = min(len(observations), self.images)
        rows = np.linspace(0, len(observations) - 1, n).astype(int)
        yield from ({name: observations[part]} for part in np.array_split(rows, -(-n // CHUNK)))


@register_method("dynamic-int8")
@dataclass(frozen=True)
class DynamicInt8(LastMethod):
    """Weights of dense layers in int8; what they are multiplied with is rounded to 8 bits batch by batch."""

    def convert(self, graph: ActingGraph, observations: np.ndarray | None) -> ModelProto:
        """See :class:`LastMethod`."""
        from onnxruntime.quantization import QuantType, quantize_dynamic

        prepared = _prepared(graph.proto)
        # It names those anew that it writes as a product and a sum
        excluded = [name + made for name in int8_graph.under_logarithms(prepared.graph) for made in ("", "_MatMul")]
        return _in_a_file(
            lambda path: quantize_dynamic(
                prepared, path, ["MatMul"], per_channel=True, weight_type=QuantType.QInt8, nodes_to_exclude=excluded
            )
        )


@register_method("dynamic-float16")
@dataclass(frozen=True)
class DynamicFloat16(LastMethod):
    """Weights stored in 2 bytes and computed with in float32: runtimes widen them once, when they load."""

    def convert(self, graph: ActingGraph, observations: np.ndarray | None) -> ModelProto:
        """See :class:`LastMethod`."""
        inner = graph.proto.graph
        for tensor in inner.initializer:
            if tensor.data_type == TensorProto.FLOAT and len(tensor.dims) > 1:
                widen = helper.make_node("Cast", [f"{tensor.name}_float16"], [tensor.name], to=TensorProto.FLOAT)
                narrow = numpy_helper.to_array(tensor).astype(np.float16)
                tensor.CopyFrom(numpy_helper.from_array(narrow, f"{tensor.name}_float16"))
                inner.node.insert(0, widen)
        return graph.proto


@register_method("static-float16")
@dataclass(frozen=True)
class StaticFloat16(LastMethod):
    """
    Weights and activations in float16. Where the CPU has no float16 arithmetic, which is most of them, runtimes
    compute in float32 and round in between: the file is half as large and nothing is faster.
    """

    def convert(self, graph: ActingGraph, observations: np.ndarray | None) -> ModelProto:
        """See :class:`LastMethod`."""
        _narrow(graph.proto.graph)
        return graph.proto


def _narrow(graph: GraphProto) -> None:
    # Regions and scales stay float32, whatever is resized
    wide = {name for node in graph.node if node.op_type == "Resize" for name in node.input[1:]}
    for tensor in graph.initializer:
        if tensor.name not in wide:
            _narrow_tensor(tensor)
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.FLOAT16
            if node.op_type in ("Constant", "ConstantOfShape") and wide.isdisjoint(node.output):
                _narrow_tensor(attribute.t)
    for value in graph.input:
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            rename(graph, value.name, f"{value.name}_float16")
            graph.node.insert(
                0, helper.make_node("Cast", [value.name], [f"{value.name}_float16"], to=TensorProto.FLOAT16)
            )
    for value in graph.output:
        rename(graph, value.name, f"{value.name}_float16")
        graph.node.append(helper.make_node("Cast", [f"{value.name}_float16"], [value.name], to=TensorProto.FLOAT))
    del graph.value_info[:]


def _narrow_tensor(tensor: TensorProto) -> None:
    if tensor.data_type == TensorProto.FLOAT:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name))


def _prepared(proto: ModelProto) -> ModelProto:
    """A copy, for the quantizer moves weights out of what it is given; marked as cleaned up, as exported graphs are."""
    copy = ModelProto()
    copy.CopyFrom(proto)
    # The quantizer infers shapes itself, and stumbles over those of weights that it has transposed
    del copy.graph.value_info[:]
    int8_graph.take_factors_in(copy.graph)
    helper.set_model_props(copy, {"onnx.quant.pre_process": "onnxruntime.quant"})
    return copy


def _in_a_file(quantize: Callable[[Path], Any]) -> ModelProto:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        quantize(path)
        return onnx.load(path)
