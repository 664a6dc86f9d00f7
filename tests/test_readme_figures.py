"""Tables in the README are those that the committed results give."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "examples" / "benchmarks"
SCRIPTS = [file.stem for file in sorted(BENCHMARKS.glob("*.py")) if re.search(r"^BEGIN\b", file.read_text(), re.M)]


def test_every_table_has_its_script() -> None:
    named = re.findall(r"<!-- tables? of examples/benchmarks/(\w+)\.py -->", (ROOT / "README.md").read_text())
    assert sorted(named) == SCRIPTS


@pytest.mark.parametrize("script", SCRIPTS)
def test_table_is_that_of_the_results(script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    module = importlib.import_module(script)
    rows = json.loads((BENCHMARKS / "results" / f"{script}.json").read_text())["rows"]
    _, _, rest = (ROOT / "README.md").read_text().partition(module.BEGIN)
    shown, _, _ = rest.partition("<!-- end of table -->")
    again = f"python examples/benchmarks/{script}.py --rewrite"
    assert shown.strip() == module.table(rows).strip(), f"{again} writes the README's table again"


def test_tables_of_the_queue_are_those_of_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    runs = importlib.import_module("runs")
    again = "python examples/benchmarks/runs.py writes them again"
    assert (BENCHMARKS / "results" / "runs.md").read_text() == f"{runs.tables(runs.read_queue(runs.QUEUE))}\n", again


def test_links_lead_somewhere() -> None:
    text = (ROOT / "README.md").read_text()
    for target in re.findall(r"\]\(([^)#\s]+)\)", text):
        if "://" not in target:
            assert (ROOT / target).exists(), target
    headings = {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in re.findall(r"^#+ (.+)$", text, re.M)}
    assert {anchor for anchor in re.findall(r"\]\(#([^)\s]+)\)", text)} <= headings
