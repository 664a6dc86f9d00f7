"""Frames kept once give the minibatches of SB3's replay buffer, bit for bit."""

from __future__ import annotations

import copy
import pickle
import sys
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import psutil
import pytest
import torch as th
from gymnasium import spaces
from helpers import Run, interrupted, parameters_match
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3 import DQN
from stable_baselines3.common.buffers import NStepReplayBuffer, ReplayBuffer
from stable_baselines3.common.env_util import make_atari_env
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecFrameStack, VecTransposeImage

from sb3_efficient import accelerate
from sb3_efficient.envs import AleVecEnv
from sb3_efficient.errors import ConflictError, EfficientError, MissingExtraError, ObservationError, OptionError
from sb3_efficient.frames import FrameNStepReplayBuffer, FrameReplayBuffer
from sb3_efficient.frames.memory import PlainFrames

Buffers = tuple[FrameReplayBuffer, ReplayBuffer]
ACTIONS = spaces.Discrete(3)
ATARI = spaces.Box(0, 255, (4, 84, 84), np.uint8)
NSTEP = {"n_steps": 3, "gamma": 0.9}


def pair(
    size: int,
    space: spaces.Box,
    n: int = 1,
    steps: bool = False,
    timeouts: bool = True,
    frame_channels: int = 1,
    compress: bool | str = False,
) -> Buffers:
    shared: dict[str, Any] = {"handle_timeout_termination": timeouts, **(NSTEP if steps else {})}
    ours, theirs = (FrameNStepReplayBuffer, NStepReplayBuffer) if steps else (FrameReplayBuffer, ReplayBuffer)
    return (
        ours(size, space, ACTIONS, "cpu", n, frame_channels=frame_channels, compress=compress, **shared),
        theirs(size, space, ACTIONS, "cpu", n, **shared),
    )


def assert_same(ours: FrameReplayBuffer, theirs: ReplayBuffer, batches: int = 2) -> None:
    assert (ours.pos, ours.full, ours.size()) == (theirs.pos, theirs.full, theirs.size())
    for name in ("observations", "next_observations", "actions", "rewards", "dones", "timeouts"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name), err_msg=name)
    for seed in range(batches):
        samples = []
        for buffer in (ours, theirs):
            np.random.seed(seed)  # noqa: NPY002  (SB3 samples with it)
            samples.append(buffer.sample(16))
        for name, found, expected in zip(samples[1]._fields, *samples, strict=True):
            assert (found is None and expected is None) or th.equal(found, expected), name
            assert found is None or found.dtype == expected.dtype
    assert_no_frame_is_lost(ours)


def assert_no_frame_is_lost(buffer: FrameReplayBuffer) -> None:
    """Every number is either used or free, and counted right."""
    store = buffer._store
    used, counts = np.unique(np.concatenate(buffer._numbers), return_counts=True)
    assert len(set(store._free)) == len(store._free)
    assert {*used.tolist(), 0} == set(range(store._top)) - set(store._free)
    np.testing.assert_array_equal(store._uses[used[used > 0]], counts[used > 0])


class Stream:
    """
    Transitions of stacks that are what SB3's algorithms store, with every event that breaks a stack.

    :param c: Channels of a frame
    :param k: Frames in a stack
    :param colours: Few make equal frames frequent
    """

    EVENTS = ("step", "terminal", "timeout", "restart", "copies", "whole", "nothing kept")

    def __init__(self, n: int, c: int, k: int, colours: int, seed: int) -> None:
        self.rng, self.n, self.c, self.k, self.colours = np.random.default_rng(seed), n, c, k, colours
        self.space = spaces.Box(0, 255, (c * k, 4, 5), np.uint8)
        self.stack = np.stack([self.first() for _ in range(n)])

    def frame(self) -> np.ndarray:
        if self.colours < 256:
            return np.full((self.c, 4, 5), self.rng.integers(self.colours), np.uint8)
        return self.rng.integers(256, size=(self.c, 4, 5), dtype=np.uint8)

    def first(self, copies: bool = False) -> np.ndarray:
        stack = np.tile(self.frame(), (self.k, 1, 1))
        stack[: 0 if copies else -self.c] = 0
        return stack

    def after(self, stack: np.ndarray) -> np.ndarray:
        return np.concatenate([stack[self.c :], self.frame()])

    def transition(self, events: list[str]) -> tuple[Any, ...]:
        """One event for each environment."""
        obs = self.stack
        then = np.stack([self.after(stack) for stack in obs])
        if "whole" in events:
            then[events.index("whole")] = self.rng.integers(256, size=self.space.shape)
        self.stack = then.copy()
        for i, event in enumerate(events):
            if event in ("terminal", "timeout", "restart", "copies"):
                self.stack[i] = self.first(event == "copies")
            if event == "nothing kept":
                self.stack[i] = self.rng.integers(256, size=self.space.shape)
        dones = np.array([event in ("terminal", "timeout", "copies") for event in events])
        infos = [{"TimeLimit.truncated": event == "timeout"} for event in events]
        return obs, then, self.rng.integers(3, size=self.n), self.rng.normal(size=self.n), dones, infos


def fill(buffers: Buffers, stream: Stream, events: list[list[str]]) -> None:
    for each in events:
        transition = stream.transition(each[: stream.n])
        for buffer in buffers:
            buffer.add(*transition)


EVENT = st.one_of(st.just("step"), st.just("step"), st.sampled_from(Stream.EVENTS))


@settings(max_examples=150, deadline=None)
@given(
    n=st.integers(1, 3),
    k=st.integers(1, 4),
    c=st.sampled_from([1, 3]),
    size=st.integers(1, 12),
    colours=st.sampled_from([2, 256]),
    steps=st.booleans(),
    compress=st.sampled_from([False, "zlib", "zstd"]),
    events=st.lists(st.lists(EVENT, min_size=3, max_size=3), min_size=1, max_size=40),
    seed=st.integers(0, 99),
)
@pytest.mark.filterwarnings("ignore:FrameReplayBuffer keeps more than two frames")
def test_any_stream_comes_back(
    n: int, k: int, c: int, size: int, colours: int, steps: bool, compress: Any, events: list[list[str]], seed: int
) -> None:
    stream = Stream(n, c, k, colours, seed)
    buffers = pair(size * n, stream.space, n, steps, frame_channels=c, compress=compress)
    half = len(events) // 2
    fill(buffers, stream, events[:half])
    if half:
        assert_same(*buffers, batches=1)
    buffers = pickle.loads(pickle.dumps(buffers, protocol=pickle.HIGHEST_PROTOCOL))
    fill(buffers, stream, events[half:])
    assert_same(*buffers, batches=1)
    for buffer in buffers:
        buffer.reset()
    assert buffers[0].size() == 0
    fill(buffers, stream, events)
    assert_same(*buffers, batches=1)


@pytest.mark.parametrize("compress", [False, "zlib"])
@pytest.mark.parametrize("before", [5, 20])
def test_ctrl_c_in_the_middle_costs_no_frame_that_is_in_use(compress: Any, before: int) -> None:
    """SB3 counts a transition last of all: what was interrupted is written again, to the same slot."""
    events = [["terminal" if i % 7 == 0 else "step", "terminal" if i % 5 == 0 else "step"] for i in range(40)]
    line, goes_on = 1, True
    while goes_on:
        stream = Stream(2, 1, 4, 256, seed=0)
        ours, theirs = buffers = pair(2 * 8, stream.space, 2, compress=compress)
        fill(buffers, stream, events[:before])
        transition = stream.transition(["terminal", "step"])
        goes_on = interrupted(partial(ours.add, *transition), line, "sb3_efficient/frames")
        theirs.add(*transition)
        if ours.pos != theirs.pos:
            ours.add(*transition)
        for each in events[before:]:
            fill(buffers, stream, [each])
            for name in ("observations", "next_observations"):
                np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name), err_msg=f"line {line}")
        line += 1
    assert line > 20


def test_files_have_no_slots_that_were_not_written() -> None:
    frames, frame = PlainFrames(1000, (1, 84, 84)), np.full((1, 84, 84), 7, np.uint8)
    frames.write(3, frame)
    saved = pickle.dumps(frames)
    assert 4 * frame.nbytes < len(saved) < 5 * frame.nbytes
    again = pickle.loads(saved)
    assert again.nbytes == frames.nbytes == 1000 * frame.nbytes
    again.write(999, frame)
    found = again.read(np.array([3, 4, 999]))
    assert [part.max() for part in found] == [7, 0, 7]


def play(buffers: Buffers, env: VecEnv, steps: int) -> int:
    """
    Store as SB3's algorithms do, with random actions.

    :return: Number of ends of episodes
    """
    rng = np.random.default_rng(0)
    obs, ends = env.reset(), 0
    for t in range(steps):
        actions = rng.integers(env.action_space.n, size=env.num_envs)  # type: ignore[attr-defined]
        new, rewards, dones, infos = env.step(actions)
        then = copy.deepcopy(new)
        for i in np.flatnonzero(dones):
            then[i] = infos[i]["terminal_observation"]
        for buffer in buffers:
            buffer.add(obs, then, actions, rewards, dones, infos)
        ends += int(dones.sum())
        obs = new
        if t == steps // 2:
            obs = env.reset()  # a new learn()
    env.close()
    return ends


@pytest.mark.parametrize("game", ["Pong", "Breakout"])
@pytest.mark.parametrize("n_envs", [1, 3])
@pytest.mark.parametrize(
    ("steps", "compress"), [(False, False), (True, False), (False, True)], ids=["one-step", "n-step", "compressed"]
)
def test_games_in_cpp(game: str, n_envs: int, steps: bool, compress: bool) -> None:
    env = AleVecEnv(f"{game}NoFrameskip-v4", n_envs, seed=0)
    env.action_space = spaces.Discrete(3)
    buffers = pair(250 * n_envs, env.observation_space, n_envs, steps, compress=compress)  # type: ignore[arg-type]
    ends = play(buffers, env, 600)
    assert ends > 10 or game == "Pong"
    assert_same(*buffers)
    assert len(np.unique(np.concatenate(buffers[0]._numbers))) < 1.2 * 250 * n_envs


def test_games_in_python() -> None:
    env = VecTransposeImage(VecFrameStack(make_atari_env("BreakoutNoFrameskip-v4", 2, seed=0), 4))
    env.action_space = spaces.Discrete(3)
    buffers = pair(300, env.observation_space, 2)  # type: ignore[arg-type]
    assert play(buffers, env, 400) > 5
    assert_same(*buffers)


class Colours(gym.Env):
    """RGB noise in short episodes, half of them truncated."""

    observation_space = spaces.Box(0, 255, (12, 10, 3), np.uint8)
    action_space = ACTIONS

    def reset(self, **kwargs: Any) -> tuple[np.ndarray, dict]:
        super().reset(**kwargs)
        self.left = int(self.np_random.integers(1, 9))
        return self.observation_space.sample(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.left -= 1
        return self.observation_space.sample(), 1.0, self.left == 0 and action > 0, self.left == 0, {}


@pytest.mark.parametrize("timeouts", [True, False])
def test_frames_with_colours(timeouts: bool) -> None:
    env = VecTransposeImage(VecFrameStack(DummyVecEnv([Colours] * 2), 3))
    env.seed(0)
    buffers = pair(80, env.observation_space, 2, timeouts=timeouts, frame_channels=3)  # type: ignore[arg-type]
    assert play(buffers, env, 100) > 20
    assert buffers[1].timeouts.any() == timeouts
    assert_same(*buffers)


def test_bytes_of_a_transition() -> None:
    ours, theirs = pair(2000, ATARI)
    arrays = (theirs.observations, theirs.next_observations, theirs.actions, theirs.rewards, theirs.dones)
    plain = sum(array.nbytes for array in arrays) + theirs.timeouts.nbytes
    assert plain / ours.nbytes > 7.9
    assert ours._store.nbytes / 2000 < 7056 * 1.01
    # Whole episodes, which need a frame more each, and the ring goes round
    stream = Stream(1, 1, 4, 256, 0)
    small = FrameReplayBuffer(500, stream.space, ACTIONS, "cpu")
    before = small.nbytes
    for t in range(1500):
        small.add(*stream.transition(["terminal" if t % 50 == 49 else "step"]))
    assert len(np.unique(small._numbers)) <= 500 + 10 + 5 + 1
    assert small.nbytes - before <= 16 * (20 + 4)


@pytest.mark.parametrize(("game", "codec", "times"), [("Pong", "zlib", 150), ("MsPacman", "zstd", 40)])
def test_bytes_of_a_compressed_transition(game: str, codec: str, times: float) -> None:
    env = AleVecEnv(f"{game}NoFrameskip-v4", 1, seed=0)
    env.action_space = spaces.Discrete(3)
    ours, theirs = pair(1000, ATARI, compress=codec)
    play((ours,), env, 1000)  # type: ignore[arg-type]
    there = sum(map(sys.getsizeof, ours._store._frames._compressed))  # type: ignore[attr-defined]
    assert ours._store._frames._bytes == there  # type: ignore[attr-defined]
    assert there < ours._store.nbytes < 1.1 * there + 16 * 1000
    assert (theirs.observations.nbytes + theirs.next_observations.nbytes) / ours.nbytes > times


def test_too_little_memory_for_compressed_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    class Little:
        available = 3e6

    monkeypatch.setattr(psutil, "virtual_memory", Little)
    stream = Stream(1, 1, 4, 256, 0)
    buffer = FrameReplayBuffer(50_000, stream.space, ACTIONS, "cpu", compress=True)
    for _ in range(999):
        buffer.add(*stream.transition(["step"]))
    with pytest.warns(UserWarning, match="needs 0.01 GB when it is full, .* smaller buffer_size than 50000"):
        buffer.add(*stream.transition(["step"]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        buffer.add(*stream.transition(["step"]))


def test_a_codec_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'sb3-efficient\[zstd\]', or take compress='zlib'"):
        FrameReplayBuffer(100, ATARI, ACTIONS, compress="zstd")


def test_padding_costs_no_frame() -> None:
    kept = []
    for end in ("terminal", "copies"):
        stream = Stream(1, 1, 4, 256, 0)
        buffer = FrameReplayBuffer(100, stream.space, ACTIONS, "cpu")
        for t in range(150):
            buffer.add(*stream.transition([end if t % 5 == 4 else "step"]))
        kept.append(len(set(np.unique(buffer._numbers)) - {0}))
    assert kept[0] == kept[1], "whether with black or with the first frame"


def test_memory_is_not_taken_before_it_is_needed(python: Run) -> None:
    # By itself: others may have had malloc keep what it hands out, which numpy then writes zeros to
    python("-c", EMPTY)


EMPTY = """
import numpy as np
import psutil
from gymnasium import spaces
from sb3_efficient.frames import FrameReplayBuffer

before = psutil.Process().memory_info().rss
stacks = spaces.Box(0, 255, (4, 84, 84), np.uint8)
buffer = FrameReplayBuffer(20_000, stacks, spaces.Discrete(6), "cpu")
assert buffer.nbytes > 140e6
assert psutil.Process().memory_info().rss - before < 20e6
"""


def test_a_single_image_in_colour_is_asked_about() -> None:
    space = spaces.Box(0, 255, (3, 84, 84), np.uint8)
    with pytest.warns(UserWarning, match=r"three grey frames. .* frame_channels=3 \(or 1, if they are grey\)"):
        FrameReplayBuffer(10, space, ACTIONS, "cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for channels in (1, 3):
            FrameReplayBuffer(10, space, ACTIONS, "cpu", frame_channels=channels)


def test_reads_as_an_array() -> None:
    stream = Stream(2, 1, 4, 256, 0)
    ours, theirs = pair(20, stream.space, 2)
    fill((ours, theirs), stream, [["step", "terminal"]] * 13)
    slots, envs = np.array([3, 0, 9, 3]), np.array([1, 0, 1, 1])
    for found, expected in (
        (ours.observations, theirs.observations),
        (ours.next_observations, theirs.next_observations),
    ):
        assert (found.shape, found.dtype, len(found)) == (expected.shape, expected.dtype, len(expected))
        for index in ((slots, envs), (slots, envs, slice(None)), 4, -1, slots, slice(2, 5), (slots, 1), ...):
            np.testing.assert_array_equal(found[index], expected[index])
        one = found[slots, envs]
        one[:] = 0
        np.testing.assert_array_equal(found[slots, envs], expected[slots, envs], err_msg="a copy was read")
        for wrong in ((slots, envs, 0), (..., 0)):
            with pytest.raises(OptionError, match="are read by slots and environments"):
                found[wrong]
        with pytest.raises(OptionError, match="one slot at a time"):
            found[2:4] = one
        with pytest.raises(ValueError, match="broadcast"):
            found[0] = np.zeros((2, 4, 5, 4), np.uint8)


def test_a_copy_goes_its_own_way() -> None:
    stream = Stream(1, 1, 4, 256, 0)
    ours, theirs = pair(10, stream.space)
    fill((ours, theirs), stream, [["step"]] * 7)
    other = copy.deepcopy(ours)
    fill((other, other), stream, [["step"]] * 7)
    assert_same(ours, theirs)


def test_stacks_that_share_nothing_are_kept_with_a_warning() -> None:
    stream = Stream(1, 1, 4, 256, 0)
    ours, theirs = pair(200, stream.space)
    with pytest.warns(UserWarning, match="more than two frames for each transition"):
        fill((ours, theirs), stream, [["nothing kept"]] * 300)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fill((ours, theirs), stream, [["nothing kept"]] * 20)
    assert_same(ours, theirs)


def test_too_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    class Little:
        available = 1e6

    monkeypatch.setattr(psutil, "virtual_memory", Little)
    FrameReplayBuffer(100, ATARI, ACTIONS, "cpu")
    with pytest.warns(UserWarning, match="needs 0.01 GB when it is full, .* smaller buffer_size than 1000"):
        FrameReplayBuffer(1000, ATARI, ACTIONS, "cpu")


@pytest.mark.parametrize(
    ("space", "kwargs", "error", "text"),
    [
        (ATARI, {"optimize_memory_usage": True}, ConflictError, "optimize_memory_usage=True is unnecessary"),
        (ATARI, {"compress": "no"}, OptionError, "compress must be true, false, 'zlib' or 'zstd', got 'no'"),
        (ATARI, {"compress": "zst"}, OptionError, "got 'zst'. Did you mean 'zstd'"),
        (ATARI, {"compres": "zstd"}, OptionError, "FrameReplayBuffer has no option 'compres'. Did you mean 'compress'"),
        (ATARI, {"n_steps": 3}, OptionError, "single steps: for n_steps and gamma use FrameNStepReplayBuffer"),
        (ATARI, {"frame_channels": 3}, ObservationError, "Stacks of 4 channels, .* frame_channels=3"),
        (ATARI, {"frame_channels": 0}, OptionError, "frame_channels must be a whole number of at least 1, got 0"),
        (spaces.Box(0, 255, (84, 84, 4), np.uint8), {}, ObservationError, "channel-first .* VecTransposeImage"),
        (spaces.Box(0, 1, (4, 84, 84), np.float32), {}, ObservationError, "Box of uint8 and shape .*float32"),
        (spaces.Box(0, 255, (4,), np.uint8), {}, ObservationError, "Box of uint8 and shape"),
        (spaces.Dict({"image": ATARI}), {}, ObservationError, "Use SB3's own replay buffer"),
    ],
)
def test_bad_input(space: spaces.Space, kwargs: dict, error: type[EfficientError], text: str) -> None:
    with pytest.raises(error, match=text):
        FrameReplayBuffer(100, space, ACTIONS, **kwargs)


@pytest.mark.parametrize(
    ("kwargs", "text"),
    [
        ({}, r"needs n_steps and gamma, the model's, .* give replay_buffer_kwargs=dict\(n_steps=3, gamma=0.99\)"),
        ({"n_steps": 0, "gamma": 0.9}, "n_steps must be a whole number of at least 1, got 0"),
        ({"n_steps": 3, "gamma": 1.5}, "gamma must be at most 1, got 1.5"),
        ({"n_steps": 3, "gamma": 0.9, "compres": 1}, "FrameNStepReplayBuffer has no option 'compres'"),
    ],
)
def test_bad_input_of_returns_over_steps(kwargs: dict, text: str) -> None:
    with pytest.raises(OptionError, match=text):
        FrameNStepReplayBuffer(100, ATARI, ACTIONS, **kwargs)


def agent(buffer: type[ReplayBuffer], n_envs: int = 2, **kwargs: Any) -> DQN:
    env = AleVecEnv("BreakoutNoFrameskip-v4", n_envs, seed=1)
    small = {"buffer_size": 150, "learning_starts": 60, "batch_size": 8, "train_freq": 10}
    return DQN("CnnPolicy", env, replay_buffer_class=buffer, seed=1, device="cpu", **small, **kwargs)


@pytest.mark.parametrize(
    ("ours", "theirs", "kwargs"),
    [
        (FrameReplayBuffer, ReplayBuffer, {}),
        (FrameReplayBuffer, ReplayBuffer, {"replay_buffer_kwargs": {"compress": True}}),
        (FrameNStepReplayBuffer, NStepReplayBuffer, {"replay_buffer_kwargs": NSTEP}),
    ],
)
def test_dqn_learns_the_same_weights(ours: type, theirs: type, kwargs: dict) -> None:
    one = agent(ours, **kwargs).learn(300)
    other = agent(theirs, **({} if theirs is ReplayBuffer else kwargs)).learn(300)
    assert parameters_match(one.policy, other.policy)
    assert_same(one.replay_buffer, other.replay_buffer)  # type: ignore[arg-type]


def test_dqn_saves_and_goes_on(tmp_path: Path) -> None:
    finished = []
    for buffer, kwargs in ((FrameReplayBuffer, {"replay_buffer_kwargs": {"compress": True}}), (ReplayBuffer, {})):
        first = agent(buffer, **kwargs).learn(220)  # type: ignore[arg-type]
        first.save(tmp_path / "agent.zip")
        first.save_replay_buffer(tmp_path / "buffer.pkl")
        second = DQN.load(tmp_path / "agent.zip", env=AleVecEnv("BreakoutNoFrameskip-v4", 2, seed=2), device="cpu")
        second.load_replay_buffer(tmp_path / "buffer.pkl")
        assert type(second.replay_buffer) is buffer
        finished.append(second.learn(200, reset_num_timesteps=False))
    assert parameters_match(finished[0].policy, finished[1].policy)
    assert_same(finished[0].replay_buffer, finished[1].replay_buffer)  # type: ignore[arg-type]
    # As the zoo's enjoy loads
    assert DQN.load(tmp_path / "agent.zip", buffer_size=1, optimize_memory_usage=False, device="cpu")


def test_beside_accelerate() -> None:
    agents, reports = [], []
    for buffer in (FrameReplayBuffer, ReplayBuffer):
        model = agent(buffer)
        reports.append(accelerate(model, precision="fp32"))
        agents.append(model.learn(200))
    assert "buffer: FrameReplayBuffer has its own way to make minibatches" in reports[0].left_alone
    assert parameters_match(agents[0].policy, agents[1].policy)


def test_through_the_zoo(zoo: Run, stock_zoo: Run, tmp_path: Path) -> None:
    pong = ("--algo", "dqn", "--env", "PongNoFrameskip-v4")
    small = ("-n", "300", "--eval-freq", "-1", "-params", "buffer_size:200", "learning_starts:100")
    dotted = "replay_buffer_class=sb3_efficient.frames.FrameReplayBuffer"
    run = tmp_path / "logs" / "dqn" / "PongNoFrameskip-v4_1"
    zoo("train", *pong, "--save-replay-buffer", *small, dotted)
    zoo("enjoy", *pong, "-f", "logs", "--no-render", "-n", "8")
    done = zoo("train", *pong, "-i", str(run / "PongNoFrameskip-v4.zip"), *small, dotted)
    with (run / "replay_buffer.pkl").open("rb") as file:
        assert type(pickle.load(file)) is FrameReplayBuffer
    assert "Loading replay buffer" in done.stdout
    # The same in the words of stock rl-zoo3
    stock = "replay_buffer_class:\"__import__('sb3_efficient.frames').frames.FrameReplayBuffer\""
    stock_zoo("train", *pong, *small, stock)
    third = run.with_name("PongNoFrameskip-v4_3")
    assert DQN.load(third / "PongNoFrameskip-v4.zip").replay_buffer_class is FrameReplayBuffer
