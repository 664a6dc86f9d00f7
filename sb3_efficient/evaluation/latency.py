"""How long policies think: timed in turns, so that whatever else the machine does slows all of them alike."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sb3_efficient.engines import Engine
from sb3_efficient.errors import ObservationError
from sb3_efficient.evaluation.episodes import Policy
from sb3_efficient.options import whole_number
from sb3_efficient.progress import progress_bar
from sb3_efficient.threads import torch_threads

#: Calls in a row, as in a game, where the weights stay in the processor's cache from step to step
_BLOCK = 10
#: With fewer calls, medians are those of a few
LEAST = 20


@dataclass(frozen=True)
class Latency:
    """
    :param median: ms
    :param p99: 99 of 100 calls are faster, ms
    """

    median: float
    p99: float


@dataclass(frozen=True)
class Timing:
    """
    :param network: From a batch of observations to the network's outputs, by batch size
    :param predict: All of ``predict``, by batch size
    """

    network: dict[int, Latency]
    predict: dict[int, Latency]


def time_policies(
    policies: Mapping[str, tuple[Policy, Engine]],
    observations: np.ndarray,
    *,
    batch_sizes: Sequence[int] = (1, 100),
    repeats: int = 200,
    seconds: float = 10.0,
    threads: int = 1,
    progress: bool = False,
) -> dict[str, Timing]:
    """
    :param policies: By name, what acts and what runs its network
    :param observations: (N, C, H, W), uint8. Every call sees the next batch of them, the same for all policies: what
        computes only what changed would find nothing to do in one that it has just seen. In no order, as ``collect``
        gives them, more changes from one to the next than in a game
    :param batch_sizes: Observations in a call
    :param repeats: Timed calls of each kind
    :param seconds: See :func:`time_in_turns`
    :param threads: Of torch; engines have their own number
    :param progress: Whether to show a progress bar
    """
    for size in batch_sizes:
        if whole_number("batch_size", size) > len(observations):
            raise ObservationError(f"A batch of {size} takes {size} observations, and {len(observations)} are there.")
    found: dict[str, Timing] = {name: Timing({}, {}) for name in policies}
    title = "timing" if progress else None
    with torch_threads(threads), progress_bar(title, 2 * len(batch_sizes)) as advance:
        for size in batch_sizes:
            batches = _batches(observations, size)
            network = {name: _on_each(engine.outputs, batches) for name, (_, engine) in policies.items()}
            predict = {name: _on_each(policy.predict, batches) for name, (policy, _) in policies.items()}
            for kind, calls in (("network", network), ("predict", predict)):
                for name, latency in time_in_turns(calls, repeats, seconds).items():
                    getattr(found[name], kind)[size] = latency
                advance()
    return found


def time_in_turns(
    calls: Mapping[str, Callable[[], object]], repeats: int = 200, seconds: float = 10.0
) -> dict[str, Latency]:
    """
    :param calls: What to time, by name
    :param repeats: Timed calls of each, rounded up to whole blocks; a block of each warms up
    :param seconds: For each on average: once they are spent, there is no further block, but :data:`LEAST` calls are
        timed however long they take
    """
    whole_number("repeats", repeats)
    taken: dict[str, list[float]] = {name: [] for name in calls}
    least, end = min(repeats, LEAST), time.perf_counter() + seconds * len(calls)
    for n in range(0, repeats + _BLOCK, _BLOCK):
        # The first block does not count
        if n - _BLOCK >= least and time.perf_counter() > end:
            break
        for name, call in calls.items():
            taken[name] += [_seconds(call) for _ in range(_BLOCK)]
    found = {name: 1000 * np.array(found[_BLOCK:]) for name, found in taken.items()}
    return {name: Latency(float(np.median(ms)), float(np.quantile(ms, 0.99))) for name, ms in found.items()}


def _batches(observations: np.ndarray, size: int) -> list[np.ndarray]:
    """Of few observations they overlap, and yet no row of a batch has what it had in the one before."""
    n = len(observations)
    if n >= 2 * size:
        # Views: there may be gigabytes of them
        return [observations[i : i + size] for i in range(0, n - size + 1, size)]
    around = np.concatenate([observations, observations])
    return [around[i : i + size] for i in range(n)]


def _on_each(act: Callable[[np.ndarray], object], batches: Sequence[np.ndarray]) -> Callable[[], object]:
    """One after the other, and from the first one again."""
    turns = itertools.cycle(batches)
    return lambda: act(next(turns))


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
