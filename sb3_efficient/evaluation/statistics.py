"""
What a handful of returns can show.

Means and interquartile means with stratified bootstrap intervals, as rliable has them: Agarwal et al., "Deep
Reinforcement Learning at the Edge of the Statistical Precipice", NeurIPS 2021, section 4.

Shapes: ``R`` rows, which are strata, ``N`` numbers in each, which are drawn again. Of games, with a number for each run
of training, intervals are rliable's. Of agents, with a number for each episode, they are about exactly these agents:
how much runs of training differ is not in them. A single row, (N,), is one stratum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sb3_efficient.errors import OptionError

#: Computes a number from returns (..., R, N), for all leading dimensions at once
Statistic = Callable[[np.ndarray], np.ndarray]
#: With fewer, intervals from the bootstrap are too narrow
LEAST_EPISODES = 20
#: Share of what the original gains over random play that may be lost
TOLERANCE = 0.05
_CHUNK = 2**22  # numbers drawn at a time, which bounds the memory


@dataclass(frozen=True)
class Interval:
    """
    :param estimate: From the returns as they are
    :param low: Lower bound
    :param high: Upper bound
    """

    estimate: float
    low: float
    high: float


def mean(returns: np.ndarray) -> np.ndarray:
    """
    :param returns: (..., R, N)
    :return: (...)
    """
    return returns.mean(axis=(-2, -1))


def interquartile_mean(returns: np.ndarray) -> np.ndarray:
    """
    The mean of the middle half, runs pooled: ``scipy.stats.trim_mean(returns, 0.25)``, as rliable's ``aggregate_iqm``.

    :param returns: (..., R, N)
    :return: (...)
    """
    pooled = np.sort(returns.reshape(*returns.shape[:-2], -1), axis=-1)
    cut = pooled.shape[-1] // 4
    return pooled[..., cut : pooled.shape[-1] - cut].mean(axis=-1)


def bootstrap(statistic: Statistic, returns: ArrayLike, *, resamples: int = 10_000, seed: int = 0) -> Interval:
    """
    Percentile interval of 95 % from numbers drawn again, with replacement, within each row.

    :param statistic: :func:`mean`, :func:`interquartile_mean`, or another
    :param returns: (R, N) or (N,)
    :param resamples: How often it is drawn
    :param seed: Of the draws
    """
    found = _matrix(returns)
    drawn = [statistic(sample) for sample in _resampled(found, resamples, np.random.default_rng(seed))]
    low, high = np.quantile(np.concatenate(drawn), [0.025, 0.975])
    return Interval(float(statistic(found)), float(low), float(high))


def probability_of_improvement(returns: ArrayLike, others: ArrayLike) -> float:
    """
    How probable it is that an episode of one policy returns more than an episode of another; ties count half.

    Agarwal et al. 2021, section 4.3 (Mann and Whitney's U divided by the number of pairs).

    :param returns: (R, N) or (N,)
    :param others: As many runs, of as many episodes or not
    """
    one, other = _matrix(returns), _matrix(others)
    if len(one) != len(other):
        raise OptionError(f"Runs are compared one by one, got {len(one)} of one policy and {len(other)} of the other.")
    below = [
        np.searchsorted(np.sort(b), a, side="left") + np.searchsorted(np.sort(b), a, side="right")
        for a, b in zip(one, other, strict=True)
    ]
    return float(np.mean(below) / (2 * other.shape[1]))


@dataclass(frozen=True)
class Comparison:
    """
    :param difference: Mean of the paired differences, with its 95 % interval
    :param margin: What may be lost, a positive number of the return's unit
    :param verdict: ``"same"``, ``"worse"`` or ``"not shown"``
    """

    difference: Interval
    margin: float
    verdict: str


def non_inferiority(returns: ArrayLike, originals: ArrayLike, random_returns: ArrayLike) -> Comparison:
    """
    Whether a policy is as good as its original, but for a share of what that gains over random play.

    "same" is only said where the whole interval of the mean difference lies above the margin, "worse" where it lies
    below. Nothing is shown by fewer than 20 episodes, nor of an original that is no better than random play.

    :param returns: Of the policy, (R, N) or (N,)
    :param originals: The original's, of the same shape and in the same order of episode seeds
    :param random_returns: Those of random play, any number
    """
    one, other = _matrix(returns), _matrix(originals)
    if one.shape != other.shape:
        raise OptionError(
            f"Returns are compared episode by episode, got shape {one.shape} of the policy and {other.shape} of the "
            "original. Play both with the same seeds."
        )
    difference = bootstrap(mean, one - other)
    margin = TOLERANCE * float(other.mean() - _matrix(random_returns).mean())
    verdict = "not shown"
    # Of single episodes nothing is known of what lies between them
    if margin > 0 and one.size >= LEAST_EPISODES and one.shape[1] > 1:
        verdict = "same" if difference.low > -margin else "worse" if difference.high < -margin else verdict
    return Comparison(difference, margin, verdict)


def _resampled(returns: np.ndarray, resamples: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    n_runs, n_episodes = returns.shape
    runs = np.arange(n_runs)[:, None]
    at_once = max(1, _CHUNK // returns.size)
    for start in range(0, resamples, at_once):
        shape = (min(at_once, resamples - start), n_runs, n_episodes)
        yield returns[runs, rng.integers(n_episodes, size=shape)]


def _matrix(returns: ArrayLike) -> np.ndarray:
    try:
        matrix = np.atleast_2d(np.asarray(returns, np.float64))
    except ValueError as error:
        raise OptionError(f"Returns must be numbers, in rows of one length: {error}.") from error
    if matrix.ndim != 2 or matrix.size == 0 or not np.isfinite(matrix).all():
        raise OptionError(
            f"Returns must be finite numbers of shape (runs, episodes) or (episodes,), got shape {np.shape(returns)}"
            f"{' with numbers that are not finite' if matrix.ndim == 2 and matrix.size else ''}."
        )
    return matrix
