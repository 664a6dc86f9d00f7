"""The report of a comparison, as Markdown, CSV, JSON and a page for the browser."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sb3_efficient.atomic import check_writable, replace_file
from sb3_efficient.evaluation.compare import Row
from sb3_efficient.evaluation.latency import Latency
from sb3_efficient.evaluation.statistics import LEAST_EPISODES, TOLERANCE, Interval

Cells = dict[str, str]
ENDINGS = ("md", "csv", "json", "html")


def check_report(path: str | Path) -> None:
    """
    Refuse files that :meth:`Report.write` could not write, before anything is measured for them.

    :param path: As there
    """
    for ending in ENDINGS:
        check_writable(Path(f"{path}.{ending}"))


@dataclass(frozen=True)
class Report:
    """
    :param title: What was compressed
    :param rows: The original first
    :param random_return: Mean return of random play; NaN where no game was played
    :param facts: How it was measured: environment, seeds, threads and so on
    """

    title: str
    rows: Sequence[Row]
    random_return: float
    facts: Mapping[str, Any] = field(default_factory=dict)

    def cells(self) -> list[Cells]:
        """
        :return: For each row its texts by column; speed and size come with how many times better than the original's
        """
        return [_cells(row, self.rows[0]) for row in self.rows]

    def notes(self) -> list[str]:
        """
        :return: What a reader has to know to believe the table
        """
        notes = [
            "Original: plain Stable-Baselines3, float32; its bytes are those of the weights that act. Latencies: "
            "median (99th percentile) of calls in turns, in milliseconds, for batches of the size in brackets."
        ]
        margins = [r.scores.comparison.margin for r in self.rows if r.scores and r.scores.comparison]
        if margins:
            notes.append(
                "Return: mean and interquartile mean (IQM) of whole games with 95 % bootstrap intervals; difference: "
                f"paired by episode seed. Random play returns {self.random_return:.2f}. Verdict: {_rule(margins[0])}"
            )
        return [*notes, *(f"{name}: {value}" for name, value in self.facts.items())]

    def to_markdown(self) -> str:
        """
        :return: A table, and notes
        """
        cells = self.cells()
        lines = [list(cells[0]), ["---"] * len(cells[0]), *(list(row.values()) for row in cells)]
        # Names of files may have one
        lines = [[str(cell).replace("|", "\\|") for cell in line] for line in lines]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        notes = "\n".join(f"- {note}" for note in self.notes())
        return f"# {self.title}\n\n{table}\n\n{notes}\n"

    def to_csv(self) -> str:
        """
        :return: A line for each row, numbers without units
        """
        lines = [_flat(row) for row in self.rows]
        text = io.StringIO()
        writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
        return text.getvalue()

    def to_json(self) -> str:
        """
        :return: Everything, with the return of each episode
        """
        rows = [{**asdict(row), "verdict": row.verdict} for row in self.rows]
        content = {"title": self.title, "facts": self.facts, "random_return": self.random_return, "rows": rows}
        return json.dumps(_finite(content), indent=1, allow_nan=False) + "\n"

    def write(self, path: str | Path) -> list[Path]:
        """
        :param path: Of all files, without their endings
        :return: The files: ``.md``, ``.csv``, ``.json`` and ``.html``
        """
        from sb3_efficient.evaluation.page import page

        texts = (self.to_markdown(), self.to_csv(), self.to_json(), page(self))
        # Not with_suffix: names of environments have dots
        return [replace_file(f"{path}.{end}", text.encode()) for end, text in zip(ENDINGS, texts, strict=True)]


def _rule(margin: float) -> str:
    """How verdicts are found."""
    if margin <= 0:
        return "not shown, as the original gains nothing over random play."
    return (
        f"same only if all of the interval of the difference lies above {-margin:.2f}, which is "
        f"{100 * TOLERANCE:.0f} % of what the original gains over random play, worse only if all of it lies below; "
        f"otherwise, or with fewer than {LEAST_EPISODES} episodes, not shown."
    )


def _cells(row: Row, original: Row) -> Cells:
    cells = {"method": row.method}
    if original.scores:
        cells["verdict"] = row.verdict
    ratio = "" if row is original else f" ({row.n_bytes / original.n_bytes:.2f}x)"
    cells |= {"bytes": f"{row.n_bytes:,}{ratio}", "parameters": f"{row.parameters:,}"}
    for kind in ("network", "predict"):
        for size, latency in getattr(row.timing, kind).items():
            base = None if row is original else getattr(original.timing, kind)[size]
            cells[f"{kind} [{size}]"] = _latency_cell(latency, base)
    if original.scores:
        cells["return"] = f"{row.scores.mean:.2f}" if row.scores else ""
        cells["IQM"] = _interval_cell(row.scores.iqm) if row.scores else ""
        comparison = row.scores.comparison if row.scores else None
        cells["difference"] = _interval_cell(comparison.difference) if comparison else ""
    same = row.agreement.actions if row.agreement else None
    cells["agreement"] = "" if same is None else f"{100 * same:.1f} %"
    cells["SQNR"] = f"{row.agreement.sqnr:.1f} dB" if row.agreement else ""
    return cells


def _latency_cell(latency: Latency, base: Latency | None) -> str:
    times = f", {base.median / latency.median:.1f}x" if base else ""
    return f"{latency.median:.3f} ({latency.p99:.3f}){times}"


def _interval_cell(interval: Interval) -> str:
    return f"{interval.estimate:.2f} [{interval.low:.2f}, {interval.high:.2f}]"


def _flat(row: Row) -> dict[str, Any]:
    flat: dict[str, Any] = {"method": row.method, "bytes": row.n_bytes, "parameters": row.parameters}
    for kind in ("network", "predict"):
        for size, latency in getattr(row.timing, kind).items():
            flat |= {f"{kind}_{size}_median_ms": latency.median, f"{kind}_{size}_p99_ms": latency.p99}
    scores, comparison = row.scores, row.scores.comparison if row.scores else None
    flat["episodes"] = len(scores.returns) if scores else 0
    flat["return_mean"] = scores.mean if scores else None
    flat |= _flat_interval("iqm", scores.iqm if scores else None)
    flat |= _flat_interval("difference", comparison.difference if comparison else None)
    flat["action_agreement"] = row.agreement.actions if row.agreement else None
    flat["sqnr_db"] = row.agreement.sqnr if row.agreement else None
    return {**flat, "verdict": row.verdict}


def _flat_interval(name: str, interval: Interval | None) -> dict[str, float | None]:
    values = asdict(interval) if interval else dict.fromkeys(("estimate", "low", "high"))
    return {name: values["estimate"], f"{name}_low": values["low"], f"{name}_high": values["high"]}


def _finite(content: Any) -> Any:
    """JSON has no infinity, and no NaN."""
    if isinstance(content, Mapping):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
