"""Policies beside the one that they were made from: how near, how fast, how good."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
from stable_baselines3.common.vec_env import VecEnv

from sb3_efficient.engines import Engine
from sb3_efficient.evaluation.agreement import Agreement, agreement
from sb3_efficient.evaluation.episodes import Policy, RandomPlay, play, takes_masks
from sb3_efficient.evaluation.latency import Timing, time_policies
from sb3_efficient.evaluation.statistics import Comparison, Interval, bootstrap, interquartile_mean, non_inferiority
from sb3_efficient.options import whole_number
from sb3_efficient.threads import torch_threads


@dataclass(frozen=True)
class Candidate:
    """
    :param method: How it was made, the name of its row
    :param policy: Whose ``predict`` is timed: an SB3 model, or the engine itself
    :param engine: Runs its network, and plays
    :param n_bytes: On disk
    :param parameters: Numbers in its network
    """

    method: str
    policy: Policy
    engine: Engine
    n_bytes: int
    parameters: int


@dataclass(frozen=True)
class Scores:
    """
    :param returns: In the order of the episode seeds
    :param mean: Of them
    :param iqm: Their interquartile mean, with its 95 % interval
    :param comparison: With the original; None for the original itself
    """

    returns: tuple[float, ...]
    mean: float
    iqm: Interval
    comparison: Comparison | None


@dataclass(frozen=True)
class Row:
    """
    :param method: As in :class:`Candidate`
    :param n_bytes: On disk
    :param parameters: Numbers in its network
    :param timing: Latencies
    :param agreement: With the original; None for the original itself
    :param scores: None where no game was played
    """

    method: str
    n_bytes: int
    parameters: int
    timing: Timing
    agreement: Agreement | None
    scores: Scores | None

    @property
    def verdict(self) -> str:
        """``"same"``, ``"worse"``, ``"not shown"``, or nothing where there is nothing to compare."""
        return self.scores.comparison.verdict if self.scores and self.scores.comparison else ""


def compare(
    candidates: Sequence[Candidate],
    observations: np.ndarray,
    make_env: Callable[[], VecEnv],
    seeds: Iterable[int] = range(100),
    *,
    batch_sizes: Sequence[int] = (1, 100),
    repeats: int = 200,
    threads: int = 1,
    n_envs: int = 8,
    deterministic: bool = False,
    progress: bool = False,
) -> tuple[list[Row], float]:
    """
    Latencies come first, in turns; then each policy plays the same episodes on its engine, and so does random play.

    :param candidates: The original first
    :param observations: (N, C, H, W), uint8, on which networks are compared and timed
    :param make_env: As in :func:`~sb3_efficient.evaluation.episodes.play`
    :param seeds: Of the episodes; none for no game
    :param batch_sizes: For the latencies
    :param repeats: Timed calls of each kind, fewer where they take long
    :param threads: Of torch; engines have their own number
    :param n_envs: How many games are played at a time
    :param deterministic: Whether policies take their most probable actions
    :param progress: Whether to show progress bars
    :return: A row for each candidate, and the mean return of random play (NaN without games)
    """
    seeds = [whole_number("a seed", seed, least=0) for seed in seeds]
    original = candidates[0].engine
    policies = {str(i): (c.policy, c.engine) for i, c in enumerate(candidates)}
    timings = time_policies(
        policies, observations, batch_sizes=batch_sizes, repeats=repeats, threads=threads, progress=progress
    )

    def returns(policy: Policy, name: str) -> np.ndarray:
        title = name if progress else None
        # Engines of a model that plays without masks do so, too
        masked = takes_masks(candidates[0].policy)
        return play(policy, make_env, seeds, n_envs=n_envs, deterministic=deterministic, masked=masked, title=title)

    near = [None, *(agreement(c.engine, original, observations) for c in candidates[1:])]
    with torch_threads(threads):
        random = returns(RandomPlay(original.action_space), "random play") if seeds else np.array([np.nan])
        # Engines, the original's too: they draw their actions alike, from the same seeds
        found = [returns(candidate.engine, candidate.method) for candidate in candidates] if seeds else []
    scores = [_scores(one, found[0] if i else None, random) for i, one in enumerate(found)]
    rows = [
        Row(c.method, c.n_bytes, c.parameters, timing, close, score)
        for c, timing, close, score in zip_longest(candidates, timings.values(), near, scores)
    ]
    return rows, float(random.mean())


def _scores(returns: np.ndarray, originals: np.ndarray | None, random: np.ndarray) -> Scores:
    comparison = None if originals is None else non_inferiority(returns, originals, random)
    return Scores(tuple(returns.tolist()), float(returns.mean()), bootstrap(interquartile_mean, returns), comparison)
