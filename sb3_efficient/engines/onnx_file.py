"""
A policy as one ordinary ONNX file for other programs: observations in, images channel-first, and actions out.

Preprocessing (the division by 255) is in every graph of this package. What comes behind the network, SB3's
``predict(deterministic=True)``, is added here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from gymnasium import spaces
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy

from sb3_efficient.atomic import replace_file
from sb3_efficient.engines.eager import EagerEngine
from sb3_efficient.engines.graph import ActingGraph, to_graph
from sb3_efficient.engines.network import ActingNetwork, input_spaces
from sb3_efficient.engines.onnxruntime import OnnxRuntimeEngine, run_file
from sb3_efficient.engines.probe import observations_of, random_observations
from sb3_efficient.errors import ArtifactError, OptionError, briefly, suggestion

FORMAT = "onnx"


def export(model: BaseAlgorithm | BasePolicy | ActingGraph, path: str | Path) -> Path:
    """
    Write a policy for ONNX runtimes of any language. Outputs: ``action``, what SB3's ``predict`` gives
    deterministically, and the raw outputs of the network (``logits``, ``q_values``, ``mean`` and ``log_std``, or
    ``squashed_action``). The file is read again, and its actions compared with those of the policy, and its raw outputs
    with those of the model in torch.

    :param model: SB3 or sb3-contrib model, its policy, or a compressed policy
    :param path: Ends in ``.onnx``
    :return: The path
    """
    path = Path(path)
    source = model if isinstance(model, ActingGraph) else ActingNetwork(model)
    graph = to_graph(source)
    content = with_actions(graph).SerializeToString()
    feed = random_observations(input_spaces(graph.observation_space), 16)
    _compare_actions(graph, content, feed)
    if isinstance(source, ActingNetwork):
        _compare_outputs(EagerEngine(source, 1), content, feed)
    return replace_file(path, content)


def path_of(format: str | Path, path: str | Path | None = None) -> Path:
    """
    :param format: ``"onnx"``, or a path
    :param path: Where the first is the format; None for the default
    :return: Where the file shall lie
    """
    if format != FORMAT and path is None:
        format, path = FORMAT, format
    if format != FORMAT:
        raise OptionError(
            f"export knows the format {FORMAT!r}, got {str(format)!r}.{suggestion(str(format), [FORMAT])} "
            f"Write export(model, {FORMAT!r}, path=...)."
        )
    if not isinstance(path, (str, Path, type(None))):
        raise OptionError(f"export writes a file: its path must be text or a Path, got {briefly(path)}.")
    path = Path(f"policy.{FORMAT}" if path is None else path)
    if path.suffix != f".{FORMAT}":
        raise OptionError(
            f"export writes ONNX, so the name must end in .onnx, got {str(path)!r}."
            f"{suggestion(str(path), [FORMAT])} Write export(model, 'onnx', path='policy.onnx')."
        )
    return path


def with_actions(graph: ActingGraph) -> ModelProto:
    """
    :param graph: Stays as it is
    :return: The same with the output ``action`` in front of the others
    """
    proto = ModelProto()
    proto.CopyFrom(graph.proto)
    if "action" in {value.name for value in proto.graph.input}:
        raise OptionError(
            "The file gives its result the name 'action', which an observation has: give that one another name in the "
            "dictionary of observations."
        )
    raw = list(graph.outputs)
    if raw == ["action"]:
        for node in proto.graph.node:
            node.output[:] = ["squashed_action" if name == "action" else name for name in node.output]
        proto.graph.output[0].name = "squashed_action"
        raw = ["squashed_action"]
    space: Any = graph.head.action_space
    end = _End(proto)
    end.shaped(getattr(end, graph.head.kind.replace("-", "_"))(raw[0], space), space)
    # Those of SB3's predict
    dtypes: dict[Any, Any] = {spaces.Box: _computed_in(space), spaces.MultiBinary: np.float32}
    element = helper.np_dtype_to_tensor_dtype(np.dtype(dtypes.get(type(space), np.int64)))
    outputs = [helper.make_tensor_value_info("action", element, ["B", *space.shape]), *proto.graph.output]
    del proto.graph.output[:]
    proto.graph.output.extend(outputs)
    onnx.checker.check_model(proto)
    return proto


def _computed_in(space: spaces.Space) -> np.dtype:
    """Real actions of SB3, whatever their space holds: numpy's choice beside float32."""
    dtype: np.dtype = np.result_type(np.float32, space.dtype or np.float32)
    return dtype


class _End:
    """Adds the nodes of one head; the methods have the names of ``Head``'s kinds, and give the name of a tensor."""

    def __init__(self, proto: ModelProto) -> None:
        self.graph = proto.graph

    def categorical(self, logits: str, space: spaces.Discrete) -> str:
        return self._add("ArgMax", logits, axis=1, keepdims=0)

    greedy = categorical

    def multi_categorical(self, logits: str, space: spaces.MultiDiscrete) -> str:
        sizes = self._constant(space.nvec.ravel().astype(np.int64))
        blocks = [f"action/logits_{i}" for i in range(space.nvec.size)]
        self.graph.node.append(helper.make_node("Split", [logits, sizes], blocks, axis=1))
        return self._add("Concat", *(self._add("ArgMax", block, axis=1, keepdims=1) for block in blocks), axis=1)

    def bernoulli(self, logits: str, space: spaces.MultiBinary) -> str:
        return self._add("Cast", self._add("Greater", logits, self._constant(np.float32(0))), to=TensorProto.FLOAT)

    def gaussian(self, mean: str, space: spaces.Box) -> str:
        dtype = _computed_in(space)
        wide = self._add("Cast", mean, to=helper.np_dtype_to_tensor_dtype(dtype))
        low, high = (self._constant(bound.astype(dtype).reshape(1, -1)) for bound in (space.low, space.high))
        return self._add("Min", self._add("Max", wide, low), high)

    def squashed_gaussian(self, mean: str, space: spaces.Box) -> str:
        return self.deterministic(self._add("Tanh", mean), space)

    def deterministic(self, action: str, space: spaces.Box) -> str:
        dtype = _computed_in(space)
        wide = self._add("Cast", action, to=helper.np_dtype_to_tensor_dtype(dtype))
        low, high = (bound.astype(dtype).reshape(1, -1) for bound in (space.low, space.high))
        half, one = self._constant((high - low) * low.dtype.type(0.5)), self._constant(low.dtype.type(1))
        scaled = self._add("Mul", self._add("Add", wide, one), half)
        return self._add("Add", scaled, self._constant(low))

    def shaped(self, action: str, space: spaces.Space) -> None:
        """Give the actions the shape of their space."""
        shape = self._constant(np.array([-1, *(space.shape or ())], np.int64))
        self.graph.node.append(helper.make_node("Reshape", [action, shape], ["action"]))

    def _add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        name = self._new_name()
        node: NodeProto = helper.make_node(operator, list(inputs), [name], **attributes)
        self.graph.node.append(node)
        return name

    def _constant(self, value: Any) -> str:
        name = self._new_name()
        self.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def _new_name(self) -> str:
        return f"action/{len(self.graph.node) + len(self.graph.initializer)}"


def _compare_actions(graph: ActingGraph, content: bytes, feed: dict[str, np.ndarray]) -> None:
    """With those of the policy on ONNX Runtime, which computes the same numbers."""
    observations = observations_of(feed, graph.observation_space)
    expected, _ = OnnxRuntimeEngine(graph, 1).predict(observations, deterministic=True)
    (found,) = run_file(content, ["action"], feed)
    if found.shape != expected.shape or not np.allclose(found, expected, rtol=1e-4, atol=1e-5):
        raise ArtifactError("The exported network does not act as the policy does; nothing was written.")


def _compare_outputs(engine: EagerEngine, content: bytes, feed: dict[str, np.ndarray]) -> None:
    """With those of the model in torch, which rounds in another order: greedy actions may differ where two tie."""
    expected = list(engine.outputs(observations_of(feed, engine.observation_space)).values())
    names = [output.name for output in onnx.load_from_string(content).graph.output][1:]
    for name, one, other in zip(names, expected, run_file(content, names, feed), strict=True):
        if not np.allclose(other, one, rtol=1e-3, atol=1e-4 * (1 + np.abs(one).max())):
            error = np.abs(other - one).max()
            raise ArtifactError(f"The exported network's {name} differ from the model's by {error:g}; not written.")
