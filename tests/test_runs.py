"""The queue of training runs, and runs that go on where they were killed."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers import Run

BENCHMARKS = Path(__file__).parents[1] / "examples" / "benchmarks"
SCRIPT = str(BENCHMARKS / "runs.py")
TRAIN = {
    "name": "small",
    "what": "two arms",
    "kind": "train",
    "algo": "ppo",
    "games": ["PongNoFrameskip-v4", "QbertNoFrameskip-v4"],
    "steps": 1000,
    "seeds": [1, 2],
    "arms": {"one": {"extractor": "stock"}, "two": {"extractor": "impala", "params": ["ent_coef=0.1"]}},
}
BRANCH = {
    **{name: TRAIN[name] for name in ("what", "algo", "steps", "seeds")},
    **{"name": "arms", "kind": "branch", "games": ["PongNoFrameskip-v4"], "prefix": 500, "params": []},
    "arms": ["never", "stage 2"],
}
COMMAND = {
    **{"name": "other", "what": "a script that fails", "kind": "command", "command": ["none.py", "{arm}"]},
    **{"file": "none.json", "arms": {"a": {"kind": "b"}}},
}


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The script as a module, whose results go to an empty folder."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(importlib.import_module("common"), "RESULTS", tmp_path / "results")
    (tmp_path / "results").mkdir()
    return importlib.import_module("runs")


@pytest.fixture
def zoo_runs(runs: Any) -> Any:
    return importlib.import_module("zoo_runs")


@pytest.fixture
def table(runs: Any) -> Any:
    """Of a group of the queue."""
    return importlib.import_module("runs_tables").table


def test_every_run_of_the_queue_can_be_named(runs: Any) -> None:
    found = [entry for group in runs.read_queue(runs.QUEUE).values() for entry in runs.entries(group)]
    assert len({entry.name for entry in found}) == len(found) > 100
    assert all(Path(entry.command[0]).is_file() for entry in found)
    assert len({(entry.file, json.dumps(entry.row)) for entry in found if entry.row}) == sum(
        bool(entry.row) for entry in found
    )


def test_done_is_what_the_results_say(runs: Any, tmp_path: Path) -> None:
    entries = list(runs.entries(TRAIN))
    assert [entry.name for entry in entries][:2] == ["small, Pong, one, 1", "small, Pong, two, 1"]
    assert {entry.state() for entry in entries} == {"open"}
    rows = [{**entries[0].row, "curve": [[900, 1.0], [1000, 3.0]], "hours": 0.5, "peak_rss_mb": 600}]
    (tmp_path / "results" / "runs.json").write_text(json.dumps(rows))
    assert [entry.state() for entry in entries].count("done") == 1
    text = runs.status(entries, True)
    assert "done     small, Pong, one, 1" in text
    assert "1,000 of 1,000 steps" in text
    assert "1 done, 7 open" in text
    assert "--params ent_coef=0.1" in text


def test_what_has_not_ended_is_kept_as_far_as_it_went(runs: Any, zoo_runs: Any, tmp_path: Path) -> None:
    so_far = importlib.import_module("runs_so_far")
    whole, other = list(runs.entries(TRAIN))[:2]
    results = tmp_path / "results"
    (results / "runs.json").write_text(json.dumps([{**whole.row, "curve": [[200, 1.0], [1000, 3.0]]}]))
    so_far.keep_so_far([whole, other])
    assert so_far.so_far_table([whole, other]) == ""

    def log(steps: int) -> None:
        arguments = zoo_runs.parser().parse_args(other.command[1:])
        file = zoo_runs.folder_of("impala", 1, arguments) / "progress.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps([[100, 1.0, None, 100, 500], [steps, 6.0, -20.0, 100, 600]]))

    for logged, kept in ((600, 600), (400, 600)):
        log(logged)
        so_far.keep_so_far([whole, other])
        (row,) = json.loads((results / "runs_so_far.json").read_text())
        assert (row["steps"], row["curve"], row["peak_rss_mb"]) == (kept, [[600, -20.0]], 600)
        assert other.row.items() <= row.items()
    assert other.state() == "open"
    assert so_far.so_far_table([whole, other]).endswith("| Pong | two | 1 | 600 | 1,000 | -20.0 | one: 2.0 |")
    # It has ended elsewhere
    (results / "runs.json").write_text(json.dumps([{**other.row, "curve": [[1000, 4.0]]}]))
    for _ in range(2):
        # The second time it is known here as done only, and by its log
        so_far.keep_so_far([whole, other])
        assert json.loads((results / "runs_so_far.json").read_text()) == []


def test_arms_wait_for_their_prefix(runs: Any, table: Any, tmp_path: Path) -> None:
    prefix, *arms = runs.entries(BRANCH)
    assert (prefix.state(), {arm.state() for arm in arms}) == ("open", {"waits"})
    file = Path(prefix.checkpoint.replace("*/*", "ppo/PongNoFrameskip-v4_1"))
    file.parent.mkdir(parents=True)
    file.touch()
    prefix, *arms = runs.entries(BRANCH)
    assert (prefix.state(), {arm.state() for arm in arms}) == ("done", {"open"})
    assert arms[0].command[1] == str(file)
    row = {**arms[0].row, "curve": [[1000, 2.0]]}
    (tmp_path / "results" / "branches.json").write_text(json.dumps({"rows": [row]}))
    assert arms[0].state() == "done"
    assert "| Pong | never | 1 | 2 | 2 |" in table(BRANCH)


def test_table(runs: Any, table: Any, tmp_path: Path) -> None:
    last = {"one": (-20.7, 14.6), "two": (14.6, 14.6)}
    rows = [
        {
            **entry.row,
            "curve": [[1000, last[entry.row["label"]][entry.row["seed"] - 1]]],
            "hours": float(entry.row["seed"]),
            "machine": {"cpu": "B" if entry.row["label"] == "one" and entry.row["seed"] == 1 else "A"},
        }
        for entry in runs.entries({**TRAIN, "games": ["PongNoFrameskip-v4", "BreakoutNoFrameskip-v4"]})
    ]
    for row in rows:
        if row["env"].startswith("Breakout"):
            row["curve"] = [[1000, 1.7 if row["label"] == "one" else 30.5]]
    (tmp_path / "results" / "runs.json").write_text(json.dumps(rows))
    text = table({**TRAIN, "games": ["PongNoFrameskip-v4", "BreakoutNoFrameskip-v4"]})
    assert "| Pong | one | 2 | -3.05 [-20.7, 14.6] | -20.7 14.6 |  | 2.00 (A), 1.00 (B) |  |" in text
    assert "| Pong | two | 2 | 14.6 [14.6, 14.6] | 14.6 14.6 | 75% | 1.50 (A) |  |" in text
    claimed = table({**TRAIN, "claimed": {"two": {"PongNoFrameskip-v4": 7.5}}}).splitlines()
    assert [line.rsplit(" | ", 1)[1] for line in claimed if "Pong" in line] == [" |", "7.5 |"]
    # 0 for random play, 1 for people; games drawn within themselves
    assert "| 2 games, human-normalised | one | 2 each | 0 [0, " in text
    assert "| 2 games, human-normalised | two | 2 each | 1 [1, 1] | | 88% | | |" in text


def test_what_fails_is_said_and_the_next_one_begins(script: Run, tmp_path: Path) -> None:
    queue = tmp_path / "queue.yml"
    queue.write_text(yaml.safe_dump([COMMAND, {**COMMAND, "name": "another"}]))
    where = {"SB3_EFFICIENT_RESULTS": str(tmp_path / "results")}
    shown = script(SCRIPT, "--queue", str(queue), "--go", **where).stdout
    assert "other, a: failed, see logs/runs/output/other-a.log" in shown
    assert "another, a: failed" in shown
    assert "2 failed" in shown
    assert "none.py" in (tmp_path / "logs/runs/output/other-a.log").read_text()
    assert "1 failed" in script(SCRIPT, "--queue", str(queue), "--only", "other", **where).stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--only", "pnog"), "Unknown group 'pnog'. Did you mean 'pong'?"),
        (("--queue", "nowhere.yml"), "nowhere.yml is no queue"),
        (("--queue", "short.yml"), "short.yml: the group 'pong' of kind 'train' does not say steps, seeds, arms."),
        (("--queue", "odd.yml"), "Unknown kind 'trian'. Did you mean 'train'?"),
    ],
)
def test_bad_input(
    runs: Any,
    options: tuple[str, ...],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("short.yml").write_text("[{name: pong, kind: train, algo: ppo, games: [PongNoFrameskip-v4]}]")
    Path("odd.yml").write_text("[{name: pong, kind: trian}]")
    monkeypatch.setattr(sys, "argv", [SCRIPT, *options])
    with pytest.raises(SystemExit) as ended:
        runs.run_program(runs.main)
    assert ended.value.code == 1
    assert f"runs.py: {message}" in capsys.readouterr().err


@pytest.mark.parametrize(("jobs", "message"), [("0", "must be at least 1, got 0"), ("no", "invalid count value: 'no'")])
def test_numbers_of_nothing(
    runs: Any, jobs: str, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [SCRIPT, "--jobs", jobs])
    with pytest.raises(SystemExit) as ended:
        runs.run_program(runs.main)
    assert ended.value.code == 2
    assert f"runs.py: error: argument --jobs: {message}" in capsys.readouterr().err


def test_log_of_a_run_that_goes_on(zoo_runs: Any, tmp_path: Path) -> None:
    log = zoo_runs.Log(tmp_path / "progress.json", 0)
    lines = [
        "| rollout/   |      |",
        "|    ep_rew_mean | -2.5e+01 |",
        "|    fps | 200 |",
        "|    total_timesteps | {} |",
    ]
    for steps in (1024, 2048, 3072):
        assert [log.read(line.format(steps), 2**20) for line in lines] == [False, False, False, True]
    again = zoo_runs.Log(tmp_path / "progress.json", 2048)
    assert [(point[0], point[2:]) for point in again.points] == [(1024, [-25.0, 200, 1]), (2048, [-25.0, 200, 1])]


def test_half_written_checkpoints_are_none(zoo_runs: Any, tmp_path: Path) -> None:
    folder = tmp_path / "ppo" / "Pong_1"
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / "rl_model_1024_steps.zip", "w") as file:
        file.writestr("data", "{}")
    whole = (folder / "rl_model_1024_steps.zip").read_bytes()
    (folder / "rl_model_2048_steps.zip").write_bytes(whole[: len(whole) // 2])
    with zipfile.ZipFile(folder / "rl_model_3072_steps.zip", "w") as file:
        file.writestr("archive/data.pkl", "of torch, at the end of what was written")
    assert zoo_runs.checkpoints(tmp_path) == [(1024, folder / "rl_model_1024_steps.zip")]


@pytest.mark.long
def test_killed_and_gone_on_with(tmp_path: Path) -> None:
    words = ["--env", "Catch-v0", "--conf", "sb3_efficient.hyperparams.ppo", "--extractors", "stock", "--steps", "4096"]
    words += ["--save-freq", "1024", "--results", "found", "--name", "t", "--params", "accelerate=True"]
    command = [sys.executable, str(BENCHMARKS / "zoo_runs.py"), *words]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    first = subprocess.Popen(command, cwd=tmp_path, env=env, start_new_session=True)
    deadline = time.monotonic() + 240
    while not list(tmp_path.glob("logs/*/*/*/*/rl_model_2048_steps.zip")) and time.monotonic() < deadline:
        time.sleep(0.2)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    assert not list((tmp_path / "found").iterdir())
    subprocess.run(command, cwd=tmp_path, env=env, check=True)
    (row,) = json.loads((tmp_path / "found" / "t.json").read_text())
    assert row["steps"] == 4096
    # The point that was due when it was killed may be missing
    steps = [step for step, _ in row["curve"]]
    assert steps in ([1024, 2048, 3072, 4096], [1024, 3072, 4096])
    folder = next(tmp_path.glob("logs/zoo_runs/*/ppo"))
    assert len(list(folder.glob("Catch-v0_*"))) == 2
    from stable_baselines3 import PPO

    agent = PPO.load(folder / "Catch-v0_2" / "Catch-v0.zip", device="cpu")
    # Schedules ended where those of one run would have
    assert (agent.num_timesteps, agent._total_timesteps) == (4096, 4096)
    assert agent._current_progress_remaining == 0
    # There already
    assert (
        "there already"
        in subprocess.run(command, cwd=tmp_path, env=env, check=True, capture_output=True, text=True).stdout
    )
