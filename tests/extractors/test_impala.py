import numpy as np
import pytest
import torch as th
import torch.nn.functional as F
from gymnasium import spaces
from helpers import count
from torch import nn

from sb3_efficient import make_extractor
from sb3_efficient.errors import ConflictError, OptionError, UnknownNameError


@pytest.mark.parametrize(
    ("name", "options", "parameters", "latent"),
    [
        ("impala", {}, 1_089_232, 3872),
        ("impala", {"width": 2}, 2_371_744, 7744),
        ("impala-x2", {}, 2_371_744, 7744),
        ("impala-x4", {}, 5_517_376, 15_488),
        ("impala", {"pool": "average"}, 106_192, 32),
        ("impoola", {}, 106_192, 32),
        ("impala", {"pool": "adaptive-max-6"}, 392_912, 1152),
        ("impala", {"downsample": "strided"}, 1_089_232, 3872),
    ],
)
def test_sizes(atari_space: spaces.Box, name: str, options: dict, parameters: int, latent: int) -> None:
    extractor = make_extractor(name, atari_space, **options)
    assert count(extractor) == parameters
    assert extractor.latent_dim == latent
    assert extractor.features_dim == 256


def test_is_the_network_of_the_paper(atari_space: spaces.Box) -> None:
    """Against the description in OpenAI baselines, spelt out with plain functions."""
    impala = make_extractor("impala", atari_space)
    weights = iter(list(impala.parameters()))

    def conv(x: th.Tensor) -> th.Tensor:
        return F.conv2d(x, next(weights), next(weights), padding=1)

    def residual(x: th.Tensor) -> th.Tensor:
        inner = conv(F.relu(x))
        return x + conv(F.relu(inner))

    batch = th.randint(0, 256, (2, 4, 84, 84), dtype=th.uint8)
    x = batch.float() / 255
    for _ in range(3):
        x = residual(residual(F.max_pool2d(conv(x), 3, stride=2, padding=1)))
    x = F.relu(F.linear(F.relu(x).flatten(1), next(weights), next(weights)))
    th.testing.assert_close(impala(batch), x, rtol=1e-4, atol=1e-5)
    assert next(weights, None) is None


def test_strided_halves_without_pooling(atari_space: spaces.Box) -> None:
    extractor = make_extractor("impala", atari_space, downsample="strided")
    assert not [m for m in extractor.modules() if isinstance(m, nn.MaxPool2d)]
    assert extractor.latent_dim == make_extractor("impala", atari_space).latent_dim


@pytest.mark.parametrize("side", [1, 2, 7, 64, 96])
def test_any_size_survives(side: int) -> None:
    for options in ({}, {"pool": "average"}, {"pool": "adaptive-max-6"}, {"downsample": "strided"}):
        extractor = make_extractor("impala", spaces.Box(0, 255, (1, side, side), np.uint8), **options)
        assert extractor(th.zeros(2, 1, side, side, dtype=th.uint8)).shape == (2, 256)


def test_channels_of_each_convolution(atari_space: spaces.Box) -> None:
    channels = [10, 3, 10, 4, 10, 12, 5, 12, 6, 12, 20, 7, 20, 8, 20]
    extractor = make_extractor("impala", atari_space, channels=channels)
    assert [m.out_channels for m in extractor.modules() if isinstance(m, nn.Conv2d)] == channels
    same = make_extractor("impala", atari_space, channels=[16] * 5 + [32] * 10)
    assert count(same) == 1_089_232


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"width": 0}, OptionError, "width must be a positive number, got 0"),
        ({"width": -1}, OptionError, "width must be a positive number, got -1"),
        ({"width": float("nan")}, OptionError, "width must be a positive number, got nan"),
        ({"channels": 5}, OptionError, "channels must be a list of whole numbers, as .16, 32, 32., got 5"),
        ({"channels": [4] * 15, "depths": [64] * 3}, ConflictError, "leave out depths="),
        ({"channels": [4] * 15, "depths": 16}, OptionError, "depths must be a list of whole numbers"),
        ({"pool": ["average"]}, UnknownNameError, r"Unknown pool \['average'\]"),
        ({"width": "2"}, OptionError, "width must be a positive number, got '2'"),
        ({"depths": 16}, OptionError, "depths must be a list of whole numbers"),
        ({"depths": []}, OptionError, "depths must be a list of whole numbers"),
        ({"depths": [16, 0]}, OptionError, "depths must be a whole number of at least 1, got 0"),
        ({"features_dim": 0}, OptionError, "features_dim must be a whole number of at least 1, got 0"),
        ({"pool": "averge"}, UnknownNameError, "Unknown pool 'averge'. Did you mean 'average'. Known: flatten"),
        ({"downsample": "maxpool"}, UnknownNameError, "Unknown downsample 'maxpool'. Did you mean 'max-pool'"),
        ({"channels": [16] * 4}, OptionError, "channels needs 5 numbers a stage, got 4"),
        ({"channels": [16, 8, 15, 8, 16]}, OptionError, "In stage 1 the first, third and fifth .* got 16, 15 and 16"),
        ({"channels": [16] * 5, "width": 2}, ConflictError, "leave out width=2"),
    ],
)
def test_bad_options(atari_space: spaces.Box, options: dict, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        make_extractor("impala", atari_space, **options)
