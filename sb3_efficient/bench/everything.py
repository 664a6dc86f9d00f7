"""``sb3-efficient bench all``: every benchmark, one after the other, into one folder; it goes on where it stopped."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from sb3_efficient.bench import scripts
from sb3_efficient.bench.rows import Row, Rows
from sb3_efficient.errors import ConflictError, UnavailableError
from sb3_efficient.options import check_name
from sb3_efficient.progress import progress_bar

HELP = "every benchmark into one folder, then the page of 'bench report'"
EXAMPLES = """\
examples:
  sb3-efficient bench all --quick
  sb3-efficient bench all --only nets seer-ppo --results found

Results go to examples/benchmarks/results/MACHINE-CLASS of the checkout. A benchmark that is finished is not run again
(--again), one that was interrupted goes on behind its last finished row. One that lacks something here, as an extra
or a checkout, is skipped; one that failed is tried again the next time. Why is said at the end and in all.json; what
each one printed is in logs/. The pages of the project are left alone.
"""
#: Where results go, for the scripts
VARIABLE = "SB3_EFFICIENT_RESULTS"
#: Step -> arguments of ``bench``, and those of --quick in place of the second part; rows that are there are measured
#: only where it is said ({again}), or unless it is said ({missing})
STEPS: dict[str, tuple[str, str, str]] = {
    "nets": ("nets {again} --results {results}", "", "--quick --networks nn-bench-small"),
    "extractors": ("extractors {missing}", "", "--quick"),
    "first-convolution": ("first-convolution {missing}", "", "--quick"),
    "update-parts": ("update-parts {missing}", "", "--quick --updates 300"),
    "environments": ("environments {missing}", "", "--quick --threads 1"),
    "replay": ("replay {missing}", "", "--quick"),
    "training": ("training {missing}", "", "--quick"),
    "loop": ("loop --json {results}/loop.json --picture {results}/loop.png", "--repeats 3", "--steps 512"),
    "seer-ppo": ("seer {missing} --only ppo", "", "--quick"),
    "seer-dqn": ("seer {missing} --only dqn", "", "--quick"),
    "seer-memory": ("seer {missing} --only memory conversion", "", "--quick"),
    "seer-run": ("seer {missing} --only run_memory", "", "--quick"),
    "reuse": ("reuse {missing}", "", "--quick --networks nature --weights random --batches 1"),
    "reuse-first-layer": ("reuse-first-layer {missing}", "", "--quick"),
    "reuse-updates": ("reuse-updates {missing}", "", "--quick --only updates --networks nature"),
    "reuse-paper": ("reuse-paper {again}", "", "--quick --tables 'INFERENCE_D4 20/40'"),
    "compress": ("compress {again} --work {results}/logs/compress", "", "--quick --only latency recipes"),
    "composition": ("composition --work {results}/logs/compress", "", "--quick"),
    "leaderboard": ("leaderboard {again} -f {agents} --results {results}", "", "--episodes 2"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """
    :param parser: Of the command ``bench all``
    """
    parser.add_argument("--quick", action="store_true", help="up to half an hour: little of each")
    parser.add_argument("--only", nargs="+", metavar="STEP", help=f"default: all, {', '.join(STEPS)}")
    parser.add_argument("--results", type=Path, help="folder (default: see below)")
    parser.add_argument("--again", action="store_true", help="run what is finished as well")


def run(arguments: argparse.Namespace) -> int:
    """
    :param arguments: As :func:`add_arguments` has them
    :return: Exit status
    """
    from sb3_efficient.bench import report
    from sb3_efficient.machine import machine

    steps = arguments.only or list(STEPS)
    for step in steps:
        check_name("step", step, STEPS)
    results = (arguments.results or default_folder(arguments.quick)).resolve()
    rows = Rows(results / "all.json", machine(), ("step",))
    if any(row.get("quick", arguments.quick) != arguments.quick for row in rows.rows):
        way = "without" if arguments.quick else "with"
        raise ConflictError(f"{results} holds rows that were measured {way} --quick: name another folder (--results).")
    todo = [step for step in steps if arguments.again or not rows.has(step=step, state="done")]
    with progress_bar(f"{len(todo)} of {len(steps)} benchmarks", len(todo)) as advance:
        for step in todo:
            print(f"{step}: {results}/logs/{step}.log", file=sys.stderr, flush=True)
            rows.add([_row(step, results, arguments.quick, arguments.again)])
            advance()
    for line in summary(rows.rows, steps):
        print(line)
    print(f"page: {report.write(results)}")
    return 1 if any(rows.has(step=step, state="failed") for step in steps) else 0


def default_folder(quick: bool) -> Path:
    """
    :param quick: Whether rows are of little worth, and go to a folder of their own
    """
    from sb3_efficient.machine import machine_class

    return scripts.results() / f"{machine_class()}{'-quick' if quick else ''}"


def summary(rows: list[Row], steps: list[str]) -> Iterator[str]:
    """
    :param rows: Of ``all.json``
    :param steps: Asked for
    :return: A line for each
    """
    found = {row["step"]: row for row in rows}
    for step in steps:
        row = found[step]
        yield f"{step:18}{row['state']:9}{row['seconds']:7.0f} s  {row['reason']}".rstrip()


def command(step: str, results: Path, quick: bool, again: bool) -> list[str]:
    """
    :param step: Of :data:`STEPS`
    :param results: Folder
    :param quick: As the option
    :param again: As the option
    :return: What is run
    """
    import shlex

    always, full, little = STEPS[step]
    rows = {"again": "--again", "missing": ""} if again else {"again": "", "missing": "--missing"}
    text = f"{always} {little if quick else full}"
    words = [word.format(results=results, agents=_agents(), **rows) for word in shlex.split(text)]
    return [sys.executable, "-m", "sb3_efficient", "bench", *filter(None, words)]


def _agents() -> Path:
    checkout = scripts.folder()
    return Path("examples/agents") if checkout is None else checkout.parent / "agents"


def _row(step: str, results: Path, quick: bool, again: bool) -> Row:
    if "{agents}" in STEPS[step][0] and not _agents().is_dir():
        reason = f"there is no folder {_agents()}, which a checkout has: call it in one"
        return {"step": step, "quick": quick, "state": "skipped", "reason": reason, "seconds": 0.0}
    log = results / "logs" / f"{step}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    with log.open("w") as file:
        done = subprocess.run(
            command(step, results, quick, again),
            env={**os.environ, VARIABLE: str(results)},
            stdout=file,
            stderr=subprocess.STDOUT,
            check=False,
        )
    text = log.read_text(errors="replace")
    state = {0: "done", UnavailableError.exit_status: "skipped"}.get(done.returncode, "failed")
    lines = text.strip().splitlines() or [f"exit status {done.returncode}"]
    reason = "" if state == "done" else lines[-1]
    seconds = round(time.perf_counter() - start, 1)
    return {"step": step, "quick": quick, "state": state, "reason": reason, "seconds": seconds}
