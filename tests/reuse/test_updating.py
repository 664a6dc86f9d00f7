from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch as th
from games import frames
from gymnasium import spaces
from sb3_contrib import TRPO
from stable_baselines3 import A2C
from stable_baselines3.common.envs import FakeImageEnv
from torch import nn
from torch.nn.utils import parametrizations

from sb3_efficient import make_extractor, policy_kwargs
from sb3_efficient.reuse.updating import distinct_latents


def make(name: str = "reuse-conv2", channels: int = 1, **kwargs: Any) -> Any:
    return make_extractor(name, spaces.Box(0, 255, (channels, 53, 40), np.uint8), precision="fp32", **kwargs)


@pytest.mark.parametrize("normalized", [True, False])
def test_an_update_equals_the_dense_one(normalized: bool) -> None:
    images = th.as_tensor(frames("Seaquest", 60)[[50, 3, 59, 20]]).float()
    images = images / 255 if normalized else images
    reusing, plain = make(filters=6, normalized_image=normalized), make("conv2", filters=6, normalized_image=normalized)
    plain.load_state_dict(reusing.state_dict())
    assert distinct_latents(reusing, images) is not None
    weights = th.randn(reusing.features_dim)
    found, expected = (extractor(images) for extractor in (reusing, plain))
    th.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
    for one, other in zip(reusing.parameters(), plain.parameters(), strict=True):
        a, b = (
            th.autograd.grad((f.square() @ weights).sum(), p, retain_graph=True)[0]
            for f, p in ((found, one), (expected, other))
        )
        th.testing.assert_close(a, b, atol=1e-4 * float(b.abs().max()), rtol=0)


def _hooked(extractor: Any) -> None:
    extractor.cnn[0].register_forward_hook(lambda *_: None)


def _parametrized(extractor: Any) -> None:
    parametrizations.weight_norm(extractor.cnn[0])


def _double(extractor: Any) -> None:
    extractor.double()


def _padded(extractor: Any) -> None:
    extractor.cnn[0].padding = (1, 1)


def _replaced(extractor: Any) -> None:
    extractor.cnn[1] = nn.Tanh()


@pytest.mark.parametrize("change", [_hooked, _parametrized, _double, _padded, _replaced])
def test_steps_aside_for_other_layers(change: Callable[[Any], None]) -> None:
    extractor = make()
    change(extractor)
    assert distinct_latents(extractor, th.zeros(2, 1, 53, 40)) is None


def test_steps_aside_for_other_images_and_large_patches() -> None:
    images = th.zeros(2, 1, 53, 40)
    assert distinct_latents(make(), images) is not None
    assert distinct_latents(make(), images + 0.3) is None
    assert distinct_latents(make(channels=3), th.zeros(2, 3, 53, 40)) is None
    assert distinct_latents(make("reuse-conv"), images) is None
    assert distinct_latents(make("reuse-impala"), images) is None
    with th.autocast("cpu", th.bfloat16):
        assert distinct_latents(make(), images) is None


@pytest.mark.parametrize(("algorithm", "options"), [(A2C, {}), (TRPO, {"batch_size": 16})])
def test_learns_what_the_plain_network_learns(algorithm: Any, options: dict[str, int]) -> None:
    learnt = []
    for name in ("reuse-conv2", "conv2"):
        env = FakeImageEnv(screen_height=20, screen_width=18, n_channels=1, channel_first=True)
        env.observation_space.seed(0)
        kwargs = policy_kwargs(name, algorithm, filters=4, precision="fp32")
        model = algorithm("CnnPolicy", env, n_steps=16, policy_kwargs=kwargs, device="cpu", seed=0, **options)
        model.learn(32)
        learnt.append(model.policy.state_dict())
    for key, value in learnt[0].items():
        th.testing.assert_close(value, learnt[1][key], atol=1e-4, rtol=1e-3)


def test_the_first_layers_of_impala() -> None:
    images = th.as_tensor(frames("Seaquest", 64)).float()
    space = spaces.Box(0, 255, images.shape[1:], np.uint8)
    reusing, plain = (
        make_extractor(name, space, precision="fp32", normalized_image=False) for name in ("reuse-impala", "impala")
    )
    plain.load_state_dict(reusing.state_dict())
    assert distinct_latents(reusing, images) is not None  # type: ignore[arg-type]
    assert distinct_latents(reusing, images[:63]) is None  # type: ignore[arg-type]
    found, expected = (th.autograd.grad(e(images).square().mean(), list(e.parameters())) for e in (reusing, plain))
    assert all(float((a - b).norm() / b.norm()) < 1e-4 for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("name", ["reuse-impala", "reuse-conv2"])
def test_dense_in_bf16(name: str) -> None:
    space = spaces.Box(0, 255, (1, 53, 40), np.uint8)
    assert distinct_latents(make_extractor(name, space, precision="bf16"), th.zeros(64, 1, 53, 40)) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("kwargs", [{"downsample": "strided"}])
def test_other_stages_of_impala_are_computed_as_they_are(kwargs: dict[str, str]) -> None:
    assert distinct_latents(make("reuse-impala", **kwargs), th.zeros(64, 1, 53, 40)) is None
