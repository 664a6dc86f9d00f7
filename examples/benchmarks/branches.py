"""
When and how deep to freeze: arms of one training run that part at a checkpoint.

    python examples/benchmarks/branches.py logs/agents/ppo/PongNoFrameskip-v4_1/rl_model_400000_steps.zip \\
        --arm conv --seed 1 --until 1000000

The checkpoint is one of a run of the zoo (see publish_agent.py), with its learning rate going on as it would have.
Each call adds one row, the learning curve of one arm and seed, to results/branches_<algo>_<env>.json; a row that is
there is not computed again. --table prints them all. Wall-clock is not recorded: arms may run side by side.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback

import sb3_efficient
from sb3_efficient.envs import AleVecEnv
from sb3_efficient.policies import find_algorithm
from sb3_efficient.seer import SEERCallback

RESULTS = Path(__file__).parent / "results"
EVERY = 25_000
#: Arm -> depth, at the checkpoint or as pairs of (timesteps after the checkpoint, depth)
DEPTHS: dict[str, Any] = {
    "stage 1": 1,
    "stage 2": 2,
    "conv": "conv",
    "features": "features",
    "bottom-up": [(1, 1), (200_000, 2), (400_000, "conv")],
    "two, then conv": [(1, 2), (300_000, "conv")],
    "random conv": "conv",
}
ARMS = ("never", "plain", "auto", *DEPTHS)


class Curve(BaseCallback):
    """Mean return of the games that ended lately (at most 100), every so many steps."""

    def __init__(self) -> None:
        super().__init__()
        self.points: list[tuple[int, float]] = []

    def _on_training_start(self) -> None:
        self.next = self.num_timesteps + EVERY

    def _on_step(self) -> bool:
        if self.num_timesteps >= self.next:
            games = [game["r"] for game in self.model.ep_info_buffer or []]
            self.points.append((self.next, round(float(np.mean(games)), 2)))
            self.next += EVERY
        return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help=".../<algo>/<env>_<n>/rl_model_<steps>_steps.zip")
    parser.add_argument("--arm", choices=ARMS, default="never")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--until", type=int, default=1_000_000, help="timestep at which the arm ends")
    parser.add_argument("--total", type=int, default=2_000_000, help="timesteps of the run that the checkpoint is of")
    parser.add_argument("--table", action="store_true", help="print what has been measured")
    arguments = parser.parse_args()
    algo, env_id = arguments.checkpoint.parent.parent.name, arguments.checkpoint.parent.name.rpartition("_")[0]
    file = RESULTS / f"branches_{algo}_{env_id}.json"
    rows = json.loads(file.read_text()) if file.exists() else []
    if arguments.table:
        print(table(rows))
        return
    key = {"checkpoint": arguments.checkpoint.stem, "arm": arguments.arm, "seed": arguments.seed}
    if any(key.items() <= row.items() and row["until"] >= arguments.until for row in rows):
        print(f"{key} is there already.")
        return
    model = find_algorithm(algo).load(arguments.checkpoint, device="cpu", verbose=0)
    curve = train(model, env_id, arguments)
    name = f"{algo}_{env_id}_{arguments.checkpoint.stem}_{arguments.arm}_{arguments.seed}"
    model.save(Path("logs/branches") / name.replace(" ", "_"))
    # Read again: other arms may have ended meanwhile
    rows = json.loads(file.read_text()) if file.exists() else []
    rows.append({**key, "until": arguments.until, "columns": ["step", "return"], "curve": curve})
    file.write_text(json.dumps(rows, indent=None).replace('{"checkpoint"', '\n {"checkpoint"') + "\n")


def train(model: BaseAlgorithm, env_id: str, arguments: argparse.Namespace) -> list[tuple[int, float]]:
    """
    :return: Pairs of timestep and mean return
    """
    th.set_num_threads(1)
    n_envs = model.n_envs
    model.set_env(AleVecEnv(env_id, n_envs, arguments.seed, num_threads=1))
    model.set_random_seed(arguments.seed)
    model.ep_info_buffer = None
    callbacks: list[BaseCallback] = [curve := Curve()]
    if arguments.arm != "plain":
        sb3_efficient.accelerate(model)
    if arguments.arm.startswith("random"):
        forget(model)
    if arguments.arm in DEPTHS:
        callbacks.append(SEERCallback(depth=schedule(DEPTHS[arguments.arm], model.num_timesteps)))
    if arguments.arm == "auto":
        callbacks.append(SEERCallback(verbose=1))
    callbacks.append(Stop(arguments.until))
    model.learn(arguments.total - model.num_timesteps, callback=callbacks, reset_num_timesteps=False)
    return curve.points


class Stop(BaseCallback):
    """End at a timestep, without a word about it in the schedules."""

    def __init__(self, until: int) -> None:
        super().__init__()
        self.until = until

    def _on_step(self) -> bool:
        return self.num_timesteps < self.until


def schedule(depth: Any, start: int) -> list[tuple[int, Any]]:
    """Pairs of timestep and depth."""
    pairs = depth if isinstance(depth, list) else [(1, depth)]
    return [(start + after, deep) for after, deep in pairs]


def forget(model: BaseAlgorithm) -> None:
    """Give the convolutions new weights."""
    fresh = type(model)("CnnPolicy", model.env, policy_kwargs=model.policy_kwargs, seed=model.seed)
    for ours, theirs in zip(model.policy.parameters(), fresh.policy.parameters(), strict=True):
        if ours.ndim == 4:
            ours.data.copy_(theirs.data)


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: a line an arm, mean return over seeds at a few steps."""
    steps = sorted({step for row in rows for step, _ in row["curve"] if step % 100_000 < EVERY})
    lines = ["| branched at | arm | seeds | " + " | ".join(f"{s // 1000} k" for s in steps) + " |"]
    lines.append("|---" * (3 + len(steps)) + "|")
    for checkpoint, arm in dict.fromkeys((row["checkpoint"], row["arm"]) for row in rows):
        same = [dict(row["curve"]) for row in rows if (row["checkpoint"], row["arm"]) == (checkpoint, arm)]
        cells = [[curve[s] for curve in same if s in curve] for s in steps]
        means = " | ".join(f"{np.mean(cell):.1f}" if cell else "" for cell in cells)
        lines.append(f"| {checkpoint.split('_')[2]} | {arm} | {len(same)} | {means} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
