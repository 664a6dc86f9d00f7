"""The command ``bench report``: one page, and nothing beside it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from sb3_efficient import cli
from sb3_efficient.bench.report import sections, write

RESULTS = Path(__file__).parents[2] / "examples" / "benchmarks" / "results"
MACHINE = {"cpu": "A<CPU", "cores": 2, "cpu_flags": ["avx2"], "versions": {"torch": "2"}, "revision": "abc"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [{"net": "a<b", "median": 1.23456, "quartiles": [1.0, 2.0], "curve": [[1, 2], [3, 4], [5, 6]], "n": 12345}]
    (tmp_path / "seer.json").write_text(json.dumps({"machine": MACHINE, "rows": rows}))
    (tmp_path / "seer.md").write_text("| net | ms |\n|---|---|\n| `deep` | **3** |\n")
    (tmp_path / "seer_run.png").write_bytes(b"picture")
    (tmp_path / "other.json").write_text(json.dumps(rows))
    (tmp_path / "curve_ppo_Pong_1.png").write_bytes(b"curve")
    (tmp_path / "below").mkdir()
    return tmp_path


def test_page(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "report", "--results", str(folder)]) == 0
    assert capsys.readouterr().out.strip() == str(folder / "report.html")
    text = (folder / "report.html").read_text()
    assert "<td><code>deep</code></td>" in text
    assert "<strong>3</strong>" in text
    assert text.count("<img") == 2
    assert set(re.findall(r'src="(.{5})', text)) == {"data:"}
    assert "A&lt;CPU, 2 cores, avx2; torch 2; revision abc" in text
    assert "<td class=text>a&lt;b</td><td>1.235</td><td>1 to 2</td><td>12,345</td>" in text
    assert 'name="viewport"' in text
    # Folded away beside a table, shown where there is none
    assert text.count("<details>") == 1
    assert "curve_ppo" in text


def test_sections(folder: Path) -> None:
    found = sections(folder)
    assert list(found) == ["curve", "seer", "other"]
    assert [file.name for file in found["seer"]] == ["seer.json", "seer.md", "seer_run.png"]


def test_everything_that_is_committed_is_on_it(tmp_path: Path) -> None:
    text = write(RESULTS, tmp_path / "page.html").read_text()
    assert text.count("<img") == len([file for ending in ("png", "gif") for file in RESULTS.glob(f"*.{ending}")])
    assert not re.findall(r'(?:src|href)="?(?!data:|#)\w', text)


def test_bad_input(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "report", "--results", str(tmp_path / "nowhere")]) == 1
    assert "There are no results in" in capsys.readouterr().err
    assert cli.main(["bench", "report", "--results", str(folder), "-o", str(folder / "seer.md" / "page.html")]) == 1
    assert "Results cannot be written to" in capsys.readouterr().err
    for content in ("{", '"text"', "3", '{"rows": [1]}', '{"machine": "x"}', '{"machine": {"versions": [1]}}'):
        (folder / "seer.json").write_text(content)
        assert cli.main(["bench", "report", "--results", str(folder)]) == 1
        assert "seer.json holds no measurements" in capsys.readouterr().err
    (folder / "seer.json").write_bytes(b"\xff")
    assert cli.main(["bench", "report", "--results", str(folder)]) == 1
    assert "seer.json is no text in UTF-8" in capsys.readouterr().err
    assert cli.main(["bench", "report", "--results", str(folder), "-o", str(folder / "other.json")]) == 1
    assert "other.json: the page is HTML, so that its name must end in .html." in capsys.readouterr().err
    (folder / "folder.md").mkdir()
    (folder / "seer.json").write_text("[]")
    assert cli.main(["bench", "report", "--results", str(folder)]) == 0
