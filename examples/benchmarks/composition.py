"""
What all of it comes to: a Pong Impala agent from stock to everything, step by step.

    python examples/benchmarks/composition.py            # half an hour
    python examples/benchmarks/composition.py --quick    # two minutes, nothing is written
    python examples/benchmarks/composition.py --only training    # a minute, on any machine

Every step keeps what the ones before it brought. Taken from the other benchmarks: times faster in training and memory
of the process (training_loop.json and seer.json, one thread, each beside plain SB3 in its own run), and the hours of
800,000 steps at these speeds, frozen at 250,000 as the agent examples/agents/ppo/PongNoFrameskip-v4_2 was; returns in
training, of that agent, of a run that was never frozen and of one in plain SB3, after as many steps as the last and the
second made; returns of whole games with sticky actions, where compress.json has them. Measured here: bytes of an
observation in the rollout buffer, bytes of the file, the whole of ``predict`` for one image, all variants in turn on
consecutive frames (one thread, means), and games that are not there yet.

"stock" is our Impala on contiguous float32 images in plain SB3, which has no such network. Its run is not at its end
(runs.py goes on with it). Minutes of distillation are not in the hours. The last rows are what freezing deeper would
bring: agents that were not trained.

Writes results/composition.json and the table in README.md. Only a machine that does nothing else gives numbers worth
keeping.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import compress
import headline
import numpy as np
import reuse_acting
import seer_speed
import torch as th
import training_loop
from common import RESULTS, count, open_rows, rows_of, run_program, write_page
from compress_agent import AGENTS, FOLDER, Bench
from compress_tables import NARROW, recipes_of
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_efficient import make_engine, save_slim
from sb3_efficient.compression import make_recipe
from sb3_efficient.errors import UnavailableError
from sb3_efficient.evaluation.statistics import bootstrap, mean
from sb3_efficient.zoo.saved import find_agent

BEGIN = "<!-- table of examples/benchmarks/composition.py -->\n"
AGENT = "Pong Impala"
STEPS, FROZEN_AT = 800_000, 250_000
RECIPES = recipes_of(AGENT)
#: Step -> variant of training_loop.json or seer.json, and depth that is frozen from FROZEN_AT on
TRAINING: dict[str, tuple[str, str | None]] = {
    "stock": ("plain", None),
    "bf16, `accelerate`": ("accelerated", None),
    "`AleVecEnv`": ("with AleVecEnv", None),
    "SEER, `depth=2`": ("lower stages", "2"),
}
#: Step -> run that was trained so, of headline.CURVES; of stock there is one in the queue of runs
CURVES = {"`AleVecEnv`": "Impala, accelerated", "SEER, `depth=2`": "Impala, everything on"}
STOCK = ("PongNoFrameskip-v4", "Impala")
#: Column -> steps of training; all three runs made the fewer, both that were accelerated the more
LEARNT = {"early_return": 360_000, "training_return": 700_000}
#: Not on the way
DEEPER: dict[str, tuple[str, str | None]] = {
    "`depth='conv'` instead": ("conv", "conv"),
    "`depth='features'` instead": ("features", "features"),
}
#: Step -> recipe by its name in compress.json, or itself, and engine
ACTING = {
    "pruned": (NARROW, "onnxruntime"),
    "distilled": ("channels, distilled", "onnxruntime"),
    "int8": ("channels, distilled, static-int8", "onnxruntime"),
    "reuse, in int8": ("channels, distilled, static-int8", "reuse"),
    "reuse, in place of int8": ("channels, distilled", "reuse"),
}
#: Column -> how it is shown
UNITS = {
    "hours": (1, "{:.1f} h"),
    "process_mb": (1, "{:,.0f} MB"),
    "rollout_bytes": (1, "{:,.0f} B"),
    "early_return": (1, "{:.1f}"),
    "training_return": (1, "{:.1f}"),
    "file_bytes": (1e6, "{:.2f} MB"),
    "predict_us": (1e3, "{:.2f} ms"),
}
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=count, default=50, help="whole games, where there are none yet")
    parser.add_argument("--frames", type=count, default=2000, help="acted on by each variant")
    parser.add_argument("--observations", type=count, default=16_000, help="to train and calibrate with")
    parser.add_argument("--work", type=Path, default=Path("logs/compress"), help="as of compress.py: %(default)s")
    parser.add_argument("--only", choices=["training"], help="nothing that is timed here, and no games")
    parser.add_argument("--quick", action="store_true", help="few frames and steps of distillation, no games")
    parser.add_argument("--rewrite", action="store_true", help="write the table again, measure nothing")
    arguments = parser.parse_args()
    th.set_num_threads(1)
    if arguments.quick:
        arguments.episodes, arguments.frames, arguments.observations = 0, 200, 200
        arguments.work /= "quick"
    rows = open_rows("composition", ("step",), quick=arguments.quick)
    if not arguments.rewrite:
        training_rows = trained()
        rows.add(with_acting(training_rows, rows.rows))
        if arguments.only != "training":
            rows.add(acted(training_rows, arguments))
    print(table(rows.rows))
    if rows.file is not None:
        write_page(BEGIN, table(rows.rows))


def trained() -> list[Row]:
    """Steps of training, and in which file they end."""
    algo, env_id, number = AGENTS[AGENT]
    file_bytes = stock_bytes(find_agent(algo, env_id, FOLDER, exp_id=number).load())
    found = []
    for step, (variant, depth) in {**TRAINING, **DEEPER}.items():
        row = {"step": step, **training(variant, depth), "rollout_bytes": rollout_bytes(variant, depth)}
        found.append({**row, **learnt(step)})
    return [row if row["step"] in DEEPER else {**row, "file_bytes": file_bytes} for row in found]


def with_acting(rows: list[Row], before: list[Row]) -> Iterator[Row]:
    """
    :param rows: Steps of training
    :param before: Rows that were there
    :return: Those of training, and those after it, which are trained as its last; what acting takes is kept
    """
    found = {row["step"]: row for row in before}
    for row in rows:
        yield {**found.get(row["step"], {}), **row}
    *_, last = (row for row in rows if row["step"] in TRAINING)
    for step in ACTING:
        if step in found:
            yield {**found[step], **shared(last)}


def shared(trained: Row) -> Row:
    """What steps after training have of its last."""
    return {name: value for name, value in trained.items() if name not in ("step", "file_bytes", *LEARNT)}


def acted(rows: list[Row], arguments: argparse.Namespace) -> list[Row]:
    """
    Steps after training.

    :param rows: Steps of training
    :return: Those, with what acting takes, and the steps after them
    """
    bench = Bench(AGENT, arguments)
    on_the_way = [row for row in rows if row["step"] in TRAINING]
    policies = {step: made(bench, RECIPES.get(recipe, recipe), engine) for step, (recipe, engine) in ACTING.items()}
    steps = [{"step": step, **shared(on_the_way[-1]), "file_bytes": size} for step, (_, size) in policies.items()]
    stock = bench.saved.load()
    training_loop.make_plain(stock)
    frames = reuse_acting.play("Pong", arguments.frames, bench.model)[:, :1]
    times = latency({"stock": stock, **{step: policy for step, (policy, _) in policies.items()}}, frames)
    games = {step: returns(bench, recipe) for step, (recipe, _) in ACTING.items()}
    # The agent was trained with all of the steps of training
    games[on_the_way[-1]["step"]] = returns(bench, "original")
    return [
        {**row, "predict_us": times.get(row["step"], times["stock"]), "returns": games.get(row["step"])}
        for row in (*on_the_way, *steps)
    ]


def stock_bytes(model: BaseAlgorithm) -> int:
    """What SB3 saves of an agent that has been trained: weights, and the optimizer's moments."""
    with tempfile.TemporaryDirectory() as folder:
        for parameter in model.policy.parameters():
            parameter.grad = th.zeros_like(parameter)
        model.policy.optimizer.step()
        file = Path(folder) / "agent.zip"
        model.save(file)
        return file.stat().st_size


def training(variant: str, depth: str | None) -> Row:
    """Times faster than plain SB3 in the same run, hours of the whole training and memory."""
    frozen = impala("seer")
    speed = {**frozen, **impala("training_loop")} if variant in ("accelerated", "with AleVecEnv") else frozen
    own, plain = speed[variant], speed["plain"]
    times = own["median"] / plain["median"]
    hours = STEPS / (frozen["plain"]["median"] * times) / 3600
    if depth is not None:
        pace = {name: row["median"] for name, row in frozen.items()}
        hours = float(headline.hours((STEPS,), [(0, ""), (FROZEN_AT, depth)], pace)[0])
    return {"times_faster": round(times, 2), "hours": round(hours, 2), "process_mb": own["memory_mb"]}


def learnt(step: str) -> dict[str, float]:
    """Mean returns of the last 100 games, as the zoo's environments count them, as far as a run went."""
    # Of the project, wherever results are written
    results = Path(__file__).with_name("results")
    if step == "stock":
        found = (json.loads((results / name).read_text()) for name in ("runs.json", "runs_so_far.json"))
        curve = next(row["curve"] for row in chain(*found) if (row["env"], row["label"]) == STOCK)
    elif step in CURVES:
        content = json.loads((results / f"{headline.CURVES[CURVES[step]][0]}.json").read_text())
        curve = [(steps, value) for steps, _, value in content["curve"]]
    else:
        return {}
    steps, values = zip(*curve, strict=True)
    return {name: round(float(np.interp(at, steps, values)), 1) for name, at in LEARNT.items() if at <= steps[-1]}


def impala(name: str) -> dict[str, Row]:
    """
    :param name: Of another benchmark
    :return: Its rows of PPO with Impala on one thread, by variant
    """
    wanted = {"algo": "ppo", "network": "impala", "threads": 1}
    found = {row["variant"]: row for row in rows_of(name) if wanted.items() <= row.items()}
    if not found:
        raise UnavailableError(
            f"The speeds of Impala are taken from {RESULTS / name}.json, which has none: run {name}.py without "
            "--quick first."
        )
    return found


def rollout_bytes(variant: str, depth: str | None) -> int:
    """Of one observation in the rollout buffer."""
    model = training_loop.make_model("ppo", "impala", "plain" if depth is None else "with AleVecEnv", 1, n_steps=16)
    if depth is not None:
        seer_speed.freeze(model, seer_speed.VARIANTS[variant][1])
    buffer = model.rollout_buffer
    return int(buffer.observations.nbytes / (buffer.buffer_size * buffer.n_envs))


def made(bench: Bench, recipe: str, engine: str) -> tuple[Any, int]:
    """
    :return: What acts, and the bytes of its file
    """
    if recipe.endswith("static-int8"):
        policy, _ = bench.policy(recipe)
        return policy.engine(engine), policy.n_bytes
    student, _ = bench.student(tuple(make_recipe(recipe)))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "agent.zip"
        save_slim(student, file)
        return make_engine(student, engine), file.stat().st_size


def returns(bench: Bench, name: str) -> Row | None:
    """Of whole games with sticky actions: from compress.json, or played now."""
    wanted = {"kind": "returns", "agent": AGENT, "recipe": name}
    known = open_rows("compress", compress.KEYS).find(**wanted)
    games = known["returns"] if known is not None else bench.returns(RECIPES.get(name, name), [])
    if not games:
        return None
    found = bootstrap(mean, games)
    return {"mean": round(found.estimate, 2), "interval": [round(found.low, 2), round(found.high, 2)], "n": len(games)}


def latency(policies: dict[str, Any], frames: np.ndarray) -> dict[str, float]:
    """Mean microseconds of ``predict``."""
    calls: dict[str, Callable[[np.ndarray], Any]] = {
        name: lambda images, policy=policy: policy.predict(images, deterministic=True)
        for name, policy in policies.items()
    }
    times = reuse_acting.in_blocks(calls, list(frames), blocks=max(2, len(frames) // 200))
    return {name: round(float(np.mean(found)), 1) for name, found in times.items()}


def table(rows: list[Row]) -> str:
    """Markdown: in brackets how many times less than stock."""
    early, late = LEARNT.values()
    lines = [
        f"| step | {STEPS:,} steps | memory of the process | an observation in the rollout | return after {early:,} "
        f"steps | after {late:,} | file | `predict` | mean return, sticky actions |",
        "|" + "---|" * 9,
    ]
    found = {row["step"]: row for row in rows}
    for step in (*TRAINING, *ACTING, *DEEPER):
        if step in found:
            cells = [cell(found[step], found["stock"], name) for name in UNITS]
            lines.append(f"| {step} | {' | '.join([*cells, played(found[step].get('returns'))])} |")
    return "\n".join(lines) + "\n"


def cell(row: Row, stock: Row, name: str) -> str:
    """What was measured."""
    if name not in row:
        return ""
    divisor, form = UNITS[name]
    same = name in LEARNT or row[name] == stock[name]
    less = "" if same else f" ({stock[name] / row[name]:.1f}x)"
    return form.format(row[name] / divisor) + less


def played(found: Row | None) -> str:
    if found is None:
        return ""
    return f"{found['mean']:.1f} [{found['interval'][0]:.1f}, {found['interval'][1]:.1f}], {found['n']} games"


if __name__ == "__main__":
    run_program(main)
