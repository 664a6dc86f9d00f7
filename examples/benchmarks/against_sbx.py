"""
The same PPO on Pong in SBX (Stable-Baselines Jax), in plain SB3, and in SB3 after ``accelerate`` on AleVecEnv.

SBX wants a virtual environment of its own, with this package for the row that plays in AleVecEnv:

    python -m venv .venv-sbx
    .venv-sbx/bin/pip install -c constraints.txt sbx-rl "jax<0.9" gymnasium[atari] opencv-python
    .venv-sbx/bin/pip install --no-deps .
    python examples/benchmarks/against_sbx.py --sbx-python .venv-sbx/bin/python    # about seven minutes
    python examples/benchmarks/against_sbx.py --sbx-python .venv-sbx/bin/python --quick    # nothing is written

JAX below 0.9 because it is the best for SBX: 0.10.2 took twice as long for these convolutions on a CPU, while releases
from 0.4 to 0.8 were alike.

Hyper-parameters, games, seed and segments in turn are those of training_loop.py. The zoo's learning rate and clip range
are constants there: its schedules, over 10 million steps, have barely moved yet. SBX is as its users get it,
``sbx.PPO("CnnPolicy", env)``, since its release 0.23 a NatureCNN with the weights shared by actor and critic. What
differs is its design: actor and critic each compute the NatureCNN, forward and backward, and copy its weights to
one another in every update, where SB3 computes it once for both. It computes in float32, as plain SB3 does;
``accelerate`` in bfloat16 where the CPU has it. XLA compiles first, so two segments of every variant do not count.

Threads are cores here: every variant is held to that many (Linux only), because XLA makes a thread for each core it may
use. A frame is one step of one environment; a segment is one or more whole iterations, collecting and updating.

Writes results/sbx.json. Only a machine that does nothing else gives numbers worth keeping.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from typing import Any

import training_loop
from common import RESULTS, count, run_program, write_table
from training_loop import PPO_SETTINGS, SEED, answer, ask_in_turns, make_venv, row, table

from sb3_efficient.errors import UnavailableError

N_ENVS = 8
WARM_UP = 2
#: name -> variant of training_loop
SB3 = {"plain SB3": "plain", "accelerate + AleVecEnv": "with AleVecEnv"}
#: name -> environment
SBX = {"SBX": "DummyVecEnv", "SBX with AleVecEnv": "AleVecEnv"}
# Fails where SBX cannot be imported
VERSIONS = """
import json, sbx
from importlib.metadata import version
print(json.dumps({name: version(name) for name in ("sbx-rl", "jax", "flax", "torch", "stable-baselines3")}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one thread, three rounds, nothing is written")
    parser.add_argument("--sbx-python", default=sys.executable, help="Python that has SBX, default: this one")
    parser.add_argument("--threads", type=count, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=count, default=9, help="segments that count, of each variant")
    parser.add_argument("--steps", type=count, default=1024, help="frames of a segment, rounded up to whole rollouts")
    parser.add_argument("--child", metavar="VARIANT", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        serve(arguments.child, arguments.threads[0], arguments.steps)
        return
    if arguments.quick:
        arguments.threads, arguments.rounds = [1], 3
    if max(arguments.threads) > (n_cores := len(os.sched_getaffinity(0))):
        parser.error(f"--threads {max(arguments.threads)}, but only {n_cores} cores may be used")
    versions = sbx_versions(arguments.sbx_python)
    rows = [row for threads in arguments.threads for row in compare(threads, arguments)]
    print(table(rows))
    if not arguments.quick:
        from sb3_efficient.machine import machine

        RESULTS.mkdir(exist_ok=True)
        result = {"machine": machine(), "sbx_versions": versions, "rows": rows}
        (RESULTS / "sbx.json").write_text(json.dumps(result, indent=1) + "\n")
        write_table("sbx", table(rows))


def sbx_versions(python: str) -> dict[str, str]:
    answer = subprocess.run([python, "-c", VERSIONS], capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        reason = answer.stderr.strip().splitlines()[-1:] or [f"exit status {answer.returncode}"]
        raise UnavailableError(f"{python} has no SBX that works ({reason[0]}): --help says how to install it.")
    return json.loads(answer.stdout)


def compare(threads: int, arguments: argparse.Namespace) -> list[dict]:
    """All variants, in turn."""
    print(f"measuring: {threads} threads", file=sys.stderr)
    child = [__file__, "--threads", str(threads), "--steps", str(arguments.steps), "--child"]
    commands = {name: [arguments.sbx_python if name in SBX else sys.executable, *child, name] for name in SB3 | SBX}
    answers = ask_in_turns(commands, threads, arguments.rounds, WARM_UP)
    return [row("ppo", "nature", name, threads, found) for name, found in answers.items()]


def serve(variant: str, threads: int, steps: int) -> None:
    if variant in SBX:
        model = make_sbx_model(SBX[variant], threads)
    else:
        model = training_loop.make_model("ppo", "nature", SB3[variant], threads)
    answer(lambda: training_loop.train(model, steps))


def make_sbx_model(venv: str, threads: int) -> Any:
    # SBX ignores device="cpu"
    os.environ["JAX_PLATFORMS"] = "cpu"
    from sbx import PPO

    return PPO("CnnPolicy", make_venv(venv, N_ENVS, threads), seed=SEED, **PPO_SETTINGS)


if __name__ == "__main__":
    run_program(main)
