"""A frozen model that was saved and loaded does not learn from images unless it is told to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch as th
from helpers import ROOT, Run
from stable_baselines3 import PPO
from test_policies import IMAGE_ALGORITHMS, OFF_POLICY, model

from sb3_efficient import accelerate, policy_kwargs
from sb3_efficient.envs import AleVecEnv
from sb3_efficient.errors import ConflictError
from sb3_efficient.frames import FrameNStepReplayBuffer, FrameReplayBuffer
from sb3_efficient.seer import SEERCallback, ThawCallback
from sb3_efficient.seer.resume import holds_latents

PUBLISHED = ROOT / "examples" / "agents"
HIDDEN = """
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "sb3_efficient":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hidden())
"""


def frozen(algo: str) -> Any:
    agent: Any = model(algo, policy_kwargs=policy_kwargs("nature", algo, channels=(4, 4, 4), features_dim=16))
    agent.learn(60, callback=SEERCallback(20))
    assert agent.seer["timesteps"] >= 20
    return agent


def loaded(agent: Any, path: Path) -> Any:
    agent.save(path)
    return type(agent).load(path, env=agent.get_env(), device="cpu")


@pytest.mark.parametrize("algo", IMAGE_ALGORITHMS)
def test_without_the_callback_it_refuses_by_name(algo: str, tmp_path: Path) -> None:
    agent = loaded(frozen(algo), tmp_path / "agent")
    agent.predict(agent.env.reset())
    with pytest.raises(ConflictError, match=r"frozen by SEER at \d+ timesteps \('lower'\).*callback=SEERCallback\(\)"):
        agent.learn(40, reset_num_timesteps=False)
    assert agent.num_timesteps == (60 if algo in OFF_POLICY else 64)
    agent.learn(40, callback=SEERCallback(), reset_num_timesteps=False)
    assert holds_latents(agent)
    agent.learn(20, reset_num_timesteps=False)
    assert agent.num_timesteps >= 120, "frozen in this process, it needs no callback"


@pytest.mark.parametrize("name", ["PongNoFrameskip-v4_2", "PongNoFrameskip-v4_3", "QbertNoFrameskip-v4_1"])
def test_the_published_agents_refuse_too(name: str) -> None:
    env_id = name.rpartition("_")[0]
    agent = PPO.load(PUBLISHED / "ppo" / name / f"{env_id}.zip", env=AleVecEnv(env_id, 8, seed=0), device="cpu")
    with pytest.raises(ConflictError, match="frozen by SEER at [0-9]+ timesteps"):
        agent.learn(8)


@pytest.mark.parametrize("algo", ["ppo", "dqn"])
def test_thawed_all_layers_learn(algo: str, tmp_path: Path) -> None:
    agent = loaded(frozen(algo), tmp_path / "agent")
    accelerate(agent, keep_memory=False)
    first = next(agent.policy.parameters())
    before = first.detach().clone()
    agent.learn(60, callback=ThawCallback(), reset_num_timesteps=False)
    assert not th.equal(first, before)
    assert not holds_latents(agent)
    again = loaded(agent, tmp_path / "again")
    assert not hasattr(again, "seer")
    again.learn(20, reset_num_timesteps=False)
    again.learn(60, callback=SEERCallback(1), reset_num_timesteps=False)
    assert holds_latents(again), "and may be frozen again"


def test_what_was_never_frozen_is_left_alone() -> None:
    agent: Any = model("ppo")
    agent.collect_rollouts = own = agent.collect_rollouts
    agent.learn(20, callback=ThawCallback())
    assert agent.collect_rollouts is own


@pytest.mark.parametrize("algo", ["ppo", "dqn"])
def test_what_is_frozen_in_this_process_cannot_be_thawed(algo: str) -> None:
    agent = frozen(algo)
    with pytest.raises(ConflictError, match="is frozen in this process: save it, and load it"):
        agent.learn(20, callback=ThawCallback(), reset_num_timesteps=False)
    agent.learn(20, reset_num_timesteps=False)


@pytest.mark.parametrize("images", [False, True])
def test_another_replay_buffer_thaws_nothing(images: bool, tmp_path: Path) -> None:
    agent = model("dqn") if images else frozen("dqn")
    agent.save_replay_buffer(tmp_path / "buffer")
    agent = frozen("dqn") if images else agent
    agent.load_replay_buffer(tmp_path / "buffer")
    with pytest.raises(ConflictError, match="is frozen in this process: save it, and load it"):
        agent.learn(20, callback=ThawCallback(), reset_num_timesteps=False)
    assert agent.seer


@pytest.mark.parametrize("n_step", [False, True])
def test_thawed_with_stored_latents_the_buffer_begins_empty(n_step: bool, tmp_path: Path) -> None:
    options: Any = {"replay_buffer_class": FrameReplayBuffer}
    if n_step:
        options = {"replay_buffer_class": FrameNStepReplayBuffer, "replay_buffer_kwargs": {"n_steps": 2, "gamma": 0.9}}
    agent: Any = model("dqn", policy_kwargs=policy_kwargs("nature", "dqn", channels=(4, 4, 4)), **options)
    agent.learn(60, callback=SEERCallback(20))
    agent.save_replay_buffer(tmp_path / "buffer")
    agent = loaded(agent, tmp_path / "agent")
    agent.load_replay_buffer(tmp_path / "buffer")
    with pytest.warns(UserWarning, match="SEER: 60 stored latents are of no use to layers that learn"):
        agent.learn(20, callback=ThawCallback(), reset_num_timesteps=False)
    assert agent.replay_buffer.size() == 20
    assert type(agent.replay_buffer) is options["replay_buffer_class"]


@pytest.mark.filterwarnings("ignore:SEER. 60 stored latents are of no use")
@pytest.mark.parametrize("algo", ["ppo", "dqn"])
def test_where_it_cannot_be_frozen_again_all_layers_learn(
    algo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = frozen(algo)
    if algo == "dqn":
        agent.save_replay_buffer(tmp_path / "buffer")
    agent = loaded(agent, tmp_path / "agent")
    if algo == "dqn":
        agent.load_replay_buffer(tmp_path / "buffer")

    def fail(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("sb3_efficient.seer.callback.latent_buffer", fail)
    with pytest.warns(UserWarning, match=r"could not freeze at 6\d, and trains on"):
        agent.learn(40, callback=SEERCallback(), reset_num_timesteps=False)
    assert agent.num_timesteps > 64
    assert not hasattr(agent, "seer")


def test_a_buffer_of_images_in_a_frozen_model_that_cannot_be_made_latents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All layers stay frozen, so that training on from images would be no such thing."""
    agent: Any = model("dqn")
    agent.learn(20)
    agent.save_replay_buffer(tmp_path / "images")
    agent.learn(60, callback=SEERCallback(20), reset_num_timesteps=False)
    agent.load_replay_buffer(tmp_path / "images")
    marked = dict(agent.seer)

    def fail(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("sb3_efficient.seer.callback.latent_buffer", fail)
    with pytest.raises(
        ConflictError, match="a buffer of images was put into it since, which could not be made latents"
    ):
        agent.learn(60, callback=SEERCallback(20), reset_num_timesteps=False)
    assert agent.seer == marked


def test_the_models_own_way_to_collect_is_kept() -> None:
    agent: Any = model("ppo")
    plain, calls = agent.collect_rollouts, []

    def own(*args: Any, **kwargs: Any) -> Any:
        calls.append(agent.num_timesteps)
        return plain(*args, **kwargs)

    agent.collect_rollouts = own
    agent.learn(64, callback=SEERCallback(20))
    assert holds_latents(agent)
    assert calls[-1] > 20


ELSEWHERE = """
import sys
from stable_baselines3 import {algo}
agent = {algo}.load("agent.zip", device="cpu")
print(agent.predict(agent.observation_space.sample())[0])
assert "sb3_efficient" not in sys.modules
"""


@pytest.mark.parametrize("algo", ["ppo", "dqn"])
def test_a_stock_agent_plays_where_this_package_is_not(algo: str, python: Run, tmp_path: Path) -> None:
    agent: Any = model(algo)
    agent.learn(60, callback=SEERCallback(20))
    agent.save(tmp_path / "agent")
    python("-c", HIDDEN + ELSEWHERE.format(algo=algo.upper()), TORCH_DEVICE_BACKEND_AUTOLOAD="0")


def test_the_zip_is_of_the_algorithm_alone(tmp_path: Path) -> None:
    """No second copy of the model in what is saved to refuse."""
    agent = frozen("ppo")
    agent.save(tmp_path / "agent")
    size = (tmp_path / "agent.zip").stat().st_size
    vars(agent).pop("collect_rollouts")
    agent.save(tmp_path / "without")
    assert size < (tmp_path / "without.zip").stat().st_size + 500
