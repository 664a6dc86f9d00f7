"""
How fast agents act that compute only what changed, beside torch and ONNX Runtime, on real frames of Atari games.

    python examples/benchmarks/reuse_acting.py                  # every row, about half an hour
    python examples/benchmarks/reuse_acting.py --games Pong --networks nature --batches 1
    python examples/benchmarks/reuse_acting.py --quick          # one game, few frames, nothing is written

Frames are those of eight games (seeds differ) under a policy that keeps its last action with a probability of 0.7 and
is random otherwise; the trained agents, those of examples/agents, play themselves. The "game" noise is none: every
pixel of every frame is drawn anew, so that nothing can be saved. "outputs" is the network from uint8
to logits behind one interface, "predict" all of it, SB3's own ``predict`` beside the engine's. Batches of one hold the
first game, batches of eight all of them. Everything on one thread; each network and game in a process of its own.

Variants are timed in turn, in blocks: each block runs some frames untimed first, so that its weights are in the cache,
and then one variant alone over consecutive frames. Medians and means over all frames, so that flashes and resets
count; "error" is the largest difference from torch in any logit, "equal" the share of greedy actions that are the same.

Writes results/reuse_acting.json, in which rows of the same network, weights, game and batch are replaced, and the
table in its page. Only a machine that does nothing else gives numbers worth keeping.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch as th
from common import check_games, count, open_rows, options, run_program, write_page
from stable_baselines3 import PPO

from sb3_efficient import compress, make_engine, policy_kwargs
from sb3_efficient.envs import AleVecEnv

BEGIN = "<!-- table of examples/benchmarks/reuse_acting.py -->\n"
#: What a row is about
KEYS = ("network", "weights", "game", "batch")
AGENTS = Path(__file__).parents[1] / "agents" / "ppo"
TRAINED = {"nature": "PongNoFrameskip-v4_1", "impala": "PongNoFrameskip-v4_2"}
GAMES = ("Pong", "Breakout", "Qbert", "Seaquest", "MsPacman", "SpaceInvaders")
#: Not a game, but the worst that can be
NOISE = "noise"
NETWORKS, BATCHES, N_ENVS = ("nature", "impala"), (1, 8), 8
#: Name of a variant -> its column in the table
COLUMNS = {
    "eager": "torch",
    "onnxruntime": "ONNX Runtime",
    "static-int8": "its int8",
    "reuse": "reuse",
    "int8 reuse": "reuse in int8",
}
#: What is compared with what in the table
RATIOS = {
    "x torch": ("eager", "reuse"),
    "x ONNX": ("onnxruntime", "reuse"),
    "x int8": ("static-int8", "reuse"),
    "in int8: x int8": ("static-int8", "int8 reuse"),
    "x SB3's `predict`": ("SB3 predict", "reuse predict"),
}
#: What the page shows, of batches of one: where much is saved, little, and nothing
SHOWN = {("trained", "Pong"), ("random", "Breakout"), ("random", "Seaquest"), ("random", NOISE)}
Act = Callable[[np.ndarray], Any]


def main() -> None:
    parser = options(__doc__, quick="300 frames of Pong")
    parser.add_argument("--games", nargs="+", default=[*GAMES, NOISE], help="names of ALE, as Pong, or noise")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--weights", nargs="+", choices=("random", "trained"), default=["random", "trained"])
    parser.add_argument("--batches", nargs="+", type=count, choices=BATCHES, default=list(BATCHES))
    parser.add_argument("--frames", type=count, default=2000, help="of each game")
    parser.add_argument("--blocks", type=count, default=10, help="turns that each variant gets")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        network, weights, game, batch = arguments.child
        rows = measure(network, weights, game, int(batch), arguments.frames, arguments.blocks)
        print(json.dumps(rows))
        return
    if arguments.quick:
        arguments.games, arguments.frames, arguments.blocks = arguments.games[:1], 300, 2
    check_games(game for game in arguments.games if game != NOISE)
    rows = open_rows("reuse_acting", KEYS, quick=arguments.quick)
    for job in [] if arguments.rewrite else jobs(arguments):
        if arguments.missing and rows.has(**dict(zip(KEYS, job, strict=True))):
            continue
        print("measuring:", *job, file=sys.stderr)
        rows.add([child(job, arguments)])
    print(table(rows.rows))
    if rows.file is not None:
        write_page(BEGIN, in_short(rows.rows), full=table(rows.rows))


def jobs(arguments: argparse.Namespace) -> list[tuple[str, str, str, int]]:
    """Trained agents play the game that they were trained on."""
    return [
        (network, weights, game, batch)
        for network in arguments.networks
        for batch in arguments.batches
        for weights in arguments.weights
        for game in arguments.games
        if weights == "random" or TRAINED[network].startswith(game)
    ]


def order(row: dict) -> tuple:
    """Of the table."""
    return NETWORKS.index(row["network"]), row["batch"], row["weights"], row["game"]


def child(job: tuple[str, str, str, int], arguments: argparse.Namespace) -> dict:
    """One row, measured in a process of its own."""
    settings = ["--frames", str(arguments.frames), "--blocks", str(arguments.blocks)]
    command = [sys.executable, __file__, *settings, "--child", *map(str, job)]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(network: str, weights: str, game: str, batch: int, n_frames: int, blocks: int) -> dict:
    """All variants, in turn."""
    th.set_num_threads(1)
    model = make_model(network, weights, game)
    frames = play(game, n_frames, model if weights == "trained" else None)
    model.policy.set_training_mode(False)
    int8 = compress(model, "static-int8", calibration=frames[::3, 0][:512])
    engines: dict[str, Any] = {name: make_engine(model, name) for name in ("eager", "onnxruntime", "reuse")}
    engines["static-int8"] = int8.engine()
    engines["int8 reuse"] = make_engine(int8, "reuse")
    observations = [np.ascontiguousarray(frame[:batch]) for frame in frames]
    variants: dict[str, Act] = {name: engine.outputs for name, engine in engines.items()}
    variants["SB3 predict"] = lambda images: model.predict(images, deterministic=True)
    # Another one, whose frames are not those that "reuse" has just seen
    predicting = make_engine(model, "reuse")
    variants["reuse predict"] = lambda images: predicting.predict(images, deterministic=True)
    times = in_blocks(variants, observations, blocks)
    plan = engines["reuse"].plan
    return {
        "network": network,
        "weights": weights,
        "game": game,
        "batch": batch,
        "frames": len(times["reuse"]),
        "microseconds": {name: summary(found) for name, found in times.items()},
        "work_left": round(plan.work_left, 4),
        "layers": {f"{i} {layer.name}": layer.computed for i, layer in enumerate(plan.layers)},
        "dense_int8_is_faster": plan.dense_int8_is_faster,
        **compared(make_engine(model, "reuse"), engines["eager"], observations),
    }


def make_model(network: str, weights: str, game: str) -> PPO:
    if weights == "trained":
        folder = AGENTS / TRAINED[network]
        return PPO.load(folder / f"{game}NoFrameskip-v4.zip", device="cpu")
    env = AleVecEnv(f"{'Pong' if game == NOISE else game}NoFrameskip-v4", n_envs=1, seed=0)
    return PPO("CnnPolicy", env, policy_kwargs=policy_kwargs(network, PPO), device="cpu", seed=0)


def play(game: str, n: int, agent: PPO | None) -> np.ndarray:
    """Stacks of four frames, (n, N_ENVS, 4, 84, 84)."""
    if game == NOISE:
        single = np.random.default_rng(0).integers(0, 256, (n + 3, N_ENVS, 1, 84, 84), dtype=np.uint8)
        return np.concatenate([single[i : n + i] for i in range(4)], axis=2)
    env = AleVecEnv(f"{game}NoFrameskip-v4", n_envs=N_ENVS, seed=1)
    rng = np.random.default_rng(0)
    images, actions = env.reset(), np.zeros(N_ENVS, np.int64)
    frames = np.empty((n, *images.shape), np.uint8)
    for i in range(n):
        frames[i] = images
        if agent is not None:
            actions = agent.predict(images)[0]
        else:
            others = rng.integers(0, env.action_space.n, N_ENVS)
            actions = np.where(rng.random(N_ENVS) < 0.3, others, actions)
        images = env.step(actions)[0]
    env.close()
    return frames


def in_blocks(variants: dict[str, Act], observations: list[np.ndarray], blocks: int) -> dict[str, list[float]]:
    """Microseconds of every call, in blocks of consecutive frames, of which some are not counted."""
    times: dict[str, list[float]] = {name: [] for name in variants}
    length = len(observations) // blocks
    uncounted = length // 4
    for i in range(blocks):
        block = observations[i * length : (i + 1) * length]
        for name, act in variants.items():
            for images in block[:uncounted]:
                act(images)
            for images in block[uncounted:]:
                start = time.perf_counter()
                act(images)
                times[name].append(1e6 * (time.perf_counter() - start))
    return times


def summary(times: list[float]) -> dict[str, float]:
    return {"median": round(statistics.median(times), 2), "mean": round(statistics.fmean(times), 2)}


def compared(engine: Any, reference: Any, observations: list[np.ndarray]) -> dict[str, float]:
    """Exactness over all frames, from the first one on."""
    error, equal = 0.0, 0
    for images in observations:
        found, expected = (next(iter(e.outputs(images).values())) for e in (engine, reference))
        error = max(error, float(np.abs(found - expected).max()))
        equal += int((found.argmax(axis=1) == expected.argmax(axis=1)).sum())
    return {"error": float(f"{error:.2g}"), "equal": equal / (len(observations) * len(observations[0]))}


def table(rows: list[dict]) -> str:
    """Medians, and in brackets means; behind the bar how many times faster than the left ones reuse is."""
    measured = {name for row in rows for name in row["microseconds"]}
    columns = {name: text for name, text in COLUMNS.items() if name in measured}
    ratios = {text: pair for text, pair in RATIOS.items() if measured.issuperset(pair)}
    head = ["network", "batch", "weights", "game", *(f"{text}, µs" for text in columns.values()), *ratios, "work left"]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for row in sorted(rows, key=order):
        times = row["microseconds"]
        cells = [row["network"], str(row["batch"]), row["weights"], row["game"]]
        cells += [
            f"{times[name]['median']:.0f} ({times[name]['mean']:.0f})" if name in times else "" for name in columns
        ]
        cells += [compared_times(times, slow, fast) for slow, fast in ratios.values()]
        cells.append(f"{row['work_left']:.0%}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def in_short(rows: list[dict]) -> str:
    """Medians, and how many times faster than torch and than a dense int8 network reuse in int8 is."""
    head = ["network", "game", *(f"{text}, µs" for text in COLUMNS.values()), "work left"]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for row in sorted(rows, key=order):
        if row["batch"] != 1 or (row["weights"], row["game"]) not in SHOWN:
            continue
        medians = {name: row["microseconds"][name]["median"] for name in COLUMNS}
        fastest = medians["int8 reuse"]
        cells = [f"{value:.0f}" for value in medians.values()]
        cells[-1] += f" ({medians['eager'] / fastest:.1f}x torch, {medians['static-int8'] / fastest:.1f}x int8)"
        lines.append("| " + " | ".join([row["network"], row["game"], *cells, f"{row['work_left']:.0%}"]) + " |")
    return "\n".join(lines) + "\n"


def compared_times(times: dict[str, dict[str, float]], slow: str, fast: str) -> str:
    """How many times faster; empty where it was not measured."""
    if fast not in times:
        return ""
    median, mean = (times[slow][statistic] / times[fast][statistic] for statistic in ("median", "mean"))
    return f"{median:.1f} ({mean:.1f})"


if __name__ == "__main__":
    run_program(main)
