"""Residual networks in int8, on images of any size, with biases and zero points as training leaves them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from agents import Images, agent, images
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from played import frames
from stable_baselines3 import PPO
from stable_baselines3.common.envs import FakeImageEnv
from whole_numbers import dense

from sb3_efficient import compress, make_engine, policy_kwargs
from sb3_efficient.compression import CompressedPolicy
from sb3_efficient.engines.onnxruntime import run_file
from sb3_efficient.errors import OptionError
from sb3_efficient.reuse.changes.quantized import QuantizedSum
from sb3_efficient.reuse.changes.quantized_graph import read_graph

#: Of Impala and of NatureCNN, with the biases that training gave them
AGENTS = {"Pong": "PongNoFrameskip-v4_2", "Qbert": "QbertNoFrameskip-v4_1"}
OPTIONS: dict[tuple[int, int, int], dict[str, Any]] = {
    (1, 9, 90): {"depths": (3, 8)},
    (3, 37, 21): {"depths": (3, 20), "downsample": "strided"},
    (2, 64, 65): {"depths": (16, 5), "pool": "average"},
    (5, 47, 47): {"depths": (4, 33, 7), "pool": "adaptive-max-6"},
}


@cache
def policy(shape: tuple[int, int, int]) -> CompressedPolicy:
    channels, height, width = shape
    env = FakeImageEnv(screen_height=height, screen_width=width, n_channels=channels, channel_first=True)
    kwargs = policy_kwargs("impala", PPO, features_dim=24, **OPTIONS[shape])
    model = PPO("CnnPolicy", env, policy_kwargs=kwargs, device="cpu", seed=0)
    th.manual_seed(0)
    with th.no_grad():
        for parameter in model.policy.parameters():
            if parameter.ndim == 1:
                parameter.normal_(std=0.1)
    observations = np.random.default_rng(0).integers(0, 256, (48, *shape), np.uint8)
    return compress(model, "static-int8", calibration=observations)


@pytest.mark.parametrize("shape", OPTIONS)
@settings(deadline=None, max_examples=10)
@given(data=st.data())
def test_any_images_in_any_order(shape: tuple[int, int, int], data: st.DataObject) -> None:
    compressed, rng = policy(shape), np.random.default_rng(data.draw(st.integers(0, 9)))
    engine, runtime = make_engine(compressed, "reuse"), compressed.engine()
    batch = rng.integers(0, 256, (3, *shape), np.uint8)
    for _ in range(5):
        n = data.draw(st.integers(1, 3))
        batch[:, :, data.draw(st.integers(0, 8)) :: data.draw(st.integers(1, 50))] = data.draw(st.integers(0, 255))
        batch = batch[rng.permutation(3)]
        found = engine.outputs(batch[:n])["logits"]
        np.testing.assert_array_equal(found, dense(compressed, batch[:n]))
        np.testing.assert_array_equal(found, runtime.outputs(batch[:n])["logits"])


def test_nothing_and_everything_changed() -> None:
    compressed = compress(agent("ppo impala"), "static-int8", calibration=images(32))
    engine: Any = make_engine(compressed, "reuse")
    one, other = images(2)[:1], images(2)[1:]
    first = engine.outputs(one)["logits"]
    np.testing.assert_array_equal(engine.outputs(one)["logits"], first)
    assert all(not seen.computed.any() for seen in engine.seen())
    for batch in (other, 255 - other, one):
        np.testing.assert_array_equal(engine.outputs(batch)["logits"], dense(compressed, batch))
    assert all(seen.computed.all() for seen in engine.seen()[1:])


def test_large_batches_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """States that are new have padding that stands for zero."""
    compressed = policy((3, 37, 21))
    batch = np.random.default_rng(1).integers(0, 256, (5, 3, 37, 21), np.uint8)
    monkeypatch.setattr("sb3_efficient.reuse.changes.reuser.MEMORY", 300_000)
    np.testing.assert_array_equal(make_engine(compressed, "reuse").outputs(batch)["logits"], dense(compressed, batch))


@settings(deadline=None, max_examples=30)
@given(scales=st.tuples(*[st.floats(2**-9, 0.5, width=32)] * 3), zeros=st.tuples(*[st.integers(0, 255)] * 3))
def test_sums_are_those_of_onnx_runtime(scales: tuple[float, float, float], zeros: tuple[int, int, int]) -> None:
    """All pairs of bytes."""
    one, other = (grid.ravel() for grid in np.meshgrid(*[np.arange(256, dtype=np.uint8)] * 2))
    names, constants, nodes = ("one", "other", "sum"), [], []
    for name, scale, zero in zip(names, scales, zeros, strict=True):
        constants.append(numpy_helper.from_array(np.float32(scale), f"{name} scale"))
        constants.append(numpy_helper.from_array(np.uint8(zero), f"{name} zero"))
        before, operator = (f"{name} float", "Quantize") if name == "sum" else (name, "Dequantize")
        after = "result" if name == "sum" else f"{name} float"
        nodes.append(helper.make_node(f"{operator}Linear", [before, f"{name} scale", f"{name} zero"], [after]))
    nodes.insert(2, helper.make_node("Add", ["one float", "other float"], ["sum float"]))
    inputs = [helper.make_tensor_value_info(name, TensorProto.UINT8, [65536]) for name in names[:2]]
    outputs = [helper.make_tensor_value_info("result", TensorProto.UINT8, [65536])]
    graph = helper.make_graph(nodes, "sum", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (expected,) = run_file(model.SerializeToString(), ["result"], {"one": one, "other": other})
    residual, numbers, result = zip(np.float32(scales), zeros, strict=True)
    found = QuantizedSum.of(residual, numbers, result)(other, one)
    np.testing.assert_array_equal(found, expected)


def test_a_residual_that_is_no_convolution_is_refused() -> None:
    graph = type(policy((1, 9, 90)).proto.graph)()
    graph.CopyFrom(policy((1, 9, 90)).proto.graph)
    node = next(node for node in graph.node if node.op_type == "Add")
    node.input[:] = node.input[::-1]
    with pytest.raises(OptionError, match=r"residuals and linear layers in static-int8, and found Add \(add.*\): take"):
        read_graph(graph, (1, 9, 90))


def test_windows_that_differ_are_refused() -> None:
    """9 pixels do not fall into 6 windows of one size."""
    kwargs = policy_kwargs("impala", PPO, depths=(4, 4), pool="adaptive-max-6")
    model = PPO("CnnPolicy", Images(), policy_kwargs=kwargs, device="cpu", seed=0)
    with pytest.raises(OptionError, match=r"and found Add \(relu.*\): take the engine 'onnxruntime'"):
        make_engine(compress(model, "static-int8", calibration=images(32)), "reuse")


@pytest.mark.parametrize("game", ["Pong", "Qbert"])
def test_trained_agents(game: str) -> None:
    folder = Path(__file__).parents[2] / "examples" / "agents" / "ppo" / AGENTS[game]
    model = PPO.load(folder / f"{game}NoFrameskip-v4.zip", device="cpu")
    compressed = compress(model, "static-int8", calibration=frames(game, 60)[:, 0])
    engine, runtime = make_engine(compressed, "reuse"), compressed.engine()
    for i, batch in enumerate(frames(game, 200)):
        found = engine.outputs(batch)["logits"]
        if i % 40 == 0:
            np.testing.assert_array_equal(found, dense(compressed, batch))
        np.testing.assert_array_equal(found, runtime.outputs(batch)["logits"])
