"""The acting network as an ONNX graph: what other runtimes compute, and what compression works on."""

from __future__ import annotations

import contextlib
import io
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
from sb3_efficient.engines.probe import random_observations
from sb3_efficient.errors import OptionError

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


def to_graph(network: ActingNetwork | ActingGraph) -> ActingGraph:
    """
    :param network: Stays as it is
    :return: The same as a graph
    """
    if isinstance(network, ActingGraph):
        return network
    if shared := {*network.inputs} & {*network.outputs}:
        raise OptionError(
            f"The observation {shared.pop()!r} has the name of an output of the network: give it another name in the "
            "dictionary of observations."
        )
    # With a batch of one the exporter takes the one for a constant
    examples = tuple(th.as_tensor(np.zeros((2, *(s.shape or ())), s.dtype)) for s in network.inputs.values())
    proto = _exported(network, examples)
    _rename(proto, network)
    for node in proto.graph.node:
        # Lines of source code, with their paths
        del node.metadata_props[:]
        node.doc_string = ""
    for value in proto.graph.value_info:
        del value.metadata_props[:]
    return ActingGraph(proto, network.head, network.observation_space)


def _exported(network: ActingNetwork, examples: tuple[th.Tensor, ...]) -> ModelProto:
    number = th.export.Dim("B")
    shapes = (tuple({0: number} for _ in examples),)
    try:
        with _quiet_exporter():
            # Given the network itself, the exporter of older torch takes the way of the examples through its branches
            traced = th.export.export(network, examples, dynamic_shapes=shapes, strict=False)
            _check_any_number(traced, network)
            program = th.onnx.export(
                traced,
                input_names=[f"in.{name}" for name in network.inputs],
                output_names=[f"out.{name}" for name in network.outputs],
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
    except OptionError:
        raise
    except Exception as error:
        if "Constraints violated" in str(error):
            raise _fixes_the_number(network) from error
        # Whatever torch says of what somebody has written
        reason = str(error.__cause__ or error).partition("\n")[0]
        raise OptionError(
            f"{_name(network)} cannot be written as a graph, which has no branches by what is in an image and keeps "
            f"nothing ({reason}): let the model itself predict, or the engine 'eager'."
        ) from error
    assert program is not None
    return program.model_proto


def _check_any_number(traced: th.export.ExportedProgram, network: ActingNetwork) -> None:
    """Torch takes it for granted that there are at least two, and what others wrote may do something else with one."""
    if not network.others:
        return
    again = traced.module()
    for n in (1, 3):
        observations = [th.as_tensor(values) for values in random_observations(network.inputs, n).values()]
        with th.no_grad():
            pairs = zip(network(*observations), again(*observations), strict=True)
            if not all(th.allclose(*pair, rtol=1e-3, atol=1e-4, equal_nan=True) for pair in pairs):
                raise _fixes_the_number(network)


def _fixes_the_number(network: ActingNetwork) -> OptionError:
    return OptionError(
        f"{_name(network)} fixes how many images there are at a time, as by len(x) in its forward, or does something "
        "else with some numbers of them: ask for x.shape[0] there, or let the model itself predict, or the engine "
        "'eager'."
    )


def _name(network: ActingNetwork) -> str:
    return " and ".join(network.others) or "The network"


def _rename(proto: ModelProto, network: ActingNetwork) -> None:
    """Plain names of inputs and outputs, which the exporter gives to its own values as well (``mean``, ``relu``)."""
    ends = {f"in.{name}": name for name in network.inputs} | {f"out.{name}": name for name in network.outputs}
    # export() adds the last one
    taken = {*ends.values(), "action"}

    def renamed(name: str) -> str:
        return ends.get(name, f"inside.{name}" if name in taken else name)

    graph = proto.graph
    for node in graph.node:
        node.input[:] = map(renamed, node.input)
        node.output[:] = map(renamed, node.output)
    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        value.name = renamed(value.name)


@contextlib.contextmanager
def _quiet_exporter() -> Iterator[None]:
    """It tells of torchvision's absence, of what is going to change inside torch, and prints graphs that it refuses."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.fx.experimental.symbolic_shapes")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.filterwarnings("ignore", message="# The axis name")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
