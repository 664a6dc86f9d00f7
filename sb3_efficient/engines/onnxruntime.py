"""ONNX Runtime: the default, and the fast one for int8. The one file that runs networks with it."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort

from sb3_efficient.cpu import int8_overflows
from sb3_efficient.engines.base import Engine
from sb3_efficient.engines.graph import ActingGraph, to_graph
from sb3_efficient.engines.network import ActingNetwork
from sb3_efficient.engines.pixel_blocks import block_pixels


class OnnxRuntimeEngine(Engine):
    """
    :param source: Network, or a graph of one
    :param threads: Of each session; one runs in the thread that calls
    """

    def __init__(self, source: ActingNetwork | ActingGraph, threads: int) -> None:
        graph = to_graph(source)
        super().__init__(graph, threads)
        proto, self._blocks = block_pixels(graph.proto)
        self._session = session(proto.SerializeToString(), threads)

    def _run(self, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        blocks = {name: rearranged(feed[name]) for name, rearranged in self._blocks.items()}
        return self._session.run(self._outputs, feed | blocks)


def run_file(content: bytes, outputs: list[str], feed: dict[str, np.ndarray]) -> list[np.ndarray]:
    """
    Compute any ONNX file once.

    :param content: Of the file
    :param outputs: Names
    :param feed: A batch for each input
    """
    return session(content, 1).run(outputs, feed)


def session(content: bytes, threads: int) -> ort.InferenceSession:
    """
    :param content: Of an ONNX file
    :param threads: One runs in the thread that calls
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    # Errors come as exceptions
    options.log_severity_level = 4
    if int8_overflows():
        # A little slower; with VNNI, where nothing overflows, half as fast
        options.add_session_config_entry("session.x64quantprecision", "1")
    return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
