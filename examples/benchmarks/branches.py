"""
When and how deep to freeze: arms of one training run that part at a checkpoint.

    python examples/benchmarks/branches.py logs/agents/ppo/PongNoFrameskip-v4_1/rl_model_400000_steps.zip \\
        --arm conv --seed 1 --until 1000000

The checkpoint is one of a run of the zoo (see publish_agent.py), with its learning rate going on as it would have.
Each call adds one row, the learning curve of one arm and seed, to results/branches.json; a row that is there is not
computed again. --rewrite writes the table results/branches.md and draws results/branches.png. Wall-clock is not
recorded: arms may run side by side.

A whole run may be an arm itself: one that SEER froze at a step, or one with the same seed, the same up to there. Its
curve is read from its monitor files (rows with "of"):

    python examples/benchmarks/branches.py --of logs/runs/.../ppo/PongNoFrameskip-v4_1 --start 599040 \\
        --arm "stage 2" --seed 3 --until 1200000

Off-policy algorithms need the replay buffer beside the checkpoint, as SB3's CheckpointCallback saves it; for DQN on
Pong (n-step returns, as one-step DQN has learnt nothing yet after 200,000 steps):

    python -m rl_zoo3.train --algo dqn --env PongNoFrameskip-v4 -n 600000 --seed 1 --num-threads 1 -f logs/dqn \\
        --eval-freq -1 -params features_extractor=None vec_env=ale accelerate=True n_envs=4 train_freq=1 \\
        learning_starts=10000 exploration_fraction=0.1 buffer_size=100000 \\
        replay_buffer_class=sb3_efficient.frames.FrameNStepReplayBuffer \\
        "replay_buffer_kwargs=dict(n_steps=3, gamma=0.99)" \\
        "callback=[{'stable_baselines3.common.callbacks.CheckpointCallback': dict(save_freq=25000,
        save_path='logs/dqn/dqn/PongNoFrameskip-v4_1', name_prefix='rl_model', save_replay_buffer=True)}]"
    python examples/benchmarks/branches.py logs/dqn/dqn/PongNoFrameskip-v4_1/rl_model_200000_steps.zip \\
        --arm features --until 400000 --total 600000

The unit is the run: its mean return of the last 100 games where the shortest arm of its group ends. Several make an
interquartile mean with its bootstrap interval, runs drawn again (Agarwal et al., NeurIPS 2021). Of two or three runs
that is the lowest and the highest of them, which cover the true mean in 52 and 74 cases of 100, not in 95.
"""

from __future__ import annotations

import argparse
import resource
from collections import defaultdict
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch as th
from common import RESULTS, count, open_rows, run_program, write_table
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from zoo_log import finished_games

import sb3_efficient
from sb3_efficient.envs import AleVecEnv
from sb3_efficient.errors import OptionError
from sb3_efficient.evaluation.statistics import bootstrap, interquartile_mean
from sb3_efficient.policies import find_algorithm
from sb3_efficient.seer import SEERCallback

matplotlib.use("Agg")
import matplotlib.pyplot as plt

#: What stands above the table
NOTES = """\
Return of the last 100 games of arms that part at a checkpoint of a run. Runs were planned for 2 million steps, over
which learning rates fall (Pong from 500,000 and 700,000: 2.5 million; other games: 1 million; DQN: 600,000, on n-step
returns); most arms end earlier. Accelerated except "plain"; "never" is never frozen, "random conv" has random
convolutions, frozen. One number per seed; at the end their mean, and in brackets, of so few, the lowest and the
highest.

- The arms from 599,000, 699,000 and 702,000 begin where "auto" with `earliest=0.1` froze, those from 1003 k where its
  default did; the one from 500,000 froze all three convolutions at 798,000, as it was told to go on.
- In the time that the frozen 500,000 steps from 600,000 take, the other makes 376,000, and is at -7. The slow run
  from 1 million ends at -1.3 frozen, and at -0.5 after the same time without.
- Two continuations of the slow run that are never frozen (the rows from 699 k and 1000 k) are at -8.8 and -3.5 at 1.6
  million: single runs that differ by less say little.
- Curves of whole runs, but for those from 1003 k, stand some 7,000 steps too early, half a game for each of eight
  environments: they were read from their monitor files without the games that were going on.
- DQN's arms were run when a freeze gave target networks the new encoder and not the layers behind it, until their
  next update; now they are updated as a whole.
- Within some 100 games of the branch arms cannot be compared: some still count games from before it.
"""
KEYS = ("algo", "env", "checkpoint", "arm", "seed", "network")
EVERY = 25_000
#: Arm -> depth, at the checkpoint or as pairs of (timesteps after the checkpoint, depth)
DEPTHS: dict[str, Any] = {
    "stage 1": 1,
    "stage 2": 2,
    "stage 2, float32": 2,
    "conv": "conv",
    "features": "features",
    "bottom-up": [(1, 1), (200_000, 2), (400_000, "conv")],
    "two, then conv": [(1, 2), (300_000, "conv")],
    "random conv": "conv",
}
ARMS = ("plain", "never", "auto", *DEPTHS)


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
    parser.add_argument("checkpoint", type=Path, nargs="?", help=".../<algo>/<env>_<n>/rl_model_<steps>_steps.zip")
    parser.add_argument("--arm", choices=ARMS, default="never")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--until", type=count, default=1_000_000, help="timestep at which the arm ends")
    parser.add_argument("--total", type=count, default=2_000_000, help="timesteps of the run that the checkpoint is of")
    parser.add_argument("--of", type=Path, metavar="RUN", help="a whole run that is this arm, .../<algo>/<env>_<n>")
    parser.add_argument("--start", type=int, default=0, help="with --of: timestep at which the arms part")
    parser.add_argument("--network", help="of the agent, for the table, where it is not NatureCNN")
    parser.add_argument("--rewrite", action="store_true", help="write the table again, train nothing")
    arguments = parser.parse_args()
    if arguments.of is not None:
        read(arguments)
    elif not arguments.rewrite:
        if arguments.checkpoint is None:
            parser.error("a checkpoint is needed")
        run(arguments)
    rows = open_rows("branches", KEYS).rows
    write_table("branches", page(rows))
    draw(rows, RESULTS / "branches.png")


def run(arguments: argparse.Namespace) -> None:
    checkpoint: Path = arguments.checkpoint
    algo, env_id = checkpoint.parent.parent.name, checkpoint.parent.name.rpartition("_")[0]
    key = key_of(algo, env_id, checkpoint.stem, arguments)
    rows = open_rows("branches", KEYS)
    if (there := rows.find(**key)) is not None and there["until"] >= arguments.until:
        print(f"{key} is there already.")
        return
    model: Any = find_algorithm(algo).load(checkpoint, device="cpu", verbose=0)
    if isinstance(model, OffPolicyAlgorithm):
        model.load_replay_buffer(buffer_of(checkpoint))
    curve = train(model, env_id, arguments)
    model.save(Path("logs/branches") / "_".join(map(str, key.values())).replace(" ", "_"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    # What was frozen when, as SEER leaves it at the model
    found = {"until": arguments.until, "peak_rss_mb": peak, "seer": vars(model).get("seer")}
    found |= {"columns": ["step", "return"], "curve": curve}
    rows.add([{**key, **found}])


def key_of(algo: str, env_id: str, checkpoint: str, arguments: argparse.Namespace) -> dict[str, Any]:
    values = (algo, env_id, checkpoint, arguments.arm, arguments.seed, arguments.network)
    return {name: value for name, value in zip(KEYS, values, strict=True) if value is not None}


def read(arguments: argparse.Namespace) -> None:
    """Add the row of a whole run."""
    run: Path = arguments.of
    algo, env_id = run.parent.name, run.name.rpartition("_")[0]
    key = key_of(algo, env_id, f"rl_model_{arguments.start}_steps", arguments)
    games = finished_games(run)
    # As arms that begin at a checkpoint, which have no games from before it
    after = games[games["step"] > arguments.start]
    until = min(arguments.until, int(games["step"].iloc[-1]) // EVERY * EVERY)
    curve = []
    for step in range(arguments.start // EVERY * EVERY + EVERY, until + 1, EVERY):
        last = after["r"][after["step"] <= step].tail(100)
        if len(last):
            curve.append((step, round(float(last.mean()), 2)))
    found = {"until": until, "of": f"a whole run, {run.parents[1].name}", "columns": ["step", "return"], "curve": curve}
    open_rows("branches", KEYS).add([{**key, **found}])


def buffer_of(checkpoint: Path) -> Path:
    file = checkpoint.with_name(f"{checkpoint.stem.replace('rl_model_', 'rl_model_replay_buffer_')}.pkl")
    if not file.exists():
        raise OptionError(
            f"{checkpoint} needs its replay buffer beside it, {file.name}: see --help for how to save it."
        )
    return file


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
        forget(model, arguments.seed)
    if arguments.arm in DEPTHS:
        depth = schedule(DEPTHS[arguments.arm], model.num_timesteps)
        callbacks.append(SEERCallback(depth=depth, latent_dtype="float32" if "float32" in arguments.arm else "float16"))
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


def forget(model: BaseAlgorithm, seed: int) -> None:
    """Give the convolutions new weights, and everything that is random this seed, as of a new model."""
    small = {"buffer_size": model.n_envs} if isinstance(model, OffPolicyAlgorithm) else {}
    fresh = type(model)("CnnPolicy", model.env, policy_kwargs=model.policy_kwargs, seed=seed, **small)
    for ours, theirs in zip(model.policy.parameters(), fresh.policy.parameters(), strict=True):
        if ours.ndim == 4:
            ours.data.copy_(theirs.data)


def groups(rows: list[dict[str, Any]]) -> dict[tuple[str, int, str], list[dict[int, float]]]:
    """
    :return: Game (and algorithm, but for PPO, and network, but for NatureCNN), step of the checkpoint and arm ->
        curves, in the order of the table
    """
    found: dict[tuple[str, int, str], list[dict[int, float]]] = defaultdict(list)
    for row in rows:
        names = [row["env"].removesuffix("NoFrameskip-v4"), *([] if row["algo"] == "ppo" else [row["algo"].upper()])]
        game = ", ".join([*names, *([row["network"]] if "network" in row else [])])
        found[game, int(row["checkpoint"].split("_")[2]), row["arm"]].append(dict(row["curve"]))
    return dict(sorted(found.items(), key=lambda group: (*group[0][:2], ARMS.index(group[0][2]))))


def page(rows: list[dict[str, Any]]) -> str:
    """With what there is to know about it."""
    return f"{NOTES}\n{table(rows)}"


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: a line an arm, mean return of the last 100 games for each seed, at every 100,000 steps."""
    steps = sorted({step for row in rows for step, _ in row["curve"] if step % 100_000 == 0})
    heads = [f"{step // 1000} k" for step in steps]
    lines = [f"| game | branched at | arm | {' | '.join(heads)} | at the end |", "|" + "---|" * (4 + len(steps))]
    for (game, start, arm), curves in groups(rows).items():
        cells = [" ".join(f"{curve[step]:.1f}" for curve in curves if step in curve) for step in steps]
        lines.append(f"| {game} | {start // 1000} k | {arm} | {' | '.join(cells)} | {aggregate(curves)} |")
    return "\n".join(lines) + "\n"


def aggregate(curves: list[dict[int, float]]) -> str:
    """Interquartile mean of the runs where the shortest of them ends, with its bootstrap interval."""
    if len(curves) < 2:
        return ""
    end = min(max(curve) for curve in curves)
    found = bootstrap(interquartile_mean, [curve[end] for curve in curves])
    return f"{found.estimate:.1f} ({found.low:.1f}, {found.high:.1f}) at {end // 1000} k"


def draw(rows: list[dict[str, Any]], file: Path) -> None:
    """A panel for each game and checkpoint that has arms to compare, the most runs first; thick lines are means."""
    found = groups(rows)
    runs: dict[tuple[str, int], list[int]] = defaultdict(list)
    for (game, start, _), curves in found.items():
        runs[game, start].append(len(curves))
    panels = sorted((panel for panel, arms in runs.items() if len(arms) > 1), key=lambda panel: -max(runs[panel]))
    # There are ten colours, and fewer arms in the results
    present = [arm for arm in ARMS if any(arm == key[2] for key in found)]
    n_rows, n_columns = -(-len(panels) // 3), min(3, len(panels))
    size = 1 + 3.6 * n_columns, 0.4 + 3.1 * n_rows
    figure, axes = plt.subplots(n_rows, n_columns, figsize=size, layout="constrained", squeeze=False)
    for ax in axes.flat[len(panels) :]:
        ax.set_axis_off()
    for panel, ax in zip(panels, axes.flat, strict=False):
        for (*where, arm), curves in found.items():
            if tuple(where) != panel:
                continue
            color = f"C{present.index(arm)}"
            for curve in curves:
                ax.plot([step / 1e6 for step in curve], list(curve.values()), color=color, alpha=0.35, linewidth=0.8)
            shared = sorted(set.intersection(*map(set, curves)))
            mean = [float(np.mean([curve[step] for curve in curves])) for step in shared]
            label = f"{arm} ({len(curves)})"
            ax.plot([step / 1e6 for step in shared], mean, color=color, linewidth=2, label=label)
        ax.set(xlabel="steps, million", title=f"{panel[0]}, from {panel[1] // 1000} k")
        ax.locator_params(axis="x", nbins=6)
        ax.grid(alpha=0.3)
        ax.legend(frameon=False, fontsize="small")
    for row in axes:
        row[0].set_ylabel("return, mean of 100 games")
    figure.savefig(file, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    run_program(main)
