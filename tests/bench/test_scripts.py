"""Benchmarks that are scripts of the checkout, called as commands."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers import Run

from sb3_efficient import cli
from sb3_efficient.bench import scripts

FOLDER = Path(__file__).parents[2] / "examples" / "benchmarks"


@pytest.mark.parametrize("name", list(scripts.SCRIPTS))
def test_every_command_has_its_script(name: str) -> None:
    assert (FOLDER / scripts.SCRIPTS[name][0]).is_file()


@pytest.fixture
def checkout(tmp_path: Path) -> None:
    """What ``python`` is run in is a checkout; the package may be installed elsewhere."""
    (tmp_path / "examples").symlink_to(FOLDER.parent)


@pytest.mark.usefixtures("checkout")
def test_arguments_go_to_the_script(script: Run) -> None:
    done = script("-m", "sb3_efficient", "bench", "training", "--help")
    assert "usage: training_loop.py" in done.stdout
    done = script("-m", "sb3_efficient", "bench", "training", "--segments", "few", fails=True)
    assert "invalid count value: 'few'" in done.stderr


def test_found_in_the_checkout_that_one_stands_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "examples" / "benchmarks").mkdir(parents=True)
    (tmp_path / "examples" / "benchmarks" / "common.py").touch()
    monkeypatch.chdir(tmp_path / "examples")
    assert scripts.folder() == tmp_path.resolve() / "examples" / "benchmarks"


def test_installed_without_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(scripts, "__file__", str(tmp_path / "a" / "b" / "c" / "scripts.py"))
    assert cli.main(["bench", "seer", "--quick"]) == 69
    message = capsys.readouterr().err
    assert "'bench seer' is the script examples/benchmarks/seer.py of the repository" in message
    assert "call it in a checkout (git clone)" in message


def test_unknown_benchmark(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "sear"]) == 1
    assert "Unknown benchmark 'sear'. Did you mean 'seer'? There are: all, " in capsys.readouterr().err


@pytest.mark.usefixtures("checkout")
@pytest.mark.parametrize(
    ("bench", "options"), [("environments", ()), ("reuse", ("--networks", "nature"))], ids=["environments", "reuse"]
)
def test_unknown_game(script: Run, bench: str, options: tuple[str, ...]) -> None:
    done = script("-m", "sb3_efficient", "bench", bench, "--games", "Pnog", *options, fails=True)
    assert "No environment 'PnogNoFrameskip-v4' is registered. Did you mean 'PongNoFrameskip-v4'?" in done.stderr
    assert "Traceback" not in done.stderr


def test_results_that_cannot_be_written(script: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = script(
        str(FOLDER / "environments.py"), "--quick", fails=True, SB3_EFFICIENT_RESULTS=str(tmp_path / "file" / "below")
    )
    assert "environments.py: Results cannot be written to" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_table_is_written_again_where_a_number_of_threads_has_not_been_measured(script: Run, tmp_path: Path) -> None:
    rows = (FOLDER / "results" / "environments.json").read_text()
    (tmp_path / "environments.json").write_text(rows)
    options = ("--rewrite", "--threads", "1", "64")
    done = script(str(FOLDER / "environments.py"), *options, SB3_EFFICIENT_RESULTS=str(tmp_path))
    assert "1 threads, ale against dummy" in done.stdout
    assert "64 threads" not in done.stdout


def test_status_is_the_scripts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "seer.py").write_text("import sys; sys.exit(int(sys.argv[1]))")
    monkeypatch.setattr(scripts, "folder", lambda: tmp_path)
    assert scripts.run("seer", ["7"]) == 7
