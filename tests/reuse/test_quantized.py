"""Reuse of quantized networks is exact: bit by bit that of a dense evaluation."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch as th
from agents import Images, agent, images
from gymnasium import spaces
from onnx import helper
from played import frames
from stable_baselines3 import DQN, PPO, SAC, TD3
from torch import nn
from whole_numbers import dense

from sb3_efficient import compress, make_engine, policy_kwargs
from sb3_efficient.compression import CompressedPolicy
from sb3_efficient.engines.rest import rest
from sb3_efficient.envs import AleVecEnv
from sb3_efficient.errors import OptionError
from sb3_efficient.extractors import EncoderExtractor
from sb3_efficient.reuse.changes.quantized import QuantizedConvolution
from sb3_efficient.reuse.changes.quantized_graph import read_graph
from sb3_efficient.reuse.changes.window import window

NETWORKS: dict[str, dict[str, Any]] = {
    "nature": {"name": "nature"},
    "pruned": {"name": "nature", "channels": (13, 24, 35), "features_dim": 100},
    "small": {"name": "nn-bench-small"},
    "tiny": {"name": "tiny-rl"},
    "conv2": {"name": "reuse-conv", "base": "conv2", "filters": 5, "kernel": 5, "stride": 2},
    "impala": {"name": "impala"},
    "strided": {"name": "impala", "downsample": "strided", "width": 0.6},
    "impoola": {"name": "impoola"},
    "adaptive": {"name": "impala", "pool": "adaptive-max-6", "width": 2},
    "pruned impala": {"name": "impala", "channels": (9, 3, 9, 20, 9, 17, 5, 17, 8, 17)},
}


@cache
def policy(network: str, algorithm: Any = PPO) -> CompressedPolicy:
    env = AleVecEnv("PongNoFrameskip-v4", n_envs=1, seed=0)
    options = {"buffer_size": 8} if algorithm is DQN else {}
    kwargs = policy_kwargs(algo=algorithm, **NETWORKS[network])
    model = algorithm("CnnPolicy", env, policy_kwargs=kwargs, device="cpu", seed=0, **options)
    return compress(model, "static-int8", calibration=frames("Pong", 60)[:, 0])


@pytest.mark.parametrize("game", ["Pong", "Seaquest", "Breakout"])
@pytest.mark.parametrize("network", NETWORKS)
def test_every_output_is_that_of_the_dense_network(network: str, game: str) -> None:
    compressed, played = policy(network), frames(game, 300)[:: 1 if network == "nature" else 5]
    engine, runtime = make_engine(compressed, "reuse"), compressed.engine()
    for i, batch in enumerate(played):
        found = engine.outputs(batch)["logits"]
        if i % 10 == 0:
            np.testing.assert_array_equal(found, dense(compressed, batch))
        np.testing.assert_array_equal(found, runtime.outputs(batch)["logits"])


@pytest.mark.parametrize("network", ["nature", "impala"])
def test_in_any_order_of_any_environments(network: str) -> None:
    compressed, played = policy(network), np.concatenate([frames(g, 300)[:, 0] for g in ("Pong", "Seaquest")])
    engine, rng = make_engine(compressed, "reuse"), np.random.default_rng(0)
    for n in (1, 3, 2, 5, 1, 4):
        batch = played[rng.integers(0, len(played), n)]
        np.testing.assert_array_equal(engine.outputs(batch)["logits"], dense(compressed, batch))
        np.testing.assert_array_equal(engine.outputs(batch)["logits"], dense(compressed, batch))
    plan = engine.plan  # type: ignore[attr-defined]
    assert "int8, " in str(plan)
    assert plan.dense_int8_is_faster in (None, False)
    assert len(engine.seen(0)) == (4 if network == "nature" else 19)  # type: ignore[attr-defined]


def test_action_values() -> None:
    compressed, played = policy("nature", DQN), frames("Pong", 60)
    engine = make_engine(compressed, "reuse")
    for batch in played[::10]:
        np.testing.assert_array_equal(engine.outputs(batch)["q_values"], dense(compressed, batch))
        actions = engine.predict(batch, deterministic=True)[0]
        np.testing.assert_array_equal(actions, dense(compressed, batch).argmax(axis=1))


@pytest.mark.parametrize(
    ("algorithm", "options"),
    [
        # Deviations that no image changes
        (PPO, {}),
        (PPO, {"net_arch": [24]}),
        # Mean and deviation are two layers that read the same
        (SAC, {}),
        (SAC, {"net_arch": []}),
        (TD3, {}),
        # Not rounded to bytes behind the first linear layer, which is behind the convolutions here
        (PPO, {**policy_kwargs("conv2", PPO), "net_arch": [24]}),
        (PPO, policy_kwargs("conv2", PPO)),
    ],
)
def test_whatever_is_behind_the_first_linear_layer(algorithm: Any, options: dict[str, Any]) -> None:
    env, buffer = Images(spaces.Box(-1, 1, (2,))), {} if algorithm is PPO else {"buffer_size": 8}
    model = algorithm("CnnPolicy", env, policy_kwargs=options, device="cpu", seed=0, **buffer)
    compressed = compress(model, "static-int8", calibration=images(32))
    engine, runtime = make_engine(compressed, "reuse"), compressed.engine()
    for n in (1, 3, 2):
        found, expected = engine.outputs(images(n)), runtime.outputs(images(n))
        assert [*found] == [*expected]
        for name, values in found.items():
            np.testing.assert_array_equal(values, expected[name])
        assert engine.predict(images(n), deterministic=True)[0].shape == (n, 2)


def test_layers_beside_the_one_that_is_computed_are_refused() -> None:
    proto = policy("impala").proto
    addition = next(node for node in proto.graph.node if node.op_type == "Add")
    branch = next(node for node in proto.graph.node if node.output[0] == addition.input[1])
    with pytest.raises(OptionError, match="wants one row of layers behind the image .* and found others beside it"):
        rest(proto, branch.input[0])


def test_compressed_policies_that_it_does_not_know_are_refused() -> None:
    with pytest.raises(OptionError, match=r"residuals and linear layers in static-int8, and found Cast \(.*: take"):
        make_engine(compress(agent(), "dynamic-int8"), "reuse")
    engine: Any = make_engine(policy("small"), "reuse")
    with pytest.raises(OptionError, match="A compressed policy keeps its weights: compress the model again, and"):
        engine.refresh(agent())


class Own(EncoderExtractor):
    def __init__(self, space: spaces.Space, layers: list[nn.Module]) -> None:
        super().__init__(space, nn.Sequential(*layers, nn.Flatten()), {"features_dim": 16})


class Added(nn.Module):
    """To a convolution its input, or the means of that."""

    def __init__(self, channels: int, means: bool) -> None:
        super().__init__()
        self.conv, self.means = nn.Conv2d(channels, channels, 3, padding=1), means

    def forward(self, x: th.Tensor) -> th.Tensor:
        return (x.mean(dim=(2, 3), keepdim=True) if self.means else x) + self.conv(x)


class Doubled(nn.Module):
    """To a convolution its own positive part."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 16, 4, 4)

    def forward(self, x: th.Tensor) -> th.Tensor:
        x = self.conv(x)
        return x + th.relu(x)


class Halves(nn.Module):
    """Two rows of each map, and one again behind the first linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.flat, self.linear = nn.Flatten(), nn.Linear(8 * 81, 8)

    def forward(self, x: th.Tensor) -> th.Tensor:
        return th.relu(self.linear(self.flat(x).reshape(-1, 8 * 81))).reshape(-1, 16)


class View(nn.Module):
    def forward(self, x: th.Tensor) -> th.Tensor:
        return x.reshape(-1, 4, 18, 18)


@pytest.mark.parametrize(
    ("layers", "found"),
    [
        ([nn.Conv2d(2, 16, 4, 4), nn.ReLU(), Added(16, True), nn.ReLU()], "Add"),
        ([Added(2, False), nn.ReLU(), nn.Conv2d(2, 16, 4, 4), nn.ReLU()], "Add"),
        ([nn.Conv2d(2, 16, 4, 4), nn.ReLU(), View(), nn.Conv2d(4, 8, 3), nn.ReLU()], "Conv"),
        ([Doubled(), nn.ReLU()], "Add"),
        ([nn.Conv2d(2, 16, 4, 4), nn.ReLU(), Halves()], "Gemm"),
    ],
)
def test_networks_that_only_look_alike_are_refused(layers: list[nn.Module], found: str) -> None:
    kwargs = {"features_extractor_class": Own, "features_extractor_kwargs": {"layers": layers}}
    model = PPO("CnnPolicy", Images(), policy_kwargs=kwargs, device="cpu")
    with pytest.raises(OptionError, match=rf"and found {found} \("):
        make_engine(compress(model, "static-int8", calibration=images(32)), "reuse")


@pytest.mark.parametrize(("option", "value"), [("group", 2), ("kernel_shape", [3, 5]), ("strides", [1, 2])])
def test_convolutions_that_it_does_not_know_are_refused(option: str, value: Any) -> None:
    compressed = policy("small")
    graph = type(compressed.proto.graph)()
    graph.CopyFrom(compressed.proto.graph)
    node = next(node for node in graph.node if node.op_type == "Conv")
    (found,) = (attribute for attribute in node.attribute if attribute.name == option)
    found.CopyFrom(helper.make_attribute(option, value))
    with pytest.raises(OptionError, match=r"and found Conv \(relu\): take the engine"):
        read_graph(graph, (4, 84, 84))


def test_large_convolutions_are_named_briefly() -> None:
    layer = QuantizedConvolution(np.zeros((2, 4, 99, 99), np.int8), *[np.zeros(2)] * 2, 0, (1, 1), (0, 0))
    with pytest.raises(OptionError, match=r"know a convolution in int8 \(kernel \(99, 99\), stride \(1, 1\)"):
        window(layer)
