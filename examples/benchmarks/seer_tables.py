"""Tables and the picture of seer.py."""

from __future__ import annotations

from typing import Any

import matplotlib
from common import RESULTS
from seer_memory import SB3_BYTES
from seer_speed import BATCH, VARIANTS

matplotlib.use("Agg")
import matplotlib.pyplot as plt

PICTURE = RESULTS / "seer_run_memory.png"
#: Colour and label
RUNS = {
    "plain": ("C7", "stock DQN"),
    "frozen": ("C0", "FrameReplayBuffer, then latents"),
    "compressed": ("C2", "FrameReplayBuffer, compressed"),
}
COLUMNS = {
    "plain": "plain SB3",
    "accelerated": "`accelerate`, `AleVecEnv`",
    "first stage": "frozen: `depth=1`",
    "lower stages": "`2`",
    "conv": "`'conv'`",
    "features": "`'features'`",
}


def table(rows: list[dict]) -> str:
    """Markdown, of what has been measured."""
    tables = [
        speeds([row for row in rows if row["kind"] in ("ppo", "dqn")]),
        sizes([row for row in rows if row["kind"] == "memory"]),
        conversions([row for row in rows if row["kind"] == "conversion"]),
    ]
    return "\n".join(table for table in tables if table)


def speeds(rows: list[dict]) -> str:
    if not rows:
        return ""
    lines = [f"| on Pong | threads | {' | '.join(COLUMNS.values())} |", "|" + "---|" * (len(VARIANTS) + 2)]
    keys = ("algo", "network", "unit", "threads")
    for key in dict.fromkeys(tuple(row[k] for k in keys) for row in rows):
        algo, network, unit, threads = key
        found = {row["variant"]: row["median"] for row in rows if tuple(row[k] for k in keys) == key}
        what = "training, frames/s" if unit == "frames/s" else f"an update of {BATCH}"
        cells = " | ".join(cell(found, name, unit) for name in VARIANTS)
        lines.append(f"| {algo.upper()} {network.capitalize()}, {what} | {threads} | {cells} |")
    return "\n".join(lines) + "\n"


def cell(found: dict[str, float], name: str, unit: str) -> str:
    if name not in found:
        return ""
    value, plain = found[name], found["plain"]
    shown, times = (f"{value:.0f}", value / plain) if unit == "frames/s" else (f"{value:.2f} ms", plain / value)
    return shown if name == "plain" else f"{shown} ({times:.1f}x)"


def sizes(rows: list[dict]) -> str:
    if not rows:
        return ""
    lines = ["| replay buffer | bytes a transition | times less |", "|---|---|---|"]
    size = {row["buffer"]: row["bytes"] for row in rows}
    most = max(size.values())
    return "\n".join([*lines, *(f"| {n} | {b:,.0f} | {most / b:.1f} |" for n, b in size.items())]) + "\n"


def conversions(rows: list[dict]) -> str:
    if not rows:
        return ""
    lines = [
        "| converted, `'conv'` | from | threads | seconds | MB before | most | with latents and a chunk | after |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        what = f"{row['transitions']:,}, {row['network'].capitalize()}"
        mb = " | ".join(f"{row[f'{when}_mb']:,.0f}" for when in ("before", "peak", "allowed", "after"))
        lines.append(f"| {what} | `{row['source']}` | {row['threads']} | {row['seconds']:.0f} | {mb} |")
    return "\n".join(lines) + "\n"


def draw(rows: list[dict]) -> None:
    """Left all runs, right those that fit."""
    if not rows:
        return
    figure, panels = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for axes, drawn in zip(panels, (rows, [row for row in rows if row["run"] != "plain"]), strict=True):
        for row in drawn:
            draw_run(axes, row)
        axes.set_xlabel("steps, million")
        axes.set_ylim(0, None)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("resident memory, GB")
    panels[0].legend(framealpha=1, edgecolor="white", fontsize="small")
    figure.suptitle("DQN on Pong, every transition kept")
    figure.savefig(PICTURE, dpi=110)
    plt.close(figure)


def draw_run(axes: Any, row: dict) -> None:
    """One run; its freeze, or what it would have needed beyond the memory of the machine."""
    steps, _, mb = zip(*row["curve"], strict=True)
    color, label = RUNS[row["run"]]
    axes.plot([step / 1e6 for step in steps], [x / 1e3 for x in mb], color=color, label=label)
    if row["frozen_at"]:
        axes.axvline(row["frozen_at"] / 1e6, color="C3", linestyle=":", label="frozen up to the features")
    elif steps[-1] < 1e6:
        rest = mb[-1] + SB3_BYTES * (1e6 - steps[-1]) / 1e6
        axes.plot([steps[-1] / 1e6, 1], [mb[-1] / 1e3, rest / 1e3], color=color, linestyle="--", label="does not fit")
