"""OpenVINO, an extra: faster than ONNX Runtime in large batches. The one file that knows it."""

from __future__ import annotations

import warnings

import numpy as np

from sb3_efficient.cpu import int8_overflows
from sb3_efficient.engines.base import Engine
from sb3_efficient.engines.graph import ActingGraph, to_graph
from sb3_efficient.engines.network import ActingNetwork
from sb3_efficient.errors import MissingExtraError

try:
    import openvino
except ImportError as error:
    raise MissingExtraError(
        "The engine 'openvino' needs the package openvino, which is not installed: "
        "pip install 'sb3-efficient[openvino]', or use the engine 'onnxruntime'."
    ) from error


class OpenVinoEngine(Engine):
    """
    :param source: Network, or a graph of one
    :param threads: Of each engine
    """

    def __init__(self, source: ActingNetwork | ActingGraph, threads: int) -> None:
        graph = to_graph(source)
        super().__init__(graph, threads)
        if int8_overflows() and any(node.op_type == "QuantizeLinear" for node in graph.proto.graph.node):
            warnings.warn(
                "OpenVINO adds products of int8 in 16 bits on this CPU (it has no VNNI), where they overflow, and the "
                "policy acts otherwise than it was measured: take the engine 'onnxruntime' or 'reuse'.",
                stacklevel=2,
            )
        core = openvino.Core()
        model = core.read_model(graph.proto.SerializeToString())
        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            # Otherwise bf16 where the CPU has it
            "INFERENCE_PRECISION_HINT": "f32",
        }
        self._request = core.compile_model(model, "CPU", settings).create_infer_request()

    def _run(self, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        results = self._request.infer(feed)
        return [results[name] for name in self._outputs]
