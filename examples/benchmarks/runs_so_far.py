"""Runs that have begun and not ended, as far as they went: runs_so_far.json, and their table."""

from __future__ import annotations

from collections.abc import Iterable

import common
import numpy as np
import zoo_runs
from common import rows_of
from runs_queue import Entry, Row, game

FILE = "runs_so_far.json"


def keep_so_far(queue: Iterable[Entry]) -> None:
    """
    Put what this machine has logged in the place of what is kept, perhaps of another machine, if it went further; what
    has ended is no longer kept.

    :param queue: Those of its entries that are whole runs of zoo_runs.py are looked at
    """
    file = common.RESULTS / FILE
    for entry in queue:
        before = kept(entry)
        if entry.state() == "done":
            if before is not None:
                zoo_runs.change(file, None, before)
            continue
        points = entry.points() if entry.row else []
        # No return, before the first games end
        if any(point[2] is not None for point in points) and points[-1][0] > (before or {"steps": 0})["steps"]:
            zoo_runs.change(file, {**entry.row, "steps": points[-1][0], **zoo_runs.summary(points)}, before)


def kept(entry: Entry) -> Row | None:
    found = (row for row in rows_of(FILE) if entry.row and entry.row.items() <= row.items())
    return next(found, None)


def so_far_table(queue: Iterable[Entry]) -> str:
    """Markdown: a run a line, and what whole runs were at after as many steps."""
    lines = [line(row) for entry in queue if (row := kept(entry))]
    heads = "| game | arm | seed | steps | of | return | whole runs of the game, after as many steps |"
    return "\n".join(["**Not ended: as far as they went**", "", heads, "|" + "---|" * 7, *lines]) if lines else ""


def line(row: Row) -> str:
    beside: dict[str, list[str]] = {}
    for other in rows_of("runs"):
        if all(other[key] == row[key] for key in ("env", "algo", "steps_asked")):
            then = np.interp(row["steps"], *zip(*other["curve"], strict=True))
            beside.setdefault(other["label"], []).append(f"{then:.1f}")
    others = "; ".join(f"{label}: {', '.join(returns)}" for label, returns in beside.items())
    return (
        f"| {game(row['env'])} | {row['label']} | {row['seed']} | {row['steps']:,} | {row['steps_asked']:,} | "
        f"{row['final_return']:.1f} | {others} |"
    )
