"""examples/benchmarks/composition.py: what is kept when only a part is measured."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sb3_efficient.bench.rows import Rows
from sb3_efficient.errors import UnavailableError

BENCHMARKS = Path(__file__).parents[1] / "examples" / "benchmarks"


@pytest.fixture
def composition(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.syspath_prepend(BENCHMARKS)
    module: Any = importlib.import_module("composition")
    for owner in (module, importlib.import_module("common")):
        monkeypatch.setattr(owner, "RESULTS", tmp_path)
    return module


def test_training_measured_anew_keeps_what_acting_takes(composition: Any) -> None:
    first, *_, last = composition.TRAINING
    before = [
        {"step": first, "hours": 9.0, "file_bytes": 20, "predict_us": 5.0},
        {"step": last, "hours": 2.0, "file_bytes": 20, "predict_us": 5.0},
        {"step": "int8", "hours": 2.0, "file_bytes": 3, "predict_us": 1.0},
    ]
    trained = [{"step": first, "hours": 8.0, "file_bytes": 21}, {"step": last, "hours": 1.0, "file_bytes": 21}]
    assert list(composition.with_acting(trained, before)) == [
        {"step": first, "hours": 8.0, "file_bytes": 21, "predict_us": 5.0},
        {"step": last, "hours": 1.0, "file_bytes": 21, "predict_us": 5.0},
        {"step": "int8", "hours": 1.0, "file_bytes": 3, "predict_us": 1.0},
    ]


def test_returns_in_training_are_those_of_the_runs(composition: Any) -> None:
    rows = json.loads((BENCHMARKS / "results" / "composition.json").read_text())["rows"]
    found = {row["step"]: {name: row[name] for name in composition.LEARNT if name in row} for row in rows}
    assert found == {step: composition.learnt(step) for step in found}
    assert found["stock"].keys() <= found["SEER, `depth=2`"].keys() == {*composition.LEARNT}


def test_speeds_that_there_are_not(composition: Any, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"seer\.json, which has none: run seer\.py without --quick first"):
        composition.impala("seer")
    (tmp_path / "seer.json").write_text('{"rows": [{"algo": "ppo", "network": "nature", "threads": 1}]}')
    with pytest.raises(UnavailableError):
        composition.impala("seer")


def test_returns_that_are_known_are_not_played_again(composition: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = SimpleNamespace(returns=lambda recipe, known: [1.0, 3.0])
    known = [{"kind": "returns", "agent": composition.AGENT, "recipe": "original", "returns": [5.0] * 4}]
    monkeypatch.setattr(composition, "open_rows", lambda name, keys: Rows(None, {}, keys))
    assert composition.returns(bench, "original")["n"] == 2
    rows = Rows(None, {}, ("kind", "agent", "recipe"))
    rows.add(known)
    monkeypatch.setattr(composition, "open_rows", lambda name, keys: rows)
    assert composition.returns(bench, "original") == {"mean": 5.0, "interval": [5.0, 5.0], "n": 4}
