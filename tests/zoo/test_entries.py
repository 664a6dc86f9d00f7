"""From our words to those of stock rl-zoo3."""

from __future__ import annotations

import copy

import pytest
from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike
from stable_baselines3.common.torch_layers import NatureCNN
from torch import nn

from sb3_efficient import policy_kwargs
from sb3_efficient.errors import ConflictError, EfficientError, OptionError
from sb3_efficient.extractors import ImpalaExtractor
from sb3_efficient.zoo.entries import to_stock


def test_entry_without_our_words_stays_as_it_is() -> None:
    entry = {"policy": "MlpPolicy", "n_steps": 8, "policy_kwargs": "dict(net_arch=[8])"}
    assert to_stock(entry, "ppo") == entry


def test_name_becomes_policy_kwargs_and_the_entry_is_left_alone() -> None:
    entry = {"policy": "CnnPolicy", "features_extractor": "impala", "features_extractor_kwargs": {"width": 2}}
    before = copy.deepcopy(entry)
    assert to_stock(entry, "ppo") == {"policy": "CnnPolicy", "policy_kwargs": policy_kwargs("impala", "ppo", width=2)}
    assert entry == before


def test_head_is_that_of_the_algorithm() -> None:
    assert to_stock({"features_extractor": "impala"}, "sac")["policy_kwargs"]["net_arch"] == [256, 256]


def test_policy_kwargs_of_the_entry_are_merged_and_its_layers_win() -> None:
    own = {"net_arch": [32], "ortho_init": False, "features_extractor_kwargs": {"precision": "bf16"}}
    found = to_stock({"features_extractor": "impala", "policy_kwargs": own}, "ppo")["policy_kwargs"]
    assert found["net_arch"] == [32]
    assert found["ortho_init"] is False
    assert found["features_extractor_class"] is ImpalaExtractor
    assert found["features_extractor_kwargs"] == {"precision": "bf16", "normalized_image": False}


def test_classes_may_be_dotted_names() -> None:
    own = {
        "optimizer_class": "stable_baselines3.common.sb2_compat.rmsprop_tf_like.RMSpropTFLike",
        "activation_fn": "torch.nn.GELU",
    }
    found = to_stock({"policy": "MlpPolicy", "policy_kwargs": own}, "a2c")["policy_kwargs"]
    assert found == {"optimizer_class": RMSpropTFLike, "activation_fn": nn.GELU}


def test_options_in_policy_kwargs_are_joined() -> None:
    entry = {"features_extractor": "impala-x2", "policy_kwargs": {"features_extractor_kwargs": {"width": 4}}}
    assert to_stock(entry, "ppo")["policy_kwargs"] == policy_kwargs("impala", "ppo", width=4)
    entry["policy_kwargs"] = {"features_extractor_kwargs": None}
    assert to_stock(entry, "ppo")["policy_kwargs"] == policy_kwargs("impala-x2", "ppo")


@pytest.mark.parametrize(
    ("entry", "algo", "error", "text"),
    [
        ({"features_extractor_kwargs": {"width": 2}}, "ppo", OptionError, "needs features_extractor=NAME beside it"),
        (
            {"features_extractor": "impala", "features_extractor_kwargs": "dict(width=2)"},
            "ppo",
            OptionError,
            "must be a mapping, as dict.width=2., got 'dict",
        ),
        (
            {"features_extractor": "impala", "policy": "MlpPolicy"},
            "ppo",
            ConflictError,
            "features_extractor=impala is for images, .* has policy MlpPolicy",
        ),
        (
            {"features_extractor": "impala", "policy_kwargs": {"features_extractor_class": NatureCNN}},
            "ppo",
            ConflictError,
            "features_extractor=impala contradicts policy_kwargs, .* features_extractor_class=NatureCNN",
        ),
        (
            {"features_extractor": "impala", "policy_kwargs": {"normalize_images": True}},
            "ppo",
            ConflictError,
            "normalize_images=True in policy_kwargs would do it a second time",
        ),
        (
            {
                "features_extractor": "impala",
                "features_extractor_kwargs": {"width": 2},
                "policy_kwargs": {"features_extractor_kwargs": {"width": 4}},
            },
            "ppo",
            ConflictError,
            "features_extractor_kwargs has width=2, and those in policy_kwargs have width=4",
        ),
        (
            {"features_extractor": "impala", "policy_kwargs": {"features_extractor_kwargs": {"widht": 4}}},
            "ppo",
            OptionError,
            "has no option 'widht'. Did you mean 'width'",
        ),
        ({"features_extractor": "impala"}, "ars", EfficientError, "ARS has no policy for images"),
        ({"features_extractor": 3}, "ppo", EfficientError, "Unknown extractor '3'"),
        (
            {"policy_kwargs": {"optimizer_class": "torch.optim.Addam"}},
            "ppo",
            OptionError,
            "policy_kwargs.optimizer_class: there is no 'torch.optim.Addam' to import",
        ),
        (
            {"policy_kwargs": {"activation_fn": "ReLU"}},
            "ppo",
            OptionError,
            "policy_kwargs.activation_fn: there is no 'ReLU' to import",
        ),
    ],
)
def test_contradictions(entry: dict, algo: str, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        to_stock(entry, algo)
