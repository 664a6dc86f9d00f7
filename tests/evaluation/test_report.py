"""Invented rows in every format, and what the page needs from elsewhere: nothing."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from sb3_efficient.evaluation.agreement import Agreement
from sb3_efficient.evaluation.compare import Row, Scores
from sb3_efficient.evaluation.latency import Latency, Timing
from sb3_efficient.evaluation.page import page, pareto_front
from sb3_efficient.evaluation.report import Report
from sb3_efficient.evaluation.statistics import bootstrap, interquartile_mean, non_inferiority

GAMES = np.random.default_rng(0).normal(100, 20, 30)


def row(method: str, n_bytes: int, ms: float, loss: float | None, agreement: Agreement | None) -> Row:
    timing = Timing(
        {1: Latency(ms, 2 * ms), 100: Latency(20 * ms, 30 * ms)},
        {1: Latency(2 * ms, 3 * ms), 100: Latency(21 * ms, 31 * ms)},
    )
    comparison = None if loss is None else non_inferiority(GAMES - loss, GAMES, [0.0])
    returns = GAMES - (loss or 0)
    scores = Scores(tuple(returns), float(returns.mean()), bootstrap(interquartile_mean, returns), comparison)
    return Row(method, n_bytes, n_bytes // 4, timing, agreement, scores)


ROWS = [
    row("original", 6_736_512, 0.571, None, None),
    row("static-int8", 1_700_000, 0.118, 0.0, Agreement(0.991, 28.4)),
    row("channel-pruning(ratio=0.5) <b>", 1_684_128, 0.2, 30.0, Agreement(None, float("inf"))),
]
REPORT = Report("PPO on Pong", ROWS, 0.0, {"threads": 1, "engine": "onnxruntime"})


def test_markdown() -> None:
    lines = REPORT.to_markdown().splitlines()
    assert lines[0] == "# PPO on Pong"
    header, _, original, int8, pruned = (line.strip("| ").split(" | ") for line in lines[2:7])
    assert header[:2] == ["method", "verdict"]
    cells = dict(zip(header, int8, strict=True))
    assert cells["bytes"] == "1,700,000 (0.25x)"
    assert cells["network [1]"] == "0.118 (0.236), 4.8x"
    assert cells["predict [100]"] == "2.478 (3.658), 4.8x"
    assert cells["difference"] == "0.00 [0.00, 0.00]"
    assert cells["agreement"] == "99.1 %"
    assert cells["SQNR"] == "28.4 dB"
    assert cells["verdict"] == "same"
    assert original[:3] == ["original", "", "6,736,512"]
    assert pruned[1] == "worse"
    text = REPORT.to_markdown()
    assert f"lies above {-0.05 * GAMES.mean():.2f}, which is 5 %" in text
    assert "- threads: 1\n- engine: onnxruntime\n" in text


def test_rule_of_verdicts_where_the_original_gains_nothing() -> None:
    scores: Any = ROWS[1].scores
    scores = replace(scores, comparison=replace(scores.comparison, margin=-0.05))
    text = Report("PPO on Pong", [ROWS[0], replace(ROWS[1], scores=scores)], 0.0).to_markdown()
    assert "Verdict: not shown, as the original gains nothing over random play." in text
    assert "lies above" not in text


def test_csv() -> None:
    rows = list(csv.DictReader(io.StringIO(REPORT.to_csv())))
    assert [r["method"] for r in rows] == [r.method for r in ROWS]
    assert float(rows[1]["network_1_median_ms"]) == 0.118
    assert float(rows[2]["difference_low"]) == pytest.approx(-30)
    assert rows[0]["difference_low"] == rows[2]["action_agreement"] == ""
    assert {r["episodes"] for r in rows} == {"30"}


def test_json_holds_every_episode() -> None:
    content = json.loads(REPORT.to_json())
    assert content["rows"][1]["scores"]["returns"] == list(GAMES)
    assert content["rows"][1]["scores"]["comparison"]["verdict"] == content["rows"][1]["verdict"] == "same"
    assert content["rows"][2]["agreement"] == {"actions": None, "sqnr": None}
    assert content["rows"][0]["timing"]["network"]["100"]["p99"] == pytest.approx(30 * 0.571)
    assert content["facts"] == {"threads": 1, "engine": "onnxruntime"}


def test_page_stands_alone() -> None:
    text = page(REPORT)
    assert "<script" not in text
    assert not re.findall(r"(?:src|href)=\"(?!#)", text.replace("xlink:", ""))
    assert "channel-pruning(ratio=0.5) &lt;b&gt;" in text
    assert '<td><b style="color: #d55e00">\u25cf</b> worse</td>' in text
    # Telephones would otherwise draw it for a screen of 980 pixels
    assert '<meta name="viewport" content="width=device-width">' in text
    svg = ElementTree.fromstring(text[text.index("<svg") : text.index("</svg>") + 6])
    shown = " ".join((node.text or "").strip() for node in svg.iter() if node.tag.endswith("text"))
    for name in ("0 1 2", "MB on disk", "network, batch of 1, ms", "same", "worse"):
        assert name in shown
    assert page(REPORT) == text


def test_without_games(tmp_path: Path) -> None:
    rows = [Row(r.method, r.n_bytes, r.parameters, r.timing, r.agreement, None) for r in ROWS]
    report = Report("Sizes", rows, float("nan"))
    assert "return" not in report.cells()[0]
    assert "verdict" not in report.to_markdown()
    assert json.loads(report.to_json())["random_return"] is None
    files = report.write(tmp_path / "Pong-v4.5")
    assert [file.name for file in files] == [f"Pong-v4.5.{ending}" for ending in ("md", "csv", "json", "html")]
    assert all(file.stat().st_size > 100 for file in files)


def test_pareto_front() -> None:
    assert pareto_front([(3, 1), (1, 3), (2, 2), (2, 3), (3, 2), (4, 1)]) == [(1, 3), (2, 2), (3, 1)]
