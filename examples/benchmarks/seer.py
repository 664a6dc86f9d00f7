"""
What freezing the encoder saves on Pong: time of training and of updates, memory of replay buffers and of a run.

    python examples/benchmarks/seer.py                        # everything on one thread, about an hour
    python examples/benchmarks/seer.py --only ppo dqn --threads 1 2
    python examples/benchmarks/seer.py --quick                # a few minutes, small, nothing is written

ppo          frames a second of training, games included, as training_loop.py measures them
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

Writes results/seer.json, the picture results/seer_run_memory.png and the tables in its page. Only a machine that does
nothing else gives numbers worth keeping.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from typing import Any

from common import count, open_rows, options, run_program, write_page
from seer_memory import conversion, convert_once, memory, run_memory, run_once
from seer_speed import dqn, ppo, serve_training, serve_updates
from seer_tables import draw, table

BEGIN = "<!-- tables of examples/benchmarks/seer.py -->\n"
KEYS = ("kind", "threads", "algo", "network", "variant", "unit", "buffer", "source", "run")


def main() -> None:
    parser = options(__doc__, quick="without Impala, two rounds, 2,000 transitions and steps")
    parser.add_argument("--only", nargs="+", choices=KINDS, default=list(KINDS), metavar="KIND")
    parser.add_argument("--threads", type=count, nargs="+", default=[1], help="of torch and of AleVecEnv")
    parser.add_argument("--rounds", type=count, default=9, help="segments of each variant (ppo, dqn)")
    parser.add_argument("--transitions", type=count, default=100_000, help="conversion: in the replay buffer")
    parser.add_argument("--steps", type=count, default=1_000_000, help="run_memory: of training, frozen at a quarter")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        name, *details = arguments.child
        CHILDREN[name](arguments.threads[0], *details)
        return
    if arguments.quick:
        arguments.rounds = min(arguments.rounds, 2)
        arguments.transitions, arguments.steps = (min(n, 2_000) for n in (arguments.transitions, arguments.steps))
    rows = open_rows("seer", KEYS, quick=arguments.quick)
    for kind, threads in itertools.product([] if arguments.rewrite else arguments.only, arguments.threads):
        if arguments.missing and rows.has(kind=kind, threads=threads):
            continue
        print(f"measuring: {kind}, {threads} threads", file=sys.stderr)
        rows.add({"kind": kind, **row} for row in KINDS[kind](threads, arguments))
    print(table(rows.rows))
    if rows.file is not None:
        draw([row for row in rows.rows if row["kind"] == "run_memory"])
        write_page(BEGIN, table(rows.rows))


KINDS = {"ppo": ppo, "dqn": dqn, "memory": memory, "conversion": conversion, "run_memory": run_memory}
CHILDREN: dict[str, Any] = {
    "training": serve_training,
    "updates": serve_updates,
    "conversion": convert_once,
    "run_memory": run_once,
}

if __name__ == "__main__":
    run_program(main)
