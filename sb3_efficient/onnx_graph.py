"""Look-ups in graphs of ONNX, and what changes them in place."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import GraphProto, NodeProto, helper, numpy_helper


def makers(graph: GraphProto) -> dict[str, NodeProto]:
    """
    :return: Tensor -> the node that gives it; inputs of the graph and constants have none
    """
    return {name: node for node in graph.node for name in node.output}


def users(graph: GraphProto) -> dict[str, list[NodeProto]]:
    """
    :return: Tensor -> the nodes that read it
    """
    found: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            found.setdefault(name, []).append(node)
    return found


def constants(graph: GraphProto) -> dict[str, Any]:
    """
    :return: Name -> initializer, which :func:`onnx.numpy_helper.to_array` reads
    """
    return {tensor.name: tensor for tensor in graph.initializer}


def constant(graph: GraphProto, name: str) -> np.ndarray | None:
    """
    :return: Value of an initializer; None where the name is that of something else
    """
    tensor = constants(graph).get(name)
    return None if tensor is None else numpy_helper.to_array(tensor)


def add_constant(graph: GraphProto, name: str, value: np.ndarray | np.generic) -> str:
    """
    :param name: Not taken yet
    :return: The name
    """
    graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    return name


def attributes(node: NodeProto) -> dict[str, Any]:
    """
    :return: By name
    """
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def rename(graph: GraphProto, old: str, new: str) -> None:
    """Let all nodes say ``new`` where they said ``old``; inputs and outputs of the graph keep their names."""
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]
