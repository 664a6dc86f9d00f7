"""
The heatmaps of reuse_tables.py: as the reuse paper shows its tables, with its own figures beside ours.

    python examples/benchmarks/reuse_heatmaps.py    # draw them again from results/reuse_tables.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from common import RESULTS

matplotlib.use("Agg")
import matplotlib.pyplot as plt

SOURCE = Path(__file__).parent / "reuse_source.json"
ROWS = RESULTS / "reuse_tables.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", type=Path, default=ROWS, help="of the rows")
    file = parser.parse_args().file
    draw(json.loads(file.read_text())["rows"], file)


def games() -> list[str]:
    """The source's 24."""
    return sorted(next(iter(json.loads(SOURCE.read_text())["tables"].values())))


def draw(rows: list[dict[str, Any]], file: Path) -> None:
    """
    Draw a picture of each table of which there are rows, and print geometric means.

    :param rows: As reuse_tables.py writes them
    :param file: Pictures are put beside it
    """
    source = json.loads(SOURCE.read_text())
    for table in sorted({row["table"] for row in rows}):
        found = {row["game"]: row for row in rows if row["table"] == table}
        theirs = source["tables"][table]
        name = table.replace(" ", "_").replace("/", "_").lower()
        _picture(table, found, theirs, file.with_name(f"{file.stem}_{name}.png"))
        print(f"{table:20s} {len(found):2d} games: {_summary(found, theirs)}")


def _summary(found: dict[str, dict[str, Any]], theirs: dict[str, list[float | None]]) -> str:
    parts = []
    for label, key in (("network", "network"), ("with environment", "with_environment")):
        ratios = [row["speed_up"][key] for row in found.values()]
        parts.append(f"{label} {_geomean(ratios):.1f}x (worst {min(ratios):.1f}, best {max(ratios):.1f})")
    ratios = [ratio for game in found if (ratio := _ratio(theirs[game]))]
    if ratios:
        parts.append(f"source {_geomean(ratios):.2f}x (worst {min(ratios):.2f}, best {max(ratios):.2f})")
    return "; ".join(parts)


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
    figure.savefig(file, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
