"""The acting network as an ONNX graph: what other runtimes compute, and what compression works on."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch as th
from gymnasium import spaces
from onnx import ModelProto

from sb3_efficient.engines.head import Head
from sb3_efficient.engines.network import ActingNetwork

#: Version of the operators: old enough for every runtime in use, and with uint8 in all that int8 networks need
OPSET = 20


@dataclass(frozen=True, eq=False)
class ActingGraph:
    """
    :param proto: ONNX; its inputs are observations as the environment gives them, with any number of them
    :param head: How outputs become actions
    :param observation_space: Of the policy
    """

    proto: ModelProto = field(repr=False)
    head: Head
    observation_space: spaces.Space

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return tuple(output.name for output in self.proto.graph.output)


def to_graph(network: ActingNetwork) -> ActingGraph:
    """
    :param network: Stays as it is
    :return: The same as a graph
    """
    # With a batch of one the exporter takes the one for a constant
    examples = tuple(th.as_tensor(np.zeros((2, *(s.shape or ())), s.dtype)) for s in network.inputs.values())
    with _quiet_exporter():
        program = th.onnx.export(
            network,
            examples,
            input_names=list(network.inputs),
            output_names=list(network.outputs),
            dynamic_shapes=(tuple({0: th.export.Dim("B")} for _ in examples),),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    for node in proto.graph.node:
        # Lines of source code, with their paths
        del node.metadata_props[:]
        node.doc_string = ""
    for value in proto.graph.value_info:
        del value.metadata_props[:]
    return ActingGraph(proto, network.head, network.observation_space)


@contextlib.contextmanager
def _quiet_exporter() -> Iterator[None]:
    """It tells of torchvision's absence, and of what is going to change inside torch."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.filterwarnings("ignore", message="# The axis name")
            yield
    finally:
        logger.setLevel(level)
