"""Replay buffers in the zoo: by name, and of agents that are continued."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from helpers import Run
from stable_baselines3 import DQN
from stable_baselines3.common.buffers import ReplayBuffer

from sb3_efficient.errors import ConflictError, OptionError
from sb3_efficient.frames import FrameNStepReplayBuffer, FrameReplayBuffer
from sb3_efficient.zoo.replay_buffer import check_n_steps, check_replay_buffer, import_replay_buffer

DQN_ON_PONG = ("train", "--algo", "dqn", "--env", "PongNoFrameskip-v4", "-n", "64", "--eval-freq", "-1")
SMALL = ("-params", "buffer_size=200", "learning_starts=20", "vec_env=ale")
OURS = ("replay_buffer_class=sb3_efficient.frames.FrameReplayBuffer", "replay_buffer_kwargs=dict(compress='zlib')")
AS_CLASS = ("replay_buffer_class:__import__('sb3_efficient.frames', fromlist=['x']).FrameReplayBuffer", OURS[1])
SB3S = "replay_buffer_class=stable_baselines3.common.buffers.ReplayBuffer"


def test_replay_buffer_by_dotted_name() -> None:
    entry = {"replay_buffer_class": "sb3_efficient.frames.FrameReplayBuffer"}
    import_replay_buffer(entry)
    assert entry == {"replay_buffer_class": FrameReplayBuffer}
    for others in ({}, {"replay_buffer_class": "HerReplayBuffer"}, {"replay_buffer_class": "__import__('a.b').b"}):
        entry = dict(others)
        import_replay_buffer(entry)
        assert entry == others, "the zoo's own"
    with pytest.raises(OptionError, match=r"name FrameReplayBuffer with its module, sb3_efficient.frames.FrameReplay"):
        import_replay_buffer({"replay_buffer_class": "FrameReplayBuffer"})
    for wrong in ("sb3_efficient.frames.Frame", "sb3_efficient.fram.FrameReplayBuffer"):
        with pytest.raises(OptionError, match=f"replay_buffer_class: there is no '{wrong}' to import"):
            import_replay_buffer({"replay_buffer_class": wrong})


@pytest.mark.parametrize("own", [0.99, 0.9])
def test_one_gamma(own: float) -> None:
    def entry(**algorithm: float) -> dict[str, object]:
        options = {"n_steps": 3, "gamma": own}
        return {"replay_buffer_class": FrameNStepReplayBuffer, "replay_buffer_kwargs": options, **algorithm}

    import_replay_buffer(entry(gamma=own))
    as_text = {**entry(gamma=0.95), "replay_buffer_kwargs": f"dict(n_steps=3, gamma={own})"}
    for options in (entry(gamma=0.95), as_text):
        with pytest.raises(ConflictError, match=rf"algorithm has gamma=0.95 and its replay buffer gamma={own}"):
            import_replay_buffer(options)
    if own != 0.99:
        with pytest.raises(ConflictError, match=r"algorithm has gamma=0.99 and"):
            import_replay_buffer(entry())


def test_steps_of_a_buffer_of_other_ones() -> None:
    several = {"replay_buffer_class": FrameNStepReplayBuffer, "replay_buffer_kwargs": {"n_steps": 3}}
    classes = [{"replay_buffer_class": buffer_class} for buffer_class in (FrameReplayBuffer, ReplayBuffer)]
    for entry in ({"n_steps": 3}, *classes, several, {**several, "n_steps": 3}):
        check_n_steps(entry)
    with pytest.raises(OptionError, match=r"FrameReplayBuffer has n_steps=1: .*dict\(n_steps=3, gamma=0.9\)"):
        check_n_steps({"replay_buffer_class": FrameReplayBuffer, "n_steps": 3, "gamma": 0.9})
    with pytest.raises(OptionError, match=r"^n_steps=5 is for .* FrameNStepReplayBuffer has n_steps=3"):
        check_n_steps({**several, "n_steps": 5})


def test_another_class_than_the_one_of_the_agent(zoo: Run, tmp_path: Path) -> None:
    run = tmp_path / "logs" / "dqn" / "PongNoFrameskip-v4_1"
    continued = ("-i", str(run / "PongNoFrameskip-v4.zip"))
    zoo(*DQN_ON_PONG, "--save-replay-buffer", *SMALL, *AS_CLASS)
    written = yaml.load((run / "PongNoFrameskip-v4" / "config.yml").read_text(), Loader=yaml.UnsafeLoader)
    assert written["replay_buffer_class"] == "sb3_efficient.frames.replay.FrameReplayBuffer", "text, for enjoy"
    refused = zoo(*DQN_ON_PONG, *continued, *SMALL, SB3S, fails=True)
    assert "is a FrameReplayBuffer, and replay_buffer_class is ReplayBuffer: leave that out, or move" in refused.stderr
    assert "Traceback" not in refused.stderr
    (run / "replay_buffer.pkl").unlink()
    zoo(*DQN_ON_PONG, *continued, *SMALL, SB3S)
    model = DQN.load(max(run.parent.iterdir()) / "PongNoFrameskip-v4.zip")
    assert (model.replay_buffer_class, model.replay_buffer_kwargs) == (ReplayBuffer, {})


@pytest.mark.parametrize(
    ("options", "text"),
    [({"n_steps": 5}, "n_steps=3"), ({"gamma": 0.9}, "gamma=0.99"), ({"compress": True}, "compress=False")],
)
def test_options_that_the_loaded_buffer_does_not_have(options: dict[str, Any], text: str) -> None:
    """It has its own, whatever is typed."""
    buffer = FrameReplayBuffer.__new__(FrameReplayBuffer)
    vars(buffer).update(n_envs=2, n_steps=3, gamma=0.99, compress=False, buffer_size=50)
    model: Any = SimpleNamespace(replay_buffer=buffer, get_env=lambda: SimpleNamespace(num_envs=2), gamma=0.99)
    same = {"n_steps": 3, "gamma": 0.99, "compress": False}
    # What was not typed may be that of the zoo's entry
    check_replay_buffer(model, {"replay_buffer_kwargs": same, "buffer_size": 10}, "a.zip", {"buffer_size": 101})
    check_replay_buffer(model, {"replay_buffer_kwargs": None}, "a.zip", {})
    with pytest.raises(ConflictError, match=f"The replay buffer beside a.zip has {text}, and {next(iter(options))}="):
        check_replay_buffer(model, {"replay_buffer_kwargs": options}, "a.zip", {})
    with pytest.raises(ConflictError, match="has buffer_size=100, and buffer_size=1000 was asked for: leave that out"):
        check_replay_buffer(model, {}, "a.zip", {"buffer_size": 1000})
    model.gamma = 0.9
    with pytest.raises(ConflictError, match="The algorithm has gamma=0.9 and its replay buffer gamma=0.99"):
        check_replay_buffer(model, {}, "a.zip", {})
