"""
``sb3-efficient bench nets``: the networks of reinforcement learning under every framework that is installed.

What rl-nn-benchmarks measured (Stooke 2017: inference of 16 images, training on 128, 64,000 images of each), with
more batch sizes and networks, and what it leaves open: images from one contiguous block and through PyTorch's
DataLoader in columns of their own, every call waited for, frameworks in turn in one process held to so many cores, and
beside every row the share of the measured matrix-product peak of its device. On a GPU also how busy that is.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice, product

import numpy as np
import torch as th
from torch.utils.data import DataLoader, TensorDataset

from sb3_efficient.bench.cores import cores
from sb3_efficient.bench.frameworks import Variant, build
from sb3_efficient.bench.network import Network, frames, images, matrix_peak
from sb3_efficient.bench.rows import Row, summary
from sb3_efficient.bench.utilization import gpu_utilization
from sb3_efficient.errors import EfficientError
from sb3_efficient.progress import progress_bar

NETWORKS = ("nn-bench-small", "nn-bench-large", "nature", "impala")
#: Kind of work and batch for which there is the feed "frames"
ONE_FRAME = ("infer", 1)
KEYS = ("network", "threads", "work", "batch", "feed", "framework", "variant")
#: A training step costs the products of a forward pass three times
PASSES = {"infer": 1, "train": 3}
Batches = Iterator[tuple[np.ndarray, np.ndarray]]


#: Work, batch and feed of a measurement
Kind = tuple[str, int, str]


def _kinds(*batches: tuple[str, int]) -> tuple[Kind, ...]:
    """The last one is for all frameworks, what computes changes included."""
    return (*((*batch, feed) for batch, feed in product(batches, ("contiguous", "loader"))), (*ONE_FRAME, "frames"))


@dataclass(frozen=True)
class Plan:
    """
    How much is measured.

    :param samples: Images of each kind of measurement, in ``rounds`` rounds
    :param rounds: In each of which every variant has its turn; medians are over them
    :param seconds: At most, for a variant in a round
    :param kinds: In this order
    """

    samples: int = 64_000
    rounds: int = 10
    seconds: float = 1.0
    kinds: tuple[Kind, ...] = _kinds(("train", 128), ("infer", 128), ("infer", 8), ("infer", 1), ("infer", 16))

    def missing(self, rows: list[Row], framework: str) -> tuple[Kind, ...]:
        """
        :param rows: Of one network
        :param framework: Registered name
        :return: Kinds behind the last one that it has a row of: it may be unable to do one before
        """
        own = [(row["work"], row["batch"], row["feed"]) for row in rows if row["framework"] == framework and "n" in row]
        there = [kind in own for kind in self.kinds]
        return self.kinds[len(there) - there[::-1].index(True) :] if any(there) else self.kinds


QUICK = Plan(samples=1_500, rounds=3, seconds=0.2, kinds=_kinds(("train", 128), ("infer", 1), ("infer", 16)))


def measure(network: Network, frameworks: list[str], plan: Plan) -> Iterator[list[Row]]:
    """
    :param network: What is computed
    :param frameworks: Registered names
    :param plan: How much
    :return: Rows of one kind of work after the other, those of skipped frameworks first
    """
    with cores(network.threads):
        variants, skipped = _build(network, frameworks)
        yield [{"network": network.name, "threads": network.threads, **row} for row in skipped]
        peaks = {device: matrix_peak(device) for device in {variant.device for variant in variants.values()}}
        data = dict.fromkeys(FEEDS, images())
        if any(feed == "frames" for *_, feed in plan.kinds):
            data["frames"] = frames()
        for work, batch, feed in plan.kinds:
            able = {key: v for key, v in variants.items() if getattr(v, work) is not None and feed in v.feeds}
            if able:
                title = f"{network.name}: {work} {batch}, {feed} feed"
                source = partial(FEEDS[feed], data[feed], batch)
                times = _in_turns(able, work, source, batch, plan, title)
                rows = []
                for (framework, name), seconds in times.items():
                    variant, found = able[framework, name], summary([1e3 * s for s in seconds], "ms a batch")
                    share = PASSES[work] * network.macs * batch / (1e-3 * found["median"]) / peaks[variant.device]
                    rows.append(
                        {
                            **{"network": network.name, "threads": network.threads, "work": work, "batch": batch},
                            **{"feed": feed, "framework": framework, "variant": name},
                            **{"settings": variant.settings, "device": variant.device},
                            **found,
                            "percent_of_peak": round(100 * share, 1),
                            **_utilization(variant, work, source),
                        }
                    )
                yield rows


def _build(network: Network, frameworks: list[str]) -> tuple[dict[tuple[str, str], Variant], list[Row]]:
    found: dict[tuple[str, str], Variant] = {}
    skipped: list[Row] = []
    for framework in frameworks:
        try:
            found |= {(framework, name): variant for name, variant in build(framework, network).items()}
        except EfficientError as error:
            print(f"skipped: {error}", file=sys.stderr)
            skipped.append({"framework": framework, "skipped": str(error)})
    return found, skipped


def _in_turns(
    variants: dict[tuple[str, str], Variant], work: str, feed: Callable[[], Batches], size: int, plan: Plan, title: str
) -> dict[tuple[str, str], list[float]]:
    """Mean seconds a batch, of each variant in each round; a round before them warms up and compiles."""
    times: dict[tuple[str, str], list[float]] = {key: [] for key in variants}
    count = max(1, plan.samples // plan.rounds // size)
    with progress_bar(title, (1 + plan.rounds) * len(variants)) as advance:
        for lap in range(1 + plan.rounds):
            for key, variant in variants.items():
                seconds = _round(variant, work, islice(feed(), count if lap else 3), plan.seconds)
                if lap:
                    times[key].append(seconds)
                advance()
    return times


def _round(variant: Variant, work: str, batches: Batches, at_most: float) -> float:
    with warnings.catch_warnings():
        # Hints of compilers, which are no matter of who reads the table
        warnings.simplefilter("ignore")
        start, done = time.perf_counter(), 0
        for observations, labels in batches:
            if work == "train":
                assert variant.train is not None
                variant.train(observations, labels)
            else:
                assert variant.infer is not None
                variant.infer(observations)
            done += 1
            if time.perf_counter() - start > at_most:
                break
        return (time.perf_counter() - start) / done


def _utilization(variant: Variant, work: str, feed: Callable[[], Batches]) -> Row:
    """After the measurement of time, as it takes longer: images follow one another without a pause."""
    if variant.device != "cuda":
        return {}
    gpu, batches = f"GPU-{th.cuda.get_device_properties(0).uuid}", feed()
    return {"gpu_utilization": gpu_utilization(lambda: _round(variant, work, islice(batches, 10), 1.0), gpu)}


def _contiguous(data: tuple[np.ndarray, np.ndarray], size: int) -> Batches:
    """Slices of one block of memory, again and again."""
    observations, labels = data
    while True:
        for start in range(0, len(labels) - size + 1, size):
            yield observations[start : start + size], labels[start : start + size]


def _loader(data: tuple[np.ndarray, np.ndarray], size: int) -> Batches:
    """PyTorch's DataLoader without workers, which takes images one by one: what the source has for PyTorch only."""
    loader = DataLoader(TensorDataset(*map(th.from_numpy, data)), batch_size=size, drop_last=True)
    while True:
        for observations, labels in loader:
            yield observations.numpy(), labels.numpy()


#: "frames" are those of a game in their order, one at a time
FEEDS: dict[str, Callable[[tuple[np.ndarray, np.ndarray], int], Batches]] = {
    "contiguous": _contiguous,
    "loader": _loader,
    "frames": _contiguous,
}
