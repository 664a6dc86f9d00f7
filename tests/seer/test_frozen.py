"""Images through the frozen layers, latents around them: the same features."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3 import DQN
from stable_baselines3.common.envs import FakeImageEnv
from stable_baselines3.common.vec_env import DummyVecEnv
from torch import nn

from sb3_efficient import accelerate, list_extractors, make_extractor
from sb3_efficient.errors import ObservationError
from sb3_efficient.extractors import EncoderExtractor, blocks
from sb3_efficient.fast.networks import FP32_BELOW
from sb3_efficient.seer.encoder import LatentEncoder
from sb3_efficient.seer.frozen import FrozenForward
from sb3_efficient.seer.stages import n_stages

SPACE = spaces.Box(0, 255, (2, 44, 40), np.uint8)
NAMES = [*list_extractors(), *list_extractors(papers=True)]
TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}


def images(batch: int = 5) -> th.Tensor:
    return th.randint(0, 256, (batch, *SPACE.shape), dtype=th.uint8)


def frozen(extractor: EncoderExtractor, depth: Any, dtype: th.dtype = th.float32, offset: int = 0) -> FrozenForward:
    return FrozenForward(extractor, extractor, True, depth, dtype, offset)


@pytest.mark.parametrize("name", NAMES)
def test_every_depth_gives_the_features_of_the_whole_network(name: str) -> None:
    # As many as are computed on blocks of pixels, where the first convolution can be
    extractor, batch = make_extractor(name, SPACE), images(blocks.LEAST)
    expected = extractor.project(extractor.cnn(extractor.pixels(batch)))
    for depth in (*range(1, n_stages(extractor) + 1), "conv", "features"):
        part = frozen(extractor, depth)
        latents = part.encode(batch)
        assert latents.shape == (blocks.LEAST, part.latent_dim)
        assert not latents.requires_grad
        th.testing.assert_close(part(batch), expected, **TOLERANCE)
        th.testing.assert_close(part(latents), expected, **TOLERANCE)


def test_threads_that_act_at_once() -> None:
    part = frozen(make_extractor("nature", SPACE), 2)
    batches = [images(3 + i % 2) for i in range(4)]
    alone = [part.encode(batch).clone() for batch in batches]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(4) as pool:
            for found, expected in zip(pool.map(part.encode, batches * 50), alone * 50, strict=True):
                th.testing.assert_close(found, expected)
    finally:
        sys.setswitchinterval(interval)


def test_acting_and_learning_see_the_same_numbers() -> None:
    part = frozen(make_extractor("nature", SPACE), 2, th.float16)
    batch = images()
    assert part.encode(batch).dtype == th.float16
    assert th.equal(part(batch), part(part.encode(batch)))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_float16_cannot_hold_is_as_large_as_it_can_be(precision: str) -> None:
    extractor, batch = make_extractor("nature", SPACE, precision=precision), images()
    part = frozen(extractor, 2, th.float16)
    with th.no_grad():
        extractor.cnn[2].bias.fill_(1e6)
    latents = part.encode(batch)
    assert (latents == th.finfo(th.float16).max).all()
    assert part(latents).isfinite().all()


def test_gradients_reach_the_rest_only() -> None:
    extractor = make_extractor("nature", SPACE)
    part = frozen(extractor, 2)
    part(part.encode(images())).sum().backward()
    assert [p.grad is not None for p in extractor.parameters()] == [False] * 4 + [True] * 4


def test_latents_lift_to_a_deeper_stage() -> None:
    extractor, batch = make_extractor("impala", SPACE), images()
    lower, upper = frozen(extractor, 1), frozen(extractor, "conv")
    th.testing.assert_close(lower.lift(lower.encode(batch), upper), upper.encode(batch), **TOLERANCE)


def test_each_extractor_owns_its_columns() -> None:
    extractor, batch = make_extractor("nature", SPACE), images()
    part = frozen(extractor, "conv", offset=7)
    side_by_side = th.cat([th.full((5, 7), 9.0), part.encode(batch), th.full((5, 3), 9.0)], dim=1)
    th.testing.assert_close(part(side_by_side), extractor(batch), **TOLERANCE)


def test_images_seen_a_moment_ago_are_not_encoded_again() -> None:
    part = frozen(make_extractor("nature", SPACE), "conv")
    rows: list[int] = []
    part.frozen.register_forward_hook(lambda _, inputs, __: rows.append(len(inputs[0])))
    first = images()
    latents = part.encode(first)
    assert th.equal(part.encode(first.clone()), latents)
    second = first.clone()
    second[3] = 255 - second[3]
    changed = part.encode(second)
    assert rows == [5, 1]
    assert th.equal(changed[[0, 1, 2, 4]], latents[[0, 1, 2, 4]])
    th.testing.assert_close(changed[3:4], part.encode(second[3:4]), **TOLERANCE)


def test_weights_put_in_the_place_of_others_are_noticed() -> None:
    extractor, batch = make_extractor("nature", SPACE), images()
    part = frozen(extractor, "conv")
    latents, version = part.encode(batch), part.version
    extractor.load_state_dict(make_extractor("nature", SPACE).state_dict(), assign=True)
    assert part.version != version
    assert not th.equal(part.encode(batch), latents)


@pytest.mark.parametrize("n_envs", [1, 8])
def test_the_number_format_of_latents_is_the_same_for_any_batch(n_envs: int) -> None:
    agent: Any = DQN("CnnPolicy", DummyVecEnv([lambda: FakeImageEnv(2, 44, 40)] * n_envs), buffer_size=64)
    accelerate(agent, precision="bf16")
    part = LatentEncoder(agent, "conv", "float32").parts[0]
    batch = th.randint(0, 256, (16, *part.image_shape), dtype=th.uint8)
    one_by_one = th.cat([part.encode(image[None], remember=False) for image in batch])
    exact = part.frozen(batch / 255)
    error = [(latents - exact).abs().max() for latents in (one_by_one, part.encode(batch, remember=False))]
    assert all((each > 1e-4) == (n_envs >= FP32_BELOW) for each in error), error


def test_statistics_stand_still() -> None:
    extractor = make_extractor("nature", SPACE)
    extractor.cnn.insert(1, nn.BatchNorm2d(32))
    part = frozen(extractor, "conv")
    before = part.frozen[1].running_mean.clone()
    extractor.train()
    part.encode(images())
    assert th.equal(part.frozen[1].running_mean, before)


def test_wrong_images_are_refused() -> None:
    part = frozen(make_extractor("nature", SPACE), "conv")
    with pytest.raises(ObservationError, match=r"takes images of shape \(2, 44, 40\), got a batch of \(1, 3, 44, 40\)"):
        part(th.zeros(1, 3, 44, 40))
