"""The network in torch: the reference that the other engines are compared with."""

from __future__ import annotations

import numpy as np
import torch as th

from sb3_efficient.engines.base import Engine
from sb3_efficient.engines.graph import ActingGraph
from sb3_efficient.engines.network import ActingNetwork
from sb3_efficient.errors import OptionError
from sb3_efficient.threads import torch_threads


class EagerEngine(Engine):
    """
    :param source: Network
    :param threads: torch has one number of threads a process, which is set during every call
    """

    last_steps = ()

    def __init__(self, source: ActingNetwork | ActingGraph, threads: int) -> None:
        if isinstance(source, ActingGraph):
            raise OptionError(
                "The engine 'eager' computes the network of a Stable-Baselines3 model, and this is a compressed "
                "policy: use 'onnxruntime', 'openvino' or, of static-int8, 'reuse'."
            )
        super().__init__(source, threads)
        self._network = source

    def _run(self, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        with torch_threads(self.threads), th.inference_mode():
            outputs = self._network(*(th.as_tensor(feed[name]) for name in self._inputs))
            return [output.numpy() for output in outputs]
