"""What a saved agent says of itself to those who continue it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch as th
from stable_baselines3 import PPO
from torch import nn

from sb3_efficient import policy_kwargs
from sb3_efficient.envs import CatchEnv
from sb3_efficient.errors import ConflictError
from sb3_efficient.extractors import ImpalaExtractor
from sb3_efficient.zoo.agents import check_algorithm, check_same_policy, saved_policy_kwargs


def test_an_agent_of_another_algorithm(tmp_path: Path) -> None:
    path = str(tmp_path / "agent.zip")
    PPO("MlpPolicy", "CartPole-v1", device="cpu").save(path)
    with pytest.raises(ConflictError, match=r"is an agent of a2c or ppo or trpo, and --algo is dqn"):
        check_algorithm(path, "dqn")
    check_algorithm(path, "ppo")
    # Of the user's own, registered with rl_zoo3.ALGOS
    check_algorithm(path, "my-ppo")


def test_another_policy(tmp_path: Path) -> None:
    path = str(tmp_path / "agent.zip")
    PPO("MlpPolicy", "CartPole-v1", device="cpu", policy_kwargs={"net_arch": [8]}).save(path)
    with pytest.raises(ConflictError, match=r"with net_arch=\[8\], and policy_kwargs has net_arch=\[16\]\. Continuing"):
        check_same_policy(path, {"policy_kwargs": {"net_arch": [16]}}, PPO.policy_aliases)
    with pytest.raises(ConflictError, match=r"was trained without log_std_init, and policy_kwargs has log_std_init=-2"):
        check_same_policy(path, {"policy_kwargs": {"net_arch": (8,), "log_std_init": -2}}, PPO.policy_aliases)
    with pytest.raises(ConflictError, match=r"has the policy ActorCriticPolicy, and policy=CnnPolicy was asked for"):
        check_same_policy(path, {"policy": "CnnPolicy"}, PPO.policy_aliases)
    with pytest.raises(ConflictError, match=r"with net_arch=\[8\], and policy_kwargs has net_arch=\[16\]"):
        check_same_policy(path, {"policy_kwargs": "dict(net_arch=[16])"}, PPO.policy_aliases)
    same = {"policy_kwargs": {"net_arch": [8]}, "policy": "MlpPolicy"}
    for typed in ({}, {"n_steps": 8}, same, {"policy_kwargs": "dict(net_arch=[8])"}, {"policy": [1]}):
        check_same_policy(path, typed, PPO.policy_aliases)


def test_the_same_policy_in_other_words(tmp_path: Path) -> None:
    path = str(tmp_path / "agent.zip")
    own = {**policy_kwargs("impala", PPO, width=2), "activation_fn": nn.Tanh}
    unnamed = {"optimizer_class": lambda *args, **kwargs: th.optim.SGD(*args, **kwargs)}
    PPO("CnnPolicy", CatchEnv(), device="cpu", policy_kwargs={**own, **unnamed}, n_steps=8, batch_size=8).save(path)
    assert saved_policy_kwargs(path) == {k: v for k, v in own.items() if not k.startswith("features_extractor")}
    dotted = {"activation_fn": "torch.nn.Tanh", "features_extractor_class": ImpalaExtractor}
    options = {"features_extractor_kwargs": {"width": 2, "depths": [16, 32, 32]}}
    check_same_policy(path, {"policy_kwargs": {**dotted, **options}}, PPO.policy_aliases)
    with pytest.raises(ConflictError, match=r"and policy_kwargs has features_extractor_kwargs=\{'width': 1\}"):
        check_same_policy(path, {"policy_kwargs": {"features_extractor_kwargs": {"width": 1}}}, PPO.policy_aliases)
