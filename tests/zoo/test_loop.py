"""``vec_env: ale`` and ``accelerate: true``, in entries and through rl-zoo3."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import Run
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.results_plotter import load_results

from sb3_efficient.errors import ConflictError, EfficientError, OptionError, UnknownNameError
from sb3_efficient.zoo.loop import check_keys, check_schedules, take_callbacks, take_vec_env

ATARI = "stable_baselines3.common.atari_wrappers.AtariWrapper"
CALLBACK = "sb3_efficient.fast.AccelerateCallback"
SPY = "stable_baselines3.common.callbacks.ProgressBarCallback"
SEER = "sb3_efficient.seer.SEERCallback"


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({}, {}),
        ({"accelerate": False}, {}),
        ({"accelerate": True}, {"callback": [CALLBACK]}),
        ({"accelerate": {"precision": "fp32"}}, {"callback": [{CALLBACK: {"precision": "fp32"}}]}),
        ({"accelerate": True, "callback": SPY}, {"callback": [CALLBACK, SPY]}),
        ({"seer": True, "accelerate": True}, {"callback": [CALLBACK, SEER]}),
        ({"seer": {"freeze_at": 0.5}}, {"callback": [{SEER: {"freeze_at": 0.5}}]}),
        ({"accelerate": True, "callback": [{SPY: {}}]}, {"callback": [CALLBACK, {SPY: {}}]}),
        # SEER freezes a loaded agent when training starts: after its number format is chosen
        ({"accelerate": True, "callback": SEER}, {"callback": [CALLBACK, SEER]}),
        ({"seer": True, "callback": [SPY]}, {"callback": [SPY, SEER]}),
    ],
)
def test_accelerate_becomes_a_callback(entry: dict, expected: dict) -> None:
    take_callbacks(entry)
    assert entry == expected


@pytest.mark.parametrize(
    "wrong", ["sb3_efficient.profilr.ProfileCallback", "sb3_efficient.profiler.Profile", "mine.Spy"]
)
def test_misspelt_callbacks_are_one_message(wrong: str) -> None:
    for callback in (wrong, [SPY, wrong], {wrong: {"skip": 1}}):
        with pytest.raises(OptionError, match=f"callback: there is no '{wrong}' to import"):
            take_callbacks({"callback": callback})


def test_vec_env_takes_the_settings_of_the_wrappers() -> None:
    entry = {
        "vec_env": "ale",
        "vec_env_kwargs": {"num_threads": 1},
        "env_wrapper": [{ATARI: {"terminal_on_life_loss": False}}],
        "frame_stack": 2,
        "n_envs": 8,
    }
    assert take_vec_env(entry, {"repeat_action_probability": 0.25}) == {
        "terminal_on_life_loss": False,
        "frame_stack": 2,
        "num_threads": 1,
        "action_repeat_probability": 0.25,
    }
    assert sorted(entry) == ["env_wrapper", "frame_stack", "n_envs"], "the zoo reads the rest"
    alone = {"vec_env": "ale", "env_wrapper": ATARI}
    assert take_vec_env(alone, {"frameskip": 1}, "ALE/Pong-v5") == {"frame_stack": 1}, "as the zoo, which stacks none"
    assert take_vec_env({"n_envs": 8}, {"mode": 1}) is None


@pytest.mark.parametrize(
    ("entry", "env_kwargs", "error", "text"),
    [
        ({"vec_env": "aale"}, {}, UnknownNameError, "Unknown vec_env 'aale'. Did you mean 'ale'"),
        ({"vec_env_kwargs": {"num_threads": 1}}, {}, OptionError, "vec_env_kwargs needs vec_env=ale beside it"),
        ({"vec_env": "ale", "env_wrapper": ["mine.Wrapper"]}, {}, ConflictError, "cannot honour env_wrapper mine.Wrap"),
        ({"vec_env": "ale"}, {"mode": 1}, ConflictError, "cannot honour env_kwargs mode"),
        ({"vec_env": "ale"}, {}, ConflictError, "this entry has no env_wrapper: add .*AtariWrapper, as in the zoo's"),
        ({"vec_env": "ale", "env_wrapper": ATARI}, {"frameskip": 4}, ConflictError, r"skips frames by itself .*=4\)"),
        (
            {"vec_env": "ale", "env_wrapper": ATARI, "monitor_kwargs": {"info_keywords": ("lives",)}},
            {},
            ConflictError,
            "cannot honour monitor_kwargs",
        ),
        ({"accelerate": "fast"}, {}, OptionError, "accelerate must be true, false or options, .* got 'fast'"),
        ({"accelerate": 3}, {}, OptionError, "accelerate must be true, false or options, .* got 3"),
        (
            {"accelerate": {"precison": "fp32"}},
            {},
            OptionError,
            "accelerate has no option 'precison'. Did you mean",
        ),
        ({"accelerate": {"precision": "fp8"}}, {}, OptionError, "Unknown precision 'fp8'. Accepted: fp32, bf16, auto"),
        ({"seer": 0.5}, {}, OptionError, r"seer must be true, false or options, as dict\(freeze_at=0.5\), got 0.5"),
        ({"seer": {"freeze": 0.5}}, {}, OptionError, "seer has no option 'freeze'. Did you mean 'freeze_at'"),
        ({"seer": {"freeze_at": "atuo"}}, {}, OptionError, "Did you mean 'auto'"),
        ({"seer": {"capacity": "same-memmory"}}, {}, OptionError, "Did you mean 'same-memory'"),
        (
            {"vec_env": "ale", "vec_env_kwargs": {"num_thread": 2}},
            {},
            OptionError,
            "no option 'num_thread'. Did you m",
        ),
        (
            {"vec_env": "ale", "vec_env_kwargs": {"frame_skip": 16}},
            {},
            ConflictError,
            "vec_env_kwargs takes num_threads only: with frame_skip here, enjoy would play another game",
        ),
        ({"vec_env": "ale", "vec_env_kwargs": 3}, {}, OptionError, "vec_env_kwargs must be options, as dict.*, got 3"),
        ({"vec_env": "ale", "env_wrapper": {ATARI: None}}, {"mode": 1}, ConflictError, "cannot honour env_kwargs mode"),
        (
            {"vec_env": "ale", "env_wrapper": {ATARI: {"frameskip": 4}}},
            {},
            OptionError,
            "env_wrapper AtariWrapper has no option 'frameskip'. Did you mean 'frame_skip'",
        ),
    ],
)
def test_contradictions(entry: dict, env_kwargs: dict, error: type[EfficientError], text: str) -> None:
    def take() -> None:
        take_callbacks(entry)
        take_vec_env(entry, env_kwargs)

    with pytest.raises(error, match=text):
        take()


TRAIN = ("train", "--algo", "ppo", "--env", "PongNoFrameskip-v4", "-n", "64")
SMALL = ("n_envs=2", "n_steps=16", "batch_size=32", "vec_env=ale")


def test_through_the_zoo(zoo: Run, tmp_path: Path) -> None:
    done = zoo(*TRAIN, "--eval-freq", "40", "--eval-episodes", "1", "-params", *SMALL, "accelerate=True")
    run = tmp_path / "logs" / "ppo" / "PongNoFrameskip-v4_1"
    assert "vec_env" in (run / "PongNoFrameskip-v4" / "config.yml").read_text()
    assert (run / "best_model.zip").exists()
    assert "Stacking" not in done.stdout
    assert len(list(run.glob("*.monitor.csv"))) == 2
    assert len(load_results(str(run))) == 0, "no game is over after 64 steps"
    assert PPO.load(run / "PongNoFrameskip-v4.zip").observation_space.shape == (4, 84, 84)
    played = zoo("enjoy", "--algo", "ppo", "--env", "PongNoFrameskip-v4", "-f", "logs", "--no-render", "-n", "1500")
    assert "Atari Episode Score: -" in played.stdout, "in the zoo's own pipeline"


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


@pytest.mark.parametrize("value", [1.5, float("nan"), float("inf"), "many", None, [8]])
def test_sizes_that_are_no_whole_numbers(value: Any) -> None:
    with pytest.raises(OptionError, match=f"n_steps of PPO must be a whole number, got {re.escape(repr(value))}."):
        check_keys({"policy": "CnnPolicy", "n_steps": value}, PPO)
    check_keys({"policy": "CnnPolicy", "n_steps": np.int64(8), "gamma": 1, "target_kl": None}, PPO)


@pytest.mark.parametrize("value", ["abc", "0,99", None, [0.9]])
def test_words_in_place_of_numbers(value: Any) -> None:
    with pytest.raises(OptionError, match=f"gamma of PPO must be a number, got {re.escape(repr(value))}."):
        check_keys({"policy": "CnnPolicy", "gamma": value}, PPO)
    check_keys({"policy": "CnnPolicy", "gamma": np.float32(0.9), "ent_coef": 0, "learning_rate": "lin_0.1"}, PPO)


def test_whole_numbers_that_yaml_has_as_others() -> None:
    """As ``learning_starts: !!float 1e5``, which stock rl-zoo3 takes, too."""
    entry = {"n_steps": 1e3, "gamma": 1.0}
    check_keys(entry, PPO)
    assert [type(value) for value in entry.values()] == [int, float]


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


@pytest.mark.parametrize("value", ["linear", "lin_", "lin_a_0.1", "lin-0.1", ""])
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


CARTPOLE = ("train", "--algo", "ppo", "--env", "CartPole-v1", "-n", "64")


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        ((*TRAIN, "--vec-env", "subproc", "-params", *SMALL), "leave out --vec-env subproc"),
        ((*CARTPOLE, "-params", "vec_env=ale"), "CartPole-v1"),
        (
            (*TRAIN, "--eval-env-kwargs", "full_action_space:True", "-params", *SMALL),
            "cannot honour env_kwargs full_action_space",
        ),
        (
            (*TRAIN, "-params", *SMALL, "normalize=dict(norm_obs=False)"),
            "the zoo's enjoy could not load the statistics: leave out one of the two",
        ),
    ],
)
def test_contradictions_through_the_zoo(zoo: Run, tmp_path: Path, typed: tuple[str, ...], text: str) -> None:
    done = zoo(*typed, fails=True)
    assert text in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "logs").exists(), "before anything is made"


def test_policy_without_images_through_the_zoo(zoo: Run) -> None:
    done = zoo("train", "--algo", "ppo", "--env", "CartPole-v1", "-n", "32", "-params", "n_steps=4", "accelerate=True")
    assert "accelerate: PPO on cpu, nothing was changed" in done.stdout


DQN = ("train", "--algo", "dqn", "--env", "PongNoFrameskip-v4", "--save-replay-buffer", "--eval-freq", "-1")
FEW = ("learning_starts=40", "buffer_size=300", "vec_env=ale")


def test_seer_through_the_zoo_and_on(zoo: Run, tmp_path: Path) -> None:
    """Frozen, saved with its latents, played, and continued with them; not without saying so."""
    agent = str(tmp_path / "logs" / "dqn" / "PongNoFrameskip-v4_1" / "PongNoFrameskip-v4.zip")
    on = (*DQN, "-n", "60", "-i", agent, "-params", *FEW)
    zoo(*DQN, "-n", "200", "-params", *FEW, "features_extractor=nature", "seer=dict(freeze_at=0.5, depth='conv')")
    zoo("enjoy", "--algo", "dqn", "--env", "PongNoFrameskip-v4", "-f", "logs", "--no-render", "-n", "50")
    refused = zoo(*on, fails=True)
    assert "Continue it with -params seer=True, or with seer=False" in refused.stderr
    again = zoo(*on, "seer=True")
    assert "frozen up to 'conv' at" in again.stdout
    assert "3136 x float16, in LatentReplayBuffer" in again.stdout
    other = zoo(*on, "seer=False")
    assert "stored latents are of no use to layers that learn" in other.stderr
