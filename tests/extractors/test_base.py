"""Spaces, precision, dictionaries of observations, registration."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

from sb3_efficient import EncoderExtractor, list_extractors, make_extractor, register_extractor
from sb3_efficient.errors import EfficientError, ObservationError, OptionError
from sb3_efficient.extractors import DictExtractor, ImpalaExtractor, NatureExtractor, find_extractor, precision


@pytest.mark.parametrize(
    ("space", "text"),
    [
        (spaces.Box(-1, 1, (4,), np.float32), "needs a Box of shape .channels, height, width., found Box"),
        (spaces.Discrete(4), "needs a Box of shape .channels, height, width., found Discrete"),
        (spaces.Box(0, 255, (84, 84, 4), np.uint8), "must be channel-first, .* VecTransposeImage"),
        (spaces.Box(0, 1, (84, 84, 4), np.float32), "must be channel-first, .*TransformObservation"),
        (spaces.Box(0, 100, (4, 84, 84), np.uint8), r"must span \[0, 255\], .* with bounds \[0, 100\]"),
        (spaces.Box(0, 255, (4, 84, 84), np.int32), "must be uint8 or floating point"),
        (spaces.Box(0, 255, (4, 0, 84), np.uint8), "must have channels and pixels, found Box"),
    ],
)
def test_space_that_is_no_image(space: spaces.Space, text: str) -> None:
    with pytest.raises(ObservationError, match=text):
        make_extractor("impala", space)


def test_float_images_in_unit_range_are_not_divided_again() -> None:
    space = spaces.Box(0, 1, (3, 40, 40), np.float32)
    with pytest.raises(
        ObservationError, match="do not span .0, 255., .* bounds .0.0, 1.0., .* pass normalized_image=True"
    ):
        make_extractor("nature", space, normalized_image=False)
    assert make_extractor("nature", space)(th.rand(1, 3, 40, 40)).shape == (1, 512)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("fp16", "Unknown precision 'fp16'. fp16 overflows .* use bf16. Accepted: fp32, bf16, auto"),
        ("bf61", "Unknown precision 'bf61'. Did you mean 'bf16'"),
        (16, "Unknown precision 16"),
    ],
)
def test_unknown_precision(atari_space: spaces.Box, name: object, text: str) -> None:
    with pytest.raises(OptionError, match=text):
        make_extractor("nature", atari_space, precision=name)


def test_auto_is_fp32(atari_space: spaces.Box) -> None:
    assert make_extractor("nature", atari_space).precision == "fp32"
    assert make_extractor("nature", atari_space, precision="bf16").precision == "bf16"


def test_bf16_without_hardware_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "cpu_has_bf16", lambda: False)
    monkeypatch.setattr(th.cuda, "is_available", lambda: False)
    with pytest.warns(UserWarning, match="precision='bf16' is emulated on this CPU"):
        precision.resolve_precision("bf16")


def test_an_autocast_around_the_policy_reaches_an_fp32_extractor(atari_space: spaces.Box) -> None:
    extractor = make_extractor("nature", atari_space, precision="fp32")
    with th.autocast("cpu", dtype=th.bfloat16):
        assert extractor.encode(th.zeros(1, 4, 84, 84, dtype=th.uint8)).dtype == th.bfloat16


@pytest.fixture
def dict_space() -> spaces.Dict:
    return spaces.Dict(
        {
            "camera": spaces.Box(0, 255, (3, 40, 40), np.uint8),
            "map": spaces.Box(0, 255, (1, 20, 20), np.uint8),
            "speed": spaces.Box(-1, 1, (5,), np.float32),
            "heat": spaces.Box(0, 1, (1, 8, 8), np.float32),
        }
    )


def test_dictionary_has_one_network_for_each_image(dict_space: spaces.Dict) -> None:
    extractor = make_extractor("impala", dict_space, features_dim=32)
    assert isinstance(extractor, DictExtractor)
    assert extractor.features_dim == 2 * 32 + 5 + 64
    batch = {key: th.as_tensor(np.stack([space.sample()] * 2)) for key, space in dict_space.items()}
    features = extractor(batch)
    assert features.shape == (2, extractor.features_dim)
    expected = extractor.extractors["camera"](batch["camera"])
    assert th.equal(features[:, :32], expected)
    assert th.equal(copy.deepcopy(extractor)(batch), features)
    assert {type(e).__name__ for e in extractor.extractors.values()} == {"ImpalaExtractor", "Flatten"}


def test_scaled_images_of_a_dictionary(dict_space: spaces.Dict) -> None:
    extractor = make_extractor("impala", dict_space, features_dim=32, normalized_image=True)
    assert extractor.features_dim == 3 * 32 + 5
    alone = make_extractor("impala", spaces.Dict({"heat": dict_space["heat"]}), features_dim=32, normalized_image=True)
    assert alone.features_dim == 32


def test_statistics_of_a_batch_are_not_asked_of_one_image() -> None:
    class Normalized(EncoderExtractor):
        def __init__(self, space: spaces.Box, **options: Any) -> None:
            cnn = nn.Sequential(nn.Conv2d(4, 8, 8, 4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.BatchNorm1d(8))
            super().__init__(space, cnn, {}, **options)

    extractor = Normalized(spaces.Box(0, 255, (4, 84, 84), np.uint8))
    assert extractor.features_dim == 8
    assert extractor.cnn.training


def test_dictionary_without_image(dict_space: spaces.Dict) -> None:
    with pytest.raises(ObservationError, match="ImpalaExtractor needs at least one uint8 image"):
        make_extractor("impala", spaces.Dict({"speed": dict_space["speed"]}))


@pytest.fixture
def clean_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    from sb3_efficient import extractors

    monkeypatch.setattr(extractors._REGISTRY, "_items", dict(extractors._REGISTRY._items))


@pytest.mark.usefixtures("clean_registry")
def test_register_as_decorator_and_with_preset_options(atari_space: spaces.Box) -> None:
    @register_extractor("my-net")
    class MyNet(NatureExtractor):
        pass

    register_extractor("my-net-slim", MyNet, features_dim=64)
    assert {"my-net", "my-net-slim"} <= set(list_extractors())
    assert make_extractor("my-net", atari_space).features_dim == 512
    assert make_extractor("my-net-slim", atari_space).features_dim == 64
    assert make_extractor("my-net-slim", atari_space, features_dim=32).features_dim == 32
    assert find_extractor("my-net").extractor_class is MyNet


@pytest.mark.usefixtures("clean_registry")
def test_extractors_that_are_not_ours_may_have_a_name(atari_space: spaces.Box) -> None:
    class Mean(BaseFeaturesExtractor):
        def __init__(self, observation_space: spaces.Space, **options: object) -> None:
            super().__init__(observation_space, features_dim=4)
            self.options = options

    register_extractor("mean", Mean)
    assert make_extractor("mean", atari_space, anything=1).options == {"anything": 1}


class Narrow(EncoderExtractor):
    """Three convolutions with an ordinary mistake: the second takes 3 channels and gets 8."""

    def __init__(self, observation_space: spaces.Space, *, normalized_image: bool = True) -> None:
        cnn = th.nn.Sequential(th.nn.Conv2d(4, 8, 3), th.nn.Conv2d(3, 8, 3), th.nn.Flatten())
        super().__init__(observation_space, cnn, {}, normalized_image=normalized_image)


def test_network_that_computes_on_no_size_shows_its_own_error(atari_space: spaces.Box) -> None:
    with pytest.raises(ObservationError, match="Narrow cannot compute on images of shape .4, 84, 84.: .* channel"):
        Narrow(atari_space)


class Closed(EncoderExtractor):
    """Leaves out what policy_kwargs() has to say."""

    def __init__(self, observation_space: spaces.Space, width: int = 1) -> None:
        super().__init__(observation_space, th.nn.Sequential(th.nn.Flatten()), {})


@pytest.mark.usefixtures("clean_registry")
def test_registering_nonsense() -> None:
    with pytest.raises(OptionError, match="Extractor 'closed' has no option 'normalized_image'"):
        register_extractor("closed", Closed)
    with pytest.raises(EfficientError, match="must be a class derived from BaseFeaturesExtractor"):
        register_extractor("my-net", th.nn.Linear)
    with pytest.raises(OptionError, match="Extractor 'my-net' has no option 'widht'. Did you mean 'width'"):
        register_extractor("my-net", ImpalaExtractor, widht=2)
    with pytest.raises(EfficientError, match="extractor 'nature' is registered already"):
        register_extractor("nature", ImpalaExtractor)
