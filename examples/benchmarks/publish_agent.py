"""
From a finished run of the zoo to an agent that ships: slim zip, settings, learning curve over steps and time.

    python -m rl_zoo3.train --algo ppo --env PongNoFrameskip-v4 -n 2000000 --seed 1 --eval-freq -1 --save-freq 100000 \\
        -f logs/agents -params vec_env=ale accelerate=True
    python examples/benchmarks/publish_agent.py logs/agents/ppo/PongNoFrameskip-v4_1

Writes examples/agents/<algo>/<env>_1 in the zoo's layout, which enjoy -f examples/agents plays, and
results/curve_<algo>_<env>.json and .png. Wall-clock is that of the run, whatever else the machine did.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd

import sb3_efficient
from sb3_efficient.policies import find_algorithm

matplotlib.use("Agg")
import matplotlib.pyplot as plt

EXAMPLES = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
POINTS = 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of the run: .../<algo>/<env>_<n>")
    arguments = parser.parse_args()
    run: Path = arguments.run
    algo, env_id = run.parent.name, run.name.rpartition("_")[0]
    model = find_algorithm(algo).load(run / f"{env_id}.zip", device="cpu")
    target = EXAMPLES / "agents" / algo / f"{env_id}_1"
    print(sb3_efficient.save_slim(model, target / f"{env_id}.zip"))
    copy_settings(run / env_id, target / env_id)
    curve = learning_curve(run, model.num_timesteps)
    file = RESULTS / f"curve_{algo}_{env_id}.json"
    content = {"algo": algo, "env": env_id, "steps": model.num_timesteps, "columns": ["step", "seconds", "return"]}
    file.write_text(json.dumps({**content, "curve": curve}) + "\n")
    draw(curve, file.with_suffix(".png"), f"{algo.upper()} on {env_id}")


def copy_settings(source: Path, target: Path) -> None:
    """config.yml and args.yml, without the name of the folder in which this machine keeps its logs."""
    target.mkdir(parents=True, exist_ok=True)
    for name in ("config.yml", "args.yml"):
        text = (source / name).read_text()
        (target / name).write_text(re.sub(r"(- - log_folder\n +- ).*", r"\1logs", text))


def learning_curve(run: Path, steps: int) -> list[tuple[int, int, float]]:
    """
    :param run: Run with the monitor files of all its environments
    :param steps: Steps of the whole run
    :return: (step, seconds, mean return of the last 100 games), whole games, raw rewards
    """
    games = pd.concat(pd.read_csv(file, skiprows=1) for file in run.glob("*.monitor.csv")).sort_values("t")
    position = games["l"].cumsum() / games["l"].sum() * steps
    smooth = games["r"].rolling(100, min_periods=10).mean()
    at = np.unique(np.linspace(9, len(games) - 1, POINTS).astype(int))
    return [(int(position.iloc[i]), int(games["t"].iloc[i]), round(float(smooth.iloc[i]), 2)) for i in at]


def draw(curve: list[tuple[int, int, float]], file: Path, title: str) -> None:
    steps, seconds, returns = zip(*curve, strict=True)
    figure, panels = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained", sharey=True)
    for axes, x, label in zip(panels, (steps, [s / 60 for s in seconds]), ("steps", "minutes"), strict=True):
        axes.plot(x, returns)
        axes.set_xlabel(label)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("return, mean of 100 games")
    figure.suptitle(title)
    figure.savefig(file, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
