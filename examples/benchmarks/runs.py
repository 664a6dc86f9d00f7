"""
The queue of training runs, runs.yml: what is done, what comes next, and the next ones, one after the other.

    python examples/benchmarks/runs.py                          # the status
    python examples/benchmarks/runs.py --go --jobs 2            # work it off, two at a time
    python examples/benchmarks/runs.py --go --only pong --max 1
    python examples/benchmarks/runs.py --commands               # the commands, to type on other machines

A run that was killed goes on from its last checkpoint the next time (one with a replay buffer, an arm of branches.py or
another command begins again). What is done is what the files of results say, so that rows of several machines can be
put together by copying them there; each has its true steps, its seed and the machine. What has begun and not ended is
kept in runs_so_far.json, as far as it went, and shown apart.

Writes results/runs.json (by zoo_runs.py), branches.json (by branches.py) and the tables runs.md: for each arm the
interquartile mean of its runs' last returns with its bootstrap interval, and the probability that a run of it ends
better than one of the first arm; over several games the same of human-normalised scores, drawn again within games
(Agarwal et al., NeurIPS 2021). Of two or three runs the interval is the lowest and the highest of them, which cover the
true mean in 52 and 74 cases of 100, not in 95.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from common import HERE, count, run_program, write_table
from runs_queue import Entry, entries, read_queue
from runs_so_far import keep_so_far
from runs_tables import tables

from sb3_efficient.atomic import inherited, locked
from sb3_efficient.errors import EfficientError, UnknownNameError, suggestion

QUEUE = HERE / "runs.yml"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--go", action="store_true", help="work off what is not done")
    parser.add_argument("--jobs", type=count, default=1, help="runs at a time (default: %(default)s)")
    parser.add_argument("--max", type=int, help="runs to start, at most (default: all)")
    parser.add_argument("--only", nargs="+", metavar="GROUP", help="groups of the queue (default: all)")
    parser.add_argument("--commands", action="store_true", help="show each one's command")
    parser.add_argument("--queue", type=Path, default=QUEUE, help="file (default: runs.yml beside this script)")
    arguments = parser.parse_args()
    groups = read_queue(arguments.queue)
    for name in arguments.only or []:
        if name not in groups:
            raise UnknownNameError(f"Unknown group {name!r}.{suggestion(name, groups)} Groups: {', '.join(groups)}.")
    chosen = {name: group for name, group in groups.items() if name in (arguments.only or groups)}
    todo = [entry for group in chosen.values() for entry in entries(group)]
    if arguments.go:
        work(todo, arguments.jobs, arguments.max)
    keep_so_far(todo)
    print(status(todo, arguments.commands))
    if text := tables(chosen):
        print(f"\n{text}")
        write_table("runs", tables(groups))


def work(queue: list[Entry], jobs: int, at_most: int | None) -> None:
    """
    Start what is open, from the top, until nothing is left that can be started.

    :param queue: In this order
    :param jobs: At a time
    :param at_most: Runs to start
    """
    tried: set[str] = set()
    running: set[Future[None]] = set()
    with ThreadPoolExecutor(jobs) as pool:
        while True:
            ready = (e for e in queue if e.name not in tried and e.state() in ("open", "failed"))
            while len(running) < jobs and (at_most is None or len(tried) < at_most) and (entry := next(ready, None)):
                tried.add(entry.name)
                running.add(pool.submit(start, entry))
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                try:
                    future.result()
                except EfficientError as error:
                    # Another queue was faster
                    print(error, flush=True)


def start(entry: Entry) -> None:
    """What fails is said, and the next one begins."""
    checkpoint = entry.prefix.found() if entry.prefix else None
    words = [str(checkpoint) if checkpoint and "*" in word else word for word in entry.command]
    with locked(entry.log, wait=False) as lock:
        print(f"{entry.name}: {entry.log}", flush=True)
        with entry.log.open("a") as output:
            done = subprocess.run(
                [sys.executable, *words], stdout=output, stderr=subprocess.STDOUT, pass_fds=inherited(lock), check=False
            )
            if done.returncode != 0:
                print(f"failed with exit status {done.returncode}", file=output)
    if done.returncode != 0:
        print(f"{entry.name}: failed, see {entry.log}", flush=True)


def status(queue: list[Entry], show_commands: bool) -> str:
    """A line for each run."""
    lines, counts = [], dict.fromkeys(("done", "running", "open", "waits", "failed"), 0)
    for entry in queue:
        state = entry.state()
        counts[state] += 1
        done = f"{progress(entry):,} of {entry.steps:,} steps" if entry.steps else ""
        lines.append(f"{state:8} {entry.name:56} {done}".rstrip())
        if show_commands:
            lines.append(f"         python {' '.join(repr(word) if ' ' in word else word for word in entry.command)}")
    return "\n".join([*lines, ", ".join(f"{n} {state}" for state, n in counts.items() if n)])


def progress(entry: Entry) -> int:
    """Steps of a run so far."""
    points = entry.points() if entry.state() != "done" else [[entry.steps]]
    return int(points[-1][0]) if points else 0


if __name__ == "__main__":
    try:
        run_program(main)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
