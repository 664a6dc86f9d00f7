"""What is timed, how often and in which order; not how long it takes here."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch as th
from stable_baselines3 import PPO
from stable_baselines3.common.envs import FakeImageEnv

from sb3_efficient import make_engine
from sb3_efficient.errors import ObservationError, OptionError
from sb3_efficient.evaluation.latency import time_in_turns, time_policies

IMAGES = np.zeros((4, 1, 40, 40), np.uint8)


def test_in_turns() -> None:
    order: list[str] = []
    time_in_turns({name: lambda name=name: order.append(name) for name in "ab"}, repeats=15)
    # A block to warm up, and two that count
    assert "".join(order) == ("a" * 10 + "b" * 10) * 3


def test_what_is_slow_is_timed_less_often() -> None:
    calls: list[int] = []
    time_in_turns({"it": lambda: calls.append(time.sleep(0.001) or 1)}, repeats=200, seconds=0.03)
    # A block to warm up, the least number of calls, and no further block
    assert len(calls) == 30
    calls.clear()
    time_in_turns({"it": lambda: calls.append(1)}, repeats=5, seconds=0)
    assert len(calls) == 20


def test_milliseconds() -> None:
    slow_once = iter([0.0] * 10 + [0.05] + [0.002] * 19)
    found = time_in_turns({"it": lambda: time.sleep(next(slow_once))}, repeats=20)["it"]
    assert 2 <= found.median < 20
    assert found.p99 > 40


def test_policies() -> None:
    model = PPO("CnnPolicy", FakeImageEnv(screen_height=40, screen_width=40))
    engine = make_engine(model)
    found = time_policies(
        {"model": (model, make_engine(model, "eager")), "engine": (engine, engine)},
        IMAGES,
        batch_sizes=(1, 4),
        repeats=10,
    )
    assert list(found) == ["model", "engine"]
    for timing in found.values():
        assert list(timing.network) == list(timing.predict) == [1, 4]
        assert all(0 < t.median <= t.p99 for t in [*timing.network.values(), *timing.predict.values()])


@pytest.mark.parametrize(
    ("size", "turns"),
    [(1, [0, 1, 2, 3, 0, 1]), (2, [0, 2, 0, 2, 0, 2]), (3, [0, 1, 2, 3, 0, 1]), (4, [0, 1, 2, 3, 0, 1])],
)
def test_every_call_sees_the_next_observations(size: int, turns: list[int]) -> None:
    numbered = np.arange(4, dtype=np.uint8).reshape(4, 1, 1, 1) + IMAGES
    seen: dict[str, list[int]] = {"one": [], "other": []}

    class Policy:
        def __init__(self, name: str) -> None:
            self.seen = seen[name]

        def predict(self, observation: np.ndarray) -> None:
            assert len(observation) == size
            self.seen.append(int(observation[0, 0, 0, 0]))

    engine = make_engine(PPO("CnnPolicy", FakeImageEnv(screen_height=40, screen_width=40)))
    time_policies({name: (Policy(name), engine) for name in seen}, numbered, batch_sizes=[size], repeats=10)
    assert seen["one"] == seen["other"], "all policies the same"
    assert seen["one"][:6] == turns


def test_threads_are_those_of_before_afterwards() -> None:
    seen = []

    class Policy:
        def predict(self, observation: np.ndarray) -> None:
            seen.append(th.get_num_threads())

    model = PPO("CnnPolicy", FakeImageEnv(screen_height=40, screen_width=40))
    time_policies({"it": (Policy(), make_engine(model))}, IMAGES, batch_sizes=[1], repeats=1, threads=2)
    assert set(seen) == {2}
    assert th.get_num_threads() == 1


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"batch_sizes": [1, 5]}, ObservationError, "A batch of 5 takes 5 observations, and 4 are there"),
        ({"repeats": 0}, OptionError, "repeats must be a whole number of at least 1, got 0"),
        ({"batch_sizes": [0]}, OptionError, "batch_size must be a whole number of at least 1, got 0"),
        ({"threads": 0}, OptionError, "threads must be a whole number of at least 1, got 0"),
    ],
)
def test_wrong_options(options: dict[str, object], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        time_policies({}, IMAGES, **{"batch_sizes": [1], **options})
