from __future__ import annotations

import copy

import numpy as np
import pytest
from games import dense, frames, network
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.envs import FakeImageEnv
from torch import nn

from sb3_efficient import make_engine, policy_kwargs
from sb3_efficient.reuse.changes.network import Network, read_layers
from sb3_efficient.reuse.patches.rememberer import Rememberer, suits


def read(net: nn.Sequential, shape: tuple[int, ...]) -> Network:
    found, rest = read_layers(net, shape)  # type: ignore[arg-type]
    found.linear = [layer for layer in rest if isinstance(layer, nn.Linear)]
    return found


def test_which_networks_suit() -> None:
    assert suits(read(network(20, (1, 53, 40)), (1, 53, 40)))
    assert suits(read(nn.Sequential(nn.Conv2d(1, 4, 8), nn.ReLU(), nn.Flatten(), nn.Linear(4, 64)), (1, 8, 8)))


@pytest.mark.parametrize(
    "layers",
    [
        [nn.Conv2d(1, 4, 9), nn.ReLU(), nn.Flatten(), nn.Linear(4, 2)],
        [nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4, 2)],
        [nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4, 2)],
        [nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4, 2)],
        [nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4, 2)],
        [nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4, 65)],
        [nn.Flatten(), nn.Linear(4, 2)],
    ],
    ids=["large patches", "padded", "no last ReLU", "no ReLU between", "pooled", "wide", "no convolution"],
)
def test_which_networks_do_not(layers: list[nn.Module]) -> None:
    assert not suits(read(nn.Sequential(*layers), (1, 20, 20)))


def test_new_weights_and_a_plan() -> None:
    images = frames("Pong", 20)
    net = network(8, images.shape[1:])
    rememberer = Rememberer(read(net, images.shape[1:]))
    assert "Nothing was computed yet" in str(rememberer.plan)
    for image in images:
        np.testing.assert_allclose(rememberer(image[None]), dense(net, image[None]), atol=1e-6)
    assert rememberer.rows == 1
    text = str(rememberer.plan)
    assert "conv 3x3 /1, 8 -> 16  once per distinct patch" in text
    assert "patches of 5x5 pixels, compared by their bytes" in text
    assert "emptied 0 times" in text
    assert rememberer.plan.work_left is not None
    assert rememberer.plan.work_left < 0.2
    with_new_weights = network(8, images.shape[1:])
    net.load_state_dict(with_new_weights.state_dict())
    rememberer.load()
    np.testing.assert_allclose(rememberer(images[:2]), dense(net, images[:2]), atol=1e-6)


def test_large_batches_and_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    images = frames("Pong", 20)
    net = network(4, images.shape[1:])
    rememberer = Rememberer(read(net, images.shape[1:]))
    monkeypatch.setattr("sb3_efficient.reuse.patches.rememberer.MEMORY", 12 * rememberer.memo.state_bytes)
    np.testing.assert_allclose(rememberer(images), dense(net, images), atol=1e-6)
    assert rememberer.rows == 3
    other = copy.deepcopy(rememberer)
    assert other.rows == 0
    np.testing.assert_allclose(other(images[:2]), dense(net, images[:2]), atol=1e-6)


@pytest.mark.parametrize("normalize_images", [True, False])
@pytest.mark.parametrize("normalized_image", [True, False])
def test_the_engine_remembers(normalize_images: bool, normalized_image: bool) -> None:
    """Pixels are divided by 255 once, twice or never."""
    images = frames("Pong", 40)
    env = FakeImageEnv(screen_height=53, screen_width=40, n_channels=1, channel_first=True)
    kwargs = {**policy_kwargs("conv2", A2C), "normalize_images": normalize_images}
    kwargs["features_extractor_kwargs"] = {**kwargs["features_extractor_kwargs"], "normalized_image": normalized_image}
    model = A2C("CnnPolicy", env, policy_kwargs=kwargs, device="cpu", seed=0)
    engine, reference = make_engine(model, "reuse"), make_engine(model, "eager")
    for image in images:
        found, expected = engine.outputs(image), reference.outputs(image)
        np.testing.assert_allclose(found["logits"], expected["logits"], rtol=1e-4, atol=1e-5)
    assert "once per distinct patch" in str(engine.plan)  # type: ignore[attr-defined]


def test_continuous_actions_read_off_the_map_itself() -> None:
    env = FakeImageEnv(screen_height=9, screen_width=9, n_channels=1, discrete=False, channel_first=True)
    model = PPO("CnnPolicy", env, policy_kwargs=policy_kwargs("conv2", PPO, filters=1), device="cpu", seed=0)
    images = np.random.default_rng(0).integers(0, 256, (3, 1, 9, 9), dtype=np.uint8)
    found, expected = (make_engine(model, name).outputs(images) for name in ("reuse", "eager"))
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-5)
