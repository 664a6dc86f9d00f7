"""The command ``bench loop``, on real Atari with few steps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers import Run

from sb3_efficient import cli
from sb3_efficient.profiler import SECTIONS


def test_loop(script: Run, tmp_path: Path) -> None:
    small = ("-params", "n_envs=2", "n_steps=32", "batch_size=32", "features_extractor=nature")
    files = ("--picture", "loop.png", "--json", "loop.json")
    done = script("-m", "sb3_efficient", "bench", "loop", "--steps", "64", *files, *small)
    header, *rows, fps = done.stdout.splitlines()
    assert header.split()[-2:] == ["plain", "fast"]
    assert [row.split()[0] for row in rows] == list(SECTIONS)
    assert fps.split()[0] == "fps"
    content = json.loads((tmp_path / "loop.json").read_text())
    assert content["plain"]["steps"] == content["fast"]["steps"] >= 64
    assert (tmp_path / "loop.png").stat().st_size > 5000


def test_bad_input_is_said_before_anything_is_trained(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for words, text in (
        (["--env", "PnogNoFrameskip-v4"], "Did you mean 'PongNoFrameskip-v4'?"),
        (["--algo", "pppo"], "Did you mean 'ppo'?"),
        (["--env", "Catch-v0"], "add --variants plain. AleVecEnv plays ale-py's Atari games"),
        (["--env", "ALE/Pong-v5"], "add --variants plain. ALE/Pong-v5 skips frames by itself"),
        (["--algo", "tqc"], "There are no shipped settings for 'tqc', only for a2c, dqn, "),
        (["--extractor", "imapla"], "Did you mean 'impala'?"),
        (["--repeats", "0"], "--repeats must be a whole number of at least 1"),
        (["--picture", str(tmp_path / "loop.foo")], "its ending must be one of ."),
        (["--picture", str(tmp_path / "loop")], "its ending must be one of ."),
        (["-params", "n_envs=2", "accelerate=False"], "'bench loop' sets accelerate itself: leave it out"),
        (["-params", "callback:[]"], "'bench loop' sets callback itself: leave it out"),
        (["-params", "n_envs"], "-params n_envs: write name=value, as n_envs=4."),
        (["--json", str(tmp_path / "file" / "loop.json")], "Results cannot be written to"),
    ):
        assert cli.main(["bench", "loop", *words]) == 1
        assert text in capsys.readouterr().err


def test_failed_training_says_which(script: Run) -> None:
    options = ("--extractor", "impala", "-params", "features_extractor_kwargs={'widht': 2}")
    done = script("-m", "sb3_efficient", "bench", "loop", *options, fails=True)
    assert "Did you mean 'width'?" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert "-conf" not in done.stderr, "not the command inside, which the user has not typed"
