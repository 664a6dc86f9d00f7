"""The losses that the page of the benchmarks shows are all that are in the results."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[1] / "examples" / "benchmarks"
RESULTS = BENCHMARKS / "results"


@pytest.fixture
def losses(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("losses")


@pytest.mark.parametrize("folder", sorted({f.parent for f in RESULTS.rglob("*.json")}), ids=lambda path: path.name)
def test_none_is_left_out(folder: Path, losses: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["common"], "RESULTS", folder)
    rows = json.loads((folder / "losses.json").read_text())["rows"]
    assert rows == losses.find(), "results have changed: losses.py, also with SB3_EFFICIENT_RESULTS=folder"


def test_what_counts_as_a_loss(losses: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    times = {"eager": 10.0, "onnxruntime": 5.0, "static-int8": 1.0, "reuse": 5.0, "int8 reuse": 0.5}
    row = {"network": "nature", "batch": 1, "game": "Pong", "weights": "random"}
    curves = {"never": [[100_000, 1], [200_000, 5]], "conv": [[200_000, 3], [300_000, 9]], "stage 2": [[200_000, 6]]}
    run = {"algo": "ppo", "env": "PongNoFrameskip-v4", "checkpoint": "rl_model_50000_steps"}
    plain = {"env": "AlienNoFrameskip-v4", "algo": "dqn", "extractor": "stock", "seed": 1, "steps_asked": 1000}
    results: dict[str, list[dict[str, Any]]] = {
        "reuse_acting": [{**row, "microseconds": {name: {"median": time} for name, time in times.items()}}],
        "branches": [{**run, "arm": arm, "curve": curve} for arm, curve in curves.items()],
        "runs": [
            {**plain, "label": "plain", "params": ["a=1"], "final_return": 900.0},
            {**plain, "label": "frozen", "params": ["a=1", "seer=True"], "final_return": 1.0, "seed": 2},
            {**plain, "label": "frozen", "params": ["a=1", "seer=True"], "final_return": 500.0},
            {**plain, "label": "other", "params": ["seer=True"], "final_return": 5.0},
        ],
        "compress": [
            {"kind": "returns", "agent": "A", "recipe": recipe, "returns": [value] * 30}
            for recipe, value in (("random play", 0), ("original", 10), ("static-int8", 9.9), ("dynamic-int8", 2))
        ],
    }
    monkeypatch.setattr(losses, "rows_of", lambda name: results.get(name, []))
    found = [(row["what"], row["against"], row["found"]) for row in losses.find()]
    assert found == [
        ("reuse engine, nature, batch 1", "its int8", "Pong (random weights) 0.20x"),
        ("frozen: conv, Pong, from 50 k", "never frozen", "return 3.0, not 5.0, at 200 k (1 and 1 run)"),
        ("frozen, Alien", "plain", "return 500, not 900, after 1,000 steps (1 of each)"),
        ("dynamic-int8, A", "original", "return 2.0, not 10.0 (30 games)"),
    ]
