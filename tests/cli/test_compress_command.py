"""From an agent in the zoo's layout to policies beside it, and back into the zoo's enjoy."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
import pytest
from agents import dict_agent
from helpers import Run
from stable_baselines3 import PPO
from test_policies import model

from sb3_efficient import cli, compress, load_policy
from sb3_efficient.cli.arguments import add_play_arguments
from sb3_efficient.cli.common import divided, is_deterministic, loaded
from sb3_efficient.cli.compress import LONGEST_SLUG, add_arguments, slug
from sb3_efficient.cli.search import _study_name
from sb3_efficient.compression import make_recipe
from sb3_efficient.errors import ObservationError
from sb3_efficient.evaluation.episodes import play
from sb3_efficient.zoo.saved import SavedAgent, find_agent

TIMED = ("--batch-size", "1", "8", "--repeats", "1", "--n-envs", "2")
QUICK = ("--n-observations", "64", *TIMED)
PRUNED = "channel-pruning(ratio=0.5) distillation(steps=2, batch_size=8) static-int8"


def test_policies_and_report_lie_beside_the_agent(
    agent: Path, catch: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipes = ("--recipe", "static-int8", "--recipe", PRUNED)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert cli.main(["compress", *catch, *recipes, *QUICK, "--episodes", "3", "--seed", "7"]) == 0
    out, err = capsys.readouterr()
    rows = [line for line in out.splitlines() if line.startswith("|")]
    assert [row.split(" | ")[0] for row in rows[2:]] == ["| original", "| static-int8", f"| {PRUNED}"]
    assert "network [8]" in rows[0]
    assert "recording observations" in err

    files = {file.name for file in agent.iterdir()}
    slug = "channel-pruning-ratio=0.5-distillation-steps=2-batch-size=8-static-int8"
    reports = {f"Catch-v0-static-int8-{slug}.{ending}" for ending in ("md", "csv", "json", "html")}
    assert files == {"Catch-v0.zip", "Catch-v0-static-int8.policy", f"Catch-v0-{slug}.policy", *reports}
    content = json.loads((agent / f"Catch-v0-static-int8-{slug}.json").read_text())
    for row, file in zip(content["rows"][1:], ("static-int8", slug), strict=True):
        policy = load_policy(agent / f"Catch-v0-{file}.policy")
        assert row["n_bytes"] == (agent / f"Catch-v0-{file}.policy").stat().st_size
        make_env = find_agent("ppo", "Catch-v0", agent.parents[1]).make_env
        assert row["scores"]["returns"] == list(play(policy, make_env, range(7, 10), n_envs=2, deterministic=True))
    assert content["rows"][0]["parameters"] == content["rows"][1]["parameters"] > 3 * content["rows"][2]["parameters"]
    assert content["facts"]["episodes"] == "3, seeds from 7, 2 at a time"
    assert content["facts"]["actions"] == "greedy"


def test_evaluate_takes_policies_and_zips(
    agent: Path,
    catch: tuple[str, ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    observations = str(tmp_path / "observations.safetensors")
    assert cli.main(["collect", *catch, "-n", "50", "--spacing", "3", "-o", observations]) == 0
    assert "50 observations of shape (1, 84, 84) in" in capsys.readouterr().out
    options = ("--observations", observations, *TIMED, "--episodes", "0")
    assert cli.main(["compress", *catch, *options, "--recipe", "float32"]) == 0
    other = agent.with_name("Catch-v0_2") / "Catch-v0.zip"
    other.parent.mkdir()
    other.write_bytes((agent / "Catch-v0.zip").read_bytes())
    files = [str(agent / "Catch-v0-float32.policy"), str(agent / "Catch-v0.zip")]
    capsys.readouterr()
    assert cli.main(["evaluate", *files, *catch, *options, "-o", str(tmp_path / "found")]) == 0
    out = capsys.readouterr().out
    rows = [line.split(" | ") for line in out.splitlines() if line.startswith("|")]
    assert [row[0] for row in rows[2:]] == ["| original", "| Catch-v0-float32.policy", "| Catch-v0.zip"]
    assert "return" not in rows[0]
    assert all("100.0 %" in row for row in rows[3:])
    assert cli.main(["evaluate", files[1], str(other), *catch, *options, "-o", str(tmp_path / "found")]) == 0
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert [row[0] for row in rows[2:]] == ["| original", "| Catch-v0_1/Catch-v0.zip", "| Catch-v0_2/Catch-v0.zip"]
    assert (tmp_path / "found.html").exists()
    monkeypatch.chdir(tmp_path)
    assert cli.main(["evaluate", *catch, *options, "-o", "."]) == 0
    assert (tmp_path / "evaluation.html").exists()


@pytest.mark.parametrize(
    ("env_id", "options", "deterministic"),
    [
        ("Catch-v0", (), True),
        ("Catch-v0", ("--stochastic",), False),
        ("PongNoFrameskip-v4", (), False),
        ("PongNoFrameskip-v4", ("--deterministic",), True),
    ],
)
def test_chance_is_that_of_enjoy_unless_said(env_id: str, options: tuple[str, ...], deterministic: bool) -> None:
    parser = argparse.ArgumentParser()
    add_play_arguments(parser)
    assert is_deterministic(parser.parse_args(options), SavedAgent("ppo", env_id, Path())) == deterministic


def test_policies_play_in_the_zoo(
    agent: Path, catch: tuple[str, ...], script: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["compress", *catch, *QUICK, "--episodes", "0"]) == 0
    file = str(agent / "Catch-v0-static-int8.policy")
    play = ["enjoy", *catch, "--no-render", "-n", "60"]
    done = script("-m", "sb3_efficient", *play, "--policy", file)
    assert "Episode Reward: " in done.stdout
    capsys.readouterr()
    # Bit by bit the same outputs, so the same games
    assert cli.main([*play, "--policy", file, "--engine", "reuse"]) == 0
    assert capsys.readouterr().out == done.stdout
    assert cli.main([*play, "--engine", "reuse"]) == 0
    assert "Episode Reward: " in capsys.readouterr().out
    film = ("-m", "sb3_efficient", "record_video", *catch, "--policy", file, "--engine", "reuse", "-n", "20")
    script(*film, "-o", str(tmp_path))
    assert next(tmp_path.rglob("*.mp4")).stat().st_size > 1000
    assert cli.main([*play, "--policy", str(agent / "Catch-v0.zip")]) == 1
    error = capsys.readouterr().err
    assert error.splitlines()[-1].startswith("sb3-efficient: ")
    assert "load it with PPO.load" in error


def test_the_best_model_has_files_of_its_own(agent: Path, catch: tuple[str, ...]) -> None:
    (agent / "best_model.zip").write_bytes((agent / "Catch-v0.zip").read_bytes())
    assert cli.main(["compress", *catch, *QUICK, "--episodes", "0", "--load-best"]) == 0
    reports = {f"best_model-static-int8.{ending}" for ending in ("md", "csv", "json", "html")}
    expected = {"Catch-v0.zip", "best_model.zip", "best_model-static-int8.policy", *reports}
    assert {file.name for file in agent.iterdir()} == expected


def test_another_folder_of_choice(
    agent: Path, catch: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "made" / "here"
    before = set(agent.iterdir())
    recipe = ("--recipe", "dynamic-int8", "--episodes", "0")
    assert cli.main(["compress", *catch, *recipe, *QUICK, "-o", str(folder)]) == 0
    assert {file.suffix for file in folder.iterdir()} == {".policy", ".md", ".csv", ".json", ".html"}
    assert {file.stem for file in folder.iterdir()} == {"Catch-v0-dynamic-int8"}
    assert set(agent.iterdir()) == before
    assert cli.main(["compress", *catch, *recipe, *QUICK, "-o", str(folder / "Catch-v0-dynamic-int8.md")]) == 1
    assert "is a file: name a folder." in capsys.readouterr().err


def test_names_of_long_recipes_fit_and_differ() -> None:
    one, other = (make_recipe(f"ln-structured(layers={[f'cnn.{i}' for i in range(40)]}, n={n})") for n in (1, 2))
    assert len(slug(one)) <= LONGEST_SLUG
    assert slug(one) != slug(other)
    assert slug(one).startswith("ln-structured-")


def test_files_that_cannot_be_written_are_found_before_the_work(
    agent: Path, catch: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (["collect"], ["evaluate", "--episodes", "0"]):
        assert cli.main([*command, *catch, "-o", "/dev/null/found"]) == 1
        out, err = capsys.readouterr()
        assert "Results cannot be written to /dev/null" in err
        assert "recording" not in out + err
    assert cli.main(["collect", *catch, "-o", str(tmp_path)]) == 1
    assert "which is a folder. Name a file." in capsys.readouterr().err
    for command, taken in (
        (["compress"], "Catch-v0-static-int8.html"),
        (["compress", "--recipe", "dynamic-int8"], "Catch-v0-dynamic-int8.policy"),
        (["evaluate", "-o", str(agent / "found")], "found.json"),
    ):
        (agent / taken).mkdir()
        assert cli.main([*command, *catch, *QUICK, "--episodes", "0"]) == 1
        error = capsys.readouterr().err
        assert f"{taken}, which is a folder. Name a file." in error
        assert "recording" not in error
        (agent / taken).rmdir()


def test_policies_of_other_games_and_files_that_are_none(
    agent: Path, catch: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = model("ppo")
    other.save(tmp_path / "other")
    compress(other, "dynamic-float16").save(tmp_path / "other.policy")
    model("dqn").save(tmp_path / "dqn")
    content = bytearray((agent / "Catch-v0.zip").read_bytes())
    content[len(content) // 2] ^= 255
    (tmp_path / "damaged.zip").write_bytes(content)
    texts = {
        "other.zip": "is a policy for observations of",
        "other.policy": "is a policy for observations of",
        "dqn.zip": "is no agent of ppo, or a damaged one",
        "damaged.zip": "is no agent of ppo, or a damaged one",
    }
    for name, text in texts.items():
        assert cli.main(["evaluate", str(tmp_path / name), *catch, *QUICK, "-o", str(tmp_path / "found")]) == 1, name
        assert text in capsys.readouterr().err
    enjoy = ["enjoy", *catch, "--no-render", "-n", "10", "--policy", str(tmp_path / "other.policy")]
    assert cli.main(enjoy) == 1
    assert "is a policy for observations of" in capsys.readouterr().err
    assert cli.main(["evaluate", *catch, "--seed", str(2**32 - 9), "--episodes", "9"]) == 1
    assert "--seed must be a whole number from 0 to 4294967286, got 4294967287" in capsys.readouterr().err
    assert cli.main(["collect", *catch, "--seed", "-1"]) == 1
    assert "--seed must be a whole number from 0 to 4294967295, got -1" in capsys.readouterr().err


def test_policy_without_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["enjoy", "--algo", "ppo", "--policy"]) == 1
    assert "--policy needs a file, as 'sb3-efficient compress' writes them" in capsys.readouterr().err


def test_help_of_the_zoo_has_our_options(script: Run) -> None:
    shown = script("-m", "sb3_efficient", "enjoy", "--help").stdout
    assert "--engine [NAME]" in shown
    assert "--load-best" in shown


def test_engines_that_there_are_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["record_video", "--algo", "ppo", "--engine"]) == 1
    assert "--engine needs a name: eager, " in capsys.readouterr().err
    assert cli.main(["enjoy", "--algo", "ppo", "--env", "Catch-v0", "--engine", "reus"]) == 1
    assert "Did you mean 'reuse'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--distillation", "static-int8"), "--distillation stands between pruning and the last step"),
        (("--n-observations", "20", "--batch-size", "1"), "--n-observations must be a whole number of at least 32"),
        (("--storage", "nosql://x"), "Optuna cannot use storage 'nosql://x'"),
    ],
)
def test_what_a_search_cannot_use(
    options: tuple[str, ...], text: str, catch: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["compress", *catch, "--search", *options]) == 1
    error = capsys.readouterr().err
    assert text in error
    assert "recording" not in error


def test_searches_with_other_settings_are_other_studies(catch: tuple[str, ...], tmp_path: Path) -> None:
    storage = str(tmp_path / "search.log")
    few = ("--n-trials", "1", "--distillation", "distillation(steps=1, batch_size=4)", "--episodes", "1")
    for sticky in ("0", "0.25"):
        cli.main(["compress", *catch, "--search", "--storage", storage, *few, *QUICK, "--sticky", sticky])
    backend = optuna.storages.journal.JournalFileBackend(storage)
    assert len(optuna.get_all_study_names(optuna.storages.JournalStorage(backend))) == 2


def test_a_study_is_of_what_was_measured_on(agent: Path, catch: tuple[str, ...], tmp_path: Path) -> None:
    recorded = tmp_path / "a.safetensors"
    parser = argparse.ArgumentParser()
    add_arguments(parser)

    def name(file: Path, content: bytes) -> str:
        file.write_bytes(content)
        arguments = parser.parse_args([*catch, "--search", "--observations", str(file)])
        return _study_name(arguments, find_agent("ppo", "Catch-v0", agent.parents[1]))

    first = name(recorded, b"one")
    assert name(tmp_path / "b.safetensors", b"one") == first, "wherever the file lies"
    assert name(recorded, b"two") != first
    (agent / "Catch-v0").mkdir()
    (agent / "Catch-v0" / "config.yml").write_text("frame_stack: 2")
    assert name(recorded, b"one") != first, "the agent plays in other wrappers"


def test_an_interrupted_search_shows_what_it_found(
    catch: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(study: optuna.Study, searcher: Any, trials: int) -> None:
        for _ in range(trials):
            study.add_trial(optuna.trial.create_trial(values=[1.0, 0.5, 7.0], user_attrs={"recipe": "static-int8"}))
            raise KeyboardInterrupt

    monkeypatch.setattr(optuna.Study, "optimize", interrupted)
    assert cli.main(["compress", *catch, "--search", "--episodes", "1", *QUICK]) == 130
    assert "| static-int8 |" in capsys.readouterr().out


def test_two_processes_search_together(agent: Path, catch: tuple[str, ...], tmp_path: Path) -> None:
    storage = str(tmp_path / "search.log")
    options = ("--search", "--n-trials", "2", "--storage", storage, "--episodes", "1", *QUICK)
    few = ("--distillation", "distillation(steps=1, batch_size=4)")
    command = [sys.executable, "-m", "sb3_efficient", "compress", *catch, *options, *few]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    workers = [subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    tables = [worker.communicate(timeout=300)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0]
    backend = optuna.storages.journal.JournalFileBackend(storage)
    journal = optuna.storages.JournalStorage(backend)
    (name,) = optuna.get_all_study_names(journal)
    assert name.startswith("ppo-Catch-v0-")
    study = optuna.load_study(study_name=name, storage=journal)
    assert len(study.trials) == 4
    # The agent has not learnt, and recipes that leave nothing of its small last layer do not fit
    assert {trial.state.name for trial in study.trials} <= {"COMPLETE", "PRUNED"}
    assert all(-5 <= trial.values[0] <= 5 and trial.values[1] > 0 for trial in study.trials if trial.values)
    # The one that ended last has seen all trials; the other's front may have been longer
    assert 2 + len(study.best_trials) in [len(table.splitlines()) for table in tables]


@pytest.mark.parametrize(
    ("command", "options", "text"),
    [
        ("compress", ("--recipe", "static-int9"), "Did you mean 'static-int8'?"),
        ("compress", ("--exp-id", "7"), "Agents in {folder}: ppo/Catch-v0_1. Choose one"),
        ("compress", ("--observations", "nothing"), "says how many to record: leave out one"),
        ("compress", ("--episodes", "-1"), "--episodes must be a whole number of at least 0, got -1"),
        ("compress", ("--search", "--n-trials", "0"), "--n-trials must be a whole number of at least 1, got 0"),
        ("compress", ("--batch-size", "1", "65"), "--batch-size 65 takes as many observations, and there are 64: "),
        # A search times the first only
        (
            "compress",
            ("--search", "--batch-size", "1", "65", "--episodes", "0"),
            "--episodes must be a whole number of at",
        ),
        ("compress", ("--recipe", " "), "--recipe is empty: name methods, see 'sb3-efficient list', or float32."),
        ("compress", ("--threads", "100000"), "100000 threads need as many cores, and this process may use "),
        ("evaluate", ("--episodes", "1000000000000"), "--episodes must be at most 4294967295, as each has a seed"),
        ("compress", ("--sticky", "1.5"), "--sticky is a chance in [0, 1), got 1.5"),
        ("evaluate", ("nothing.policy",), "There is no file nothing.policy. 'sb3-efficient compress' writes"),
        ("evaluate", ("--engine", "onxruntime"), "Did you mean 'onnxruntime'?"),
        (
            "compress",
            ("--engine", "eager"),
            "'eager' cannot run compressed policies: choose --engine onnxruntime, openvino or",
        ),
        (
            "compress",
            ("--engine", "reuse", "--recipe", "dynamic-int8"),
            "The engine 'reuse' runs policies of static-int8 only, and the recipe is 'dynamic-int8'",
        ),
        (
            "evaluate",
            ("--algo", "dqn", "--stochastic"),
            "dqn has one action for an observation, and --stochastic nothing to sample",
        ),
        ("evaluate", ("--gym-packages", "./my_games.py"), "--gym-packages names the module './my_games.py', and there"),
        ("evaluate", ("--gym-packages", "my_games"), "--gym-packages names the module 'my_games', and there is none"),
    ],
)
def test_mistakes(
    command: str, options: tuple[str, ...], text: str, catch: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([command, *catch, *QUICK, *options]) == 1
    error = capsys.readouterr().err
    assert text.format(folder=catch[-1]) in error
    assert "Traceback" not in error


def test_a_missing_runtime_is_said_before_anything_is_done(
    catch: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.delitem(sys.modules, "sb3_efficient.engines.openvino", raising=False)
    assert cli.main(["compress", *catch, *QUICK, "--engine", "openvino"]) == 69
    error = capsys.readouterr().err
    assert error.startswith("sb3-efficient: The engine 'openvino' needs the package openvino, which is not installed: ")
    assert "pip install 'sb3-efficient[openvino]'" in error


def test_recipes_that_do_not_fit_are_said_before_observations_are_recorded(
    catch: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    recipes = ("--recipe", "static-int8", "--recipe", "channel-pruning(ratio=0.99)")
    assert cli.main(["compress", *catch, *QUICK, *recipes]) == 1
    error = capsys.readouterr().err
    assert "Nothing would be left of cnn.0" in error
    assert "recording" not in error


def test_policies_are_compared_on_observations_held_out() -> None:
    for n, least, sizes in ((1000, 100, (800, 200)), (300, 100, (200, 100)), (150, 100, (150, 150)), (64, 8, (52, 12))):
        calibration, compared = divided(np.arange(n), least)
        assert (len(calibration), len(compared)) == sizes
        assert len(np.intersect1d(calibration, compared)) == (n if sizes == (n, n) else 0)


def test_too_few_observations_are_said_before_they_are_recorded(
    agent: Path, catch: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    few = ("--n-observations", "20", "--batch-size", "1", "--repeats", "1", "--n-envs", "2", "--episodes", "0")
    assert cli.main(["compress", *catch, *few, "--recipe", "dynamic-float16", "--recipe", "static-int8"]) == 1
    error = capsys.readouterr().err
    assert "--n-observations 20 leaves 16 for 'static-int8'" in error
    assert "recording" not in error
    assert cli.main(["compress", *catch, *few, "--recipe", "dynamic-float16"]) == 0
    assert (agent / "Catch-v0-dynamic-float16.policy").is_file()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--search", "-o", "here"), "--search prints what it finds and writes no policies: leave out --output"),
        (("--search", "--recipe", "static-int8"), "--search makes its recipes itself: leave out --recipe"),
        (("--n-trials", "20"), "--n-trials is for searches: add --search"),
        (("--storage", "a.log", "--study-name", "a"), "--storage, --study-name is for searches: add --search"),
        (("--distillation", "distillation(steps=3)"), "--distillation is for searches: add --search"),
    ],
)
def test_options_of_the_other_mode(
    options: tuple[str, ...], text: str, catch: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["compress", *catch, *options]) == 1
    assert text in capsys.readouterr().err


@pytest.mark.parametrize(("load", "space"), [(dict_agent, "Dict"), (lambda: PPO("MlpPolicy", "CartPole-v1"), "Box")])
def test_what_is_no_image_is_for_scripts(load: Callable[[], Any], space: str, tmp_path: Path) -> None:
    agent: Any = SimpleNamespace(path=tmp_path / "agent.zip", load=load)
    with pytest.raises(ObservationError, match=rf"agent.zip takes {space}\(.* use sb3_efficient.compress and make_eng"):
        loaded(agent)


def test_environments_of_other_packages(agent: Path, tmp_path: Path, script: Run) -> None:
    (tmp_path / "my_games.py").write_text(
        "import gymnasium\ngymnasium.register('MyCatch-v0', 'sb3_efficient.envs:CatchEnv')\n"
    )
    folder = agent.parent / "MyCatch-v0_1"
    folder.mkdir()
    (agent / "Catch-v0.zip").rename(folder / "MyCatch-v0.zip")
    options = ("--algo", "ppo", "--env", "MyCatch-v0", "-f", str(agent.parents[1]), "-n", "40")
    script("-m", "sb3_efficient", "collect", *options, fails=True)
    done = script("-m", "sb3_efficient", "collect", *options, "--gym-packages", "my_games")
    assert "40 observations of shape (1, 84, 84) in" in done.stdout
    script("-m", "sb3_efficient", "record_video", *options, "-o", "film", "--gym-packages", "my_games")
    assert list((tmp_path / "film").glob("*.mp4"))


def test_observations_of_another_game(
    catch: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from sb3_efficient.observations import save_observations

    assert cli.main(["compress", *catch, "--observations", "nothing"]) == 1
    assert "There is no file nothing. 'sb3-efficient collect'" in capsys.readouterr().err
    file = save_observations(tmp_path / "other", np.zeros((40, 4, 84, 84), np.uint8))
    assert cli.main(["compress", *catch, "--observations", str(file)]) == 1
    assert "has images of shape (4, 84, 84), and the policy takes (1, 84, 84)" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["compress", "evaluate", "collect"])
def test_help_has_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main([command, "--help"])
    assert f"  sb3-efficient {command} --algo ppo --env PongNoFrameskip-v4 -f logs" in capsys.readouterr().out


def test_agents_stay_as_they_are(agent: Path, catch: tuple[str, ...]) -> None:
    before = (agent / "Catch-v0.zip").read_bytes()
    assert cli.main(["compress", *catch, *QUICK, "--episodes", "1"]) == 0
    assert (agent / "Catch-v0.zip").read_bytes() == before
    PPO.load(agent / "Catch-v0.zip")
