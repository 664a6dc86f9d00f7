from __future__ import annotations

import numpy as np
import pytest
from onnx import GraphProto, TensorProto, helper

from sb3_efficient.onnx_graph import add_constant, attributes, constant, constants, makers, rename, users


@pytest.fixture
def graph() -> GraphProto:
    """(a * two) -> b, then -> c, without their maximum over the last axis."""
    nodes = [
        helper.make_node("Mul", ["a", "two"], ["b"], "product"),
        helper.make_node("ReduceMax", ["b"], ["c"], "largest", axes=[1], keepdims=0),
    ]
    floats = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "ac"]
    made = helper.make_graph(nodes, "graph", floats[:1], floats[1:])
    assert add_constant(made, "two", np.float32(2)) == "two"
    return made


def test_who_makes_and_who_reads(graph: GraphProto) -> None:
    assert {name: node.name for name, node in makers(graph).items()} == {"b": "product", "c": "largest"}
    assert {name: [node.name for node in read] for name, read in users(graph).items()} == {
        "a": ["product"],
        "two": ["product"],
        "b": ["largest"],
    }
    assert attributes(makers(graph)["c"]) == {"axes": [1], "keepdims": 0}


def test_constants(graph: GraphProto) -> None:
    assert [*constants(graph)] == ["two"]
    assert constant(graph, "two") == 2
    assert constant(graph, "a") is None


def test_other_names(graph: GraphProto) -> None:
    rename(graph, "b", "middle")
    assert makers(graph)["middle"].name == "product"
    assert [node.name for node in users(graph)["middle"]] == ["largest"]
    assert graph.output[0].name == "c"
