"""
DQN with the encoder of a PPO agent: how much sooner it learns, frozen and not, beside its own and a random one.

    python examples/benchmarks/transfer.py --arm features --seed 1          # minutes
    python examples/benchmarks/transfer.py --arm own --seed 1               # half an hour
    python examples/benchmarks/transfer.py --rewrite                        # the table and the picture again

The transfer experiment of SEER (Chen et al., NeurIPS 2021), from one algorithm to another: the encoder is that of
examples/agents/ppo/PongNoFrameskip-v4_1, a stock NatureCNN, and only what is behind it is learnt. Each call adds one
row, the learning curve of one arm and seed, to results/transfer.json; a row that is there is not computed again.
Settings are the zoo's for Atari, but learning starts after 10,000 steps and exploration ends after 50,000, in all arms.
Wall-clock is not recorded: arms may run side by side.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch as th
from branches import Curve
from common import RESULTS, count, open_rows, run_program, write_page
from stable_baselines3 import DQN

import sb3_efficient
from sb3_efficient.envs import AleVecEnv
from sb3_efficient.evaluation.statistics import bootstrap, interquartile_mean
from sb3_efficient.frames import FrameReplayBuffer
from sb3_efficient.seer import SEERCallback

matplotlib.use("Agg")
import matplotlib.pyplot as plt

KEYS = ("arm", "seed", "steps")
BEGIN = "<!-- table of examples/benchmarks/transfer.py -->\n"
ENV_ID = "PongNoFrameskip-v4"
AGENT = Path(__file__).parents[1] / "agents" / "ppo" / f"{ENV_ID}_1" / f"{ENV_ID}.zip"
#: Arm -> what it is, when and how deep it is frozen
ARMS: dict[str, tuple[str, float | None, str]] = {
    "own": ("its own, never frozen", None, "conv"),
    "warm": ("PPO's to begin with, never frozen", None, "features"),
    "conv": ("PPO's, convolutions frozen from the start", 0, "conv"),
    "features": ("PPO's, frozen from the start up to the features", 0, "features"),
    "random conv": ("random, convolutions frozen from the start", 0, "conv"),
}
#: Four games and an update after each round: as many updates to a step as the zoo's entry
SETTINGS: dict[str, Any] = {
    "buffer_size": 100_000,
    "learning_rate": 1e-4,
    "batch_size": 32,
    "learning_starts": 10_000,
    "train_freq": 1,
    "target_update_interval": 1000,
    "exploration_final_eps": 0.01,
}
N_ENVS, EXPLORE = 4, 50_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arm", choices=ARMS, default="features")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=count, default=400_000)
    parser.add_argument("--rewrite", action="store_true", help="write the table again, train nothing")
    arguments = parser.parse_args()
    if not arguments.rewrite:
        run(arguments.arm, arguments.seed, arguments.steps)
    rows = open_rows("transfer", KEYS).rows
    write_page(BEGIN, table(rows))
    draw(rows, RESULTS / "transfer.png")


def run(arm: str, seed: int, steps: int) -> None:
    key = dict(zip(KEYS, (arm, seed, steps), strict=True))
    rows = open_rows("transfer", KEYS)
    if rows.has(**key):
        print(f"{key} is there already.")
        return
    curve = train(arm, seed, steps)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    rows.add([{**key, "peak_rss_mb": peak, "columns": ["step", "return"], "curve": curve}])


def train(arm: str, seed: int, steps: int) -> list[tuple[int, float]]:
    """
    :return: Pairs of timestep and mean return of the last 100 games
    """
    th.set_num_threads(1)
    env = AleVecEnv(ENV_ID, N_ENVS, seed, num_threads=1)
    model = DQN(
        "CnnPolicy",
        env,
        **SETTINGS,
        exploration_fraction=EXPLORE / steps,
        replay_buffer_class=FrameReplayBuffer,
        seed=seed,
        device="cpu",
    )
    sb3_efficient.accelerate(model)
    _, freeze_at, depth = ARMS[arm]
    curve = Curve()
    with tempfile.TemporaryDirectory() as folder:
        encoder = AGENT
        if arm.startswith("random"):
            # Its own weights, as they are before any update
            encoder = Path(folder) / "untrained.zip"
            model.save(encoder)
        seer = [] if arm == "own" else [SEERCallback(freeze_at, depth, encoder=encoder)]
        model.learn(steps, callback=[curve, *seer])
    return curve.points


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: a line an arm, a number a seed."""
    steps = sorted({step for row in rows for step, _ in row["curve"] if step % 50_000 == 0})
    heads = " | ".join(f"{step // 1000} k" for step in steps)
    lines = [f"| encoder of DQN | {heads} | at the end |", "|" + "---|" * (2 + len(steps))]
    for arm, (text, _, _) in ARMS.items():
        curves = [dict(row["curve"]) for row in rows if row["arm"] == arm]
        if curves:
            cells = [" ".join(f"{curve[step]:.1f}" for curve in curves if step in curve) for step in steps]
            lines.append(f"| {text} | {' | '.join(cells)} | {aggregate(curves)} |")
    return "\n".join(lines) + "\n"


def aggregate(curves: list[dict[int, float]]) -> str:
    """Interquartile mean of several runs, with its bootstrap interval: of so few, the lowest and the highest."""
    if len(curves) < 2:
        return ""
    found = bootstrap(interquartile_mean, [curve[max(curve)] for curve in curves])
    return f"{found.estimate:.1f} ({found.low:.1f}, {found.high:.1f})"


def draw(rows: list[dict[str, Any]], file: Path) -> None:
    """A thin line a run, a thick one for the mean of an arm."""
    figure, axes = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
    for number, (arm, (text, _, _)) in enumerate(ARMS.items()):
        curves = [dict(row["curve"]) for row in rows if row["arm"] == arm]
        for curve in curves:
            axes.plot(
                [step / 1e6 for step in curve], list(curve.values()), color=f"C{number}", alpha=0.35, linewidth=0.8
            )
        if curves:
            shared = sorted(set.intersection(*map(set, curves)))
            mean = [float(np.mean([curve[step] for curve in curves])) for step in shared]
            axes.plot([step / 1e6 for step in shared], mean, color=f"C{number}", linewidth=2, label=text)
    axes.set(xlabel="steps, million", ylabel="return, mean of 100 games", title="DQN on Pong, by encoder")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize="small")
    figure.savefig(file, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    run_program(main)
