from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers import parameters_match
from sb3_contrib import QRDQN
from stable_baselines3 import A2C, DQN, PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.envs import FakeImageEnv

from sb3_efficient import policy_kwargs, save_slim
from sb3_efficient.errors import EfficientError, OptionError


def trained(algo: type[BaseAlgorithm], **kwargs: object) -> BaseAlgorithm:
    env = FakeImageEnv(screen_height=40, screen_width=40, discrete=algo is not SAC)
    model = algo("CnnPolicy", env, seed=0, **kwargs)
    return model.learn(40)


AGENTS = {
    "ppo": (PPO, {"n_steps": 16, "batch_size": 16}),
    "ppo impala": (PPO, {"n_steps": 16, "batch_size": 16, "policy_kwargs": policy_kwargs("impala", PPO)}),
    "ppo fused": (PPO, {"n_steps": 16, "batch_size": 16, "policy_kwargs": {"optimizer_kwargs": {"fused": True}}}),
    "a2c": (A2C, {}),
    "dqn": (DQN, {"buffer_size": 100, "learning_starts": 8}),
    "qrdqn": (QRDQN, {"buffer_size": 100, "learning_starts": 8}),
    "sac": (SAC, {"buffer_size": 100, "learning_starts": 8}),
}


@pytest.mark.parametrize("name", AGENTS)
def test_slim_agents_are_smaller_load_as_usual_and_go_on_learning(name: str, tmp_path: Path) -> None:
    algo, kwargs = AGENTS[name]
    model = trained(algo, **kwargs)
    model.save(tmp_path / "whole.zip")
    path = save_slim(model, tmp_path / "slim")
    assert path == tmp_path / "slim.zip"
    # A third and a half, as README says
    share = 0.36 if algo is PPO else 0.53
    assert path.stat().st_size < share * (tmp_path / "whole.zip").stat().st_size
    with zipfile.ZipFile(tmp_path / "whole.zip") as whole, zipfile.ZipFile(path) as slim:
        assert slim.namelist() == whole.namelist()

    loaded = algo.load(path, env=model.get_env())
    assert parameters_match(loaded.policy, model.policy)
    observation = np.zeros((1, 40, 40), np.uint8)
    np.testing.assert_array_equal(
        loaded.predict(observation, deterministic=True)[0], model.predict(observation, deterministic=True)[0]
    )
    assert loaded.num_timesteps == model.num_timesteps
    loaded.learn(40, reset_num_timesteps=False)
    assert not parameters_match(loaded.policy, model.policy)


def test_fused_flag_is_stripped(tmp_path: Path) -> None:
    algo, kwargs = AGENTS["ppo fused"]
    model = trained(algo, **kwargs)
    assert model.policy.optimizer.param_groups[0]["fused"] is True
    slim = algo.load(save_slim(model, tmp_path / "slim.zip"))
    assert slim.policy.optimizer.param_groups[0]["fused"] is None


def test_model_is_left_as_it_was(tmp_path: Path) -> None:
    model = trained(A2C)
    moments = len(model.policy.optimizer.state_dict()["state"])
    save_slim(model, tmp_path / "slim.zip")
    assert len(model.policy.optimizer.state_dict()["state"]) == moments > 0


def test_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_slim(trained(A2C), tmp_path / "slim.zip")
    before = path.read_bytes()

    def broken(*_: object) -> None:
        raise OSError("disk on fire")

    monkeypatch.setattr("os.fsync", broken)
    with pytest.raises(OSError, match="disk on fire"):
        save_slim(trained(A2C), path)
    assert path.read_bytes() == before


def test_what_cannot_be_saved_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="save_slim takes a Stable-Baselines3 model, .* got 'model'"):
        save_slim("model", tmp_path / "slim.zip")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="its path must be text or a Path, got None"):
        save_slim(trained(A2C), None)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match=r"save_slim writes a file, and '.' is a folder: name one, as 'agent.zip'."):
        save_slim(trained(A2C), "")
    (tmp_path / "file").touch()
    with pytest.raises(EfficientError, match=r"slim.zip could not be written: (Not a directory|File exists)"):
        save_slim(trained(A2C), tmp_path / "file" / "slim.zip")
