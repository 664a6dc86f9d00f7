"""
How fast the extractors are, beside the same networks written plainly.

    python examples/benchmarks/extractors.py            # every row, about half an hour
    python examples/benchmarks/extractors.py --quick    # one minute, nothing is written

"plain" is the same modules on contiguous float32 images, as SB3 runs its NatureCNN; ours get what SB3's policies
hand over with normalize_images=False. All variants of a network are timed in turn, in one process, on random
images of 4x84x84; medians of 15 or more. "train" is forward, backward and Adam on 256 images, "act" forward without
gradients. Each combination of threads and instruction set has a process of its own; AVX2 is what most laptops have.

Writes results/extractors.json, results/extractors.png and the table in its page.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import torch as th
from common import count, open_rows, options, run_program, write_page
from gymnasium import spaces

from sb3_efficient import EncoderExtractor, make_extractor
from sb3_efficient.bench.rows import summary
from sb3_efficient.sizes import size

matplotlib.use("Agg")
import matplotlib.pyplot as plt

BEGIN = "<!-- table of examples/benchmarks/extractors.py -->\n"
KEYS = ("extractor", "work", "batch", "variant", "threads", "isa")
NAMES = ("nature", "impala", "impala-x2", "impoola")
SPACE = spaces.Box(0, 255, (4, 84, 84), np.uint8)
ISAS = {"": "all", "AVX2": "AVX2"}
Step = Callable[[th.Tensor], None]


def main() -> None:
    parser = options(__doc__, quick="nature and impala, two threads, few repetitions")
    parser.add_argument("--threads", type=count, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=count, default=15)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        names = NAMES[:2] if arguments.quick else NAMES
        print(json.dumps(measure(names, arguments.threads[0], arguments.repeats)))
        return
    if arguments.quick:
        arguments.threads, arguments.repeats = [2], 3
    rows = open_rows("extractors", KEYS, quick=arguments.quick)
    for isa, threads in itertools.product([] if arguments.rewrite else ISAS, arguments.threads):
        if not (arguments.missing and rows.has(isa=ISAS[isa], threads=threads)):
            rows.add(child(isa, threads, arguments))
    print(table(rows.rows))
    if rows.file is not None:
        draw(rows.rows, rows.file.with_suffix(".png"))
        write_page(BEGIN, table(rows.rows))


def child(isa: str, threads: int, arguments: argparse.Namespace) -> list[dict]:
    """Rows of one instruction set and number of threads, from a process of their own."""
    print(f"measuring: {threads} threads, instruction set: {ISAS[isa]}", file=sys.stderr)
    command = [sys.executable, __file__, "--child", "--threads", str(threads), "--repeats", str(arguments.repeats)]
    command += ["--quick"] if arguments.quick else []
    env = {**os.environ, **({"ONEDNN_MAX_CPU_ISA": isa} if isa else {})}
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def measure(names: tuple[str, ...], threads: int, repeats: int) -> list[dict]:
    th.set_num_threads(threads)
    isa = ISAS[os.environ.get("ONEDNN_MAX_CPU_ISA", "")]
    rows = []
    for name in names:
        # Emulated bf16 takes seconds a step; two networks are enough to show it
        variants = ("plain", "fp32", "bf16") if isa == "all" or name in NAMES[:2] else ("plain", "fp32")
        for work, batch in (("train", 256), ("act", 8), ("act", 1)):
            steps = {variant: make(name, variant) for variant in variants}
            times = interleaved({v: s[work] for v, s in steps.items()}, batch, repeats)
            for variant, seconds in times.items():
                labels = {"extractor": name, "work": work, "batch": batch, "variant": variant}
                rows.append({**labels, "threads": threads, "isa": isa, **summary([1000 * s for s in seconds], "ms")})
    return rows


def make(name: str, variant: str) -> dict[str, Step]:
    th.manual_seed(0)
    precision = "bf16" if variant == "bf16" else "fp32"
    extractor = make_extractor(name, SPACE, precision=precision, normalized_image=False)
    assert isinstance(extractor, EncoderExtractor)
    modules = copy.deepcopy(extractor)

    def forward(images: th.Tensor) -> th.Tensor:
        if variant == "plain":
            return modules.linear(modules.cnn(images.float() / 255))
        return extractor(images.float())

    optimizer = th.optim.Adam((modules if variant == "plain" else extractor).parameters(), lr=1e-5)

    def train(images: th.Tensor) -> None:
        optimizer.zero_grad()
        forward(images).square().mean().backward()
        optimizer.step()

    def act(images: th.Tensor) -> None:
        with th.no_grad():
            forward(images)

    return {"train": train, "act": act}


def interleaved(steps: dict[str, Step], batch: int, repeats: int) -> dict[str, list[float]]:
    """Seconds of each step: at least ``repeats`` of each, and as many as fit into five seconds of all."""
    images = th.randint(0, 256, (batch, *SPACE.shape), dtype=th.uint8)
    times: dict[str, list[float]] = {variant: [] for variant in steps}
    for step in 2 * list(steps.values()):
        step(images)
    while min(len(found) for found in times.values()) < repeats or sum(map(sum, times.values())) < 5:
        for variant, step in steps.items():
            start = time.perf_counter()
            step(images)
            times[variant].append(time.perf_counter() - start)
    return times


def _median(rows: list[dict], **wanted: object) -> float:
    """NaN for what was not measured."""
    found = (row["median"] for row in rows if all(row[key] == value for key, value in wanted.items()))
    return next(found, float("nan"))


def table(rows: list[dict]) -> str:
    """Markdown: time of a training step and of acting on one image, and how much faster than plain."""
    threads = max(row["threads"] for row in rows)
    names = [name for name in NAMES if any(row["extractor"] == name for row in rows)]
    lines = [
        "| extractor | parameters | M MACs | train 256, plain | ours fp32 | ours bf16 | AVX2: plain | ours fp32 "
        "| act 1, plain | ours fp32 |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name in names:
        sizes = size(name)

        def cell(variant: str, work: str = "train", batch: int = 256, isa: str = "all", name: str = name) -> str:
            wanted = {"extractor": name, "work": work, "batch": batch, "isa": isa, "threads": threads}
            plain, found = (_median(rows, **wanted, variant=v) for v in ("plain", variant))
            shown = f"{found:.0f} ms" if found >= 10 else f"{found:.2f} ms"
            return shown if variant == "plain" else f"{shown} ({plain / found:.1f}x)"

        cells = [cell(v) for v in ("plain", "fp32", "bf16")]
        cells += [cell(v, isa="AVX2") for v in ("plain", "fp32")]
        cells += [cell(v, "act", 1) for v in ("plain", "fp32")]
        lines.append(f"| `{name}` | {sizes.parameters:,} | {sizes.macs / 1e6:.1f} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def draw(rows: list[dict], file: Path) -> None:
    figure, panels = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained", sharey=True)
    variants = {"plain": "C7", "fp32": "C0", "bf16": "C1"}
    threads = max(row["threads"] for row in rows)
    for axes, isa in zip(panels, ISAS.values(), strict=True):
        for i, (variant, colour) in enumerate(variants.items()):
            speed = [
                _median(rows, extractor=n, work="train", isa=isa, threads=threads, variant="plain")
                / _median(rows, extractor=n, work="train", isa=isa, threads=threads, variant=variant)
                for n in NAMES
            ]
            bars = axes.bar(np.arange(len(NAMES)) + 0.27 * (i - 1), speed, 0.25, color=colour, label=variant)
            axes.bar_label(bars, [f"{s:.1f}" if np.isfinite(s) else "" for s in speed], fontsize=8)
        axes.set_xticks(range(len(NAMES)), NAMES)
        axes.set_title("all that the CPU has" if isa == "all" else "held to AVX2 (bf16 emulated)")
    panels[0].set_ylabel("training speed, plain = 1")
    panels[0].legend(frameon=False)
    figure.suptitle(f"forward, backward and Adam on 256 images of 4x84x84, {threads} threads")
    figure.savefig(file, dpi=110)


if __name__ == "__main__":
    run_program(main)
