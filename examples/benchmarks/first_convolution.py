"""
The first convolution, on blocks of pixels (sb3_efficient/extractors/blocks.py) and on pixels.

    python examples/benchmarks/first_convolution.py              # every row, a quarter of an hour
    python examples/benchmarks/first_convolution.py --quick      # a minute, nothing is written

Networks: forward and backward, or forward alone, through extractor and one linear layer, as minibatches and acting have
them; "plain" computes on contiguous float32 images, as SB3 does. int8: policies of static-int8 on ONNX Runtime.
Training: frames a second of PPO and DQN on Pong with the stock NatureCNN, accelerate() and AleVecEnv, the zoo's
settings. All that is compared is measured in turns in one process; medians.

Writes results/first_convolution.json and .md.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch as th
from common import count, in_turns, open_rows, options, run_program, write_table
from gymnasium import spaces
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.torch_layers import NatureCNN
from torch import nn
from training_loop import DQN_SETTINGS, PPO_SETTINGS

from sb3_efficient import accelerate, compress, make_extractor, policy_kwargs
from sb3_efficient.bench.rows import Row, summary
from sb3_efficient.engines import onnxruntime
from sb3_efficient.envs import AleVecEnv
from sb3_efficient.extractors import blocks
from sb3_efficient.extractors.precision import cpu_has_bf16

SPACE = spaces.Box(0, 255, (4, 84, 84), np.uint8)
NETWORKS = ("nature", "nn-bench-small")
#: Work and batch: a rollout of 8 environments, minibatches of DQN, rl-nn-benchmarks and PPO
WORK = (("infer", 8), ("infer", 128), ("train", 32), ("train", 128), ("train", 256))
#: Of what acts in int8
BATCHES = (1, 8, 16, 128)
TRAINING = {"ppo": (PPO, PPO_SETTINGS, 1024), "dqn": (DQN, DQN_SETTINGS, 600)}
KINDS = ("networks", "int8", "training")
WAYS = ("pixels", "blocks")
CASE = ("what", "work", "batch", "threads", "precision")
KEYS = (*CASE, "way")


def main() -> None:
    parser = options(__doc__, quick="few rounds")
    parser.add_argument("--only", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--threads", type=count, default=1)
    parser.add_argument("--rounds", type=count, default=15, help="turns that each variant gets")
    arguments = parser.parse_args()
    threads, rounds = arguments.threads, 2 if arguments.quick else arguments.rounds
    th.set_num_threads(threads)
    rows = open_rows("first_convolution", KEYS, quick=arguments.quick)
    for case, measure in [] if arguments.rewrite else cases(arguments.only, threads, rounds):
        if not (arguments.missing and rows.has(**case, threads=threads)):
            rows.add({**case, **row, "threads": threads} for row in measure())
    print(table(rows.rows))
    if rows.file is not None:
        write_table("first_convolution", table(rows.rows))


def cases(only: list[str], threads: int, rounds: int) -> Iterator[tuple[Row, Callable[[], list[Row]]]]:
    """What there is to measure, and how."""
    for name, (work, batch) in itertools.product(NETWORKS if "networks" in only else (), WORK):
        yield {"what": name, "work": work, "batch": batch}, partial(compare_networks, name, work, batch, rounds)
    for name in NETWORKS if "int8" in only else ():
        yield {"what": name, "work": "int8"}, partial(compare_engines, name, threads, rounds)
    for algo in TRAINING if "training" in only else ():
        yield {"what": algo, "work": "training"}, partial(compare_training, algo, threads, rounds)


@contextmanager
def way(name: str) -> Iterator[None]:
    """Pixels: as if no network, and no graph, had what blocks apply to."""
    before = blocks.applies, onnxruntime.block_pixels
    if name == "pixels":
        blocks.applies = lambda cnn, images: False
        onnxruntime.block_pixels = lambda proto: (proto, {})
    try:
        yield
    finally:
        blocks.applies, onnxruntime.block_pixels = before


def compare_networks(name: str, work: str, batch: int, rounds: int) -> list[Row]:
    """In turns: plain, and both ways in each precision."""
    images = th.randint(0, 256, (batch, *SPACE.shape), dtype=th.uint8)
    labels = th.randint(0, 6, (batch,))
    precisions = ["fp32", "bf16"] if cpu_has_bf16() else ["fp32"]
    ours = {precision: make_extractor(name, SPACE, precision=precision) for precision in precisions}
    plain = NatureCNN(SPACE) if name == "nature" else ours["fp32"]
    head = nn.Linear(plain.features_dim, 6)

    def on_float_images() -> th.Tensor:
        return head(plain.linear(plain.cnn(images.float() / 255)))

    variants: dict[tuple[str, str], Callable[[], th.Tensor]] = {("fp32", "plain"): on_float_images}
    for precision, way_ in itertools.product(precisions, WAYS):
        variants[precision, way_] = lambda extractor=ours[precision]: head(extractor(images))

    def act(forward: Callable[[], th.Tensor]) -> None:
        with th.no_grad():
            forward()

    def learn(forward: Callable[[], th.Tensor]) -> None:
        nn.functional.cross_entropy(forward(), labels).backward()

    def measure(precision: str, one: str) -> float:
        with way(one):
            return milliseconds(partial(learn if work == "train" else act, variants[precision, one]), batch)

    ways = {key: partial(measure, *key) for key in variants}
    found = in_turns(f"{name}: {work} {batch}", ways, rounds)
    return [{"precision": p, "way": w, **summary(times, "ms")} for (p, w), times in found.items()]


def milliseconds(call: Callable[[], object], batch: int) -> float:
    """Mean of as many calls as see 512 images."""
    start, n = time.perf_counter(), 1 + 512 // batch
    for _ in range(n):
        call()
    return 1e3 * (time.perf_counter() - start) / n


def compare_engines(name: str, threads: int, rounds: int) -> list[Row]:
    """One compressed policy, and an engine for each way."""
    model = DQN("CnnPolicy", AleVecEnv("PongNoFrameskip-v4"), policy_kwargs=policy_kwargs(name, DQN), buffer_size=1)
    images = np.random.default_rng(0).integers(0, 256, (max(BATCHES), *SPACE.shape), dtype=np.uint8)
    policy = compress(model, "static-int8", calibration=images)
    engines = {}
    for one in WAYS:
        with way(one):
            engines[one] = policy.engine(threads=threads)
    rows = []
    for batch in BATCHES:
        calls = {one: partial(engine.outputs, images[:batch]) for one, engine in engines.items()}
        ways = {one: partial(milliseconds, call, batch) for one, call in calls.items()}
        found = in_turns(f"{name}: int8 {batch}", ways, rounds)
        case = {"batch": batch, "precision": "int8"}
        rows += [{**case, "way": one, **summary(times, "ms")} for one, times in found.items()]
    return rows


def compare_training(algo: str, threads: int, rounds: int) -> list[Row]:
    """Two models, segment by segment in turns."""
    algorithm, settings, steps = TRAINING[algo]
    models: dict[str, Any] = {}
    for name in WAYS:
        env = AleVecEnv("PongNoFrameskip-v4", n_envs=8 if algo == "ppo" else 1, seed=0, num_threads=threads)
        models[name] = algorithm("CnnPolicy", env, seed=0, **settings)
        accelerate(models[name])

    def frames_a_second(name: str) -> float:
        before, start = models[name].num_timesteps, time.perf_counter()
        with way(name):
            models[name].learn(steps, reset_num_timesteps=False)
        return (models[name].num_timesteps - before) / (time.perf_counter() - start)

    found = in_turns(f"{algo} on Pong", {name: partial(frames_a_second, name) for name in WAYS}, rounds)
    case = {"batch": models["blocks"].batch_size, "precision": "bf16" if cpu_has_bf16() else "fp32"}
    return [{**case, "way": name, **summary(fps, "frames/s")} for name, fps in found.items()]


def table(rows: list[Row]) -> str:
    """In brackets how many times as fast as on pixels."""
    head = ["", "work, batch", "threads", "precision", "plain", "on pixels", "on blocks"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for case in dict.fromkeys(tuple(row[key] for key in CASE) for row in rows):
        found = {row["way"]: row for row in rows if tuple(row[key] for key in CASE) == case}
        pixels, on_blocks = found["pixels"], found["blocks"]
        times = on_blocks["median"] / pixels["median"]
        times = times if pixels["unit"] == "frames/s" else 1 / times
        what, work, batch, threads, precision = case
        plain = f"{found['plain']['median']:.3g} ms" if "plain" in found else ""
        unit = pixels["unit"]
        cells = [f"`{what}`", f"{work}, {batch}", str(threads), precision, plain, f"{pixels['median']:.3g} {unit}"]
        lines.append("| " + " | ".join([*cells, f"{on_blocks['median']:.3g} {unit} ({times:.2f}x)"]) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    run_program(main)
