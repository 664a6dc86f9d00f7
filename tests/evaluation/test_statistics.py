"""Against numbers computed by hand or by others, and against the definitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sb3_efficient.errors import OptionError
from sb3_efficient.evaluation.statistics import (
    bootstrap,
    interquartile_mean,
    mean,
    non_inferiority,
    probability_of_improvement,
)

numbers = st.floats(-1e3, 1e3)
rows = st.lists(numbers, min_size=1, max_size=30)


def test_interquartile_mean_is_the_trimmed_mean() -> None:
    # trim_mean(np.arange(10) ** 2, 0.25): two of ten go at each end
    assert interquartile_mean(np.arange(10.0)[None] ** 2) == (4 + 9 + 16 + 25 + 36 + 49) / 6
    assert interquartile_mean(np.array([[0, 1, 2, 3, 4, 5, 6, 1000.0]])) == 3.5
    assert interquartile_mean(np.array([[0, 1, 2], [3, 4, 1000.0]])) == 2.5
    assert interquartile_mean(np.array([[7.0]])) == 7


@given(rows)
def test_interquartile_mean_lies_within_the_middle_half(row: list[float]) -> None:
    found = interquartile_mean(np.array([row]))
    cut = len(row) // 4
    middle = sorted(row)[cut : len(row) - cut]
    assert min(middle) - 1e-9 <= found <= max(middle) + 1e-9
    assert found == pytest.approx(np.mean(middle))


def test_interval_is_that_of_the_normal_distribution() -> None:
    """Of 400 numbers: the mean within 1.96 standard errors."""
    sample = np.random.default_rng(0).normal(10, 2, 400)
    found = bootstrap(mean, sample)
    error = 1.96 * sample.std() / 20
    assert found.estimate == pytest.approx(sample.mean())
    assert found.low == pytest.approx(sample.mean() - error, abs=0.02)
    assert found.high == pytest.approx(sample.mean() + error, abs=0.02)


@pytest.mark.parametrize("statistic", [mean, interquartile_mean])
def test_intervals_hold_the_truth_as_often_as_they_say(statistic: object) -> None:
    samples = np.random.default_rng(1).normal(0, 1, (300, 50))
    found = [bootstrap(statistic, sample, resamples=500, seed=i) for i, sample in enumerate(samples)]
    assert 0.9 < np.mean([interval.low <= 0 <= interval.high for interval in found]) < 0.98


def test_runs_are_strata() -> None:
    """Runs that differ, each without spread: which of them is drawn is no accident, so nothing is uncertain."""
    found = bootstrap(mean, np.repeat([[1.0], [5.0]], 20, axis=1))
    assert (found.estimate, found.low, found.high) == (3, 3, 3)
    assert bootstrap(mean, np.repeat([1.0, 5.0], 20)).high > 3.3


def test_episodes_of_every_run_are_drawn_anew() -> None:
    """Twice the same 200 episodes are as certain as 400, not as 200."""
    sample = np.random.default_rng(4).normal(10, 2, 200)
    found = bootstrap(mean, [sample, sample])
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * sample.std() / 20, rel=0.05)


def test_many_numbers_are_drawn_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = np.random.default_rng(0).normal(size=(2, 30))
    whole = bootstrap(mean, sample, resamples=99)
    monkeypatch.setattr("sb3_efficient.evaluation.statistics._CHUNK", 600)
    assert bootstrap(mean, sample, resamples=99) == whole


@settings(deadline=None)
@given(rows, numbers)
def test_bootstrap_properties(row: list[float], shift: float) -> None:
    found = bootstrap(mean, row, resamples=50)
    assert min(row) - 1e-9 <= found.low <= found.high <= max(row) + 1e-9
    assert bootstrap(mean, row, resamples=50) == found
    shifted = bootstrap(mean, np.add(row, shift), resamples=50)
    assert shifted.low == pytest.approx(found.low + shift, abs=1e-6)


@given(rows, rows)
def test_probability_of_improvement(one: list[float], other: list[float]) -> None:
    by_definition = np.mean([(a > b) + 0.5 * (a == b) for a in one for b in other])
    assert probability_of_improvement(one, other) == pytest.approx(by_definition)
    assert probability_of_improvement(other, one) == pytest.approx(1 - by_definition)


def test_probability_of_improvement_of_several_runs() -> None:
    assert probability_of_improvement([[1, 2], [5, 6]], [[0, 0, 0], [7, 7, 7]]) == 0.5
    with pytest.raises(OptionError, match="got 2 of one policy and 1 of the other"):
        probability_of_improvement([[1], [2]], [1, 2])


@pytest.mark.parametrize(
    ("loss", "spread", "verdict"),
    [(0, 0, "same"), (0, 10, "same"), (4.9, 0, "same"), (5.1, 0, "worse"), (20, 10, "worse"), (5, 10, "not shown")],
)
def test_verdict(loss: float, spread: float, verdict: str) -> None:
    """The original has 90 and random play -10, so 5 may be lost."""
    noise = np.random.default_rng(2).normal(0, spread, 100)
    found = non_inferiority(90 - loss + noise - noise.mean(), np.full(100, 90), [-12, -8])
    assert found.margin == pytest.approx(5)
    assert found.difference.estimate == pytest.approx(-loss)
    assert found.verdict == verdict


def test_pairs_decide_where_means_would_not() -> None:
    """Episodes that differ much, and in the same way for both."""
    luck = np.random.default_rng(3).normal(100, 50, 100)
    paired = non_inferiority(luck - 1, luck, np.zeros(10))
    assert paired.verdict == "same"
    assert non_inferiority(np.sort(luck), luck[::-1], np.zeros(10)).verdict == "not shown"


def test_nothing_is_shown_of_an_original_that_cannot_play() -> None:
    games = np.ones(100)
    assert non_inferiority(games, games, games).verdict == "not shown"
    assert non_inferiority(5 * games, 0 * games, games).verdict == "not shown"


def test_nothing_is_shown_by_few_episodes() -> None:
    assert non_inferiority(np.full(19, 90), np.full(19, 90), [0]).verdict == "not shown"
    # Twenty runs of an episode each, which cannot be drawn again
    assert non_inferiority(np.full((20, 1), 50), np.full((20, 1), 90), [0]).verdict == "not shown"
    assert non_inferiority(np.full((2, 10), 90), np.full((2, 10), 90), [0]).verdict == "same"


@pytest.mark.parametrize("wrong", [[], [[]], [1.0, float("nan")], np.zeros((2, 2, 2))])
def test_returns_that_are_none(wrong: object) -> None:
    with pytest.raises(OptionError, match=r"Returns must be finite numbers of shape \(runs, episodes\)"):
        bootstrap(mean, wrong)


@pytest.mark.parametrize("wrong", [[[1, 2], [3]], "abc"])
def test_rows_of_several_lengths_are_refused(wrong: Any) -> None:
    with pytest.raises(OptionError, match="Returns must be numbers, in rows of one length"):
        bootstrap(mean, wrong)


def test_unpaired_returns_are_refused() -> None:
    with pytest.raises(OptionError, match="Play both with the same seeds"):
        non_inferiority([1, 2, 3], [1, 2], [0])
