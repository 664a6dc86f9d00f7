"""
Parts of an update that are computed in another way here: Adam's step late in training, quantile loss, max-pooling.

    python examples/benchmarks/update_parts.py              # every row, a quarter of an hour
    python examples/benchmarks/update_parts.py --quick      # two minutes, nothing is written

Adam: models of Pong with the stock NatureCNN and the zoo's settings are trained for 1,500 updates, accelerated, without
sb3_efficient/fast/denormals.py. Then copies of them go on training, in turns: with the moments as they are, and with
those below 1e-38 set to zero; and take optimizer steps alone, beside SB3's own Adam. A fresh model has none of these
yet, so short benchmarks do not show what they cost; training_loop.py has plain SB3, in a process of its own.

Loss: forward and backward of sb3-contrib's and of sb3_efficient/fast/quantile_loss.py, with the sizes of QR-DQN (32
transitions, 200 quantiles) and of TQC (256 transitions, 2 critics of 25 quantiles, 46 targets).

Pooling: forward and backward of the Impala extractor on 256 images, with torch's max-pooling and with that of
sb3_efficient/extractors/max_pool.py; accelerate() is not needed for it.

All that is compared is measured in turns in one process; medians. Writes results/update_parts.json and .md.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch as th
from common import count, in_turns, open_rows, options, run_program, write_table
from gymnasium import spaces
from sb3_contrib.common.utils import quantile_huber_loss as plain_loss
from training_loop import NAMES, SEGMENT, make_model, make_venv, train

from sb3_efficient import accelerate, make_extractor
from sb3_efficient.bench.rows import Row, summary
from sb3_efficient.extractors import max_pool
from sb3_efficient.fast import model as accelerate_module
from sb3_efficient.fast.memory import keep_freed_memory
from sb3_efficient.fast.quantile_loss import quantile_huber_loss
from sb3_efficient.policies import find_algorithm

ALGORITHMS = ("ppo", "dqn", "qrdqn")
#: Steps of all environments to an update
STEPS = {"ppo": 64, "dqn": 4, "qrdqn": 4}
#: Late in training; moments below 1e-38 kept, or set to zero
WAYS = ("plain", "kept", "zero")
#: Shapes of quantiles and of targets
LOSSES = {"qrdqn": ((32, 200), (32, 200)), "tqc": ((256, 2, 25), (256, 1, 46))}
PRECISIONS = ("bf16", "fp32")
LABELS = {**NAMES, **{f"impala {precision}": f"Impala, {precision}" for precision in PRECISIONS}}
KEYS = ("what", "algo", "threads", "way")
UNITS = {"loss": "ms", "pooling": "ms", "Adam's step": "ms", "training": "frames/s"}


def main() -> None:
    parser = options(__doc__, quick="DQN alone, few rounds")
    parser.add_argument("--algos", nargs="+", choices=ALGORITHMS, default=ALGORITHMS)
    parser.add_argument("--updates", type=count, default=1500, help="of the models (default: %(default)s)")
    parser.add_argument("--threads", type=count, default=1)
    parser.add_argument("--rounds", type=count, default=11, help="turns that each variant gets")
    arguments = parser.parse_args()
    rounds = 1 if arguments.quick else arguments.rounds
    th.set_num_threads(arguments.threads)
    rows = open_rows("update_parts", KEYS, quick=arguments.quick)
    for case, measure in [] if arguments.rewrite else cases(arguments, rounds):
        case |= {"threads": arguments.threads}
        if not (arguments.missing and rows.has(**case)):
            rows.add({**case, **row} for row in measure())
    print(table(rows.rows))
    if rows.file is not None:
        write_table("update_parts", table(rows.rows))


def cases(arguments: argparse.Namespace, rounds: int) -> Iterator[tuple[Row, Callable[[], list[Row]]]]:
    """What there is to measure, and how."""
    for algo in LOSSES:
        yield {"what": "loss", "algo": algo}, partial(compare_losses, algo, rounds)
    for precision in ["fp32"] if arguments.quick else PRECISIONS:
        yield {"what": "pooling", "algo": f"impala {precision}"}, partial(compare_poolings, precision, rounds)
    for algo in ["dqn"] if arguments.quick else arguments.algos:
        segment = SEGMENT[algo] // 4 if arguments.quick else SEGMENT[algo]
        # With the rows of "Adam's step"
        yield {"what": "training", "algo": algo}, partial(compare_late, algo, arguments.updates, rounds, segment)


def compare_losses(algo: str, rounds: int) -> list[Row]:
    """Loss and gradient."""
    sizes, target_sizes = LOSSES[algo]
    quantiles, targets = th.randn(sizes, requires_grad=True), 1 + 2 * th.randn(target_sizes)

    def milliseconds(loss: Callable[..., th.Tensor]) -> float:
        start = time.perf_counter()
        for _ in range(20):
            th.autograd.grad(loss(quantiles, targets), quantiles)
        return 50 * (time.perf_counter() - start)

    ways = {"plain": partial(milliseconds, plain_loss), "sorted": partial(milliseconds, quantile_huber_loss)}
    return compare("loss", algo, ways, rounds)


def compare_poolings(precision: str, rounds: int) -> list[Row]:
    """Whole updates of the extractor."""
    keep_freed_memory()
    extractor: Any = make_extractor("impala", spaces.Box(0, 255, (4, 84, 84), np.uint8), precision=precision)
    images, parameters = th.randint(0, 256, (256, 4, 84, 84), dtype=th.uint8), list(extractor.parameters())

    def milliseconds(applies: Callable[[th.Tensor], bool]) -> float:
        with patch.object(max_pool, "applies", applies):
            start = time.perf_counter()
            th.autograd.grad(extractor(images).square().mean(), parameters)
            return 1000 * (time.perf_counter() - start)

    ways = {"plain": partial(milliseconds, lambda maps: False), "compiled": partial(milliseconds, max_pool.applies)}
    return compare("pooling", f"impala {precision}", ways, rounds)


def compare_late(algo: str, updates: int, rounds: int, segment: int) -> list[Row]:
    """Three copies of one model go on: the optimizer's step alone, with their last gradients, then whole training."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "late.zip")
        train_until_late(algo, updates, file)
        models = {way: late_model(algo, file, way) for way in WAYS}
    share = denormal_share(models["plain"].policy.optimizer)
    for model in models.values():
        # Gradients for the steps, and a look at the moments
        model.learn(2048 if algo == "ppo" else 300, reset_num_timesteps=False)

    def milliseconds(optimizer: th.optim.Optimizer) -> float:
        start = time.perf_counter()
        for _ in range(20):
            optimizer.step()
        return 50 * (time.perf_counter() - start)

    def frames_a_second(model: Any) -> float:
        return train(model, segment)["fps"]

    # Not plain: the quantile loss and the memory that is kept are the whole process's
    training = {way: partial(frames_a_second, model) for way, model in models.items() if way != "plain"}
    rows = compare("training", algo, training, rounds)
    steps = {way: partial(milliseconds, model.policy.optimizer) for way, model in models.items()}
    rows += compare("Adam's step", algo, steps, rounds)
    return [{**row, "denormal_share": round(share, 3), "updates": updates} for row in rows]


def train_until_late(algo: str, updates: int, file: Path) -> None:
    with moments_kept():
        model = make_model(algo, "nature", "with AleVecEnv", th.get_num_threads())
    model.learn(getattr(model, "learning_starts", 0) + updates * STEPS[algo], progress_bar=True)
    model.save(file)


def late_model(algo: str, file: Path, way: str) -> Any:
    env = make_venv("AleVecEnv", 8 if algo == "ppo" else 1, th.get_num_threads())
    model = find_algorithm(algo).load(file, env=env)
    if way == "kept":
        with moments_kept():
            accelerate(model)
    elif way == "zero":
        accelerate(model)
    return model


@contextmanager
def moments_kept() -> Iterator[None]:
    """accelerate() as if there were no denormal numbers."""
    before = accelerate_module.plan_denormals
    accelerate_module.plan_denormals = lambda plan, model: None
    try:
        yield
    finally:
        accelerate_module.plan_denormals = before


def denormal_share(optimizer: th.optim.Optimizer) -> float:
    """Of the first moments."""
    moments = th.cat([state["exp_avg"].flatten() for state in optimizer.state.values()]).abs()
    return float(((moments > 0) & (moments < th.finfo(moments.dtype).tiny)).double().mean())


def compare(what: str, algo: str, ways: dict[str, Callable[[], float]], rounds: int) -> list[Row]:
    found = in_turns(f"{what}, {algo}", ways, rounds)
    return [{"what": what, "way": way, **summary(values, UNITS[what])} for way, values in found.items()]


def table(rows: list[Row]) -> str:
    """In brackets how many times as fast as the column before."""
    head = ["", "algorithm", "threads", "moments below 1e-38", "plain", "accelerated, these kept", "here"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for what, algo, threads in dict.fromkeys((row["what"], row["algo"], row["threads"]) for row in rows):
        found = {row["way"]: row for row in rows if (row["what"], row["algo"], row["threads"]) == (what, algo, threads)}
        last = next(row for way, row in found.items() if way not in ("plain", "kept"))
        share = f"{last['denormal_share']:.0%}" if "denormal_share" in last else ""
        plain, kept = found.get("plain"), found.get("kept")
        cells = [what, LABELS.get(algo, algo.upper()), str(threads), share, value(plain) if plain else ""]
        cells += [value(kept, plain) if kept else "", value(last, kept or plain)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def value(row: Row, other: Row | None = None) -> str:
    """Median, and how many times as fast as another."""
    text = f"{row['median']:.3g} {row['unit']}"
    if other is None:
        return text
    times = row["median"] / other["median"] if row["unit"] == "frames/s" else other["median"] / row["median"]
    return f"{text} ({times:.1f}x)"


if __name__ == "__main__":
    run_program(main)
