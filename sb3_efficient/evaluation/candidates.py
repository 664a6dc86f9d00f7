"""What can stand in a row of the report: SB3 models, and compressed policies on an engine."""

from __future__ import annotations

from math import prod

from onnx import GraphProto, TensorProto
from sb3_contrib.qrdqn.policies import QRDQNPolicy
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_efficient.engines import ActingGraph, ActingNetwork, make_engine
from sb3_efficient.engines.eager import EagerEngine
from sb3_efficient.evaluation.compare import Candidate

#: Operators whose inputs but the first say how numbers are rounded, and are no parameters
_ROUNDING = ("QuantizeLinear", "DequantizeLinear")
#: The same of dynamic int8, as ONNX Runtime names them
_ENDINGS = ("_scale", "_zero_point")


def model_candidate(method: str, model: BaseAlgorithm, *, threads: int = 1) -> Candidate:
    """
    :param method: Name of the row
    :param model: Plain SB3; counted are the parameters that act, at four bytes each: no critic, no optimizer
    :param threads: Of torch
    """
    network = ActingNetwork(model)
    # QR-DQN's averages the quantiles in its last layer, where the policy has all of them
    acting = model.policy.quantile_net if isinstance(model.policy, QRDQNPolicy) else network
    parameters = sum(p.numel() for p in acting.parameters())
    return Candidate(method, model, EagerEngine(network, threads), 4 * parameters, parameters)


def graph_candidate(
    method: str, policy: ActingGraph, n_bytes: int, *, engine: str = "onnxruntime", threads: int = 1
) -> Candidate:
    """
    :param method: Name of the row
    :param policy: Compressed
    :param n_bytes: Of its file
    :param engine: Name of the engine that runs it
    :param threads: Of the engine
    """
    runs = make_engine(policy, engine, threads=threads)
    return Candidate(method, runs, runs, n_bytes, _parameters(policy.proto.graph))


def _parameters(graph: GraphProto) -> int:
    """Without the numbers by which others are rounded, divided and reshaped."""
    rounding = {name for node in graph.node if node.op_type in _ROUNDING for name in node.input[1:]}
    tensors = (t for t in graph.initializer if t.dims and t.data_type != TensorProto.INT64)
    return sum(prod(t.dims) for t in tensors if t.name not in rounding and not t.name.endswith(_ENDINGS))
