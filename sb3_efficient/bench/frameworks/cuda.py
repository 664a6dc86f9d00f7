"""
PyTorch on a GPU: as on the CPU, and as CUDA graphs, which spare it the launch of every single kernel.

Images come from the memory of the CPU and results go back there, which is counted, as in the source.
"""

from __future__ import annotations

from typing import Any

import torch as th

from sb3_efficient.bench.frameworks import Variant, pytorch
from sb3_efficient.bench.network import Network
from sb3_efficient.errors import UnavailableError

#: Calls before one is captured, so that libraries have chosen their kernels and made their workspaces
WARM_UP = 3


def variants(network: Network) -> dict[str, Variant]:
    """
    :param network: What is to be computed
    """
    if not th.cuda.is_available():
        raise UnavailableError("The framework 'cuda' needs a GPU that torch can compute on, and finds none.")
    graphs = pytorch.variant(*pytorch.plain(network, "cuda"), "'eager' as CUDA graphs", "cuda", Graphs)
    return {**pytorch.variants(network, "cuda"), "graphs": graphs}


class Graphs:
    """
    A function as CUDA graphs, one for all arguments of the same shapes: whole steps of training, too ("CUDA
    semantics", PyTorch's documentation).

    :param compute: Of tensors on the GPU; always the same kernels for the same shapes
    :param device: The GPU
    """

    def __init__(self, compute: pytorch.Compute, device: str) -> None:
        self._compute = compute
        self._device = device
        self._captured: dict[tuple[th.Size, ...], tuple[th.cuda.CUDAGraph, list[th.Tensor], th.Tensor]] = {}

    def __call__(self, *tensors: th.Tensor) -> th.Tensor:
        shapes = tuple(tensor.shape for tensor in tensors)
        if shapes not in self._captured:
            self._captured[shapes] = self._capture(*tensors)
        graph, places, result = self._captured[shapes]
        for place, tensor in zip(places, tensors, strict=True):
            place.copy_(tensor)
        graph.replay()
        return result

    def _capture(self, *tensors: Any) -> tuple[th.cuda.CUDAGraph, list[th.Tensor], th.Tensor]:
        places = [tensor.to(self._device) for tensor in tensors]
        stream = th.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(th.cuda.current_stream())
        with th.cuda.stream(stream):
            for _ in range(WARM_UP):
                self._compute(*places)
        th.cuda.current_stream().wait_stream(stream)
        graph = th.cuda.CUDAGraph()
        with th.cuda.graph(graph):
            result = self._compute(*places)
        return graph, places, result
