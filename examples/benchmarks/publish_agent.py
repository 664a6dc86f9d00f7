"""
From a finished run of the zoo to an agent that ships: slim zip, settings, learning curve.

    python -m rl_zoo3.train --algo ppo --env PongNoFrameskip-v4 -n 2000000 --seed 1 --eval-freq -1 --save-freq 100000 \\
        -f logs/agents -params vec_env=ale accelerate=True
    python -m rl_zoo3.train --algo ppo --env PongNoFrameskip-v4 -n 2000000 --seed 1 --eval-freq -1 --save-freq 100000 \\
        -f logs/agents -params vec_env=ale accelerate=True \\
        -i logs/agents/ppo/PongNoFrameskip-v4_1/PongNoFrameskip-v4.zip
    python examples/benchmarks/publish_agent.py logs/agents/ppo/PongNoFrameskip-v4_1 \\
        logs/agents/ppo/PongNoFrameskip-v4_2
    python -m rl_zoo3.train --algo ppo --env PongNoFrameskip-v4 -n 2000000 --seed 1 --eval-freq -1 --save-freq 50000 \\
        -f logs/impala -params features_extractor=impala vec_env=ale accelerate=True \\
        "seer=dict(depth=[(250000, 2), (900000, 'conv')])"
    python examples/benchmarks/publish_agent.py logs/impala/ppo/PongNoFrameskip-v4_1 --exp-id 2 --frozen 250000:2
    python -m rl_zoo3.train --algo ppo --env PongNoFrameskip-v4 -n 2000000 --seed 1 --eval-freq -1 --save-freq 50000 \\
        -f logs/nature -params vec_env=ale accelerate=True "seer=dict(earliest=0.1)"
    python -m rl_zoo3.train --algo ppo --env PongNoFrameskip-v4 -n 2000000 --seed 1 --eval-freq -1 --save-freq 100000 \\
        -f logs/nature -params vec_env=ale accelerate=True "seer=dict(earliest=0.1)" \\
        -i logs/nature/ppo/PongNoFrameskip-v4_1/PongNoFrameskip-v4.zip
    python examples/benchmarks/publish_agent.py logs/nature/ppo/PongNoFrameskip-v4_1 \\
        logs/nature/ppo/PongNoFrameskip-v4_2 --exp-id 3 --frozen 762672:2
    python -m rl_zoo3.train --algo ppo --env PongNoFrameskip-v4 -n 2500000 --seed 1 --eval-freq -1 --save-freq 100000 \\
        -f logs/early -params vec_env=ale accelerate=True "seer=dict(freeze_at=500000, depth=2)"
    python -m rl_zoo3.train --algo ppo --env PongNoFrameskip-v4 -n 2000000 --seed 2 --eval-freq -1 --save-freq 100000 \\
        -f logs/early -params vec_env=ale accelerate=True "seer=dict(earliest=0.1)" \\
        -i logs/early/ppo/PongNoFrameskip-v4_1/PongNoFrameskip-v4.zip
    python -m rl_zoo3.train --algo ppo --env PongNoFrameskip-v4 -n 1000000 --seed 3 --eval-freq -1 --save-freq 100000 \\
        -f logs/early -params vec_env=ale accelerate=True "seer=dict(earliest=0.1)" ent_coef=0.001 \\
        -i logs/early/ppo/PongNoFrameskip-v4_2/rl_model_1500000_steps.zip
    python examples/benchmarks/publish_agent.py logs/early/ppo/PongNoFrameskip-v4_1 \\
        logs/early/ppo/PongNoFrameskip-v4_2 logs/early/ppo/PongNoFrameskip-v4_3 --only-curve early --frozen 500000:2
    python examples/benchmarks/zoo_runs.py --env PongNoFrameskip-v4 --label "Impala, accelerated" --extractors impala \\
        --steps 2000000 --save-freq 50000 --until 700000 --params vec_env=ale accelerate=True
    python examples/benchmarks/publish_agent.py logs/zoo_runs/.../ppo/PongNoFrameskip-v4_1 --only-curve impala
    python -m rl_zoo3.train --algo ppo --env QbertNoFrameskip-v4 -n 2000000 --seed 1 --eval-freq -1 \\
        --save-freq 100000 -f logs/qbert -params vec_env=ale accelerate=True "seer=dict(earliest=0.1)"
    python examples/benchmarks/publish_agent.py logs/qbert/ppo/QbertNoFrameskip-v4_1 --frozen 297984:2

The agent is that of the last run, which went on from the one before it. Writes examples/agents/<algo>/<env>_<exp-id> in
the zoo's layout, which enjoy -f examples/agents plays, with the steps and hours of all runs for the leaderboard, and
results/curve_<algo>_<env>_<exp-id>.json and .png.
Wall-clock is that of the runs, whatever else the machine did. (The second run was ended at its checkpoint at 800,000
steps. The third agent's first run is the queue's, runs.py, stopped and gone on with at 350,000 steps. The one frozen
early, which does not ship, was gone on with from its checkpoints at 500,000 steps, where the freeze is, and at its
planned end of 2.5 million, for another million; its second run was ended at 1.5 million steps.)
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from common import RESULTS, run_program
from zoo_log import finished_games
from zoo_runs import checkpoints

import sb3_efficient
from sb3_efficient.errors import ArtifactError
from sb3_efficient.policies import find_algorithm
from sb3_efficient.zoo.record import read_record, write_record

matplotlib.use("Agg")
import matplotlib.pyplot as plt

EXAMPLES = Path(__file__).parents[1]
POINTS = 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="folders of the runs: .../<algo>/<env>_<n>")
    parser.add_argument("--exp-id", type=int, default=1, help="number of the agent, as enjoy's --exp-id")
    parser.add_argument("--frozen", nargs="*", default=[], metavar="STEP:DEPTH", help="what SEER froze when")
    parser.add_argument("--only-curve", metavar="NAME", help="of runs that do not ship, in place of --exp-id")
    arguments = parser.parse_args()
    runs: list[Path] = arguments.runs
    run = runs[-1]
    algo, env_id = run.parent.name, run.name.rpartition("_")[0]
    models = [find_algorithm(algo).load(agent_of(run, env_id), device="cpu") for run in runs]
    # Some runs count on where the one before them ended, others from nothing, as the zoo's -i
    steps = [model.num_timesteps - model._num_timesteps_at_start for model in models]
    curve = learning_curve(runs, steps)
    if not arguments.only_curve:
        target = EXAMPLES / "agents" / algo / f"{env_id}_{arguments.exp_id}"
        print(sb3_efficient.save_slim(models[-1], target / f"{env_id}.zip"))
        copy_settings(run / env_id, target / env_id)
        write_record(target, {**read_record(run), "n_timesteps": sum(steps), "hours": round(curve[-1][1] / 3600, 2)})
    frozen = [(int(step), depth) for step, _, depth in (pair.partition(":") for pair in arguments.frozen)]
    content = {"algo": algo, "env": env_id, "steps": sum(steps), "frozen": frozen}
    name = arguments.only_curve or arguments.exp_id
    file = RESULTS / f"curve_{algo}_{env_id}_{name}.json"
    file.write_text(json.dumps({**content, "columns": ["step", "seconds", "return"], "curve": curve}) + "\n")
    what = "run" if arguments.only_curve else "agent"
    draw(curve, frozen, file.with_suffix(".png"), f"{algo.upper()} on {env_id}, {what} {name}")


def agent_of(run: Path, env_id: str) -> Path:
    """What the run ended with: the last checkpoint of one that was ended there."""
    agent = run / f"{env_id}.zip"
    if agent.exists():
        return agent
    found = checkpoints(run)
    if not found:
        raise ArtifactError(
            f"{run} holds neither {agent.name} nor a checkpoint: give the folder of a run that was saved."
        )
    return found[-1][1]


def copy_settings(source: Path, target: Path) -> None:
    """config.yml and args.yml, without the name of the folder in which this machine keeps its logs."""
    target.mkdir(parents=True, exist_ok=True)
    for name in ("config.yml", "args.yml"):
        text = (source / name).read_text()
        (target / name).write_text(re.sub(r"(- - log_folder\n +- ).*", r"\1logs", text))


def learning_curve(runs: list[Path], steps: list[int]) -> list[tuple[int, int, float]]:
    """
    :param runs: Runs with the monitor files of all their environments, one after the other
    :param steps: Steps of each run
    :return: (step, seconds, mean return of the last 100 games), whole games, raw rewards
    """
    parts, seconds = [], 0.0
    for i, run in enumerate(runs):
        games = finished_games(run)
        # Later games are of a run that was not gone on with from its end
        games = games[games["step"] <= steps[i]].assign(step=games["step"] + sum(steps[:i]))
        games["t"] += seconds
        seconds = games["t"].max()
        parts.append(games)
    games = pd.concat(parts)
    games["smooth"] = games["r"].rolling(100, min_periods=10).mean()
    at = np.unique(np.linspace(9, len(games) - 1, POINTS).astype(int))
    return [(int(g["step"]), int(g["t"]), round(float(g["smooth"]), 2)) for _, g in games.iloc[at].iterrows()]


def draw(curve: list[tuple[int, int, float]], frozen: list[tuple[int, str]], file: Path, title: str) -> None:
    """Over steps: the time of a run on a machine with other work says little."""
    steps, _, returns = zip(*curve, strict=True)
    figure, axes = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    axes.plot([step / 1e6 for step in steps], returns)
    for step, depth in frozen:
        axes.axvline(step / 1e6, color="C3", linestyle=":")
        axes.text(step / 1e6, max(returns), f" frozen: {depth}", color="C3", va="top")
    axes.set(xlabel="steps, million", ylabel="return, mean of 100 games", title=title)
    axes.grid(alpha=0.3)
    figure.savefig(file, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    run_program(main)
