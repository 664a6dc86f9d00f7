from __future__ import annotations

import json

import numpy as np
import pytest
from gymnasium import spaces

from sb3_efficient.engines import Head
from sb3_efficient.errors import OptionError, UnknownNameError

RNG = np.random.default_rng(0)


def draws(head: Head, *outputs: list[float], n: int = 20000) -> np.ndarray:
    batch = [np.tile(np.float32(output), (n, 1)) for output in outputs]
    return head.act(batch, False, np.random.default_rng(1))


def test_categorical_follows_the_softmax() -> None:
    logits = [1.0, 2.0, 0.0, -np.inf]
    actions = draws(Head("categorical", spaces.Discrete(4)), logits)
    expected = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(np.bincount(actions, minlength=4) / len(actions), expected, atol=0.012)


def test_large_logits_do_not_overflow() -> None:
    assert set(draws(Head("categorical", spaces.Discrete(2)), [1e30, -1e30])) == {0}


def test_switches_follow_the_sigmoid() -> None:
    head = Head("bernoulli", spaces.MultiBinary(3))
    np.testing.assert_allclose(draws(head, [-1.0, 0.0, 3.0]).mean(axis=0), [0.269, 0.5, 0.953], atol=0.012)
    np.testing.assert_array_equal(head.act([np.float32([[-0.1, 0.1, 0]])], True, RNG), [[0, 1, 0]])


def test_greedy_has_no_chance() -> None:
    assert set(draws(Head("greedy", spaces.Discrete(3)), [0.0, 0.001, 0.0])) == {1}


def test_gaussian_is_clipped_and_squashed_is_unscaled() -> None:
    box = spaces.Box(np.float32([-1, 0]), np.float32([1, 10]))
    actions = draws(Head("gaussian", box), [0.0, 5.0], [0.0, -1.0])
    assert actions.dtype == np.float32
    assert (actions[:, 0] == 1).mean() == pytest.approx(0.159, abs=0.01)
    assert actions[:, 1].std() == pytest.approx(np.exp(-1), abs=0.01)
    mean = [np.float32([[0.0, 100.0]]), np.float32([[-20, -20]])]
    np.testing.assert_allclose(Head("squashed-gaussian", box).act(mean, True, RNG), [[0, 10]])
    np.testing.assert_allclose(Head("deterministic", box).act([np.float32([[-1, 0]])], False, RNG), [[-1, 5]])


@pytest.mark.parametrize("kind", ["categorical", "greedy"])
def test_round_trip_through_json(kind: str) -> None:
    head = Head(kind, spaces.Discrete(4))
    assert Head.from_config(json.loads(json.dumps(head.to_config()))) == head


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UnknownNameError, match=r"Unknown head 'gausian'\. Did you mean 'gaussian'\?"):
        Head("gausian", spaces.Discrete(2))
    with pytest.raises(OptionError, match=r"A gaussian head does not give actions of Discrete\(2\)"):
        Head("gaussian", spaces.Discrete(2))
