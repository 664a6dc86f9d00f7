"""
Trained policies made smaller and faster: how small, how fast, and whether they still play as well.

    python examples/benchmarks/compress.py                          # every row, some hours
    python examples/benchmarks/compress.py --only latency           # minutes; on a machine that does nothing else
    python examples/benchmarks/compress.py --only returns --agents "Pong Nature" --episodes 200
    python examples/benchmarks/compress.py --quick                  # two minutes, nothing is written

Kinds of rows:
  latency   network and whole predict, batches of 1 and 100, on every engine, beside plain SB3 in the same blocks
  recipes   of each recipe bytes, latency, agreement with the original on observations held out, seconds it took to make
  returns   whole games with sticky actions, sampled actions, the same episode seeds for all
  tiny_rl   the tables of tiny_rl, row by row, on its complete network (distilled from our agent of Pong)

Agents are those of examples/agents. Observations, students and policies are kept in --work, so that a call that was
stopped goes on; rows that are there are not measured again (--again), and more --episodes are added to those played.

Writes results/compress.json and the tables in README.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch as th
from common import IN_README, RESULTS, run_program, write_readme, write_rows
from compress_tables import RECIPES, TINY_RL, table
from stable_baselines3 import PPO
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_efficient import compress, make_engine, policy_kwargs, save_slim
from sb3_efficient.cli.compress import slug
from sb3_efficient.compression import CompressedPolicy, make_recipe
from sb3_efficient.compression.distillation import Distillation
from sb3_efficient.compression.recipe import LastMethod, Method, ModelMethod
from sb3_efficient.envs import AleVecEnv
from sb3_efficient.errors import EfficientError, MissingExtraError
from sb3_efficient.evaluation.agreement import agreement
from sb3_efficient.evaluation.candidates import graph_candidate, model_candidate
from sb3_efficient.evaluation.episodes import RandomPlay, play
from sb3_efficient.evaluation.latency import time_policies
from sb3_efficient.extractors import TinyRLActorCriticPolicy
from sb3_efficient.observations import collect, load_observations, save_observations
from sb3_efficient.zoo.saved import SavedAgent, find_agent

FILE = RESULTS / "compress.json"
BEGIN = "<!-- tables of examples/benchmarks/compress.py -->\n"
FOLDER = Path(__file__).parents[1] / "agents"
#: name -> algorithm, environment, number of the run
AGENTS = {
    "Pong Nature": ("ppo", "PongNoFrameskip-v4", 1),
    "Pong Impala": ("ppo", "PongNoFrameskip-v4", 2),
    "Qbert Nature": ("ppo", "QbertNoFrameskip-v4", 1),
}
#: The complete network of tiny_rl, taught by the first agent
TINY_AGENT, TEACHING = "Pong tiny-rl", Distillation(steps=4000, batch_size=128)
#: name -> recipe, engine; none: plain SB3
ENGINES = {
    "plain SB3": (None, "eager"),
    "float32, ONNX Runtime": ("", "onnxruntime"),
    "static-int8, ONNX Runtime": ("static-int8", "onnxruntime"),
    "static-int8, OpenVINO": ("static-int8", "openvino"),
    "dynamic-int8, ONNX Runtime": ("dynamic-int8", "onnxruntime"),
    "dynamic-float16, ONNX Runtime": ("dynamic-float16", "onnxruntime"),
    "static-float16, ONNX Runtime": ("static-float16", "onnxruntime"),
}
STICKY = 0.25
N_ENVS = 32
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=KINDS, default=list(KINDS), metavar="KIND")
    parser.add_argument("--agents", nargs="+", choices=AGENTS, metavar="AGENT", help="default: those that are there")
    parser.add_argument(
        "--recipes", nargs="+", choices=RECIPES, metavar="RECIPE", help="default: all; names as in the table"
    )
    parser.add_argument("--episodes", type=int, default=100, help="whole games of each policy")
    parser.add_argument("--rounds", type=int, default=20, help="blocks of ten timed calls, at most")
    parser.add_argument("--observations", type=int, default=16_000, help="to train and calibrate with")
    parser.add_argument("--work", type=Path, default=Path("logs/compress"), help="default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="one agent, few recipes, steps and episodes")
    parser.add_argument("--again", action="store_true", help="measure rows that are there, too")
    parser.add_argument("--rewrite", action="store_true", help="write the tables again, measure nothing")
    arguments = parser.parse_args()
    th.set_num_threads(1)
    if arguments.quick:
        hurry(arguments)
    keep = not (arguments.quick and IN_README)
    rows = measured() if keep else []
    for kind in [] if arguments.rewrite else arguments.only:
        for row in KINDS[kind](arguments, rows):
            rows = replaced(rows, row)
            if keep:
                write_rows(FILE, rows)
    print(table(rows))
    if keep:
        write_readme(BEGIN, table(rows))


def hurry(arguments: argparse.Namespace) -> None:
    arguments.agents, arguments.rounds = ["Pong Nature"], 2
    arguments.observations = min(arguments.observations, 200)
    arguments.episodes = min(arguments.episodes, 2)
    arguments.recipes = arguments.recipes or ["static-int8", "channels, distilled, static-int8"]
    arguments.work = arguments.work / "quick"


def measured() -> list[Row]:
    return json.loads(FILE.read_text())["rows"] if FILE.exists() else []


def key(row: Row) -> tuple[str, ...]:
    return row["kind"], row["agent"], row["recipe"]


def replaced(rows: list[Row], new: Row) -> list[Row]:
    rows = [row for row in rows if key(row) != key(new)] + [new]
    order = (list(KINDS), [*AGENTS, TINY_AGENT])
    return sorted(rows, key=lambda row: (order[0].index(row["kind"]), order[1].index(row["agent"])))


def found(rows: list[Row], kind: str, agent: str, recipe: str) -> Row | None:
    return next((row for row in rows if key(row) == (kind, agent, recipe)), None)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Bench:
    """
    An agent with its observations, and what is made of it, kept in files.

    :param name: One of :data:`AGENTS`
    :param arguments: Of the command line
    """

    def __init__(self, name: str, arguments: argparse.Namespace) -> None:
        self.name, self.arguments = name, arguments
        algo, env_id, number = AGENTS["Pong Nature" if name == TINY_AGENT else name]
        self.saved: SavedAgent = find_agent(algo, env_id, FOLDER, exp_id=number)
        self.folder: Path = arguments.work / name.replace(" ", "-")
        self.model: BaseAlgorithm = self.saved.load()
        n = arguments.observations
        self.observations = np.concatenate([self.record(3 * n // 4, 1, False), self.record(n // 4, 2, True)])
        self.held_out = self.record(max(n // 8, 100), 3, False)
        if name == TINY_AGENT:
            self.model = self.tiny_rl()

    def record(self, n: int, seed: int, deterministic: bool) -> np.ndarray:
        file = self.folder / f"observations_{n}_{seed}.safetensors"
        if file.exists():
            return load_observations(file, self.model.observation_space)
        say(f"{self.name}: recording {n} observations")
        env = AleVecEnv(self.saved.env_id, 16, seed=seed, num_threads=1, action_repeat_probability=STICKY)
        try:
            seen = collect(make_engine(self.model), env, n, spacing=5, seed=seed, deterministic=deterministic)
        finally:
            env.close()
        file.parent.mkdir(parents=True, exist_ok=True)
        save_observations(file, seen)
        return seen

    def tiny_rl(self) -> BaseAlgorithm:
        """The complete network, taught what the agent does."""
        file = self.folder / "agent.zip"
        if not file.exists():
            student = PPO(
                TinyRLActorCriticPolicy, AleVecEnv(self.saved.env_id, 1), policy_kwargs=policy_kwargs("tiny-rl", PPO)
            )
            step = replace(TEACHING, steps=20) if self.arguments.quick else TEACHING
            save_slim(step.apply(student, teacher=self.model, observations=self.observations), file)
        return PPO.load(file, device="cpu")

    def policy(self, recipe: str) -> tuple[CompressedPolicy, float]:
        """
        :return: What the recipe makes, and the seconds that it took
        """
        steps = make_recipe(recipe)
        students = [step for step in steps if isinstance(step, ModelMethod)]
        last = [step for step in steps if isinstance(step, LastMethod)]
        student, seconds = self.student(tuple(students))
        start = time.perf_counter()
        policy = replace(compress(student, last, calibration=self.observations), recipe=steps)
        return policy, seconds + time.perf_counter() - start

    def student(self, steps: tuple[Method, ...]) -> tuple[BaseAlgorithm, float]:
        """What the steps before the last make, from a file if there is one."""
        if not steps:
            return self.model, 0.0
        before, seconds = self.student(steps[:-1])
        file = self.folder / f"{slug(steps)}.zip"
        if not file.exists():
            say(f"{self.name}: {steps[-1]}")
            step: Any = steps[-1]
            if self.arguments.quick and hasattr(step, "steps"):
                step = replace(step, steps=5)
            start = time.perf_counter()
            save_slim(step.apply(before, teacher=self.model, observations=self.observations), file)
            file.with_suffix(".json").write_text(json.dumps({"seconds": seconds + time.perf_counter() - start}))
        return type(self.model).load(file, device="cpu"), json.loads(file.with_suffix(".json").read_text())["seconds"]

    def measure(self, recipe: str) -> Row:
        """Size, speed beside plain SB3, and nearness to it."""
        policy, seconds = self.policy(recipe)
        original = model_candidate("original", self.model)
        one = graph_candidate(recipe, policy, policy.n_bytes)
        pairs = {"original": (original.policy, original.engine), "it": (one.policy, one.engine)}
        timings = time_policies(pairs, self.held_out, repeats=10 * self.arguments.rounds, seconds=3)
        near = agreement(one.engine, original.engine, self.held_out)
        return {
            **{"bytes": one.n_bytes, "parameters": one.parameters, "seconds": round(seconds, 1)},
            **{"original_bytes": original.n_bytes, "original_parameters": original.parameters},
            **{"agreement": near.actions, "sqnr": None if near.sqnr == float("inf") else near.sqnr},
            **{"timing": asdict(timings["it"]), "original_timing": asdict(timings["original"])},
        }

    def returns(self, recipe: str | None, known: list[float]) -> list[float]:
        """
        :param recipe: None for the original
        :param known: Of the first seeds
        :return: Those, and of the seeds after them
        """
        seeds = range(len(known), self.arguments.episodes)
        if not seeds:
            return known
        random, policy = recipe == "random play", None
        if not random:
            policy = self.model if recipe is None else self.policy(recipe)[0]
        player: Any = RandomPlay(self.model.action_space) if random else policy
        title = f"{self.name}, {recipe or 'original'}"
        return [*known, *play(player, lambda: self.saved.make_env(STICKY), seeds, n_envs=N_ENVS, title=title).tolist()]


def benches(arguments: argparse.Namespace) -> Iterator[Bench]:
    for name in arguments.agents or AGENTS:
        _, env_id, number = AGENTS[name]
        if arguments.agents or (FOLDER / "ppo" / f"{env_id}_{number}").exists():
            yield Bench(name, arguments)


def latency(arguments: argparse.Namespace, rows: list[Row]) -> Iterator[Row]:
    for bench in benches(arguments):
        if found(rows, "latency", bench.name, "plain SB3") and not arguments.again:
            continue
        pairs = {}
        for name, (recipe, engine) in ENGINES.items():
            try:
                runs = make_engine(bench.model if recipe is None else bench.policy(recipe)[0], engine)
            except MissingExtraError as error:
                say(f"skipped: {error}")
                continue
            pairs[name] = (bench.model if recipe is None else runs, runs)
        say(f"{bench.name}: timing")
        for name, timing in time_policies(pairs, bench.held_out, repeats=10 * arguments.rounds, progress=True).items():
            yield {"kind": "latency", "agent": bench.name, "recipe": name, "threads": 1, **asdict(timing)}


def recipes(arguments: argparse.Namespace, rows: list[Row]) -> Iterator[Row]:
    for bench in benches(arguments):
        for name in arguments.recipes or RECIPES:
            yield from sized(bench, "recipes", name, RECIPES[name], arguments, rows)


def returns(arguments: argparse.Namespace, rows: list[Row]) -> Iterator[Row]:
    for bench in benches(arguments):
        for name in ("random play", "original", *(arguments.recipes or RECIPES)):
            recipe = {"original": None, "random play": name}.get(name, RECIPES.get(name))
            yield from played(bench, "returns", name, recipe, arguments, rows)


def tiny_rl(arguments: argparse.Namespace, rows: list[Row]) -> Iterator[Row]:
    bench = Bench(TINY_AGENT, arguments)
    chosen = dict(list(TINY_RL.items())[: 3 if arguments.quick else None])
    for name, (recipe, _) in {"random play": ("random play", None), "original": (None, None), **chosen}.items():
        if name in TINY_RL:
            yield from sized(bench, "tiny_rl", name, recipe, arguments, rows)
        yield from played(bench, "returns", name, recipe, arguments, rows)


def sized(
    bench: Bench, kind: str, name: str, recipe: str, arguments: argparse.Namespace, rows: list[Row]
) -> Iterator[Row]:
    if found(rows, kind, bench.name, name) and not arguments.again:
        return
    say(f"{bench.name}: {name}")
    try:
        yield {"kind": kind, "agent": bench.name, "recipe": name, **bench.measure(recipe)}
    except EfficientError as error:
        say(f"skipped: {error}")


def played(
    bench: Bench, kind: str, name: str, recipe: str | None, arguments: argparse.Namespace, rows: list[Row]
) -> Iterator[Row]:
    known = (found(rows, kind, bench.name, name) or {"returns": []})["returns"]
    try:
        more = bench.returns(recipe, [] if arguments.again else known)
    except EfficientError as error:
        say(f"skipped: {name}: {error}")
        return
    if more != known:
        yield {"kind": kind, "agent": bench.name, "recipe": name, "returns": more}


KINDS: dict[str, Callable[[argparse.Namespace, list[Row]], Iterator[Row]]] = {
    "latency": latency,
    "recipes": recipes,
    "returns": returns,
    "tiny_rl": tiny_rl,
}

if __name__ == "__main__":
    run_program(main)
