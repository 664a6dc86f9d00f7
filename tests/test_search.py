"""Recipes that are drawn, and trials on a small agent, without games."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.envs import FakeImageEnv

from sb3_efficient.compression import ChannelPruning, Distillation, MagnitudePruning, StaticInt8, make_recipe
from sb3_efficient.errors import OptionError
from sb3_efficient.search import DIRECTIONS, Searcher, open_study, reason, suggest, table

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 1, 40, 40), dtype=np.uint8)


def searcher(mean_return: float = 1.0) -> Searcher:
    model = PPO("CnnPolicy", FakeImageEnv(screen_height=40, screen_width=40), seed=0)
    short = "distillation(steps=1, batch_size=4)"
    return Searcher(model, IMAGES, lambda candidate: mean_return, repeats=1, distillation=short)


def test_recipes() -> None:
    drawn = {"pruning": "channel-pruning", "channel-pruning-ratio": 0.5, "last": "static-int8"}
    assert suggest(optuna.trial.FixedTrial(drawn)) == (ChannelPruning(ratio=0.5), Distillation(), StaticInt8())
    drawn = {"pruning": "magnitude-pruning", "magnitude-pruning-ratio": 0.9, "last": "none"}
    assert suggest(optuna.trial.FixedTrial(drawn), "distillation(steps=5)") == (
        MagnitudePruning(ratio=0.9),
        Distillation(steps=5),
    )
    assert suggest(optuna.trial.FixedTrial({"pruning": "none", "last": "none"})) == ()


def test_trials_know_return_latency_and_bytes(tmp_path: Path) -> None:
    made = searcher()
    storage = f"sqlite:///{tmp_path}/search.db"
    study = optuna.create_study(study_name="it", storage=storage, directions=DIRECTIONS)
    study.enqueue_trial({"pruning": "none", "last": "none"})
    study.enqueue_trial({"pruning": "channel-pruning", "channel-pruning-ratio": 0.5, "last": "static-int8"})
    open_study(storage, "it").optimize(made, 1)
    study = open_study(storage, "it")
    study.optimize(made, 1)
    float32, small = study.trials
    assert float32.values[0] == small.values[0] == 1
    assert float32.values[2] > 10 * small.values[2]
    assert all(trial.values[1] > 0 for trial in study.trials)
    assert small in study.best_trials
    lines = table(study).splitlines()
    assert len(lines) == 2 + len(study.best_trials)
    recipe = "channel-pruning(ratio=0.5) distillation(steps=1, batch_size=4) static-int8"
    assert f"| {recipe} | 1.00 | {small.values[1]:.2f}x | {small.values[2]:,.0f} |" in lines


def test_what_an_engine_does_not_run_is_not_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def does_not_fit(*_: Any, **__: Any) -> None:
        raise OptionError("Nothing would be left of it.")

    monkeypatch.setattr("sb3_efficient.search.compress", does_not_fit)
    storage = str(tmp_path / "new" / "search.log")
    study = open_study(storage)
    study.optimize(replace(searcher(), engine="reuse"), 5)
    assert Path(storage).exists()
    assert {trial.state.name for trial in study.trials} == {"PRUNED"}
    assert all(trial.user_attrs["recipe"].endswith("static-int8") for trial in study.trials)
    assert reason(study) == "Nothing would be left of it"
    # Others may go on in the same study
    study.optimize(searcher(), 2)


def test_several_steps_may_follow_pruning() -> None:
    drawn = {"pruning": "channel-pruning", "channel-pruning-ratio": 0.5, "last": "none"}
    found = suggest(optuna.trial.FixedTrial(drawn), "distillation(steps=5) qat(steps=3)")
    assert found == make_recipe("channel-pruning(ratio=0.5) distillation(steps=5) qat(steps=3)")


def test_latency_is_a_part_of_the_originals(monkeypatch: pytest.MonkeyPatch) -> None:
    def timed(policies: dict[str, Any], *_: object, **__: object) -> dict[str, Any]:
        assert set(policies) == {"original", "trial"}
        medians = {"original": 4.0, "trial": 2.0}
        return {name: SimpleNamespace(network={1: SimpleNamespace(median=ms)}) for name, ms in medians.items()}

    monkeypatch.setattr("sb3_efficient.search.time_policies", timed)
    study = optuna.create_study(directions=DIRECTIONS)
    study.enqueue_trial({"pruning": "none", "last": "none"})
    study.optimize(searcher(), 1)
    assert study.trials[0].values[1] == 0.5


def test_a_recipe_that_does_not_fit_is_only_one() -> None:
    study = optuna.create_study(directions=DIRECTIONS)
    study.enqueue_trial({"pruning": "none", "last": "static-int8"})
    model = searcher().model
    study.optimize(Searcher(model, IMAGES[:3], lambda candidate: 0.0), 1)
    assert [trial.state.name for trial in study.trials] == ["PRUNED"]
    assert len(table(study).splitlines()) == 2


def test_storages_that_do_not_serve(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="Optuna cannot use storage 'nosql://x' for the study 'it'"):
        open_study("nosql://x", "it")
    storage = f"sqlite:///{tmp_path}/search.db"
    optuna.create_study(study_name="it", storage=storage)
    with pytest.raises(OptionError, match="is not one of this search"):
        open_study(storage, "it")
