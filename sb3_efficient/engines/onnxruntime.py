"""ONNX Runtime: the default, and the fast one for int8. The one file that runs networks with it."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort

from sb3_efficient.engines.base import Engine
from sb3_efficient.engines.graph import ActingGraph, to_graph
from sb3_efficient.engines.network import ActingNetwork


class OnnxRuntimeEngine(Engine):
    """
    :param source: Network, or a graph of one
    :param threads: Of each session; one runs in the thread that calls
    """

    def __init__(self, source: ActingNetwork | ActingGraph, threads: int) -> None:
        graph = to_graph(source) if isinstance(source, ActingNetwork) else source
        super().__init__(graph.observation_space, graph.head, graph.outputs, threads)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        # Errors come as exceptions
        options.log_severity_level = 4
        content = graph.proto.SerializeToString()
        self._session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self._names = list(graph.outputs)

    def _run(self, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        return self._session.run(self._names, feed)
