"""
What reuse is worth in training: updates from distinct patches, and rollouts of a frozen encoder, on one thread.

    python examples/benchmarks/reuse_updates.py                   # everything, about half an hour
    python examples/benchmarks/reuse_updates.py --only updates --networks impala --games Pong
    python examples/benchmarks/reuse_updates.py --quick           # Pong, small, nothing is written

updates    forward and backward through the features extractor. nature and impala: shuffled minibatches of 256 stacks of
           four frames from a PPO rollout of 8 games x 128 steps; conv2, the reuse paper's network: 80 single frames
           that follow each other, every fourth pixel (20 and 40 filters) or every second (80 and 160). Beside it our
           dense extractor in float32 and bfloat16, and how often a patch of the first layer is repeated. For nature,
           and for impala in bfloat16, the package itself computes updates densely, whatever this table says: see
           sb3_efficient/reuse/updating.py.
training   frames a second of PPO on Pong, as training_loop.py measures them; "frozen": all convolutions, by SEER

Every network and game, and every variant of training, in a process of its own; variants in turn; medians and quartiles.
Games are played as in reuse_acting.py, weights are random.

Writes results/reuse_updates.json, in which rows of the same network and game, or variant, are replaced, and the tables
results/reuse_updates.md. Only a machine that does nothing else gives numbers worth keeping.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import ale_py
import gymnasium as gym
import numpy as np
import seer_speed
import torch as th
import training_loop as loop
from common import check_games, count, open_rows, options, run_program, write_table
from gymnasium import spaces
from reuse_acting import play
from stable_baselines3 import PPO

from sb3_efficient import accelerate, make_extractor, policy_kwargs
from sb3_efficient.bench.rows import Rows, summary
from sb3_efficient.extractors.base import EncoderExtractor
from sb3_efficient.reuse.patches.distinct import distinct
from sb3_efficient.reuse.patches.first import first_convolution, first_pooled
from sb3_efficient.reuse.updating import distinct_latents

#: What a row is about
KEYS = ("kind", "network", "game", "variant")
#: What stands above the tables
NOTES = """\
Forward and backward through the features extractor for a minibatch, and whole training, on one thread, the other core
in use at times; the rows of `impala` are of an Intel Xeon with AMX, the others of an AMD EPYC. The last column is the
fastest dense time over the fastest time from patches.
"""
GAMES = ("Pong", "Breakout", "Seaquest", "MsPacman")
#: Network -> its options, and side and stride of the patches that its first layers are computed from
NETWORKS: dict[str, tuple[str, dict[str, Any], tuple[int, int]]] = {
    "nature": ("nature", {}, (8, 4)),
    "impala": ("impala", {}, (5, 2)),
    "conv2 20/40": ("conv2", {"filters": 20}, (5, 1)),
    "conv2 80/160": ("conv2", {"filters": 80}, (5, 1)),
}
#: Variant of an update -> its number format
UPDATES = {"dense fp32": "fp32", "dense bf16": "bf16", "distinct fp32": "fp32", "distinct bf16": "bf16"}
MINIBATCH, SEGMENT = 256, 80
#: Variant of training -> network, precision and whether it is frozen
TRAINING = {
    "nature": ("nature", "auto", False),
    "reuse-conv": ("reuse-conv", "fp32", False),
    "nature, frozen": ("nature", "auto", True),
    "nature in fp32, frozen": ("nature", "fp32", True),
    "reuse-conv, frozen": ("reuse-conv", "fp32", True),
}


def main() -> None:
    parser = options(__doc__, quick="Pong, without the largest network, three of each")
    parser.add_argument("--only", nargs="+", choices=("updates", "training"), default=["updates", "training"])
    parser.add_argument("--games", nargs="+", help=f"default: {' '.join(GAMES)}; with --quick {GAMES[0]}")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--repeats", type=count, default=15, help="updates of each variant")
    parser.add_argument("--rounds", type=count, default=9, help="segments of training of each variant")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        kind, *details = arguments.child
        {"updates": serve_updates, "training": serve_training}[kind](*details, arguments)
        return
    arguments.games = arguments.games or list(GAMES[:1] if arguments.quick else GAMES)
    check_games(arguments.games)
    if arguments.quick:
        arguments.repeats, arguments.rounds = 3, 2
        arguments.networks = [name for name in arguments.networks if name != "conv2 80/160"]
    rows = open_rows("reuse_updates", KEYS, quick=arguments.quick)
    for kind in [] if arguments.rewrite else arguments.only:
        for new in {"updates": updates, "training": training}[kind](arguments, rows):
            rows.add([new])
    print(table(rows.rows))
    if rows.file is not None:
        write_table("reuse_updates", page(rows.rows))


def order(row: dict) -> tuple:
    """Of the tables."""
    if row["kind"] == "training":
        return 1, list(TRAINING).index(row["variant"]), ""
    return 0, list(NETWORKS).index(row["network"]), row["game"]


def child(*details: str, repeats: int = 0) -> list[str]:
    return [sys.executable, __file__, "--repeats", str(repeats), "--child", *details]


# Updates


def updates(arguments: argparse.Namespace, there: Rows) -> Iterator[dict]:
    """Rows, one by one."""
    for network, game in itertools.product(arguments.networks, arguments.games):
        if arguments.missing and there.has(kind="updates", network=network, game=game):
            continue
        print("measuring:", network, game, file=sys.stderr)
        command = child("updates", network, game, repeats=arguments.repeats)
        env = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
        yield json.loads(done.stdout.splitlines()[-1])


def serve_updates(network: str, game: str, arguments: argparse.Namespace) -> None:
    th.set_num_threads(1)
    rng, repeats = np.random.default_rng(0), arguments.repeats
    images = segments(game, network) if network.startswith("conv2") else rollout(game)
    variants = {name: make_update(network, name, images.shape[1:]) for name in UPDATES}
    # The package computes this network from patches in fp32 only
    variants = {name: update for name, update in variants.items() if update is not None}
    times: dict[str, list[float]] = {name: [] for name in variants}
    repeated = []
    for i in range(-1, repeats):
        start = rng.integers(0, len(images) - SEGMENT + 1)
        chosen = slice(start, start + SEGMENT) if network.startswith("conv2") else rng.permutation(len(images))
        batch = np.ascontiguousarray(images[chosen][:MINIBATCH])
        numbers, patches = distinct(batch, *NETWORKS[network][2])
        repeated.append(numbers.size / len(patches))
        for name, update in variants.items():
            begin = time.perf_counter()
            update(th.from_numpy(batch))
            if i >= 0:
                times[name].append(1000 * (time.perf_counter() - begin))
    found = {name: summary(ms, "ms") for name, ms in times.items()}
    labels = {"kind": "updates", "network": network, "game": game, "images": len(batch)}
    print(json.dumps({**labels, "repeated": round(float(np.mean(repeated)), 1), "variants": found}))


def make_update(network: str, variant: str, shape: tuple[int, ...]) -> Callable[[th.Tensor], None] | None:
    """Forward and backward; None where there is no such thing."""
    name, options, _ = NETWORKS[network]
    if variant == "distinct bf16" and name == "conv2":
        return None
    precision = UPDATES[variant]
    extractor: Any = make_extractor(name, spaces.Box(0, 255, shape, np.uint8), precision=precision, **options)
    forward = extractor
    if variant.startswith("distinct"):
        by_hand = name == "nature" or precision == "bf16"
        forward = _first_from_patches(extractor) if by_hand else _from_patches(extractor)
    parameters = list(extractor.parameters())

    def update(images: th.Tensor) -> None:
        th.autograd.grad(forward(images).square().mean(), parameters)

    return update


def _from_patches(extractor: EncoderExtractor) -> Callable[[th.Tensor], th.Tensor]:
    """As reuse-impala and reuse-conv2 do it."""

    def forward(images: th.Tensor) -> th.Tensor:
        latents = distinct_latents(extractor, images)
        assert latents is not None
        return extractor.project(latents)

    return forward


def _first_from_patches(extractor: Any) -> Callable[[th.Tensor], th.Tensor]:
    """As no extractor does it, for it was not measured to win in all games."""
    dtype = th.bfloat16 if extractor.precision == "bf16" else th.float32
    first, *others = extractor.cnn
    compute = first_convolution
    if isinstance(first, th.nn.Sequential):
        compute, (first, *of_stage) = first_pooled, first
        others = [*of_stage, *others]
    # Without the ReLU or the pooling behind the convolution
    rest = th.nn.Sequential(*others[1:])

    def forward(images: th.Tensor) -> th.Tensor:
        with extractor.computing(images):
            return extractor.project(rest(compute(first, images.numpy(), dtype)))

    return forward


def rollout(game: str) -> np.ndarray:
    """Stacks of four frames, (1024, 4, 84, 84)."""
    return np.concatenate(play(game, 256, None)[-128:])  # type: ignore[arg-type]


def segments(game: str, network: str) -> np.ndarray:
    """Single frames of one game, (1000, 1, H, W), as the paper samples them down."""
    gym.register_envs(ale_py)
    factor = 2 if "80" in network else 4
    env, rng = gym.make(f"ALE/{game}-v5", frameskip=(2, 5)), np.random.default_rng(0)
    screen, _ = env.reset(seed=0)
    found, action = [], 0
    while len(found) < 1000:
        if rng.random() < 0.3:
            action = int(rng.integers(env.action_space.n))  # type: ignore[attr-defined]
        screen, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            screen, _ = env.reset()
        found.append(screen[::factor, ::factor, :1].transpose(2, 0, 1))
    env.close()
    return np.array(found)


# Training


def training(arguments: argparse.Namespace, there: Rows) -> Iterator[dict]:
    """All of them in turn: a row alone has nothing beside it."""
    if arguments.missing and all(there.has(kind="training", variant=name) for name in TRAINING):
        return
    print("measuring: training", file=sys.stderr)
    answers = loop.ask_in_turns({name: child("training", name) for name in TRAINING}, 1, arguments.rounds)
    for name, found in answers.items():
        fps = summary([answer["fps"] for answer in found], "frames/s")
        yield {"kind": "training", "variant": name, "threads": 1, **fps}


def serve_training(name: str, _: argparse.Namespace) -> None:
    th.set_num_threads(1)
    network, precision, frozen = TRAINING[name]
    env = loop.make_venv("AleVecEnv", 8, 1)
    kwargs = policy_kwargs(network, PPO)
    model = PPO("CnnPolicy", env, seed=loop.SEED, device="cpu", policy_kwargs=kwargs, **loop.PPO_SETTINGS)
    accelerate(model, precision=precision)
    if frozen:
        seer_speed.freeze(model, "conv")
    steps = loop.SEGMENT["ppo"] * (seer_speed.FROZEN_SEGMENTS if frozen else 1)
    loop.answer(lambda: loop.train(model, steps))


# Tables


def page(rows: list[dict]) -> str:
    """With what there is to know about them."""
    return f"{NOTES}\n{table(rows)}"


def table(rows: list[dict]) -> str:
    """Milliseconds of updates, and frames a second of training."""
    rows = sorted(rows, key=order)
    parts = [by_kind([row for row in rows if row["kind"] == kind]) for kind, by_kind in TABLES.items()]
    return "\n\n".join(part for part in parts if part)


def table_of_updates(rows: list[dict]) -> str:
    """The last column: the faster dense one over the faster one from patches."""
    lines = [f"| update | images | game | a patch is seen | {' | '.join(f'{name}, ms' for name in UPDATES)} | x |"]
    lines.append("|" + "---|" * (len(UPDATES) + 5))
    for row in rows:
        medians = {name: found["median"] for name, found in row["variants"].items()}
        best = {way: min(ms for name, ms in medians.items() if name.startswith(way)) for way in ("dense", "distinct")}
        cells = [f"{medians[name]:.1f}" if name in medians else "" for name in UPDATES]
        labels = f"| {row['network']} | {row['images']} | {row['game']} | {row['repeated']:.1f} times "
        lines.append(f"{labels}| {' | '.join(cells)} | {best['dense'] / best['distinct']:.2f} |")
    return "\n".join(lines) if rows else ""


def table_of_training(rows: list[dict]) -> str:
    lines = ["| PPO on Pong, one thread | frames a second | quartiles |", "|---|---|---|"]
    lines += [
        f"| {r['variant']} | {r['median']:.0f} | {r['quartiles'][0]:.0f} to {r['quartiles'][1]:.0f} |" for r in rows
    ]
    return "\n".join(lines) if rows else ""


TABLES = {"updates": table_of_updates, "training": table_of_training}

if __name__ == "__main__":
    run_program(main)
