"""
Trained policies made smaller and faster: how small, how fast, and whether they still play as well.

    python examples/benchmarks/compress.py                                # every row: hours
    python examples/benchmarks/compress.py --only students                # what takes long to make, ahead
    python examples/benchmarks/compress.py --only latency recipes tiny_rl # a quarter of an hour, if nothing else runs
    python examples/benchmarks/compress.py --only returns --agents "Pong Nature" --episodes 200
    python examples/benchmarks/compress.py --quick                        # two minutes, nothing is written

Kinds of rows:
  students  none: observations are recorded and policies made, which takes hours and need not be timed
  latency   network and whole predict, batches of 1 and 100, on every engine, beside plain SB3 in the same blocks
  recipes   of each recipe bytes, latency, agreement with the original on observations held out, seconds it took to make
  tiny_rl   the same for the rows of tiny_rl's tables, on its complete network (distilled from our agent of Pong)
  returns   whole games with sticky actions, sampled actions, the same episode seeds for all

"Plain SB3" runs this package's Impala on contiguous float32 images, as SB3 runs its NatureCNN.

Agents are those of examples/agents. Observations, students and policies are kept in --work, so that a call that was
stopped goes on; rows that are there are not measured again (--again), unless another recipe has their name now, and
more --episodes are added to those played. Games need no quiet machine, and several calls may play at once.

Writes results/compress.json and the tables in its page.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch as th
from common import count, open_rows, run_program, write_page
from compress_agent import AGENTS, FOLDER, TINY_AGENT, Bench, say
from compress_tables import NAMES, TINY_RL, in_short, table
from stable_baselines3.common.torch_layers import NatureCNN

from sb3_efficient import make_engine
from sb3_efficient.bench.rows import Row, Rows
from sb3_efficient.errors import EfficientError, MissingExtraError
from sb3_efficient.evaluation.latency import time_policies

BEGIN = "<!-- tables of examples/benchmarks/compress.py -->\n"
KEYS = ("kind", "agent", "recipe")
OURS = "network of this package, torch"
#: name -> recipe, engine; none: the model itself
ENGINES = {
    OURS: (None, "eager"),
    "float32, ONNX Runtime": ("", "onnxruntime"),
    "static-int8, ONNX Runtime": ("static-int8", "onnxruntime"),
    "static-int8, OpenVINO": ("static-int8", "openvino"),
    "dynamic-int8, ONNX Runtime": ("dynamic-int8", "onnxruntime"),
    "dynamic-float16, ONNX Runtime": ("dynamic-float16", "onnxruntime"),
    "static-float16, ONNX Runtime": ("static-float16", "onnxruntime"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=KINDS, default=list(KINDS), metavar="KIND")
    parser.add_argument(
        "--agents", nargs="+", choices=[*AGENTS, TINY_AGENT], metavar="AGENT", help="default: those that are there"
    )
    parser.add_argument(
        "--recipes",
        nargs="+",
        choices=[*NAMES, *TINY_RL],
        metavar="RECIPE",
        help="default: all; names as in the tables",
    )
    parser.add_argument("--episodes", type=count, default=100, help="whole games of each policy")
    parser.add_argument("--rounds", type=count, default=20, help="blocks of ten timed calls, at most")
    parser.add_argument(
        "--seconds", type=float, default=3, help="of each policy, batch and kind (default: %(default)s)"
    )
    parser.add_argument("--observations", type=count, default=16_000, help="to train and calibrate with")
    parser.add_argument("--work", type=Path, default=Path("logs/compress"), help="default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="one agent, few recipes, steps and episodes")
    parser.add_argument("--again", action="store_true", help="measure rows that are there, too")
    parser.add_argument("--rewrite", action="store_true", help="write the tables again, measure nothing")
    arguments = parser.parse_args()
    th.set_num_threads(1)
    if arguments.quick:
        hurry(arguments)
    rows = open_rows("compress", KEYS, quick=arguments.quick)
    for kind in [] if arguments.rewrite else arguments.only:
        for row in KINDS[kind](arguments, rows):
            rows.add([row])
    print(table(ordered(rows.rows)))
    if rows.file is not None:
        write_page(BEGIN, in_short(rows.rows), full=table(ordered(rows.rows)))


def hurry(arguments: argparse.Namespace) -> None:
    arguments.rounds = 2
    arguments.observations = min(arguments.observations, 200)
    arguments.episodes = min(arguments.episodes, 2)
    arguments.recipes = arguments.recipes or ["static-int8", "channels, distilled, static-int8", *list(TINY_RL)[1:4]]
    arguments.agents = ["Pong Nature", *([TINY_AGENT] if {*arguments.recipes} & {*TINY_RL} else [])]
    arguments.work = arguments.work / "quick"


def ordered(rows: list[Row]) -> list[Row]:
    """As the tables have them."""
    kinds, agents = list(KINDS), [*AGENTS, TINY_AGENT]
    return sorted(rows, key=lambda row: (kinds.index(row["kind"]), agents.index(row["agent"])))


def found(rows: Rows, new: Row) -> Row | None:
    """The row of the same name, made by the same steps."""
    row = rows.find(**{key: new[key] for key in KEYS})
    return row if row is not None and row.get("steps") == new.get("steps") else None


def benches(arguments: argparse.Namespace) -> Iterator[Bench]:
    for name in arguments.agents or [*AGENTS, TINY_AGENT]:
        algo, env_id, number = AGENTS.get(name, AGENTS["Pong Nature"])
        if arguments.agents or (FOLDER / algo / f"{env_id}_{number}").exists():
            yield Bench(name, arguments)


def students(arguments: argparse.Namespace, rows: Rows) -> Iterator[Row]:
    for bench in benches(arguments):
        for name, recipe in bench.recipes.items():
            try:
                bench.policy(recipe)
            except EfficientError as error:
                say(f"skipped: {name}: {error}")
    yield from ()


def latency(arguments: argparse.Namespace, rows: Rows) -> Iterator[Row]:
    for bench in benches(arguments):
        row = {"kind": "latency", "agent": bench.name, "threads": 1}
        if bench.name == TINY_AGENT or (found(rows, {**row, "recipe": "plain SB3"}) and not arguments.again):
            continue
        pairs: dict[str, Any] = {"plain SB3": (bench.plain, bench.plain)}
        for name, (recipe, engine) in ENGINES.items():
            if name == OURS and type(bench.model.policy.features_extractor) is NatureCNN:
                continue
            try:
                runs = make_engine(bench.model if recipe is None else bench.policy(recipe)[0], engine)
            except MissingExtraError as error:
                say(f"skipped: {error}")
                continue
            pairs[name] = (bench.model if recipe is None else runs, runs)
        say(f"{bench.name}: timing")
        options = {"repeats": 10 * arguments.rounds, "seconds": arguments.seconds, "progress": True}
        for name, timing in time_policies(pairs, bench.held_out, **options).items():
            yield {**row, "recipe": name, **asdict(timing)}


def recipes(arguments: argparse.Namespace, rows: Rows) -> Iterator[Row]:
    yield from sized("recipes", (bench for bench in benches(arguments) if bench.name != TINY_AGENT), arguments, rows)


def tiny_rl(arguments: argparse.Namespace, rows: Rows) -> Iterator[Row]:
    if TINY_AGENT in (arguments.agents or [TINY_AGENT]):
        yield from sized("tiny_rl", [Bench(TINY_AGENT, arguments)], arguments, rows)


def sized(kind: str, chosen: Iterable[Bench], arguments: argparse.Namespace, rows: Rows) -> Iterator[Row]:
    for bench in chosen:
        for name, recipe in bench.recipes.items():
            row = {"kind": kind, "agent": bench.name, "recipe": name, "steps": recipe}
            if found(rows, row) and not arguments.again:
                continue
            say(f"{bench.name}: {name}")
            try:
                yield {**row, **bench.measure(recipe)}
            except EfficientError as error:
                say(f"skipped: {error}")


def returns(arguments: argparse.Namespace, rows: Rows) -> Iterator[Row]:
    for bench in benches(arguments):
        for name, recipe in {"random play": "random play", "original": "original", **bench.recipes}.items():
            row = {"kind": "returns", "agent": bench.name, "recipe": name, "steps": recipe}
            known = [] if arguments.again else (found(rows, row) or {"returns": []})["returns"]
            try:
                more = bench.returns(recipe, known)
            except EfficientError as error:
                say(f"skipped: {name}: {error}")
                continue
            if more != known:
                yield {**row, "returns": more}


#: The last one needs no quiet machine, nor does the first
KINDS: dict[str, Callable[[argparse.Namespace, Rows], Iterator[Row]]] = {
    "students": students,
    "latency": latency,
    "recipes": recipes,
    "tiny_rl": tiny_rl,
    "returns": returns,
}

if __name__ == "__main__":
    run_program(main)
