"""What an entry says that nobody would understand."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.policies import ActorCriticPolicy

from sb3_efficient.errors import OptionError, UnknownNameError
from sb3_efficient.zoo.keys import check_keys, check_schedules


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("acelerate", "accelerate"),
        ("sear", "seer"),
        ("n_step", "n_steps"),
        ("feature_extractor", "features_"),
        ("env_wraper", "env_wr"),
    ],
)
def test_misspelt_keys(key: str, meant: str) -> None:
    with pytest.raises(OptionError, match=f"PPO has no hyper-parameter '{key}'. Did you mean '{meant}"):
        check_keys({"policy": "CnnPolicy", key: 1}, PPO)
    check_keys({"policy": "CnnPolicy", "noise_type": None, "seer": True}, PPO)


@pytest.mark.parametrize("value", [1.5, float("nan"), float("inf"), "many", None, [8], True])
def test_sizes_that_are_no_whole_numbers(value: Any) -> None:
    with pytest.raises(OptionError, match=f"n_steps of PPO must be a whole number, got {re.escape(repr(value))}."):
        check_keys({"policy": "CnnPolicy", "n_steps": value}, PPO)
    check_keys({"policy": "CnnPolicy", "n_steps": np.int64(8), "gamma": 1, "target_kl": None}, PPO)


def test_numbers_that_may_be_left_open() -> None:
    entry = {"target_kl": "2e-2", "clip_range_vf": None}
    check_keys(entry, PPO)
    assert entry == {"target_kl": 0.02, "clip_range_vf": None}
    with pytest.raises(OptionError, match="target_kl of PPO must be a number, got 'foo'."):
        check_keys({"target_kl": "foo"}, PPO)
    with pytest.raises(OptionError, match="buffer_size must be at least 1, got 0."):
        check_keys({"buffer_size": 0}, SAC)


@pytest.mark.parametrize("value", ["abc", "0,99", None, [0.9], True])
def test_words_in_place_of_numbers(value: Any) -> None:
    with pytest.raises(OptionError, match=f"gamma of PPO must be a number, got {re.escape(repr(value))}."):
        check_keys({"policy": "CnnPolicy", "gamma": value}, PPO)
    check_keys({"policy": "CnnPolicy", "gamma": np.float32(0.9), "ent_coef": 0, "learning_rate": "lin_0.1"}, PPO)


def test_whole_numbers_that_yaml_has_as_others() -> None:
    """As ``learning_starts: !!float 1e5``, which stock rl-zoo3 takes, too."""
    entry = {"n_steps": 1e3, "gamma": 1.0, "batch_size": "1e2", "gae_lambda": "9e-1"}
    check_keys(entry, PPO)
    assert entry == {"n_steps": 1000, "gamma": 1.0, "batch_size": 100, "gae_lambda": 0.9}
    assert [type(value) for value in entry.values()] == [int, float, int, float]


@pytest.mark.parametrize("value", ["no", "off", "yes", None])
def test_words_in_place_of_switches(value: Any) -> None:
    """Text that is not empty is true."""
    with pytest.raises(OptionError, match=f"use_sde of SAC must be true or false, got {value!r}"):
        check_keys({"policy": "MlpPolicy", "use_sde": value}, SAC)
    check_keys({"policy": "MlpPolicy", "use_sde": True}, SAC)


def test_algorithms_that_hand_their_options_on() -> None:
    """The user's own, registered with ``rl_zoo3.ALGOS``."""

    class Own(PPO):
        def __init__(self, *args: Any, ent_coef: float = 0.0, **kwargs: Any) -> None:
            super().__init__(*args, ent_coef=ent_coef, **kwargs)

    check_keys({"policy": "MlpPolicy", "n_steps": 8}, Own)
    with pytest.raises(OptionError, match="The zoo gives Own its device itself: say it by --device"):
        check_keys({"device": "cpu"}, Own)


def test_noise_of_no_size() -> None:
    with pytest.raises(OptionError, match="noise_type=normal needs noise_std beside it, as noise_std=0.1"):
        check_keys({"policy": "MlpPolicy", "noise_type": "normal"}, SAC)
    check_keys({"policy": "MlpPolicy", "noise_type": "normal", "noise_std": 0.1}, SAC)


@pytest.mark.parametrize("value", ["linear", "lin_", "lin_a_0.1", "lin-0.1", "", "cos_0.1"])
def test_schedules_that_the_zoo_does_not_know(value: str) -> None:
    with pytest.raises(
        OptionError, match=f"clip_range must be a number, or lin_0.001 to fall from 0.001 to 0, got '{value}'."
    ):
        check_schedules({"learning_rate": "lin_2.5e-4", "clip_range": value})
    check_schedules({"learning_rate": 1e-3, "clip_range": "lin_0.1"})


def test_misspelt_policies() -> None:
    with pytest.raises(UnknownNameError, match=r"PPO has no policy 'CnnPolcy'. Did you mean 'CnnPolicy'\? Known: Mlp"):
        check_keys({"policy": "CnnPolcy"}, PPO)
    check_keys({"policy": ActorCriticPolicy}, PPO)


def test_text_that_is_a_number() -> None:
    """YAML has 1e-4 as text."""
    entry = {"learning_rate": "1e-4"}
    check_schedules(entry)
    assert entry == {"learning_rate": 1e-4}
    with pytest.raises(OptionError, match="learning_rate must be a number, or lin_0.001 to fall"):
        check_schedules({"learning_rate": True})


@pytest.mark.parametrize("value", ["often", 2.5, True, [1, "day"], [1, "step", 2]])
def test_how_often_to_train(value: Any) -> None:
    with pytest.raises(OptionError, match="train_freq must be a whole number of steps, or as"):
        check_keys({"policy": "MlpPolicy", "train_freq": value}, SAC)
    for good in (4, (1, "episode"), [8, "step"]):
        check_keys({"policy": "MlpPolicy", "train_freq": good}, SAC)
