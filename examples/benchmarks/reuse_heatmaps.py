"""What reuse_tables.py found: heatmaps as the reuse paper has them, its figures beside ours, and a summary."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

#: Table -> game -> seconds of the source, base and reuse
SOURCE: dict[str, dict[str, list[float | None]]] = json.loads(
    (Path(__file__).parent / "reuse_source.json").read_text()
)["tables"]


def games() -> list[str]:
    """The source's 24."""
    return sorted(next(iter(SOURCE.values())))


def draw(rows: list[dict[str, Any]], file: Path) -> None:
    """
    Draw a picture of each table of which there are rows.

    :param rows: As reuse_tables.py writes them
    :param file: Pictures are put beside it
    """
    for table in sorted({row["table"] for row in rows}):
        found = {row["game"]: row for row in rows if row["table"] == table}
        theirs = _source(table, found)
        name = table.replace(" ", "_").replace("/", "_").lower()
        _picture(table, found, theirs, file.with_name(f"{file.stem}_{name}.png"))


def summary(rows: list[dict[str, Any]]) -> str:
    """
    :param rows: As of :func:`draw`
    :return: Markdown, a line for each table: geometric means over its games, worst and best
    """
    lines = [
        "| table | games | the network, times torch eager | with the environment | the source, with the environment |",
        "|" + "---|" * 5,
    ]
    present = {row["table"] for row in rows}
    for table in (name for name in SOURCE if name in present):
        own = [row for row in rows if row["table"] == table]
        kinds = [[row["speed_up"][key] for row in own] for key in ("network", "with_environment")]
        theirs = [ratio for seconds in _source(table, [r["game"] for r in own]).values() if (ratio := _ratio(seconds))]
        lines.append(f"| {_words(table)} | {len(own)} | {' | '.join(_spread(ratios) for ratios in (*kinds, theirs))} |")
    return "\n".join(lines) + "\n"


def _source(table: str, names: Iterable[str]) -> dict[str, list[float | None]]:
    """Its seconds by game; of one table it has some games only."""
    return {game: SOURCE[table].get(game, [None, None]) for game in names}


def _words(table: str) -> str:
    kind, filters = table.split()
    size = {"4": "53x40", "2": "105x80"}[kind[-1]]
    return f"{kind.partition('_')[0].lower()}, {filters} filters, {size}"


def _spread(ratios: list[float]) -> str:
    return f"{_geomean(ratios):.3g}x ({min(ratios):.3g} to {max(ratios):.3g})" if ratios else ""


def _geomean(ratios: list[float]) -> float:
    return float(np.exp(np.mean(np.log(ratios))))


def _ratio(seconds: list[float | None]) -> float | None:
    base, reuse = seconds[:2]
    return base / reuse if base and reuse else None


def _picture(table: str, found: dict[str, dict[str, Any]], theirs: dict[str, list[float | None]], file: Path) -> None:
    names = [game for game in games() if game in found]
    ours = [[found[game]["seconds"]["base"], found[game]["seconds"]["reuse"]] for game in names]
    source = [[np.nan if value is None else value for value in theirs[game][:2]] for game in names]
    factors = [
        [
            found[game]["speed_up"]["network"],
            found[game]["speed_up"]["with_environment"],
            _ratio(theirs[game]) or np.nan,
        ]
        for game in names
    ]
    steps = next(iter(found.values()))["steps"]
    panels = [
        (f"here: seconds, {steps:,} steps", ["base", "reuse"], np.array(ours)),
        ("source: seconds, 3,000 steps", ["base", "reuse"], np.array(source)),
        ("speed-up", ["network\nalone", "with env.", "source\n(with env.)"], np.array(factors)),
    ]
    figure, axes = plt.subplots(
        1, 3, figsize=(9.5, 1.6 + 0.26 * len(names)), width_ratios=[2, 2, 3], layout="constrained", sharey=True
    )
    for number, (ax, (title, columns, values)) in enumerate(zip(axes, panels, strict=True)):
        shown = np.log(np.clip(values, 1e-3, None))
        ax.imshow(shown, aspect="auto", cmap="RdYlGn" if number == 2 else "RdYlGn_r", alpha=0.75)
        ax.set_title(title, fontsize=9)
        ax.set_xticks(range(len(columns)), columns, fontsize=8)
        ax.set_yticks(range(len(names)), names, fontsize=8)
        ax.tick_params(length=0)
        for (row, column), value in np.ndenumerate(values):
            text = "-" if np.isnan(value) else f"{value:.3g}" if value < 1000 else f"{value:,.0f}"
            ax.text(column, row, text, ha="center", va="center", fontsize=8)
    figure.suptitle(f"{table}: the reuse paper's network and games, CPU, one thread", fontsize=10)
    figure.savefig(file, dpi=90)
    plt.close(figure)
