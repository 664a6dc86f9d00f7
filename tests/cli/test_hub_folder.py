"""The command ``bench hub-folder``, and what rl-zoo3's downloader makes of its folder."""

from __future__ import annotations

import errno
import json
import shutil
from argparse import Namespace
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import rl_zoo3.load_from_hub
import yaml
from huggingface_hub import ModelCard
from huggingface_sb3 import EnvironmentName
from requests.exceptions import HTTPError
from stable_baselines3 import PPO
from test_policies import model

from sb3_efficient import cli, policy_kwargs
from sb3_efficient.cli.hub_folder import _film, needs_package
from sb3_efficient.errors import EfficientError
from sb3_efficient.frames import FrameReplayBuffer
from sb3_efficient.zoo.saved import find_agent


@pytest.fixture
def trained(agent: Path) -> Path:
    """The agent with the settings that the zoo keeps beside it."""
    settings = agent / "Catch-v0"
    settings.mkdir()
    (settings / "config.yml").write_text(yaml.dump(OrderedDict(n_envs=1, policy="CnnPolicy")))
    (settings / "args.yml").write_text(yaml.dump({"algo": "ppo", "env": "Catch-v0", "env_kwargs": {}}))
    (agent / "0.monitor.csv").write_text('#{"t_start": 0.0, "env_id": "Catch-v0"}\nr,l,t\n')
    return agent


def test_folder_goes_through_the_zoos_downloader(
    trained: Path, catch: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = tmp_path / "hub"
    command = ["bench", "hub-folder", *catch, "--episodes", "2", "-o", str(hub), "--video-steps", "20"]
    assert cli.main(command) == 0
    results = json.loads((hub / "results.json").read_text())
    assert results["n_eval_episodes"] == 2
    assert results["is_deterministic"] is True
    assert (hub / "replay.mp4").stat().st_size > 500
    card = ModelCard.load(hub / "README.md")
    assert card.data.library_name == "stable-baselines3"
    assert card.data.eval_results[0].metric_value == f"{results['mean_reward']:.2f} +/- {results['std_reward']:.2f}"
    assert "Catch-v0" in card.data.tags
    # Its environment is of this package
    assert "pip install rl_zoo3 sb3-efficient\n" in card.text

    def download(_: str, name: str) -> str:
        if not (hub / name).is_file():
            raise HTTPError
        return str(hub / name)

    monkeypatch.setattr(rl_zoo3.load_from_hub, "load_from_hub", download)
    rl_zoo3.load_from_hub.download_from_hub("ppo", EnvironmentName("Catch-v0"), 1, str(tmp_path / "new"), "me")
    found = find_agent("ppo", "Catch-v0", tmp_path / "new")
    assert found.path.read_bytes() == (trained / "Catch-v0.zip").read_bytes()
    assert isinstance(found.load(), PPO)
    assert (found.path.parent / "0.monitor.csv").is_file()


def test_steps_are_those_of_the_zip(trained: Path, catch: tuple[str, ...], tmp_path: Path) -> None:
    (trained / "training.json").write_text('{"n_timesteps": 4000000}')
    shutil.copy(trained / "Catch-v0.zip", trained / "best_model.zip")
    command = ["bench", "hub-folder", *catch, "--episodes", "1", "--video-steps", "0", "-o"]
    assert cli.main([*command, str(tmp_path / "last")]) == 0
    assert cli.main([*command, str(tmp_path / "best"), "--load-best"]) == 0
    assert "after 4,000,000 steps of training" in (tmp_path / "last" / "README.md").read_text()
    assert "steps of training" not in (tmp_path / "best" / "README.md").read_text()


def test_what_the_zip_needs() -> None:
    agents = [model("ppo"), model("dqn"), model("dqn", replay_buffer_class=FrameReplayBuffer), model("sac")]
    ours: Any = model("ppo", policy_kwargs=policy_kwargs("impoola", "ppo", depths=(4,)))
    assert [needs_package(agent) for agent in (*agents, ours)] == [False, False, True, False, True]


def test_card_names_what_registers_the_game(trained: Path, catch: tuple[str, ...], tmp_path: Path) -> None:
    command = ["bench", "hub-folder", *catch, "--episodes", "1", "--video-steps", "0", "-o", str(tmp_path / "hub")]
    assert cli.main([*command, "--gym-packages", "sb3_efficient.envs"]) == 0
    enjoy = "python -m rl_zoo3.enjoy --algo ppo --env Catch-v0 -f logs/ --gym-packages sb3_efficient.envs\n"
    assert enjoy in (tmp_path / "hub" / "README.md").read_text()


def test_full_disk(
    trained: Path,
    catch: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("sb3_efficient.zoo.hub.write_files", full)
    assert cli.main(["bench", "hub-folder", *catch, "-o", str(tmp_path / "hub"), "--episodes", "1"]) == 1
    assert "hub could not be written: No space left on device. Make room for it." in capsys.readouterr().err
    assert not list(tmp_path.glob("*hub*"))


def test_film_of_an_environment_of_other_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def run(command: list[str], **_: Any) -> SimpleNamespace:
        commands.append(command)
        return SimpleNamespace(returncode=1, stderr="no film")

    monkeypatch.setattr("subprocess.run", run)
    typed = {"algo": "ppo", "env": "MyCatch-v0", "folder": tmp_path, "video_steps": 5, "seed": 0, "load_best": False}
    with pytest.raises(EfficientError, match="no film"):
        _film(Namespace(**typed, gym_packages=["my_games"]), tmp_path / "MyCatch-v0_1", tmp_path / "film.mp4")
    assert commands[0][-2:] == ["--gym-packages", "my_games"]
    # One without a number lies in the folder of its algorithm
    for folder, number in (("MyCatch-v0_12", "12"), ("ppo", "-1")):
        with pytest.raises(EfficientError, match="no film"):
            _film(Namespace(**typed, gym_packages=[]), tmp_path / folder, tmp_path / "film.mp4")
        assert commands[-1][commands[-1].index("--exp-id") + 1] == number


@pytest.mark.parametrize("place", [".", "../here"])
def test_folder_in_the_place_of_this_one(
    place: str,
    catch: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert cli.main(["bench", "hub-folder", *catch, "-o", place, "--episodes", "1"]) == 1
    assert "name one in here with -o" in capsys.readouterr().err
    assert Path.cwd().exists()


def test_bad_input(agent: Path, catch: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["bench", "hub-folder", *catch, "--episodes", "1"]
    assert cli.main([*command, "-o", str(agent)]) == 1
    assert "is there already and not empty" in capsys.readouterr().err
    assert cli.main([*command, "-o", str(tmp_path / "hub")]) == 1
    assert "has no config.yml, which the hub needs" in capsys.readouterr().err
    assert cli.main([*command, "-o", str(tmp_path / "hub"), "--video-steps", "-1"]) == 1
    assert "--video-steps must be a whole number of at least 0" in capsys.readouterr().err
    assert cli.main([*command, "-o", "/dev/null/hub"]) == 1
    assert "Results cannot be written to /dev/null" in capsys.readouterr().err
