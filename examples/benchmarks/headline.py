"""
The picture at the top of README.md, from the results of other scripts.

    python examples/benchmarks/headline.py

Left: return on Pong over hours, from the learning curves of the agents in examples/agents (publish_agent.py); thin, of
other runs (runs.py). The runs shared their machine with other work; hours are their steps over the speeds that seer.py
measured on a quiet one, one thread, for each network as far as it was frozen at that step. The thick lines at plain
SB3's speed are the curves of accelerated runs that were never frozen; runs in plain SB3 are thin. Right: resident
memory over a DQN run (seer.py).
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import matplotlib
import numpy as np
from common import RESULTS, rows_of, run_program
from seer_tables import draw_run

matplotlib.use("Agg")
import matplotlib.pyplot as plt

PICTURE = RESULTS / "headline.png"
#: Depth -> variant in seer.json
VARIANTS = {"": "accelerated", "1": "first stage", "2": "lower stages", "conv": "conv", "features": "features"}
#: Label -> (learning curve, network, whether it is shown at plain SB3's speed, colour)
CURVES = {
    "Nature, at plain SB3's speed": ("curve_ppo_PongNoFrameskip-v4_1", "nature", True, "C7"),
    "Impala, at plain SB3's speed": ("curve_ppo_PongNoFrameskip-v4_impala", "impala", True, "k"),
    "Nature, accelerated": ("curve_ppo_PongNoFrameskip-v4_1", "nature", False, "C0"),
    "Impala, accelerated": ("curve_ppo_PongNoFrameskip-v4_impala", "impala", False, "C4"),
    "Nature, everything on": ("curve_ppo_PongNoFrameskip-v4_3", "nature", False, "C2"),
    "Impala, everything on": ("curve_ppo_PongNoFrameskip-v4_2", "impala", False, "C1"),
}
#: Of the queue of runs -> above
LABELS = {"Nature": "Nature, at plain SB3's speed", "Impala": "Impala, at plain SB3's speed"}


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    rows = rows_of("seer")
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.6), layout="constrained")
    for label, (name, network, is_stock, color) in CURVES.items():
        content = json.loads((RESULTS / f"{name}.json").read_text())
        draw_curve(left, label, content, speeds(rows, network), is_stock, color)
    for row in other_runs():
        _, network, is_stock, color = CURVES[row["label"]]
        curve = [(step, 0, value) for step, value in row["curve"]]
        frozen = [(row["seer"]["timesteps"], str(deepest(row["seer"]["depth"])))] if row.get("seer") else []
        draw_curve(left, None, {"curve": curve, "frozen": frozen}, speeds(rows, network), is_stock, color)
    left.plot([], [], color="k", linewidth=0.8, label="thin: other runs (grey, black: plain SB3)")
    left.plot([], [], "o", color="k", markersize=4, label="where it was frozen")
    left.set(xlabel="hours, one thread", ylabel="return on Pong", title="PPO: training time")
    left.legend(frameon=False, fontsize="small", ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.16))
    for row in rows:
        if row["kind"] == "run_memory":
            draw_run(right, row)
    right.set(xlabel="steps, million", ylabel="resident memory, GB", title="DQN: a million transitions kept")
    right.set_ylim(0, None)
    right.legend(frameon=False, fontsize="small", ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.16))
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.savefig(PICTURE, dpi=120)
    print(PICTURE)


def other_runs() -> list[dict[str, Any]]:
    """Of the queue (runs.py) on Pong, ended or not; NatureCNN's with the first seed are the agents', or went on."""
    on_pong = [row for row in (*rows_of("runs"), *rows_of("runs_so_far")) if row["env"] == "PongNoFrameskip-v4"]
    on_pong = [{**row, "label": LABELS.get(row["label"], row["label"])} for row in on_pong]
    agents = ("Nature, accelerated", "Nature, everything on")
    return [row for row in on_pong if row["label"] in CURVES and (row["seed"] > 1 or row["label"] not in agents)]


def deepest(depth: Any) -> Any:
    """Of NatureCNN and Impala, which have three stages."""
    return 2 if depth == "lower" else depth


def speeds(rows: list[dict[str, Any]], network: str) -> dict[str, float]:
    """Variant -> steps a second on one thread."""
    found = [r for r in rows if r["kind"] == "ppo" and r["network"] == network and r["threads"] == 1]
    return {row["variant"]: row["median"] for row in found}


def draw_curve(
    axes: Any, label: str | None, content: dict[str, Any], speed: dict[str, float], is_stock: bool, color: str
) -> None:
    curve, frozen = content["curve"], [(0, ""), *content["frozen"]]
    if is_stock:
        frozen = [(0, "plain")]
    steps, _, returns = zip(*curve, strict=True)
    times = hours(steps, frozen, speed)
    # Other runs are thin, and without a name
    axes.plot(times, returns, color=color, label=label, linewidth=None if label else 0.8)
    for step, _ in frozen[1:]:
        at = np.interp(step, steps, times)
        height = np.interp(step, steps, returns)
        axes.plot(at, height, "o", color=color, markersize=4)


def hours(steps: tuple[int, ...], frozen: list[tuple[int, str]], speed: dict[str, float]) -> np.ndarray:
    """Hours that these steps take, each at the speed of what is frozen when it is made."""
    starts = [start for start, _ in frozen]
    pace = [1 / speed["plain" if depth == "plain" else VARIANTS[depth]] / 3600 for _, depth in frozen]
    corners = [0.0, *np.cumsum(np.diff(starts) * pace[:-1])]
    phase = np.searchsorted(starts, steps, side="right") - 1
    return np.array(corners)[phase] + (np.array(steps) - np.array(starts)[phase]) * np.array(pace)[phase]


if __name__ == "__main__":
    run_program(main)
