"""AleVecEnv against SB3's own pipeline, step by step, and with what SB3 does with environments."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ale_py
import gymnasium as gym
import numpy as np
import pytest
from helpers import Run
from sb3_contrib import RecurrentPPO
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.atari_wrappers import AtariWrapper, ClipRewardEnv, FireResetEnv, NoopResetEnv
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.env_util import make_atari_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor, load_results
from stable_baselines3.common.vec_env import VecEnv, VecFrameStack, VecMonitor, VecNormalize

from sb3_efficient.envs import AleVecEnv
from sb3_efficient.errors import ConflictError, EfficientError, ObservationError, OptionError, UnknownNameError

gym.register_envs(ale_py)


@pytest.fixture
def register() -> Iterator[Any]:
    """Register an id for a test: ``register(id, **kwargs)``."""
    found = []

    def call(env_id: str, **kwargs: Any) -> str:
        plain = {"game": "pong", "repeat_action_probability": 0.0, "frameskip": 1}
        gym.register(env_id, entry_point="ale_py.env:AtariEnv", kwargs={**plain, **kwargs})
        found.append(env_id)
        return env_id

    yield call
    for env_id in found:
        del gym.registry[env_id]


def sb3(env_id: str, n_envs: int = 1, seed: int = 0, **settings: Any) -> VecEnv:
    return VecFrameStack(make_atari_env(env_id, n_envs, seed, wrapper_kwargs=settings), 4)


def channels_first(observation: np.ndarray) -> np.ndarray:
    return np.moveaxis(observation, -1, -3).astype(int)


def plain(info: dict[str, Any]) -> dict[str, Any]:
    """Without pictures and times."""
    info = {key: value for key, value in info.items() if key != "terminal_observation"}
    if "episode" in info:
        info["episode"] = {key: info["episode"][key] for key in "rl"}
    return info


def emulators(env: VecEnv) -> list[dict[str, int]]:
    """What ale-py's own ``info`` has; of a reset with FIRE, SB3's wrapper hands over none."""
    return [
        {
            "lives": game.ale.lives(),
            "episode_frame_number": game.ale.getEpisodeFrameNumber(),
            "frame_number": game.ale.getFrameNumber(),
        }
        for game in env.get_attr("unwrapped")
    ]


def play_both(ours: VecEnv, theirs: VecEnv, steps: int, *, same_resets: bool = True) -> list[dict[str, Any]]:
    """
    The same actions in both, everything but pixels compared.

    :param same_resets: Whether episodes begin alike after the first one, too: without no-ops they do
    :return: For each step the infos, and by how much stacks and terminal stacks differ
    """
    found, expected = ours.reset(), theirs.reset()
    assert ours.reset_infos == emulators(theirs)
    rows = [{"pixels": np.abs(found - channels_first(expected))}]
    script = np.random.default_rng(0).integers(0, ours.action_space.n, (steps, ours.num_envs))
    for actions in script:
        found, rewards, dones, infos = ours.step(actions)
        expected, *scalars, their_infos = theirs.step(actions)
        assert np.array_equal(rewards, scalars[0])
        assert rewards.dtype == scalars[0].dtype == np.float32
        assert np.array_equal(dones, scalars[1])
        assert [plain(info) for info in infos] == [plain(info) for info in their_infos]
        assert found.shape == (ours.num_envs, *ours.observation_space.shape)
        assert found.dtype == np.uint8
        # the same pictures are empty, of a new episode all but the last
        assert np.array_equal(found.any((2, 3)), expected.any((1, 2)))
        terminal = [
            (info, np.abs(info["terminal_observation"] - channels_first(their["terminal_observation"])))
            for info, their in zip(infos, their_infos, strict=True)
            if "terminal_observation" in info
        ]
        assert sum(dones) == len(terminal)
        for i in np.flatnonzero(dones) if same_resets else ():
            assert ours.reset_infos[i] == emulators(theirs)[i]
        rows.append({"pixels": np.abs(found - channels_first(expected)), "infos": infos, "terminal": terminal})
    if same_resets:
        assert ours.env_method("get_total_steps") == theirs.env_method("get_total_steps")
    ours.close()
    theirs.close()
    return rows


@pytest.mark.parametrize(
    ("game", "lives_lost", "games", "brightest"),
    [
        # lost lives and games in 300 steps of two players, and the largest difference of a pixel
        pytest.param("Pong", 0, 0, 16, id="Pong"),
        pytest.param("Breakout", 14, 2, 0, id="Breakout: a hidden no-op and FIRE at each life"),
        pytest.param("Seaquest", 5, 0, 13, id="Seaquest: no FIRE needed, but pressed"),
        pytest.param("MsPacman", 3, 0, 40, id="MsPacman: no FIRE at all"),
        pytest.param("NameThisGame", 0, 0, 9, id="NameThisGame: 134 frames before the start"),
    ],
)
def test_step_by_step_as_sb3(game: str, lives_lost: int, games: int, brightest: int) -> None:
    """
    Pixels: grey is taken before the maximum of two frames, SB3 takes it after. That matters where one colour moves
    over another. Measured over ten games and 1,200 steps each: none in Breakout, Space Invaders and Enduro, up to 38
    grey levels in Ms. Pac-Man; on average 0.03 levels and 0.3 % of the pixels by more than 2.
    """
    env_id = f"{game}NoFrameskip-v4"
    rows = play_both(AleVecEnv(env_id, 2, noop_max=0), sb3(env_id, 2, noop_max=0), 300)
    terminal = [pair for row in rows[1:] for pair in row["terminal"]]
    assert sum("episode" not in info for info, _ in terminal) == lives_lost
    assert sum("episode" in info for info, _ in terminal) == games
    pixels = np.stack([row["pixels"] for row in rows])
    assert pixels.max() <= brightest
    assert pixels.mean() < 0.05
    assert (pixels > 2).mean() < 0.005
    for info, difference in terminal:
        # At game over SB3 shows the frame in which it happened, or an older one, ours never that one
        if "episode" in info:
            difference = difference[:-1]
        assert difference.max() <= brightest


def test_without_maximum_every_pixel_is_the_same() -> None:
    """So conversion to grey and resizing are the same, and the order of grey and maximum is all that differs."""
    settings = {"noop_max": 0, "frame_skip": 1}
    rows = play_both(
        AleVecEnv("MsPacmanNoFrameskip-v4", 1, **settings), sb3("MsPacmanNoFrameskip-v4", 1, **settings), 1000
    )
    assert sum(row["pixels"].max() > 0 for row in rows) == 0


@pytest.mark.parametrize("off", ["terminal_on_life_loss", "clip_reward"])
def test_settings_as_sb3(off: str) -> None:
    settings = {"noop_max": 0, off: False}
    env_id = "BreakoutNoFrameskip-v4"
    rows = play_both(AleVecEnv(env_id, 1, **settings), sb3(env_id, 1, **settings), 300)
    assert any(row["terminal"] for row in rows[1:])


def test_smaller_pictures_and_another_skip() -> None:
    settings = {"noop_max": 0, "screen_size": 42, "frame_skip": 3}
    env_id = "SeaquestNoFrameskip-v4"
    rows = play_both(AleVecEnv(env_id, 1, **settings), sb3(env_id, 1, **settings), 100)
    assert rows[-1]["pixels"].shape == (1, 4, 42, 42)


@pytest.mark.parametrize(("game", "start", "fire"), [("skiing", 0, 0), ("name_this_game", 134, 8), ("pong", 0, 8)])
def test_no_ops_as_sb3(register: Any, game: str, start: int, fire: int) -> None:
    """They are drawn differently, but count the same: in Skiing they already cost points."""
    env = AleVecEnv(register("Long-v0", game=game), 1, seed=3)
    env.reset()
    noops = env.reset_infos[0]["episode_frame_number"] - start - fire
    assert 1 <= noops <= 30
    # The same game again, cut off after 90 steps
    limit = start + noops + fire + 360
    env_id = register("Short-v0", game=game, max_num_frames_per_episode=limit)
    theirs = sb3(env_id, 1)
    layer = theirs.venv.envs[0]
    while not isinstance(layer, NoopResetEnv):
        layer = layer.env
    layer.override_num_noops = noops
    *_, last = play_both(AleVecEnv(env_id, 1, seed=3), theirs, 90, same_resets=False)
    assert last["infos"][0]["episode"]["l"] == limit - start
    assert game != "skiing" or last["infos"][0]["episode"]["r"] < -600
    env.close()


def test_no_ops_are_drawn_evenly_from_one_to_the_maximum() -> None:
    env = AleVecEnv("MsPacmanNoFrameskip-v4", 1, seed=0, noop_max=3, terminal_on_life_loss=False)
    drawn = []
    for _ in range(120):
        env.reset()
        drawn.append(env.reset_infos[0]["episode_frame_number"])
    assert [drawn.count(n) > 20 for n in (1, 2, 3)] == [True] * 3
    assert set(drawn) == {1, 2, 3}
    env.close()


def test_no_game_is_reset_twice() -> None:
    """Consoles remember what was played before, and SB3's games are reset once each."""
    env, resets = AleVecEnv("SeaquestNoFrameskip-v4", 1, seed=0, noop_max=4, terminal_on_life_loss=False), []
    (game,) = env._games
    reset = game._emulator.reset

    class Counted:
        def __init__(self, emulator: Any) -> None:
            self.send, self.recv = emulator.send, emulator.recv

        def reset(self, *arguments: Any) -> Any:
            resets.append(arguments)
            return reset(*arguments)

    game._emulator = Counted(game._emulator)
    drawn = []
    for _ in range(60):
        env.reset()
        drawn.append(env.reset_infos[0]["episode_frame_number"] - 8)  # FIRE, two steps
    assert len(resets) == 60
    # Where none are drawn, it is a step of them
    assert drawn.count(4) > 12
    assert {*drawn} == {1, 2, 3, 4}
    env.close()


def test_truncation_as_sb3(register: Any) -> None:
    env_id = register("ShortPongNoFrameskip-v4", max_num_frames_per_episode=408)
    rows = play_both(AleVecEnv(env_id, 2, noop_max=0), sb3(env_id, 2, noop_max=0), 220)
    truncated = [row["infos"][0]["TimeLimit.truncated"] for row in rows[1:]]
    assert [i for i, t in enumerate(truncated) if t] == [99, 199]
    assert rows[100]["infos"][0]["episode"]["l"] == 408
    # with no-ops the limit lies within a step, which is played to its end
    env = AleVecEnv(env_id, 8, seed=0)
    env.reset()
    lengths = [info["episode"]["l"] for _ in range(102) for info in env.step(np.zeros(8, int))[3] if "episode" in info]
    assert len(lengths) == 8
    assert all(408 <= length < 412 for length in lengths)
    env.close()


@pytest.mark.parametrize("game", ["pong", "name_this_game"])
def test_limit_of_gymnasium_counts_too(register: Any, game: str) -> None:
    """Of the frames in which somebody acts, not of those before the start of a game."""
    env_id = register("LimitedNoFrameskip-v4", game=game)
    gym.registry[env_id].max_episode_steps = 160
    rows = play_both(AleVecEnv(env_id, 1, noop_max=0), sb3(env_id, 1, noop_max=0), 80)
    truncated = [row["infos"][0]["TimeLimit.truncated"] for row in rows[1:]]
    assert [i for i, t in enumerate(truncated) if t] == [37, 75]


def test_same_seed_same_games_with_any_number_of_threads() -> None:
    def play(seed: int | None, num_threads: int | None = None) -> np.ndarray:
        env = AleVecEnv("PongNoFrameskip-v4", 2, seed, num_threads=num_threads)
        actions = np.random.default_rng(0).integers(0, 6, (40, 2))
        frames = [env.reset(), *(env.step(a)[0] for a in actions)]
        env.close()
        return np.stack(frames)

    found = play(7)
    assert np.array_equal(found, play(7, 1))
    assert not np.array_equal(found, play(8))
    # without a seed there are 900 beginnings: one may be that of seed 7, not all
    assert not all(np.array_equal(found, play(None)) for _ in range(4))
    # the games of one environment differ among themselves
    assert not np.array_equal(found[:, 0], found[:, 1])


def test_reset_continues_a_game_unless_it_is_seeded() -> None:
    env = AleVecEnv("MsPacmanNoFrameskip-v4", 1, seed=1)
    first = env.reset()
    start = env.reset_infos[0]["episode_frame_number"]
    for _ in range(9):
        env.step(np.array([1]))
    env.reset()
    # nine steps and, as EpisodicLifeEnv does, a no-op
    assert env.reset_infos[0]["episode_frame_number"] == start + 40
    env.seed(1)
    assert np.array_equal(env.reset(), first)
    env.step_async(np.array([0]))
    env.reset()  # a step under way is no obstacle
    env.close()


def test_v5_skips_four_frames_in_all_and_is_sticky() -> None:
    def frames(**settings: Any) -> tuple[np.ndarray, list[int]]:
        env = AleVecEnv("ALE/Breakout-v5", 1, seed=0, noop_max=0, **settings)
        assert env.action_space.n == 4
        env.reset()
        numbers, pictures = [], []
        for action in [2, 3, 0, 3] * 5:
            observation, _, _, infos = env.step(np.array([action]))
            numbers.append(infos[0]["frame_number"])
            pictures.append(observation)
        env.close()
        return np.stack(pictures), numbers

    pictures, numbers = frames()
    assert set(np.diff(numbers)) == {4}
    assert np.array_equal(pictures, frames()[0])
    assert np.array_equal(pictures, frames(action_repeat_probability=0.25)[0])
    assert not np.array_equal(pictures, frames(action_repeat_probability=0.0)[0])


def test_monitor_files(tmp_path: Path) -> None:
    env = AleVecEnv("BreakoutNoFrameskip-v4", 2, seed=0, monitor_dir=tmp_path / "new")
    env.reset()
    episodes = []
    for _ in range(300):
        infos = env.step(np.array([0, 3]))[3]
        episodes += [info["episode"] for info in infos if "episode" in info]
    env.close()
    assert sorted(file.name for file in (tmp_path / "new").iterdir()) == ["0.monitor.csv", "1.monitor.csv"]
    results = load_results(str(tmp_path / "new"))
    assert len(episodes) >= 4
    assert sorted(results["l"]) == sorted(episode["l"] for episode in episodes)
    assert sorted(results["r"]) == sorted(episode["r"] for episode in episodes)
    assert sorted(results.columns) == ["index", "l", "r", "t"]
    for key, name in (("l", "get_episode_lengths"), ("r", "get_episode_rewards"), ("t", "get_episode_times")):
        found = [value for game in env.env_method(name) for value in game]
        assert sorted(found) == pytest.approx(sorted(episode[key] for episode in episodes))
    assert sum(env.env_method("get_total_steps")) > results["l"].sum(), "those of the games that go on, too"


def test_attributes_and_wrappers() -> None:
    env = AleVecEnv("PongNoFrameskip-v4", 2)
    assert env.get_attr("render_mode") == [None, None]
    assert env.get_attr("spec", [1])[0].id == "PongNoFrameskip-v4"
    assert env.env_method("get_action_meanings", indices=0) == [
        ["NOOP", "FIRE", "RIGHT", "LEFT", "RIGHTFIRE", "LEFTFIRE"]
    ]
    env.set_attr("note", 5, 1)
    assert env.get_attr("note", 1) == [5]
    # It lies beside the game, which goes on
    env.reset()
    env.set_attr("step", 3)
    assert env.get_attr("step") == [3, 3]
    assert env.step(np.zeros(2, int))[3][0]["episode_frame_number"] > 4
    with pytest.raises(AttributeError, match="The games of AleVecEnv have no attribute 'note'."):
        env.get_attr("note")
    with pytest.raises(AttributeError, match="have no attribute '_emulator'"):
        env.get_attr("_emulator")
    assert not env.has_attr("action_masks")
    for wrapper in (Monitor, AtariWrapper, FireResetEnv, ClipRewardEnv, NoopResetEnv, gym.Wrapper):
        assert env.env_is_wrapped(wrapper) == [True, True]
    assert env.env_is_wrapped(gym.wrappers.TimeLimit, 0) == [False]
    env.close()
    env = AleVecEnv("MsPacmanNoFrameskip-v4", 1, clip_reward=False, noop_max=0)
    for wrapper in (FireResetEnv, ClipRewardEnv, NoopResetEnv):
        assert env.env_is_wrapped(wrapper) == [False]
    env.close()


class Random:
    """Plays at random, as a policy."""

    def __init__(self, n: int) -> None:
        self.n, self.rng = n, np.random.default_rng(0)

    def predict(self, observation: np.ndarray, **_: Any) -> tuple[np.ndarray, None]:
        return self.rng.integers(0, self.n, len(observation)), None


def test_evaluation_scores_whole_games() -> None:
    env = AleVecEnv("BreakoutNoFrameskip-v4", 2, seed=0, num_threads=1)
    scores, lengths = evaluate_policy(Random(4), env, n_eval_episodes=4, return_episode_rewards=True)
    assert len(scores) == 4
    assert min(lengths) > 400  # frames of five lives; a life has about 150
    env.close()


def test_learning_and_evaluation_in_sb3(tmp_path: Path) -> None:
    env, eval_env = AleVecEnv("PongNoFrameskip-v4", 2, seed=0), AleVecEnv("BreakoutNoFrameskip-v4", 1, seed=0)
    kwargs = {"features_extractor_kwargs": {"features_dim": 8}}
    ppo = PPO("CnnPolicy", env, n_steps=64, batch_size=64, n_epochs=1, policy_kwargs=kwargs)
    assert ppo.get_env() is env  # neither transposed nor wrapped otherwise
    ppo.learn(256)
    env.close()
    dqn = DQN("CnnPolicy", eval_env, buffer_size=500, learning_starts=50, policy_kwargs=kwargs, seed=1)
    watched = AleVecEnv("BreakoutNoFrameskip-v4", 1, seed=1, clip_reward=False)
    callback = EvalCallback(watched, n_eval_episodes=1, eval_freq=200, log_path=str(tmp_path), verbose=0)
    dqn.learn(250, callback=callback)
    assert np.load(tmp_path / "evaluations.npz")["results"].shape == (1, 1)
    dqn.save(tmp_path / "dqn")
    eval_env.close()
    watched.close()


def test_wrappers_of_vector_environments() -> None:
    games = AleVecEnv("PongNoFrameskip-v4", 2, seed=0)
    with pytest.warns(UserWarning, match="already wrapped with a `Monitor`"):  # as for SB3's own
        env = VecNormalize(VecMonitor(games), norm_obs=False)
    model = RecurrentPPO(
        "CnnLstmPolicy",
        env,
        n_steps=32,
        batch_size=32,
        n_epochs=1,
        policy_kwargs={"features_extractor_kwargs": {"features_dim": 8}, "lstm_hidden_size": 8},
    )
    model.learn(64)
    env.close()


def test_returned_observations_belong_to_the_caller() -> None:
    env = AleVecEnv("PongNoFrameskip-v4", 1, seed=0)
    env.reset()[:] = 7
    first = env.step(np.array([0]))[0]
    assert not (first[0, :3] == 7).all((1, 2)).any()
    kept = first.copy()
    env.step(np.array([0]))
    assert np.array_equal(first, kept)
    env.close()


@pytest.mark.parametrize(
    ("error", "text", "env_id", "settings"),
    [
        (OptionError, "plays ale-py's Atari games, and 'CartPole-v1' is made by gym.*make_vec_env", "CartPole-v1", {}),
        (UnknownNameError, "No .* 'PogNoFrameskip-v4' .* mean 'PongNoFrameskip-v4'", "PogNoFrameskip-v4", {}),
        (UnknownNameError, "No .* 'ALE/Breakot-v5' .* mean 'ALE/Breakout-v5'", "ALE/Breakot-v5", {}),
        (UnknownNameError, "'ms_pacman' .* Did you mean 'MsPacmanNoFrameskip-v4'", "ms_pacman", {}),
        (UnknownNameError, "No environment 'zzz' is registered.$", "zzz", {}),
        (OptionError, "'Pong-v4' skips a random number .* Did you mean 'PongNoFrameskip-v4'", "Pong-v4", {}),
        (ObservationError, "memory of the console.* mean 'PongNoFrameskip-v4'", "Pong-ramNoFrameskip-v4", {}),
        (OptionError, "n_envs must be a whole number of at least 1, got 0", None, {"n_envs": 0}),
        (OptionError, "num_threads must be a whole number of at least 1, got 0", None, {"num_threads": 0}),
        (OptionError, "frame_skip must be a whole number of at least 1, got 2.5", None, {"frame_skip": 2.5}),
        (OptionError, "screen_size must be .* got '84'", None, {"screen_size": "84"}),
        (OptionError, "frame_stack must be .* got 0", None, {"frame_stack": 0}),
        (OptionError, "noop_max must be a whole number of at least 0, got -1", None, {"noop_max": -1}),
        (OptionError, "seed must be a whole number of at least 0, got -1", None, {"seed": -1}),
        (
            OptionError,
            "action_repeat_probability must be a number between 0 and 1, got 2",
            None,
            {"action_repeat_probability": 2},
        ),
        (OptionError, "must be a number between 0 and 1, got 'a", None, {"action_repeat_probability": "always"}),
        (OptionError, "frame_skip must be a whole number of at least 1, got 'x'", None, {"frame_skip": "x"}),
        (OptionError, "clip_reward must be true or false, got 'no'", None, {"clip_reward": "no"}),
        (OptionError, "terminal_on_life_loss must be true or f.* got None", None, {"terminal_on_life_loss": None}),
        (OptionError, "grey pictures of air_raid are not those of its colours", "AirRaidNoFrameskip-v4", {}),
        (OptionError, r"sticky actions double_dunk starts after \d+ to \d+ frames", "ALE/DoubleDunk-v5", {}),
        (OptionError, "has the actions FIRE, UPRIGHT, .* need NOOP first", "ALE/VideoCheckers-v5", {}),
    ],
)
def test_bad_options(error: type[EfficientError], text: str, env_id: str | None, settings: dict[str, Any]) -> None:
    with pytest.raises(error, match=text):
        AleVecEnv(env_id or "PongNoFrameskip-v4", **settings)


def test_id_that_is_no_text() -> None:
    with pytest.raises(OptionError, match="takes the id of a game, such as 'PongNoFrameskip-v4', got 3"):
        AleVecEnv(3)  # type: ignore[arg-type]


def test_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    with pytest.raises(OptionError, match=r"Cannot write .*taken.0.monitor.csv \(.*\). Name a folder in monitor_dir"):
        AleVecEnv("PongNoFrameskip-v4", 1, monitor_dir=tmp_path / "taken")


def test_bad_registered_games(register: Any) -> None:
    with pytest.raises(UnknownNameError, match="ale-py has no single-player ROM 'pogn'. Did you mean 'pong'?"):
        AleVecEnv(register("Pogn-v0", game="pogn"))
    # ale-py has the name, and its emulator would end the process
    with pytest.raises(UnknownNameError, match="no single-player ROM 'combat'"):
        AleVecEnv(register("Combat-v0", game="combat"))
    with pytest.raises(ObservationError, match="'Memory-v0' observes the memory"):
        AleVecEnv(register("Memory-v0", obs_type="ram"))
    with pytest.raises(OptionError, match="'Hard-v0' asks for difficulty=1, which AleVecEnv cannot do"):
        AleVecEnv(register("Hard-v0", difficulty=1))


@pytest.mark.parametrize(
    ("actions", "text"),
    [
        ([0, 6], "PongNoFrameskip-v4 has the actions 0 to 5, got 6"),
        ([-1, 9], "has the actions 0 to 5, got -1, 9"),
        ([0], "takes 2 integers as actions, one for each game, got int64 of shape .1,."),
        ([0.0, 1.0], "got float64 of shape .2,."),
    ],
)
def test_bad_actions(actions: list[int], text: str) -> None:
    env = AleVecEnv("PongNoFrameskip-v4", 2)
    env.reset()
    with pytest.raises(OptionError, match=text):
        env.step(np.array(actions))
    env.step(np.array([0, 5]))  # nothing is broken
    env.close()


def test_wrong_order_of_calls() -> None:
    env = AleVecEnv("PongNoFrameskip-v4", 1)
    with pytest.raises(ConflictError, match="cannot step before its first reset"):
        env.step(np.array([0]))
    env.reset()
    env.step_async(np.array([0]))
    with pytest.raises(ConflictError, match="still at the step before. Call step_wait"):
        env.step_async(np.array([0]))
    for call in (lambda: pickle.dumps(env), lambda: copy.deepcopy(env)):
        with pytest.raises(EfficientError, match="cannot be copied or pickled"):
            call()
    for draw in (env.render, env.get_images):
        with pytest.raises(OptionError, match="draws nothing. To watch an agent, play it in VecFrameStack"):
            draw()
    env.close()
    env.close()
    with pytest.raises(ConflictError, match="closed. Make another one"):
        env.reset()


class Interrupted:
    """An emulator at which Ctrl-C comes, before or after its answer has been fetched."""

    def __init__(self, emulator: Any, is_fetched: bool) -> None:
        self.send, self.reset, self.emulator, self.is_fetched = emulator.send, emulator.reset, emulator, is_fetched

    def recv(self) -> None:
        if self.is_fetched:
            self.emulator.recv()
        raise KeyboardInterrupt


@pytest.mark.parametrize("num_threads", [1, 3])
@pytest.mark.parametrize("is_fetched", [False, True])
def test_training_can_go_on_after_an_interruption(num_threads: int, is_fetched: bool) -> None:
    env, noop = AleVecEnv("PongNoFrameskip-v4", 3, seed=0, num_threads=num_threads), np.zeros(3, int)
    env.reset()
    env.step(noop)
    env._games[1]._emulator = Interrupted(env._games[1]._emulator, is_fetched)
    before = [game._frame_number for game in env._games]
    with pytest.raises(KeyboardInterrupt):
        env.step(noop)
    with pytest.raises(ConflictError, match="no step to wait for"):
        env.step_wait()
    for _ in range(4):
        *_, infos = env.step(noop)
    assert [infos[i]["frame_number"] - before[i] for i in (0, 2)] == [20, 20]
    # no-ops, and FIRE's two steps
    assert 16 < infos[1]["frame_number"] <= 30 + 8 + 16
    env._games[2]._emulator = Interrupted(env._games[2]._emulator, is_fetched)
    with pytest.raises(KeyboardInterrupt):
        env.step(noop)
    env.reset()
    env.step(noop)
    env.close()


def test_waiting_for_no_step_and_steps_of_one_game_are_refused() -> None:
    env = AleVecEnv("PongNoFrameskip-v4", 1)
    with pytest.raises(ConflictError, match=r"no step to wait for. Call step_async"):
        env.step_wait()
    env.reset()
    env.step(np.array([0]))
    with pytest.raises(ConflictError, match=r"no step to wait for. Call step_async"):
        env.step_wait()
    for name in ("reset", "step"):
        with pytest.raises(OptionError, match=r"Call env.reset\(\) or env.step\(actions\)"):
            env.env_method(name)
    env.close()


def test_making_one_prints_nothing(python: Run) -> None:
    done = python("-c", "from sb3_efficient.envs import AleVecEnv; AleVecEnv('PongNoFrameskip-v4', 2).reset()")
    assert done.stdout + done.stderr == ""
