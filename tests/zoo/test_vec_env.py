"""``vec_env: ale``, in entries and through rl-zoo3."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers import Run
from stable_baselines3 import PPO
from stable_baselines3.common.results_plotter import load_results

from sb3_efficient.errors import ConflictError, EfficientError, OptionError, UnknownNameError
from sb3_efficient.zoo.vec_env import take_vec_env

ATARI = "stable_baselines3.common.atari_wrappers.AtariWrapper"


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
    sticky = {"vec_env": "ale", "env_wrapper": [{ATARI: {"action_repeat_probability": 0.1}}]}
    frame = {"frame_stack": 1}
    assert take_vec_env(dict(sticky), {}, "PongNoFrameskip-v4") == {**frame, "action_repeat_probability": 0.1}
    never = {"vec_env": "ale", "env_wrapper": [{ATARI: {"action_repeat_probability": 0.0}}]}
    assert take_vec_env(never, {"frameskip": 1}, "ALE/Pong-v5") == frame, "the emulator does, as the id says"
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
    with pytest.raises(error, match=text):
        take_vec_env(entry, env_kwargs)


@pytest.mark.parametrize(
    ("env_id", "env_kwargs"),
    [("ALE/Pong-v5", {"frameskip": 1}), ("PongNoFrameskip-v4", {"repeat_action_probability": 0.25})],
)
def test_actions_that_would_be_repeated_twice(env_id: str, env_kwargs: dict) -> None:
    entry = {"vec_env": "ale", "env_wrapper": [{ATARI: {"action_repeat_probability": 0.1}}]}
    with pytest.raises(ConflictError, match=r"by itself \(repeat_action_probability=0.25\), and AtariWrapper"):
        take_vec_env(entry, env_kwargs, env_id)


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
