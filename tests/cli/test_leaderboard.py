"""The command ``bench leaderboard`` on small agents in the zoo's layout."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecEnv

from sb3_efficient import cli
from sb3_efficient.cli.leaderboard import table
from sb3_efficient.evaluation.episodes import play_games
from sb3_efficient.zoo.saved import SavedAgent, all_agents

#: Options of the command -> rows of its file
Scored = Callable[..., list[dict[str, Any]]]

AGENTS = Path(__file__).parents[2] / "examples" / "agents"


def test_every_agent_has_a_row(agent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs, results = agent.parents[1], tmp_path / "scores"
    (logs / "ppo" / "Catch-v0_2").mkdir()
    (logs / "ppo" / "Catch-v0_2" / "Catch-v0.zip").write_bytes((agent / "Catch-v0.zip").read_bytes())
    (logs / "ppo" / "Catch-v0_2" / "rl_model_100_steps.zip").write_bytes(b"a checkpoint")
    (agent / "training.json").write_text('{"hours": 1.5, "peak_rss_mb": 700, "unknown": 1}')
    command = ["bench", "leaderboard", "-f", str(logs), "--episodes", "3", "--n-envs", "2", "--results", str(results)]
    assert cli.main(command) == 0
    rows = json.loads((results / "leaderboard.json").read_text())["rows"]
    assert [row["run"] for row in rows] == ["Catch-v0_1", "Catch-v0_2"]
    first = all_agents(logs)[0][0]
    games = play_games(first.load(), lambda: first.make_env(0.0), range(3), n_envs=2, deterministic=True)
    assert games.shape == (3, 2)
    assert rows[0]["mean_reward"] == pytest.approx(games[:, 0].mean(), abs=1e-3)
    assert rows[0]["eval_timesteps"] == games[:, 1].sum() > 0
    assert rows[0]["hours"] == 1.5
    assert "unknown" not in rows[0]
    assert "hours" not in rows[1]
    assert rows[0]["engine_ms"] > 0
    text = (results / "leaderboard.md").read_text()
    assert text in capsys.readouterr().out
    assert text.splitlines()[0].startswith("| algo | env_id | mean_reward | std_reward | n_timesteps | eval_timesteps")
    assert f" | {rows[0]['run']} | " in text

    (agent / "training.json").write_text('{"n_timesteps": 123000, "hours": 2.5}')
    assert cli.main(command) == 0
    captured = capsys.readouterr()
    assert captured.err.count("there already") == 2
    assert " | 123k | " in captured.out
    assert " | 2.5 | 700 | " in captured.out, "what was known of the memory stays"
    assert cli.main([*command, "--again"]) == 0
    assert "there already" not in capsys.readouterr().err


@pytest.fixture
def scored(agent: Path, tmp_path: Path) -> Scored:
    """Score the agents of a folder, and give the rows of the file."""

    def run(*options: str, logs: Path = agent.parents[1]) -> list[dict[str, Any]]:
        command = ["bench", "leaderboard", "-f", str(logs), "--episodes", "1", "--results", str(tmp_path / "scores")]
        assert cli.main([*command, *options]) == 0
        return json.loads((tmp_path / "scores" / "leaderboard.json").read_text())["rows"]

    return run


@pytest.mark.parametrize("option", ["episodes", "seed", "n-envs", "threads"])
def test_other_games_are_other_scores(
    option: str, scored: Scored, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sb3_efficient.cpu.own_cores", lambda: {0, 1})
    scored()
    (row,) = scored(f"--{option}", "2")
    assert "there already" not in capsys.readouterr().err
    assert row[{"episodes": "eval_episodes"}.get(option, option.replace("-", "_"))] == 2


def test_scores_stay_where_they_were_measured(scored: Scored, monkeypatch: pytest.MonkeyPatch) -> None:
    before = scored()
    monkeypatch.setattr("sb3_efficient.machine.machine", lambda: {"cpu": "another"})
    assert scored() == before
    assert scored("--again")[0]["measured_on"] == "another"


def test_another_agent_of_the_same_name_is_scored(
    agent: Path, scored: Scored, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (before,) = scored()
    other = tmp_path / "others"
    for number in (1, 2):
        target = other / "ppo" / f"Catch-v0_{number}"
        shutil.copytree(agent, target)
        model = PPO.load(target / "Catch-v0.zip")
        model.num_timesteps += number
        model.save(target / "Catch-v0.zip")
    capsys.readouterr()
    there, first, second = scored(logs=other)
    captured = capsys.readouterr()
    assert "there already" not in captured.err
    assert there == before, "of the same name, in another folder"
    assert (first["n_timesteps"], second["n_timesteps"]) == (before["n_timesteps"] + 1, before["n_timesteps"] + 2)
    shutil.rmtree(other / "ppo" / "Catch-v0_2")
    assert len(scored(logs=other)) == 3, "what was scored is kept"
    assert capsys.readouterr().out.count("| ppo |") == 1, "what is not in the folder is not shown"
    scored()
    assert "there already" in capsys.readouterr().err


def test_other_settings_are_another_agent(agent: Path, scored: Scored, capsys: pytest.CaptureFixture[str]) -> None:
    scored()
    (agent / "Catch-v0").mkdir()
    (agent / "Catch-v0" / "config.yml").write_text("!!python/object/apply:collections.OrderedDict [[[n_envs, 2]]]")
    scored()
    assert "there already" not in capsys.readouterr().err


def test_a_package_that_an_environment_wants_costs_the_others_nothing(
    agent: Path, scored: Scored, capsys: pytest.CaptureFixture[str]
) -> None:
    cheetah = agent.with_name("HalfCheetah-v5_1")
    shutil.copytree(agent, cheetah)
    (cheetah / "Catch-v0.zip").rename(cheetah / "HalfCheetah-v5.zip")
    assert [row["env_id"] for row in scored()] == ["Catch-v0"]
    assert "HalfCheetah-v5 needs a package that is not installed: MuJoCo is not installed" in capsys.readouterr().err


def test_environments_of_other_packages(
    agent: Path,
    scored: Scored,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    mine = agent.with_name("MyCatch-v0_1")
    shutil.copytree(agent, mine)
    (mine / "Catch-v0.zip").rename(mine / "MyCatch-v0.zip")
    assert [row["env_id"] for row in scored()] == ["Catch-v0"]
    assert f"skipped {mine / 'MyCatch-v0.zip'}: its environment is not registered" in capsys.readouterr().err
    (tmp_path / "my_catch.py").write_text(
        "import gymnasium as gym\ngym.register('MyCatch-v0', 'sb3_efficient.envs:CatchEnv')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    request.addfinalizer(lambda: gym.registry.pop("MyCatch-v0", None))
    rows = scored("--gym-packages", "my_catch")
    assert [row["env_id"] for row in rows] == ["Catch-v0", "MyCatch-v0"]


def test_spread_is_that_of_returns_and_no_action_is_sticky(
    agent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chances: list[float] = []
    make_env = SavedAgent.make_env

    def spy(agent: SavedAgent, sticky: float) -> VecEnv:
        chances.append(sticky)
        return make_env(agent, sticky)

    def played(model: object, make: Callable[[], VecEnv], *_: object, **__: object) -> np.ndarray:
        make().close()
        return np.array([[1.0, 50], [5.0, 60]])

    monkeypatch.setattr(SavedAgent, "make_env", spy)
    monkeypatch.setattr("sb3_efficient.evaluation.episodes.play_games", played)
    command = ["bench", "leaderboard", "-f", str(agent.parents[1]), "--episodes", "2", "--results", str(tmp_path)]
    assert cli.main(command) == 0
    (row,) = json.loads((tmp_path / "leaderboard.json").read_text())["rows"]
    assert (row["mean_reward"], row["std_reward"], row["eval_timesteps"]) == (3, 2, 110)
    assert set(chances) == {0}


def test_a_damaged_agent_costs_the_others_nothing(
    agent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = agent.with_name("Catch-v0_0")
    damaged.mkdir()
    (damaged / "Catch-v0.zip").write_bytes((agent / "Catch-v0.zip").read_bytes()[:-100])
    # Or one that is none of the game's
    other = agent.with_name("CartPole-v1_1")
    other.mkdir()
    shutil.copy(agent / "Catch-v0.zip", other / "CartPole-v1.zip")
    # Or the settings beside it, or what was recorded of its training
    for name, file in (("Catch-v0_2", "Catch-v0/config.yml"), ("Catch-v0_3", "training.json")):
        shutil.copytree(agent, agent.with_name(name))
        (agent.with_name(name) / "Catch-v0").mkdir()
        (agent.with_name(name) / file).write_text("")
    where = ["-f", str(agent.parents[1]), "--results", str(tmp_path / "scores")]
    command = ["bench", "leaderboard", *where, "--episodes", "1", "--n-envs", "1"]
    assert cli.main(command) == 0
    captured = capsys.readouterr()
    assert f"skipped {other / 'CartPole-v1.zip'}: {other / 'CartPole-v1.zip'} is a policy for obs" in captured.err
    shutil.rmtree(other)
    for name in ("Catch-v0_0", "Catch-v0_2", "Catch-v0_3"):
        assert f"skipped {agent.with_name(name) / 'Catch-v0.zip'}: " in captured.err
        if name != "Catch-v0_0":
            shutil.rmtree(agent.with_name(name))
    assert "| Catch-v0_1 |" in captured.out
    shutil.rmtree(agent)
    assert cli.main(command) == 1
    assert "None of the agents in " in capsys.readouterr().err


def test_best_agent_of_a_game_first() -> None:
    row = {"algo": "ppo", "env_id": "Catch-v0", "mean_reward": 1.0, "n_timesteps": 2_500_000, "eval_timesteps": 12345}
    lines = table([row, {**row, "mean_reward": 4.25}]).splitlines()
    assert lines[2].startswith("| ppo | Catch-v0 | 4.25 |  | 2.5M | 12.3k |")
    assert lines[3].startswith("| ppo | Catch-v0 | 1 |")


def test_folder_without_agents(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "leaderboard", "-f", str(tmp_path / "nowhere")]) == 1
    assert "There is no agent in" in capsys.readouterr().err
    assert cli.main(["bench", "leaderboard", "-f", str(tmp_path), "--episodes", "0"]) == 1
    assert "--episodes must be a whole number of at least 1" in capsys.readouterr().err
    for name in ("leaderboard.md", "leaderboard.json"):
        (tmp_path / name / name).mkdir(parents=True)
        words = ("-f", str(AGENTS), "--results", str(tmp_path / name))
        assert cli.main(["bench", "leaderboard", *words]) == 1
        assert f"{name}/{name}, which is a folder. Name a file." in capsys.readouterr().err
