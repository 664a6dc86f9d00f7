"""What a saved agent says of itself to those who continue it."""

from __future__ import annotations

from pathlib import Path

import pytest
from stable_baselines3 import PPO

from sb3_efficient.errors import ConflictError
from sb3_efficient.zoo.agents import check_algorithm, check_same_policy


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
    for typed in ({}, {"n_steps": 8}, {"policy_kwargs": {"net_arch": [8]}, "policy": "MlpPolicy"}):
        check_same_policy(path, typed, PPO.policy_aliases)
