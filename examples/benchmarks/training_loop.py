"""
Frames a second of training on Pong, games included: plain SB3, and the same model after ``accelerate``.

    python examples/benchmarks/training_loop.py            # every row, about half an hour
    python examples/benchmarks/training_loop.py --quick    # two minutes, nothing is written

"plain" is SB3 as it is, on its DummyVecEnv with AtariWrapper and VecFrameStack; its Impala is our modules on contiguous
float32 images, as SB3 runs its NatureCNN. Same hyper-parameters (the zoo's for Atari), same environments, same
seed; a frame is one step of one environment. Every variant has a process of its own, because memory settings hold for
a process; they train a segment each, in turn, and wait while the others do. Medians and quartiles over the segments.
The threads are those of torch and of AleVecEnv, on as many cores: with another core idle, the emulators' threads would
take turns with torch's across the two, and every hand-over would cost.

Writes results/training_loop.json and the table in its page. Only a machine that does nothing else gives numbers worth
keeping.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from common import count, open_rows, options, run_program, write_page

from sb3_efficient.bench.cores import cores
from sb3_efficient.bench.rows import summary

BEGIN = "<!-- table of examples/benchmarks/training_loop.py -->\n"
KEYS = ("algo", "network", "variant", "threads")
ENV_ID = "PongNoFrameskip-v4"
SEED = 1
CASES = (("ppo", "nature"), ("ppo", "impala"), ("dqn", "nature"), ("qrdqn", "nature"))
#: name -> (accelerated, environment)
VARIANTS = {
    "plain": (False, "DummyVecEnv"),
    "accelerated": (True, "DummyVecEnv"),
    "with AleVecEnv": (True, "AleVecEnv"),
}
COLUMNS = {"plain": "plain SB3", "accelerated": "`accelerate`", "with AleVecEnv": "and `AleVecEnv`"}
PPO_SETTINGS: dict[str, Any] = {
    "n_steps": 128,
    "batch_size": 256,
    "n_epochs": 4,
    "learning_rate": 2.5e-4,
    "clip_range": 0.1,
    "ent_coef": 0.01,
}
# As late in training: the network acts, and minibatches are sampled; the buffer fills meanwhile
DQN_SETTINGS: dict[str, Any] = {
    "buffer_size": 10_000,
    "learning_rate": 1e-4,
    "batch_size": 32,
    "learning_starts": 100,
    "train_freq": 4,
    "target_update_interval": 1000,
    "exploration_initial_eps": 0.01,
    "exploration_final_eps": 0.01,
}
#: Where it is not the zoo's in capitals
NAMES = {"qrdqn": "QR-DQN"}
SEGMENT = {"ppo": 1024, "dqn": 600, "qrdqn": 600}


def main() -> None:
    parser = options(__doc__, quick="one thread, three segments, without Impala")
    parser.add_argument("--threads", type=count, nargs="+", default=[1, 2])
    parser.add_argument("--segments", type=count, default=9, help="segments of training of each variant")
    parser.add_argument("--child", nargs=3, metavar=("ALGO", "NETWORK", "VARIANT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        serve(*arguments.child, arguments.threads[0])
        return
    if arguments.quick:
        arguments.threads, arguments.segments = [1], 3
    rows = open_rows("training_loop", KEYS, quick=arguments.quick)
    for threads, (algo, network) in itertools.product([] if arguments.rewrite else arguments.threads, CASES):
        there = arguments.missing and rows.has(algo=algo, network=network, threads=threads)
        if not there and not (arguments.quick and network == "impala"):
            rows.add(compare(algo, network, threads, arguments.segments))
    print(table(rows.rows))
    if rows.file is not None:
        write_page(BEGIN, table(rows.rows))


def compare(algo: str, network: str, threads: int, segments: int) -> list[dict]:
    """All variants of one model."""
    command = [sys.executable, __file__, "--threads", str(threads), "--child", algo, network]
    print(f"measuring: {algo} {network}, {threads} threads", file=sys.stderr)
    answers = ask_in_turns({name: [*command, name] for name in VARIANTS}, threads, segments)
    return [row(algo, network, name, threads, found) for name, found in answers.items()]


def ask_in_turns(
    commands: Mapping[str, list[str]], threads: int, rounds: int, warm_up: int = 1
) -> dict[str, list[dict]]:
    """What processes say (see :func:`answer`) that measure one after the other, round by round."""
    env = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    # Which they keep to
    with cores(threads):
        children = {name: subprocess.Popen(command, env=env, text=True, **pipes) for name, command in commands.items()}
    answers: dict[str, list[dict]] = {name: [] for name in commands}
    try:
        for i in range(1 - warm_up, rounds + 1):
            for name, child in children.items():
                answers[name].append(ask(child))
            print(f"\r  round {max(i, 0)} of {rounds}", end="", file=sys.stderr, flush=True)
    finally:
        print(file=sys.stderr)
        for child in children.values():
            child.communicate()
    return {name: found[warm_up:] for name, found in answers.items()}


def ask(child: subprocess.Popen[str]) -> dict:
    """Let a process measure once."""
    assert child.stdin is not None
    assert child.stdout is not None
    # One that has failed already listens no more
    with contextlib.suppress(BrokenPipeError):
        child.stdin.write("\n")
        child.stdin.flush()
    for line in child.stdout:
        if line.startswith("{"):
            return json.loads(line)
    assert isinstance(child.args, list)
    raise SystemExit(f"A variant failed; to see why, run it alone and press Enter: {shlex.join(child.args)}")


def answer(measure: Callable[[], dict]) -> None:
    """The process's side: measure once for every line that arrives."""
    for _ in sys.stdin:
        print(json.dumps(measure()), flush=True)


def row(algo: str, network: str, variant: str, threads: int, answers: list[dict]) -> dict:
    return {
        "algo": algo,
        "network": network,
        "variant": variant,
        "threads": threads,
        **summary([answer["fps"] for answer in answers], "frames/s"),
        "memory_mb": answers[-1]["memory_mb"],
    }


def serve(algo: str, network: str, variant: str, threads: int) -> None:
    model = make_model(algo, network, variant, threads)
    answer(lambda: train(model, SEGMENT[algo]))


def train(model: Any, steps: int) -> dict:
    import resource

    start = time.perf_counter()
    before = model.num_timesteps
    model.learn(steps, reset_num_timesteps=False)
    fps = (model.num_timesteps - before) / (time.perf_counter() - start)
    return {"fps": fps, "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}


def make_model(algo: str, network: str, variant: str, threads: int, **options: Any) -> Any:
    """
    :param options: Of the algorithm, beside or in place of those above
    """
    import torch as th

    from sb3_efficient import accelerate, policy_kwargs
    from sb3_efficient.policies import find_algorithm

    th.set_num_threads(threads)
    algo_class = find_algorithm(algo)
    settings, n_envs = (PPO_SETTINGS, 8) if algo == "ppo" else (DQN_SETTINGS, 1)
    fast, venv = VARIANTS[variant]
    kwargs = {} if network == "nature" else {"policy_kwargs": policy_kwargs(network, algo_class)}
    env = make_venv(venv, n_envs, threads)
    model: Any = algo_class("CnnPolicy", env, seed=SEED, device="cpu", **(settings | kwargs | options))
    if fast:
        accelerate(model)
    elif network != "nature":
        make_plain(model)
    return model


def make_plain(model: Any) -> None:
    """Our modules on contiguous float32 images, as SB3 runs its NatureCNN."""
    for extractor in (m for m in model.policy.modules() if hasattr(m, "latent_dim")):
        extractor.forward = lambda images, net=extractor: net.linear(net.cnn(images / 255.0))


def make_venv(name: str, n_envs: int, threads: int) -> Any:
    if name == "AleVecEnv":
        from sb3_efficient.envs import AleVecEnv

        return AleVecEnv(ENV_ID, n_envs=n_envs, seed=SEED, num_threads=threads)
    import ale_py
    import gymnasium as gym
    from stable_baselines3.common.env_util import make_atari_env
    from stable_baselines3.common.vec_env import VecFrameStack

    gym.register_envs(ale_py)
    return VecFrameStack(make_atari_env(ENV_ID, n_envs, seed=SEED), 4)


def table(rows: list[dict]) -> str:
    """Markdown: frames a second of each variant, and how much faster than the first one."""
    names = list(dict.fromkeys(row["variant"] for row in rows))
    heads = " | ".join(COLUMNS.get(name, name) for name in names)
    lines = [f"| training on Pong | threads | {heads} |", "|" + "---|" * (len(names) + 2)]
    for algo, network, threads in dict.fromkeys((r["algo"], r["network"], r["threads"]) for r in rows):
        found = {
            r["variant"]: r["median"]
            for r in rows
            if (r["algo"], r["network"], r["threads"]) == (algo, network, threads)
        }
        first = found[names[0]]
        cells = [f"{found[n]:.0f}" + ("" if n == names[0] else f" ({found[n] / first:.1f}x)") for n in names]
        lines.append(f"| {NAMES.get(algo, algo.upper())} {network.capitalize()} | {threads} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run_program(main)
