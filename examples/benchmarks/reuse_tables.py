"""
The tables of the reuse paper: its network on its 24 games, dense and with reuse.

    python examples/benchmarks/reuse_tables.py            # everything, some hours
    python examples/benchmarks/reuse_tables.py --quick    # two games, few steps, nothing written
    python examples/benchmarks/reuse_tables.py --tables "INFERENCE_D2 80/160" --games Pong Breakout
    python examples/benchmarks/reuse_tables.py --rewrite  # the table and the pictures again

Khachatourian (2019), arXiv 1909.05632: one environment <Game>-v0 (random frame skip of 2 to 4, sticky actions with
probability 0.25), the red channel sampled down by 4 (D4, 53x40) or 2 (D2, 105x80), two 3x3 convolutions and a linear
layer without bias, actions drawn from its softmax, 3,000 steps. Here pixels are divided by 255, as everywhere in SB3.

Inference: the network acts for 3,000 steps from an empty memory; that is one repetition, with a seed of its own.
"reuse" is the time of the network inside of this loop. "dense" is torch eager on the same frames, timed afterwards, hot
and alone; of the larger networks on a sample of at least 100, evenly spread. Environment, preprocessing and drawing are
timed in the same loop, and are the same for both.

Training: one REINFORCE update for each finished episode, as there (SGD, learning rate 5e-4, momentum 1e-3, discount
0.99), and one for what remains at the end. "reuse" acts with the network and then updates from the distinct patches
of the episode, forward and backward; after each update all that is remembered is void. "dense" is forward and backward
of the same loss in torch eager, in chunks of the number of frames that turns out fastest, on a sample, and one
optimizer step an episode.

One thread. A row is written as soon as it is measured, and rows that are there are not measured again (--again). Writes
results/reuse_tables.json, a heatmap of each table beside the source's figures (reuse_source.json), and what they come
to into its page.
"""

from __future__ import annotations

import argparse
import itertools
import time
from dataclasses import dataclass, field
from typing import Any

import ale_py
import gymnasium as gym
import numpy as np
import reuse_heatmaps
import torch as th
import torch.nn.functional as F
from common import count, open_rows, run_program, write_page
from reuse_heatmaps import summary as table
from reuse_outputs import distinct_outputs
from torch import nn

from sb3_efficient.reuse.patches.memo import Memo
from sb3_efficient.reuse.patches.stack import Stack

BEGIN = "<!-- table of examples/benchmarks/reuse_tables.py -->\n"
SCALE = 1 / 255
DISCOUNT, RATE, MOMENTUM = 0.99, 5e-4, 1e-3
FILTERS = ("20/40", "40/80", "80/160")
#: The eleven of the source, and D2 80/160 in training, for which it has no numbers with reuse
TABLES = [
    f"{kind} {filters}"
    for kind in ("INFERENCE_D4", "INFERENCE_D2", "TRAINING_D4", "TRAINING_D2")
    for filters in FILTERS
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", default=TABLES, choices=TABLES, metavar="TABLE", help=", ".join(TABLES))
    parser.add_argument(
        "--games", nargs="+", default=reuse_heatmaps.games(), choices=reuse_heatmaps.games(), metavar="GAME"
    )
    parser.add_argument("--steps", type=count, default=3000)
    parser.add_argument("--repeats", type=count, default=3, help="of the loop with reuse, each with its own seed")
    parser.add_argument("--quick", action="store_true", help="Pong and Seaquest, 300 steps, one repetition")
    parser.add_argument("--dense-seconds", type=float, default=4, help="of dense computation timed for each row")
    parser.add_argument("--again", action="store_true", help="measure rows that are there, too")
    parser.add_argument("--rewrite", action="store_true", help="write the table and the pictures, measure nothing")
    arguments = parser.parse_args()
    gym.register_envs(ale_py)
    gym.logger.min_level = gym.logger.ERROR  # -v0 is what the source used
    th.set_num_threads(1)
    warm_up()
    if arguments.quick:
        arguments.games, arguments.steps, arguments.repeats = ["Pong", "Seaquest"], 300, 1
    rows = open_rows("reuse_tables", ("table", "game"), quick=arguments.quick)
    pairs = itertools.product(arguments.tables, arguments.games)
    todo = [
        pair for pair in pairs if arguments.again or not rows.has(table=pair[0], game=pair[1], steps=arguments.steps)
    ]
    for number, (name, game) in enumerate([] if arguments.rewrite else todo, start=1):
        rows.add([row := measure(name, game, arguments.steps, arguments.repeats, arguments.dense_seconds)])
        print(f"{number}/{len(todo)} {line(row)}", flush=True)
    print(table(rows.rows))
    if rows.file is not None:
        reuse_heatmaps.draw(rows.rows, rows.file)
        write_page(BEGIN, table(rows.rows))


def line(row: dict[str, Any]) -> str:
    without, with_ = row["speed_up"]["network"], row["speed_up"]["with_environment"]
    name = f"{row['table']:20s} {row['game']:15s}"
    return f"{name} {without:7.1f}x, with environment {with_:6.1f}x, error {row['error']:.0e}"


def measure(name: str, game: str, steps: int, repeats: int, dense_seconds: float) -> dict[str, Any]:
    kind, filters = name.split()
    training, factor = kind.startswith("TRAINING"), int(kind[-1])
    loops = [play(game, factor, int(filters.split("/")[0]), steps, seed, training) for seed in range(repeats)]
    dense = time_dense(loops[0], training, dense_seconds)
    environment = np.concatenate([loop.environment for loop in loops])
    # Training: what a step costs on average, because updates come once an episode
    reuse = np.concatenate([loop.network for loop in loops])
    updates = sum(sum(loop.updates) for loop in loops) / len(reuse)
    optimizer = dense["optimizer"] * sum(len(loop.updates) for loop in loops) / len(reuse)
    base, ours, around = np.mean(dense["seconds"]) + optimizer, reuse.mean() + updates, environment.mean()
    return {
        "table": name,
        "game": game,
        "steps": steps,
        "repeats": repeats,
        "actions": loops[0].net[-1].out_features,
        "unit": "microseconds a step",
        "dense": {**summary(dense["seconds"]), "n": len(dense["seconds"]), "frames_at_a_time": dense["chunk"]},
        "reuse": {**summary(reuse), "of_repeats": [round(1e6 * (loop.network.mean()), 2) for loop in loops]},
        "environment": summary(environment),
        **(
            {"updates": {"mean": round(1e6 * updates, 2), "n": [len(loop.updates) for loop in loops]}}
            if training
            else {}
        ),
        **({"dense_optimizer": {"mean": round(1e6 * optimizer, 2)}} if training else {}),
        "seconds": {"base": round(steps * (base + around), 3), "reuse": round(steps * (ours + around), 3)},
        "speed_up": {
            "network": round(base / ours, 2),
            "network_median": round(float(np.median(dense["seconds"]) / np.median(reuse)), 2) if not training else None,
            "with_environment": round((base + around) / (ours + around), 2),
        },
        "memory": loops[0].report,
        "error": dense["error"],
    }


def summary(seconds: np.ndarray) -> dict[str, float]:
    return {"median": round(1e6 * float(np.median(seconds)), 2), "mean": round(1e6 * float(np.mean(seconds)), 2)}


@dataclass
class Loop:
    """
    What happened in one repetition; times in seconds, one a step.

    :param net: With the weights at the end
    :param frames: (steps, 1, H, W), uint8
    :param outputs: Of the network, as long as its weights are those of the end
    """

    net: nn.Sequential
    frames: np.ndarray
    outputs: dict[int, np.ndarray] = field(default_factory=dict)
    environment: np.ndarray = field(default_factory=lambda: np.zeros(0))
    network: np.ndarray = field(default_factory=lambda: np.zeros(0))
    updates: list[float] = field(default_factory=list)
    episodes: list[tuple[int, int]] = field(default_factory=list)
    actions: np.ndarray = field(default_factory=lambda: np.zeros(0))
    returns: np.ndarray = field(default_factory=lambda: np.zeros(0))
    report: dict[str, int] = field(default_factory=dict)


def play(game: str, factor: int, filters: int, steps: int, seed: int, training: bool) -> Loop:
    """3,000 steps; with ``training`` the network learns after each episode."""
    env = gym.make(f"{game}-v0")
    screen, _ = env.reset(seed=seed)
    shape = (1, -(-screen.shape[0] // factor), -(-screen.shape[1] // factor))
    net = network(filters, shape, int(env.action_space.n), seed)  # type: ignore[attr-defined]
    loop = Loop(net, np.empty((steps, *shape), np.uint8))
    optimizer = th.optim.SGD(net.parameters(), lr=RATE, momentum=MOMENTUM)
    memo = Memo(*weights(net, shape))
    rng = np.random.default_rng(seed)
    rewards = np.zeros(steps)
    loop.actions, loop.environment, loop.network = np.zeros(steps, np.int64), np.zeros(steps), np.zeros(steps)
    begin = 0
    for step in range(steps):
        start = time.perf_counter()
        loop.frames[step, 0] = screen[::factor, ::factor, 0]
        ready = time.perf_counter()
        logits = memo.outputs(loop.frames[step : step + 1])[0]
        known = time.perf_counter()
        action = int((logits - np.log(rng.standard_exponential(len(logits)))).argmax())
        screen, reward, terminated, truncated, _ = env.step(action)
        ended = terminated or truncated
        if ended:
            screen, _ = env.reset()
        loop.network[step] = known - ready
        loop.environment[step] = time.perf_counter() - start - (known - ready)
        loop.outputs[step], loop.actions[step], rewards[step] = logits, action, float(reward)
        if training and (ended or step == steps - 1):
            loop.episodes.append((begin, step + 1))
            loop.returns = np.append(loop.returns, discounted(rewards[begin : step + 1]))
            loop.updates.append(update(loop, optimizer, memo, shape))
            loop.outputs.clear()
            begin = step + 1
    loop.report = memo.report()
    env.close()
    return loop


def network(filters: int, shape: tuple[int, int, int], n_actions: int, seed: int) -> nn.Sequential:
    th.manual_seed(seed)
    size = 2 * filters * (shape[1] - 4) * (shape[2] - 4)
    return nn.Sequential(
        nn.Conv2d(1, filters, 3),
        nn.ReLU(),
        nn.Conv2d(filters, 2 * filters, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(size, n_actions, bias=False),
    )


def warm_up() -> None:
    """Compile what updates with reuse run, or load what was compiled; otherwise the first one does."""
    images = th.zeros((2, 1, 20, 20), dtype=th.uint8)
    net = network(1, (1, 20, 20), 1, seed=0)
    distinct_outputs(images, list(net[:4]), net[-1].weight).sum().backward()  # type: ignore[arg-type]


def weights(net: nn.Sequential, shape: tuple[int, int, int]) -> tuple[Stack, np.ndarray, np.ndarray]:
    weight = net[-1].weight.detach().numpy()  # type: ignore[operator, union-attr]
    return Stack(list(net[:4]), shape, 255), weight, np.zeros(len(weight))


def discounted(rewards: np.ndarray) -> np.ndarray:
    """Returns of each step, normalised over the episode."""
    found, total = np.zeros(len(rewards)), 0.0
    for step in range(len(rewards) - 1, -1, -1):
        found[step] = total = rewards[step] + DISCOUNT * total
    return (found - found.mean()) / (found.std() + 1e-8)


def update(loop: Loop, optimizer: th.optim.Optimizer, memo: Memo, shape: tuple[int, int, int]) -> float:
    """
    Learn from the last episode.

    :return: Seconds
    """
    begin, end = loop.episodes[-1]
    start = time.perf_counter()
    logits = distinct_outputs(
        th.from_numpy(loop.frames[begin:end]), list(loop.net[:4]), loop.net[-1].weight, None, SCALE
    )  # type: ignore[arg-type]
    optimizer.zero_grad()
    reinforce(loop, logits, begin, end).backward()
    optimizer.step()
    memo.load(*weights(loop.net, shape))
    return time.perf_counter() - start


def reinforce(loop: Loop, logits: th.Tensor, begin: int, end: int) -> th.Tensor:
    """Sum over some steps."""
    actions, returns = th.from_numpy(loop.actions[begin:end]), th.from_numpy(loop.returns[begin:end]).float()
    return (F.cross_entropy(logits, actions, reduction="none") * returns).sum()


def time_dense(loop: Loop, training: bool, budget: float) -> dict[str, Any]:
    """Seconds a frame of torch eager, hot and alone, and the largest difference to the outputs with reuse."""
    return time_dense_training(loop, budget) if training else time_dense_acting(loop, budget)


def time_dense_acting(loop: Loop, budget: float) -> dict[str, Any]:
    seconds, error = [], 0.0
    with th.inference_mode():
        once = timed(lambda: loop.net(image(loop, 0)), 3)
        sample = np.linspace(0, len(loop.frames) - 1, min(len(loop.frames), max(100, int(budget / once))))
        for step in sample.astype(int).tolist():
            start = time.perf_counter()
            logits = loop.net(image(loop, step))
            seconds.append(time.perf_counter() - start)
            error = max(error, float(np.abs(logits.numpy()[0] - loop.outputs[step]).max()))
    return {"seconds": np.array(seconds), "optimizer": 0.0, "chunk": 1, "error": error}


def time_dense_training(loop: Loop, budget: float) -> dict[str, Any]:
    """The error is that of the gradients of 32 steps, in parts of the largest of each parameter."""
    begin, end = loop.episodes[-1]

    def work(start: int, n: int) -> None:
        start = min(start, end - n)
        logits = loop.net(th.from_numpy(loop.frames[start : start + n]) * th.tensor(SCALE))
        reinforce(loop, logits, start, start + n).backward()

    chunks = [n for n in (1, 4, 16) if n <= end - begin]
    once = {n: timed(lambda n=n: work(begin, n), 3) / n for n in chunks}
    chunk = min(once, key=lambda n: once[n])
    count = max(8, int(budget / once[chunk] / chunk))
    seconds = []
    for start in np.linspace(begin, end - chunk, count).astype(int).tolist():
        before = time.perf_counter()
        work(start, chunk)
        seconds.append((time.perf_counter() - before) / chunk)
    optimizer = th.optim.SGD(loop.net.parameters(), lr=0, momentum=MOMENTUM)
    step = timed(optimizer.step, 3)
    n = min(32, end - begin)
    reuse = gradients(
        loop, lambda images: distinct_outputs(images, list(loop.net[:4]), loop.net[-1].weight, None, SCALE), begin, n
    )  # type: ignore[arg-type]
    dense = gradients(loop, lambda images: loop.net(images * th.tensor(SCALE)), begin, n)
    error = max(float((a - b).abs().max() / b.abs().max().clamp(min=1e-12)) for a, b in zip(reuse, dense, strict=True))
    return {"seconds": np.array(seconds), "optimizer": step, "chunk": chunk, "error": error}


def gradients(loop: Loop, forward: Any, begin: int, n: int) -> list[th.Tensor]:
    loop.net.zero_grad()
    for start in range(begin, begin + n, 8):
        end = min(start + 8, begin + n)
        reinforce(loop, forward(th.from_numpy(loop.frames[start:end])), start, end).backward()
    return [parameter.grad.clone() for parameter in loop.net.parameters() if parameter.grad is not None]


def image(loop: Loop, step: int) -> th.Tensor:
    return th.from_numpy(loop.frames[step : step + 1]) * th.tensor(SCALE)


def timed(function: Any, repeats: int) -> float:
    """Median seconds, after one call for warming up."""
    function()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


if __name__ == "__main__":
    run_program(main)
