"""Kinds of seer.py: time of training and of updates, frozen to a depth and not; and what the others need for that."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import training_loop as loop
from common import HERE
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from training_loop import make_model

from sb3_efficient.bench.rows import summary
from sb3_efficient.seer import SEERCallback

#: name -> (variant of training_loop.py, depth that is frozen)
VARIANTS: dict[str, tuple[str, Any]] = {
    "plain": ("plain", None),
    "accelerated": ("with AleVecEnv", None),
    "first stage": ("with AleVecEnv", 1),
    "lower stages": ("with AleVecEnv", 2),
    "conv": ("with AleVecEnv", "conv"),
    "features": ("with AleVecEnv", "features"),
}
# A segment of training_loop.py is over in a second once the encoder is frozen
FROZEN_SEGMENTS = 4
UPDATES, BATCH = 50, 32


def ppo(threads: int, arguments: argparse.Namespace) -> list[dict]:
    networks = ["nature"] if arguments.quick else ["nature", "impala"]
    return [row for network in networks for row in training("ppo", network, threads, arguments.rounds)]


def dqn(threads: int, arguments: argparse.Namespace) -> list[dict]:
    return [*training("dqn", "nature", threads, arguments.rounds), *updates(threads, arguments.rounds)]


def training(algo: str, network: str, threads: int, rounds: int) -> list[dict]:
    print(f"  training {algo} {network}", file=sys.stderr)
    answers = loop.ask_in_turns(
        {name: child(threads, "training", algo, network, name) for name in VARIANTS}, threads, rounds
    )
    return [loop.row(algo, network, name, threads, found) for name, found in answers.items()]


def updates(threads: int, rounds: int) -> list[dict]:
    print("  updates of dqn nature", file=sys.stderr)
    answers = loop.ask_in_turns({name: child(threads, "updates", name) for name in VARIANTS}, threads, rounds)
    labels = {"algo": "dqn", "network": "nature", "threads": threads}
    return [
        {**labels, "variant": name, **summary([answer["ms"] for answer in found], "ms")}
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
        # As long as what it is compared with
        same = {"capacity": "same-length"} if isinstance(model, OffPolicyAlgorithm) else {}
        callback = SEERCallback(freeze_at=0, depth=depth, encoder=file, **same)
        model.learn(1, callback=callback, reset_num_timesteps=False)
    if not hasattr(model, "seer"):
        raise SystemExit("The encoder could not be frozen; the warning above says why.")


def play(model: Any, steps: int) -> None:
    """Fill the replay buffer under random actions, without updates."""
    model.learning_starts = model.num_timesteps + steps
    model.learn(steps, reset_num_timesteps=False)


def child(threads: int, *details: object) -> list[str]:
    """The command that measures one thing in a process of its own."""
    return [sys.executable, str(HERE / "seer.py"), "--threads", str(threads), "--child", *map(str, details)]


def once(threads: int, *details: object) -> dict:
    """What a process says that measures once."""
    env = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(child(threads, *details), env=env, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])
