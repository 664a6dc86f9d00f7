"""An original and two engines of it, on a small game."""

from __future__ import annotations

import math

import numpy as np
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecEnv

from sb3_efficient import make_engine
from sb3_efficient.envs import CatchEnv
from sb3_efficient.evaluation.compare import Candidate, Row, compare
from sb3_efficient.evaluation.episodes import play

IMAGES = np.random.default_rng(0).integers(0, 256, (10, 1, 84, 84), dtype=np.uint8)
FEW = {"batch_sizes": (1, 4), "repeats": 5}


def catch() -> VecEnv:
    return make_vec_env(CatchEnv, 1)


@pytest.fixture(scope="module")
def candidates() -> list[Candidate]:
    model = PPO("CnnPolicy", catch(), seed=0)
    engine = make_engine(model)
    other = make_engine(PPO("CnnPolicy", catch(), seed=1))
    return [
        Candidate("original", model, make_engine(model, "eager"), 100, 25),
        Candidate("the same", engine, engine, 50, 25),
        Candidate("another", other, other, 25, 10),
    ]


def test_rows(candidates: list[Candidate]) -> None:
    rows, random = compare(candidates, IMAGES, catch, range(6), deterministic=True, **FEW)
    assert [row.method for row in rows] == ["original", "the same", "another"]
    assert [row.n_bytes for row in rows] == [100, 50, 25]
    original, same, another = rows
    assert original.agreement is None
    assert (original.verdict, original.scores.comparison) == ("", None)
    assert same.scores.returns == original.scores.returns
    assert same.scores.comparison.difference.high == same.scores.comparison.difference.low == 0
    assert same.agreement.actions == 1 > another.agreement.actions
    played = play(candidates[2].policy, catch, range(6), deterministic=True)
    assert another.scores.returns == tuple(played)
    assert another.scores.comparison.difference.estimate == pytest.approx(played.mean() - original.scores.mean)
    assert -5 <= random <= 5


def test_without_games(candidates: list[Candidate]) -> None:
    rows, random = compare(candidates, IMAGES, catch, [], **FEW)
    assert math.isnan(random)
    assert all(isinstance(row, Row) and row.scores is None and row.verdict == "" for row in rows)
    assert list(rows[0].timing.predict) == [1, 4]


def test_sampled_actions_are_paired_too(candidates: list[Candidate]) -> None:
    (original, same, _), _ = compare(candidates, IMAGES, catch, range(6), n_envs=3, **FEW)
    assert same.scores.returns == original.scores.returns


def test_engines_play_without_masks_where_the_original_does() -> None:
    class Masked(CatchEnv):
        def action_masks(self) -> np.ndarray:
            return np.array([True, False, False])

    def masked() -> VecEnv:
        return make_vec_env(Masked, 1)

    model = PPO("CnnPolicy", catch(), seed=0)
    engine = make_engine(model, "eager")
    candidates = [Candidate("original", model, engine, 1, 1), Candidate("the same", engine, engine, 1, 1)]
    rows, _ = compare(candidates, IMAGES, masked, range(4), deterministic=True, **FEW)
    assert rows[0].scores.returns == rows[1].scores.returns
    assert tuple(play(engine, masked, range(4), deterministic=True)) != rows[0].scores.returns
