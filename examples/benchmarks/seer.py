"""
What freezing the encoder saves on Pong: time of training and of updates, memory of replay buffers and of a run.

    python examples/benchmarks/seer.py                        # everything on one thread, about an hour
    python examples/benchmarks/seer.py --only ppo dqn --threads 1 2
    python examples/benchmarks/seer.py --quick                # a few minutes, small, nothing is written

ppo          frames a second of whole training runs, as training_loop.py measures them
dqn          the same, and one update (32 transitions) alone
memory       bytes of a transition in full replay buffers, from games under random actions
conversion   seconds that a full replay buffer takes to become latents, and resident memory: before, at most (beside
             what it should be: before, the latents, and what converting one chunk takes) and after; each in a process
             of its own
run_memory   resident memory over a DQN run of a million steps that keeps every transition; also drawn. It acts at
             random and updates a thousand times, which changes its time and not its memory

"plain" is SB3 as it is, as in training_loop.py; all others are accelerated and play in AleVecEnv. What is frozen is the
encoder as it was initialised, at once: how fast it is does not depend on its weights, and how well it learns is not
measured here. Speeds of all variants are taken in turn, each in a process of its own; medians and quartiles.

Writes results/seer.json, in which rows of a kind and number of threads replace the older ones, the picture
results/seer_run_memory.png and the tables in README.md. Only a machine that does nothing else gives numbers worth
keeping.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import psutil
import training_loop as loop
from common import IN_README, RESULTS, run_program, write_readme, write_rows
from stable_baselines3.common.callbacks import BaseCallback
from training_loop import make_model

from sb3_efficient.fast.memory import give_back_memory
from sb3_efficient.frames import FrameReplayBuffer
from sb3_efficient.seer import SEERCallback
from sb3_efficient.seer.capacity import buffer_bytes
from sb3_efficient.seer.convert import _empty, _fill_chunk
from sb3_efficient.seer.encoder import CHUNK, LatentEncoder

matplotlib.use("Agg")
import matplotlib.pyplot as plt

BEGIN = "<!-- tables of examples/benchmarks/seer.py -->\n"
FILE, PICTURE = RESULTS / "seer.json", RESULTS / "seer_run_memory.png"
#: name -> (variant of training_loop.py, depth that is frozen)
VARIANTS: dict[str, tuple[str, Any]] = {
    "plain": ("plain", None),
    "accelerated": ("with AleVecEnv", None),
    "first stage": ("with AleVecEnv", 1),
    "lower stages": ("with AleVecEnv", 2),
    "conv": ("with AleVecEnv", "conv"),
    "features": ("with AleVecEnv", "features"),
}
COLUMNS = {
    "plain": "plain SB3",
    "accelerated": "`accelerate`, `AleVecEnv`",
    "first stage": "frozen: `depth=1`",
    "lower stages": "`2`",
    "conv": "`'conv'`",
    "features": "`'features'`",
}
# A segment of training_loop.py is over in a second once the encoder is frozen
FROZEN_SEGMENTS = 4
UPDATES, BATCH = 50, 32
FRAMES = {"replay_buffer_class": FrameReplayBuffer}
ONE_ARRAY = {"optimize_memory_usage": True, "replay_buffer_kwargs": {"handle_timeout_termination": False}}
#: name -> (options of DQN, depth that is frozen)
BUFFERS: dict[str, tuple[dict[str, Any], Any]] = {
    "SB3's `ReplayBuffer`": ({}, None),
    "the same, `optimize_memory_usage`": (ONE_ARRAY, None),
    "`FrameReplayBuffer`": (FRAMES, None),
    "latents, `'conv'`": (FRAMES, "conv"),
    "latents, `'features'`": (FRAMES, "features"),
}
#: Of a transition in SB3's ReplayBuffer
SB3_BYTES = 56_500
#: name -> (options of DQN, bytes of a transition)
CONVERTED: dict[str, tuple[dict[str, Any], int]] = {
    "FrameReplayBuffer": (FRAMES, 7_200),
    "ReplayBuffer": ({}, SB3_BYTES),
}
POINTS = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=KINDS, default=list(KINDS), metavar="KIND")
    parser.add_argument("--threads", type=int, nargs="+", default=[1], help="of torch and of AleVecEnv")
    parser.add_argument("--rounds", type=int, default=9, help="segments of each variant (ppo, dqn)")
    parser.add_argument("--transitions", type=int, default=100_000, help="conversion: in the replay buffer")
    parser.add_argument("--steps", type=int, default=1_000_000, help="run_memory: of training, frozen after a quarter")
    parser.add_argument("--quick", action="store_true", help="without Impala, two rounds, 2,000 transitions and steps")
    parser.add_argument("--missing", action="store_true", help="measure only what is not there yet")
    parser.add_argument("--rewrite", action="store_true", help="draw and write the tables again, measure nothing")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        name, *details = arguments.child
        CHILDREN[name](arguments.threads[0], *details)
        return
    if arguments.quick:
        arguments.rounds = min(arguments.rounds, 2)
        arguments.transitions, arguments.steps = (min(n, 2_000) for n in (arguments.transitions, arguments.steps))
    keep = not (arguments.quick and IN_README)
    rows = json.loads(FILE.read_text())["rows"] if FILE.exists() and keep else []
    for kind, threads in itertools.product([] if arguments.rewrite else arguments.only, arguments.threads):
        if arguments.missing and (kind, threads) in measured(rows):
            continue
        print(f"measuring: {kind}, {threads} threads", file=sys.stderr)
        rows = replaced(rows, [{"kind": kind, **row} for row in KINDS[kind](threads, arguments)])
        if keep:
            write_rows(FILE, rows)
    print(table(rows))
    if keep:
        draw([row for row in rows if row["kind"] == "run_memory"])
        write_readme(BEGIN, table(rows))


def measured(rows: list[dict]) -> set[tuple[str, int]]:
    """Kinds and numbers of threads."""
    return {(row["kind"], row["threads"]) for row in rows}


def replaced(rows: list[dict], new: list[dict]) -> list[dict]:
    """New rows in place of those of the same kind and number of threads."""
    rows = [row for row in rows if (row["kind"], row["threads"]) not in measured(new)] + new
    return sorted(rows, key=lambda row: (list(KINDS).index(row["kind"]), row["threads"]))


def child(threads: int, *details: object) -> list[str]:
    """The command that measures one thing in a process of its own."""
    return [sys.executable, __file__, "--threads", str(threads), "--child", *map(str, details)]


def once(threads: int, *details: object) -> dict:
    """What a process says that measures once."""
    env = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(child(threads, *details), env=env, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def room() -> float:
    """Bytes for a replay buffer, beside libraries, weights and activations."""
    return (psutil.virtual_memory().available - 1.5e9) / 1.1


def fits(what: str, needed: float) -> bool:
    if needed > room():
        print(f"skipped: {what}: {needed / 1e9:.1f} GB, and there is room for {room() / 1e9:.1f}", file=sys.stderr)
    return needed <= room()


def status(field: str) -> float:
    """A line of Linux's report on this process, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(round(int(line.split()[1]) * 1024 / 1e6, 1) for line in lines if line.startswith(f"{field}:"))


# Speed


def ppo(threads: int, arguments: argparse.Namespace) -> list[dict]:
    networks = ["nature"] if arguments.quick else ["nature", "impala"]
    return [row for network in networks for row in training("ppo", network, threads, arguments.rounds)]


def dqn(threads: int, arguments: argparse.Namespace) -> list[dict]:
    return [*training("dqn", "nature", threads, arguments.rounds), *updates(threads, arguments.rounds)]


def training(algo: str, network: str, threads: int, rounds: int) -> list[dict]:
    print(f"  training {algo} {network}", file=sys.stderr)
    answers = loop.in_turn(
        {name: child(threads, "training", algo, network, name) for name in VARIANTS}, threads, rounds
    )
    return [loop.row(algo, network, name, threads, found) for name, found in answers.items()]


def updates(threads: int, rounds: int) -> list[dict]:
    print("  updates of dqn nature", file=sys.stderr)
    answers = loop.in_turn({name: child(threads, "updates", name) for name in VARIANTS}, threads, rounds)
    labels = {"algo": "dqn", "network": "nature", "threads": threads, "unit": "ms"}
    return [
        {**labels, "variant": name, **loop.summary([answer["ms"] for answer in found], digits=3)}
        for name, found in answers.items()
    ]


def serve_training(threads: int, algo: str, network: str, name: str) -> None:
    variant, depth = VARIANTS[name]
    model = make_model(algo, network, variant, threads)
    if depth is not None:
        freeze(model, depth)
    steps = loop.SEGMENT[algo] * (1 if depth is None else FROZEN_SEGMENTS)
    loop.answer(lambda: loop.train(model, steps))


def serve_updates(threads: int, name: str) -> None:
    variant, depth = VARIANTS[name]
    model = make_model("dqn", "nature", variant, threads)
    play(model, 3_000)
    if depth is not None:
        freeze(model, depth)

    def update() -> dict:
        start = time.perf_counter()
        model.train(gradient_steps=UPDATES, batch_size=BATCH)
        return {"ms": 1000 * (time.perf_counter() - start) / UPDATES}

    loop.answer(update)


def freeze(model: Any, depth: Any) -> None:
    """At once, by giving the model its own encoder; it goes on without the callback, which has nothing left to do."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "start.zip"
        model.save(file)
        callback = SEERCallback(freeze_at=0, depth=depth, encoder=file, capacity="same-length")
        model.learn(1, callback=callback, reset_num_timesteps=False)
    if not hasattr(model, "seer"):
        raise SystemExit("The encoder could not be frozen; the warning above says why.")


def play(model: Any, steps: int) -> None:
    """Fill the replay buffer under random actions, without updates."""
    model.learning_starts = model.num_timesteps + steps
    model.learn(steps, reset_num_timesteps=False)


# Memory


def memory(threads: int, arguments: argparse.Namespace) -> list[dict]:
    """Full buffers of at most 10,000 transitions: how many there are changes little about one of them."""
    n = min(10_000, arguments.transitions)
    rows = []
    for name, (options, depth) in BUFFERS.items():
        print(f"  {name}", file=sys.stderr)
        model = make_model("dqn", "nature", "with AleVecEnv", threads, buffer_size=n, **options)
        if depth is not None:
            freeze(model, depth)
        before = buffer_bytes(model.replay_buffer)
        play(model, n)
        after = buffer_bytes(model.replay_buffer)
        counted = {"bytes": round(after / n, 1), "of_which_for_ends_of_episodes": round((after - before) / n, 1)}
        rows.append({"buffer": name, "threads": threads, "n": n, **counted})
    return rows


def conversion(threads: int, arguments: argparse.Namespace) -> list[dict]:
    n, rows = arguments.transitions, []
    for network in ["nature"] if arguments.quick else ["nature", "impala"]:
        for source, (_, size) in CONVERTED.items():
            what = f"{network}, {n} transitions of a {source}"
            if fits(what, n * size):
                print(f"  {what}", file=sys.stderr)
                labels = {"network": network, "source": source, "threads": threads, "transitions": n}
                rows.append({**labels, **once(threads, "conversion", network, source, n)})
    return rows


def convert_once(threads: int, network: str, source: str, transitions: str) -> None:
    options, _ = CONVERTED[source]
    model = make_model("dqn", network, "with AleVecEnv", threads, buffer_size=int(transitions), **options)
    play(model, int(transitions))
    images, chunk, before = buffer_bytes(model.replay_buffer), chunk_mb(model), status("VmRSS")
    forget_peak()
    start = time.perf_counter()
    freeze(model, "conv")
    seconds = round(time.perf_counter() - start, 1)
    latents = round(model.replay_buffer.bytes_used / 1e6, 1)
    found = {"before_mb": before, "peak_mb": status("VmHWM"), "after_mb": status("VmRSS")}
    sizes = {"images_mb": round(images / 1e6, 1), "latents_mb": latents, "chunk_mb": chunk}
    print(json.dumps({"seconds": seconds, **found, **sizes, "allowed_mb": round(before + latents + chunk, 1)}))


def chunk_mb(model: Any) -> float:
    """What it takes to make latents of as many transitions as are converted at once, and gives back."""
    before = status("VmRSS")
    forget_peak()
    images, encoder = model.replay_buffer, LatentEncoder(model, "conv")
    slots = np.arange(min(CHUNK + 1, images.size()))
    _fill_chunk(_empty(images, encoder, CHUNK), 0, images, slots, len(slots) - 1, encoder)
    peak = status("VmHWM")
    give_back_memory()
    return round(peak - before, 1)


def forget_peak() -> None:
    """From now on VmHWM is the most from now on (Linux's manual of proc, clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5")


def run_memory(threads: int, arguments: argparse.Namespace) -> list[dict]:
    rows = []
    for name, (_, _, size) in RUNS.items():
        # SB3's buffer as far as memory goes: a million takes 56 GB
        steps = min(arguments.steps, int(room() / size) // 50_000 * 50_000 or arguments.steps)
        print(f"  DQN, {name}, {steps} steps", file=sys.stderr)
        found = once(threads, "run_memory", name, steps)
        rows.append({"run": name, "threads": threads, "steps": steps, **found})
    return rows


#: name -> (variant of training_loop.py, options of DQN, most bytes that a step may add)
RUNS: dict[str, tuple[str, dict[str, Any], int]] = {
    "plain": ("plain", {}, SB3_BYTES),
    "frozen": ("with AleVecEnv", FRAMES, 7_200),
}


class Memory(BaseCallback):
    """
    Resident memory over training.

    :param steps: Of the training
    """

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.every = max(1, steps // POINTS)
        self.curve: list[tuple[int, float, float]] = []

    def _on_training_start(self) -> None:
        self.start = time.perf_counter()

    def _on_step(self) -> bool:
        if self.num_timesteps % self.every == 0:
            self.curve.append((self.num_timesteps, round(time.perf_counter() - self.start, 1), status("VmRSS")))
        return True


def run_once(threads: int, name: str, steps: str) -> None:
    variant, options, _ = RUNS[name]
    n = int(steps)
    act = {"exploration_initial_eps": 1.0, "exploration_final_eps": 1.0, "train_freq": max(4, n // 1000)}
    model = make_model("dqn", "nature", variant, threads, buffer_size=n, **options, **act)
    curve = Memory(n)
    callbacks = [curve] if name == "plain" else [curve, SEERCallback(freeze_at=0.25, depth="features")]
    model.learn(n, callback=callbacks)
    found = {"frozen_at": getattr(model, "seer", {}).get("timesteps"), "peak_mb": status("VmHWM")}
    print(json.dumps({**found, "columns": ["step", "seconds", "rss_mb"], "curve": curve.curve}))


# Tables


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
    """Left both runs, right the one with a freeze alone."""
    if not rows:
        return
    figure, panels = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for axes, drawn in zip(panels, (rows, [row for row in rows if row["frozen_at"]]), strict=True):
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
    color, label = ("C0", "FrameReplayBuffer, then latents") if row["frozen_at"] else ("C7", "stock DQN")
    axes.plot([step / 1e6 for step in steps], [x / 1e3 for x in mb], color=color, label=label)
    if row["frozen_at"]:
        axes.axvline(row["frozen_at"] / 1e6, color="C3", linestyle=":", label="frozen")
    elif steps[-1] < 1e6:
        rest = mb[-1] + SB3_BYTES * (1e6 - steps[-1]) / 1e6
        axes.plot([steps[-1] / 1e6, 1], [mb[-1] / 1e3, rest / 1e3], color=color, linestyle="--", label="does not fit")


KINDS = {"ppo": ppo, "dqn": dqn, "memory": memory, "conversion": conversion, "run_memory": run_memory}
CHILDREN: dict[str, Any] = {
    "training": serve_training,
    "updates": serve_updates,
    "conversion": convert_once,
    "run_memory": run_once,
}

if __name__ == "__main__":
    run_program(main)
