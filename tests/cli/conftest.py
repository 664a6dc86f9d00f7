"""An agent where the zoo would have put it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch as th
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env

from sb3_efficient.envs import CatchEnv


@pytest.fixture
def agent(tmp_path: Path) -> Path:
    """Folder of a run: ``<tmp_path>/logs/ppo/Catch-v0_1``."""
    folder = tmp_path / "logs" / "ppo" / "Catch-v0_1"
    folder.mkdir(parents=True)
    model = PPO("CnnPolicy", make_vec_env(CatchEnv, 1), seed=0)
    for parameter in model.policy.parameters():
        # As after training: new biases are all zero, and the last layer's weights next to it
        parameter.data.add_(0.01 * th.randn_like(parameter))
    model.save(folder / "Catch-v0.zip")
    return folder


@pytest.fixture
def catch(agent: Path) -> tuple[str, ...]:
    """The options that name it."""
    return ("--algo", "ppo", "--env", "Catch-v0", "-f", str(agent.parents[1]))
