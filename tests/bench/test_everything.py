"""The command ``bench all``: what is done stays done, and what is skipped has a reason."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from sb3_efficient import cli
from sb3_efficient.bench import everything, scripts
from sb3_efficient.machine import machine_class

#: Step -> what runs in its place
FAKES = {
    "nets": "import os, pathlib; pathlib.Path(os.environ['SB3_EFFICIENT_RESULTS'], 'nets.md').write_text('a table')",
    "seer-ppo": "import sys; print('sb3-efficient: games of consoles need an extra', file=sys.stderr); sys.exit(69)",
    "loop": "raise ValueError('a defect')",
    "reuse": "raise SystemExit('reuse.py: --batches wants a number')",
}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []

    def command(step: str, results: Path, quick: bool, again: bool) -> list[str]:
        found.append(step)
        return [sys.executable, "-c", FAKES[step]]

    monkeypatch.setattr(everything, "command", command)
    return found


def test_all(calls: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["bench", "all", "--only", "nets", "seer-ppo", "--results", str(tmp_path / "found")]
    assert cli.main(words) == 0
    shown = capsys.readouterr().out
    assert re.search(r"^nets +done", shown, re.M)
    assert "sb3-efficient: games of consoles need an extra" in shown
    rows = json.loads((tmp_path / "found" / "all.json").read_text())["rows"]
    assert [(row["step"], row["state"]) for row in rows] == [("nets", "done"), ("seer-ppo", "skipped")]
    assert "a table" in (tmp_path / "found" / "report.html").read_text()
    # What is done is not run again, what was skipped is tried
    assert cli.main(words) == 0
    assert calls == ["nets", "seer-ppo", "seer-ppo"]
    assert cli.main([*words, "--again"]) == 0
    assert calls[3:] == ["nets", "seer-ppo"]


@pytest.mark.parametrize(("step", "reason"), [("loop", "a defect"), ("reuse", "--batches wants a number")])
def test_only_what_is_missing_is_a_skip(
    step: str, reason: str, calls: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["bench", "all", "--only", step, "--results", str(tmp_path)]) == 1
    assert "failed" in capsys.readouterr().out
    assert reason in (tmp_path / "logs" / f"{step}.log").read_text()


def test_goes_on_after_an_interruption(
    calls: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["bench", "all", "--only", "nets", "seer-ppo", "--results", str(tmp_path)]
    row = everything._row

    def interrupted(step: str, results: Path, quick: bool, again: bool) -> dict[str, object]:
        if step == "seer-ppo":
            raise KeyboardInterrupt
        return row(step, results, quick, again)

    with monkeypatch.context() as patch:
        patch.setattr(everything, "_row", interrupted)
        assert cli.main(words) == 130
    cli.main(words)
    assert calls == ["nets", "seer-ppo"]


def test_without_a_checkout_there_are_no_agents(
    calls: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(scripts, "folder", lambda: None)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["bench", "all", "--only", "leaderboard", "--results", "found"]) == 0
    assert re.search("^leaderboard +skipped.*no folder examples/agents, which a checkout has", capsys.readouterr().out)
    assert calls == []


@pytest.mark.parametrize("quick", [False, True])
def test_commands_are_those_of_bench(quick: bool, tmp_path: Path) -> None:
    known = {"nets", "loop", "leaderboard", *scripts.SCRIPTS}
    for step in everything.STEPS:
        words = everything.command(step, tmp_path, quick, again=False)
        assert words[3] == "bench"
        assert words[4] in known
        assert "{" not in " ".join(words)
        assert "" not in words


#: They measure whatever is there whenever they run
ALWAYS_ANEW = {"loop", "composition"}


@pytest.mark.parametrize("step", sorted({*everything.STEPS} - ALWAYS_ANEW))
def test_again_measures_rows_that_are_there(step: str, tmp_path: Path) -> None:
    usual, anew = (everything.command(step, tmp_path, True, again) for again in (False, True))
    assert "--again" not in usual
    assert "--missing" not in anew
    assert "--again" in anew or "--missing" in usual


def test_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "all", "--only", "sear-ppo"]) == 1
    assert "Unknown step 'sear-ppo'. Did you mean 'seer-ppo'?" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert cli.main(["bench", "all", "--results", str(tmp_path / "file" / "below")]) == 1
    assert "Results cannot be written to" in capsys.readouterr().err


def test_folder_is_named_after_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(scripts, "folder", lambda: tmp_path)
    assert everything.default_folder(False) == tmp_path / "results" / machine_class()
    assert everything.default_folder(True).name == f"{machine_class()}-quick"
    monkeypatch.setattr(scripts, "folder", lambda: None)
    assert everything.default_folder(False) == Path("bench") / machine_class()


def test_a_failure_of_another_step_is_no_failure_of_this_one(calls: list[str], tmp_path: Path) -> None:
    assert cli.main(["bench", "all", "--only", "loop", "--results", str(tmp_path)]) == 1
    assert cli.main(["bench", "all", "--only", "nets", "--results", str(tmp_path)]) == 0


def test_rows_of_quick_are_not_taken_for_full_ones(
    calls: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["bench", "all", "--only", "nets", "--results", str(tmp_path)]
    assert cli.main([*words, "--quick"]) == 0
    assert cli.main(words) == 1
    assert "holds rows that were measured with --quick: name another folder" in capsys.readouterr().err
    assert calls == ["nets"]
