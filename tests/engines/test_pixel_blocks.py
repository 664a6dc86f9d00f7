"""Int8 graphs that take their images as blocks: the same numbers, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.envs import FakeImageEnv
from torch import nn

from sb3_efficient import compress, make_engine, policy_kwargs
from sb3_efficient.engines.onnxruntime import run_file
from sb3_efficient.engines.pixel_blocks import Blocks, block_pixels
from sb3_efficient.extractors import EncoderExtractor


def model(network: str, shape: tuple[int, int, int], **options: Any) -> PPO:
    channels, height, width = shape
    env = FakeImageEnv(screen_height=height, screen_width=width, n_channels=channels, channel_first=True)
    return PPO("CnnPolicy", env, policy_kwargs=policy_kwargs(network, PPO, **options), n_steps=8, batch_size=8, seed=0)


def some(n: int, shape: tuple[int, int, int]) -> np.ndarray:
    return np.random.default_rng(n).integers(0, 256, (n, *shape), dtype=np.uint8)


@pytest.mark.parametrize(
    ("network", "shape", "side"),
    [
        ("nature", (4, 84, 84), 4),
        ("nature", (3, 41, 46), 4),
        ("nn-bench-small", (1, 36, 40), 4),
        ("reuse-conv", (4, 36, 36), 2),
    ],
)
def test_outputs_are_equal_bit_by_bit(network: str, shape: tuple[int, int, int], side: int) -> None:
    options = {"kernel": 4, "stride": 2, "features_dim": 16} if network == "reuse-conv" else {"features_dim": 16}
    policy = compress(model(network, shape, **options), "static-int8", calibration=some(32, shape))
    engine = policy.engine()
    assert {name: blocks.side for name, blocks in engine._blocks.items()} == {"observation": side}  # type: ignore[attr-defined]
    for n in (1, 3, 17):
        (plain,) = run_file(policy.proto.SerializeToString(), ["logits"], {"observation": some(n, shape)})
        np.testing.assert_array_equal(engine.outputs(some(n, shape))["logits"], plain)
    # What is handed over is nobody else's
    images = some(2, shape)
    engine.outputs(images)
    np.testing.assert_array_equal(images, some(2, shape))


def test_the_graph_itself_stays_as_it_is() -> None:
    policy = compress(model("nature", (4, 36, 36)), "static-int8", calibration=some(32, (4, 36, 36)))
    before = policy.proto.SerializeToString()
    graph, blocks = block_pixels(policy.proto)
    assert policy.proto.SerializeToString() == before
    assert blocks == {"observation": Blocks(side=4, rows=36, columns=36)}
    assert [d.dim_value for d in graph.graph.input[0].type.tensor_type.shape.dim[1:]] == [9, 9, 64]


def test_other_graphs_take_pixels() -> None:
    impala, images = model("impala", (4, 36, 36)), some(32, (4, 36, 36))
    assert block_pixels(compress(impala, "static-int8", calibration=images).proto)[1] == {}
    nature = model("nature", (4, 36, 36))
    assert block_pixels(compress(nature, "dynamic-int8").proto)[1] == {}
    engine = make_engine(nature, "onnxruntime")
    assert engine._blocks == {}  # type: ignore[attr-defined]


class Own(EncoderExtractor):
    def __init__(self, observation_space: spaces.Box, **options: Any) -> None:
        cnn = nn.Sequential(nn.Conv2d(4, 8, 8, 4, **options), nn.ReLU(), nn.Flatten())
        super().__init__(observation_space, cnn, {"features_dim": 16})


@pytest.mark.parametrize(
    ("options", "has_blocks"), [({}, True), ({"padding": 2}, False), ({"dilation": 2}, False), ({"groups": 2}, False)]
)
def test_convolutions_on_all_pixels_only(options: dict[str, int], has_blocks: bool) -> None:
    env = FakeImageEnv(screen_height=36, screen_width=36, n_channels=4, channel_first=True)
    kwargs = {"features_extractor_class": Own, "features_extractor_kwargs": options}
    policy = compress(PPO("CnnPolicy", env, policy_kwargs=kwargs), "static-int8", calibration=some(32, (4, 36, 36)))
    assert bool(block_pixels(policy.proto)[1]) == has_blocks


def test_blocks_hold_pixels_channel_by_channel() -> None:
    images = some(2, (3, 9, 8))
    blocks = Blocks(side=4, rows=8, columns=8)(images)
    assert blocks.shape == (2, 2, 2, 48)
    np.testing.assert_array_equal(blocks[1, 1, 0].reshape(3, 4, 4), images[1, :, 4:8, 0:4])
