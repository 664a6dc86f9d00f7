"""Agents found by the zoo's rules, and the environments that they know."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from gymnasium import spaces
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.atari_wrappers import EpisodicLifeEnv, StickyActionEnv
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecFrameStack, VecNormalize, unwrap_vec_wrapper

from sb3_efficient.envs import AleVecEnv, CatchEnv
from sb3_efficient.errors import ArtifactError, EfficientError, UnknownNameError
from sb3_efficient.zoo.agents import saved_freeze
from sb3_efficient.zoo.saved import SavedAgent, find_agent, load_model

ATARI = "stable_baselines3.common.atari_wrappers.AtariWrapper"
AGENTS = Path(__file__).parents[2] / "examples" / "agents"


def saved(folder: Path, algo: type = PPO, name: str = "Catch-v0_1", **config: object) -> Path:
    run = folder / algo.__name__.lower() / name
    model = algo("CnnPolicy", make_vec_env(CatchEnv, 1), **({"buffer_size": 99} if algo is DQN else {}))
    (run / "Catch-v0").mkdir(parents=True, exist_ok=True)
    model.save(run / "Catch-v0.zip")
    (run / "Catch-v0" / "config.yml").write_text(yaml.dump(config))
    return run


@pytest.mark.parametrize(
    ("algo", "env_id", "deterministic"),
    [("ppo", "PongNoFrameskip-v4", False), ("dqn", "ALE/Pong-v5", True), ("ppo", "Catch-v0", True)],
)
def test_chance_as_in_enjoy(algo: str, env_id: str, deterministic: bool) -> None:
    assert SavedAgent(algo, env_id, Path()).is_deterministic == deterministic


def test_atari_agent_plays_with_sticky_actions() -> None:
    agent = find_agent("ppo", "PongNoFrameskip-v4", AGENTS)
    model = agent.load()
    env = agent.make_env(sticky=0.5)
    assert isinstance(env, AleVecEnv)
    assert env.num_envs == 1
    assert env.env_is_wrapped(StickyActionEnv) == env.env_is_wrapped(EpisodicLifeEnv) == [True]
    assert env.observation_space == model.observation_space
    actions, _ = model.predict(env.reset())
    env.step(actions)
    env.close()
    env = agent.make_env(sticky=0)
    assert env.env_is_wrapped(StickyActionEnv) == [False]
    env.close()


def test_an_agent_of_other_observations_is_refused(tmp_path: Path) -> None:
    wrapper = {"sb3_efficient.envs.DownsampleWrapper": {"factor": 2}}
    run = saved(tmp_path, env_wrapper=[wrapper])
    agent = find_agent("ppo", "Catch-v0", tmp_path)
    with pytest.raises(ArtifactError, match=r"Catch-v0.zip is a policy for observations of .*84.*has Box.*42"):
        agent.check_fit(agent.load())
    pong = tmp_path / "ppo" / "PongNoFrameskip-v4_1" / "PongNoFrameskip-v4.zip"
    pong.parent.mkdir()
    shutil.copy(run / "Catch-v0.zip", pong)
    agent = find_agent("ppo", "PongNoFrameskip-v4", tmp_path)
    with pytest.raises(ArtifactError, match=r"The settings that it was trained with, .*-v4_1/PongNoFr.*, are gone\."):
        agent.check_fit(agent.load())


@pytest.mark.parametrize("config", [{}, {"frame_stack": 2}, {"normalize": True}, {"normalize": True, "frame_stack": 2}])
def test_agents_fit_what_they_were_trained_in(config: dict[str, Any], tmp_path: Path) -> None:
    env = make_vec_env(CatchEnv, 1)
    folder = tmp_path / "ppo" / "Catch-v0_1" / "Catch-v0"
    folder.mkdir(parents=True)
    if "normalize" in config:
        env = VecNormalize(env)
        env.save(str(folder / "vecnormalize.pkl"))
    env = VecFrameStack(env, config["frame_stack"]) if "frame_stack" in config else env
    # Normalized they are no images to SB3
    PPO("MlpPolicy" if "normalize" in config else "CnnPolicy", env).save(f"{folder}.zip")
    (folder / "config.yml").write_text(yaml.dump(config))
    agent = find_agent("ppo", "Catch-v0", tmp_path)
    agent.check_fit(agent.load())


def test_bounds_of_other_releases_fit(tmp_path: Path) -> None:
    folder = tmp_path / "ppo" / "CartPole-v1_1" / "CartPole-v1"
    folder.mkdir(parents=True)
    (folder / "config.yml").write_text("{}")
    model = PPO("MlpPolicy", "CartPole-v1")
    model.save(f"{folder}.zip")
    agent = find_agent("ppo", "CartPole-v1", tmp_path)
    model.observation_space = spaces.Box(-1e38, 1e38, (4,))
    agent.check_fit(model)
    model.action_space = spaces.Discrete(3)
    with pytest.raises(ArtifactError, match=r"for actions of Discrete\(3\), and this environment has Discrete\(2\)"):
        agent.check_fit(model)


@pytest.mark.parametrize("trained_in", [{}, {"vec_env": "ale"}])
def test_a_game_that_the_faster_environment_refuses_is_played_in_the_zoos(
    trained_in: dict[str, str], tmp_path: Path
) -> None:
    name = "DoubleDunkNoFrameskip-v4"
    folder = tmp_path / "ppo" / f"{name}_1" / name
    folder.mkdir(parents=True)
    folder.with_name(f"{name}.zip").touch()
    (folder / "config.yml").write_text(yaml.dump({"env_wrapper": ATARI, "frame_stack": 4, **trained_in}))
    env = find_agent("ppo", name, tmp_path).make_env(sticky=0.25)
    assert not isinstance(env, AleVecEnv)
    env.close()


def test_atari_agent_is_shown_what_it_was_trained_on(tmp_path: Path) -> None:
    folder = tmp_path / "ppo" / "PongNoFrameskip-v4_1" / "PongNoFrameskip-v4"
    folder.mkdir(parents=True)
    folder.with_name("PongNoFrameskip-v4.zip").touch()
    wrapper = "stable_baselines3.common.vec_env.VecFrameStack"
    config = {"env_wrapper": ATARI, "frame_stack": 4, "normalize": True, "vec_env": "ale"}
    config |= {"vec_env_wrapper": [{wrapper: {"n_stack": 2}}]}
    (folder / "config.yml").write_text(yaml.dump(config))
    agent = find_agent("ppo", "PongNoFrameskip-v4", tmp_path)
    with pytest.raises(EfficientError, match="trained with VecNormalize, and its statistics.*are gone"):
        agent.make_env()
    trained = VecNormalize(VecFrameStack(AleVecEnv("PongNoFrameskip-v4", 1), 2))
    trained.obs_rms.mean += 50
    trained.save(str(folder / "vecnormalize.pkl"))
    env = agent.make_env()
    assert env.observation_space.shape == (8, 84, 84)
    np.testing.assert_array_equal(env.reset(), trained.normalize_obs(env.unnormalize_obs(env.reset())))
    assert not env.training
    assert not env.norm_reward
    env.close()
    trained.close()


@pytest.mark.parametrize(
    ("env_id", "config", "is_fast", "shape"),
    [
        ("PongNoFrameskip-v4", {"env_wrapper": ATARI, "frame_stack": 4}, True, (4, 84, 84)),
        ("PongNoFrameskip-v4", {"env_wrapper": ATARI}, True, (1, 84, 84)),
        ("PongNoFrameskip-v4", {}, False, (210, 160, 3)),
        ("PongNoFrameskip-v4", {"env_wrapper": ATARI, "normalize": "dict(norm_obs=False)"}, True, (1, 84, 84)),
        ("ALE/Pong-v5", {"env_wrapper": ATARI, "frame_stack": 4}, False, (84, 84, 4)),
        ("ALE/Pong-v5", {"env_wrapper": ATARI, "frame_stack": 4, "vec_env": "ale"}, True, (4, 84, 84)),
        ("ALE/Pong-v5", {"env_wrapper": ATARI, "frame_stack": 4, "env_kwargs": {"frameskip": 1}}, True, (4, 84, 84)),
    ],
)
def test_faster_environments_only_where_they_are_the_same(
    env_id: str, config: dict[str, Any], is_fast: bool, shape: tuple[int, ...], tmp_path: Path
) -> None:
    name = env_id.replace("/", "-")
    folder = tmp_path / "ppo" / f"{name}_1" / name
    folder.mkdir(parents=True)
    folder.with_name(f"{name}.zip").touch()
    (folder / "config.yml").write_text(yaml.dump(config))
    env = find_agent("ppo", env_id, tmp_path).make_env(sticky=0)
    assert isinstance(env, AleVecEnv) == is_fast
    assert env.observation_space.shape == shape
    env.close()


def test_rewards_are_those_of_the_game(tmp_path: Path) -> None:
    saved(tmp_path, normalize="dict(norm_obs=False)")
    env = find_agent("ppo", "Catch-v0", tmp_path).make_env()
    assert unwrap_vec_wrapper(env, VecNormalize) is None


def test_what_else_goes_wrong_is_not_the_agents_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = saved(tmp_path)

    def fail(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(PPO, "load", fail)
    with pytest.raises(MemoryError):
        load_model("ppo", run / "Catch-v0.zip")


def test_other_agents_play_in_their_wrappers(tmp_path: Path) -> None:
    wrapper = {"sb3_efficient.envs.DownsampleWrapper": {"factor": 2}}
    run = saved(tmp_path, frame_stack=2, env_wrapper=[wrapper])
    agent = find_agent("ppo", "Catch-v0", tmp_path)
    assert agent.make_env().observation_space.shape == (42, 42, 2)
    assert agent.make_env().observation_space.shape == (42, 42, 2)
    (run / "Catch-v0" / "args.yml").write_text(yaml.dump({"env_kwargs": {"render_mode": "rgb_array"}}))
    assert agent.make_env().render_mode == "rgb_array"


def test_latest_best_and_chosen_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (saved(tmp_path, name=f"Catch-v0_{i}") for i in (1, 2))
    assert find_agent("ppo", "Catch-v0", tmp_path).path == second / "Catch-v0.zip"
    assert capsys.readouterr().out == ""
    assert find_agent("ppo", "Catch-v0", tmp_path, exp_id=1).path == first / "Catch-v0.zip"
    with pytest.raises(EfficientError, match=r"best_model.zip. Agents in .*: ppo/Catch-v0_1, ppo/Catch-v0_2. Choose"):
        find_agent("ppo", "Catch-v0", tmp_path, load_best=True)


def test_agents_with_replay_need_no_room_for_it(tmp_path: Path) -> None:
    run = saved(tmp_path, DQN)
    model = load_model("dqn", run / "Catch-v0.zip")
    assert model.replay_buffer.buffer_size == 1
    assert model.predict(np.zeros((1, 84, 84), np.uint8))[0].shape == ()


def test_what_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="Unknown algorithm 'pppo'. Did you mean 'ppo'?"):
        find_agent("pppo", "Catch-v0", tmp_path)
    with pytest.raises(UnknownNameError, match="No environment 'Catch-v00' is registered. Did you mean 'Catch-v0'?"):
        find_agent("ppo", "Catch-v00", tmp_path)
    with pytest.raises(EfficientError, match="Agents in .*: none. Choose one with --algo"):
        find_agent("ppo", "Catch-v0", tmp_path)


def test_a_damaged_agent(tmp_path: Path) -> None:
    file = tmp_path / "ppo" / "Catch-v0_1" / "Catch-v0.zip"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"PK not")
    with pytest.raises(ArtifactError, match=r"Catch-v0\.zip is no zip of Stable-Baselines3, or a damaged one"):
        find_agent("ppo", "Catch-v0", tmp_path).load()
    # As far as it was written when a run was killed; torch's own zips are inside
    file = saved(tmp_path) / "Catch-v0.zip"
    with zipfile.ZipFile(file) as whole:
        end = whole.getinfo("policy.optimizer.pth").header_offset
    file.write_bytes(file.read_bytes()[:end])
    assert zipfile.is_zipfile(file)
    with pytest.raises(ArtifactError, match=r"Catch-v0\.zip is no agent of ppo, or a damaged one"):
        find_agent("ppo", "Catch-v0", tmp_path).load()
    with pytest.raises(ArtifactError, match=r"Catch-v0\.zip is no agent of Stable-Baselines3, or a damaged one: it"):
        saved_freeze(str(file))
