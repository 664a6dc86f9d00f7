"""
Search for recipes that trade return, latency and bytes well: the one file that knows Optuna.

Any storage of Optuna serves, so that processes, or machines, work on one study together.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.study import StudyDirection
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_efficient.compression import compress
from sb3_efficient.compression.recipe import Method, Step, make_recipe, recipe_text
from sb3_efficient.engines import find_engine
from sb3_efficient.errors import EfficientError, OptionError
from sb3_efficient.evaluation.candidates import graph_candidate, model_candidate
from sb3_efficient.evaluation.compare import Candidate
from sb3_efficient.evaluation.latency import time_policies

#: Mean return, latency as a part of the original's (so that machines may differ), bytes
DIRECTIONS = (StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE, StudyDirection.MINIMIZE)
LAST_STEPS = ("none", "static-int8", "dynamic-int8", "dynamic-float16")


@dataclass(frozen=True)
class Searcher:
    """
    What trials are made with.

    :param model: To compress
    :param observations: (N, C, H, W), uint8, for calibration and timing
    :param mean_return: Lets a candidate play
    :param engine: For compressed policies
    :param threads: Of every network
    :param batch_size: For the latency
    :param repeats: Timed calls
    :param distillation: What follows pruning, a step or several
    """

    model: BaseAlgorithm
    observations: np.ndarray
    mean_return: Callable[[Candidate], float]
    engine: str = "onnxruntime"
    threads: int = 1
    batch_size: int = 1
    repeats: int = 200
    distillation: str = "distillation"

    def __call__(self, trial: optuna.Trial) -> tuple[float, float, float]:
        """
        :param trial: Suggests a recipe
        :return: As :data:`DIRECTIONS` has them
        """
        runs = find_engine(self.engine).last_steps
        recipe = suggest(trial, self.distillation, LAST_STEPS if runs is None else runs)
        trial.set_user_attr("recipe", recipe_text(recipe))
        try:
            policy = compress(self.model, recipe, calibration=self.observations)
            candidate = graph_candidate("trial", policy, policy.n_bytes, engine=self.engine, threads=self.threads)
        except EfficientError as error:
            # Where a layer would vanish, or the engine does not run it, only that recipe has failed
            trial.set_user_attr("reason", str(error).rstrip("."))
            raise optuna.TrialPruned(str(error)) from error
        original = model_candidate("original", self.model, threads=self.threads)
        timings = time_policies(
            {c.method: (c.policy, c.engine) for c in (original, candidate)},
            self.observations,
            batch_sizes=[self.batch_size],
            repeats=self.repeats,
            threads=self.threads,
        )
        medians = {name: timing.network[self.batch_size].median for name, timing in timings.items()}
        return self.mean_return(candidate), medians["trial"] / medians["original"], policy.n_bytes


def suggest(
    trial: optuna.Trial, distillation: str = "distillation", last_steps: Sequence[str] = LAST_STEPS
) -> tuple[Method, ...]:
    """
    :param trial: Draws from the space: pruning of channels or of weights and distillation after it, and a last step
    :param distillation: What follows pruning, a step or several
    :param last_steps: To choose from
    :return: A recipe
    """
    steps: list[Step] = []
    pruning = trial.suggest_categorical("pruning", ["none", "channel-pruning", "magnitude-pruning"])
    if pruning != "none":
        ratio = trial.suggest_float(f"{pruning}-ratio", 0.1, 0.9, step=0.05)
        steps = [f"{pruning}(ratio={ratio:.2f})", *make_recipe(distillation)]
    # Optuna wants the same choices under the same name, in all trials of a study
    last = trial.suggest_categorical("last" if last_steps == LAST_STEPS else f"last of {last_steps}", last_steps)
    return make_recipe([*steps, *([] if last == "none" else [last])])


def open_study(storage: str | None = None, name: str = "compression") -> optuna.Study:
    """
    :param storage: URL of a database, ``"postgresql://..."`` or ``"sqlite:///..."``, or a journal file that ends in
        ``.log``; None for memory
    :param name: Of the study; one that is there is continued
    :return: The study, which :class:`Searcher` is to be optimized in; ``best_trials`` are those that no other beats in
        everything
    """
    try:
        study = optuna.create_study(
            storage=_storage(storage), study_name=name, directions=DIRECTIONS, load_if_exists=True
        )
    except Exception as error:  # of Optuna, SQLAlchemy, or whichever driver
        driver = " (for PostgreSQL: pip install psycopg2-binary)" if isinstance(error, ImportError) else ""
        raise OptionError(f"Optuna cannot use storage {storage!r} for the study {name!r}: {error}{driver}") from error
    if study.directions != list(DIRECTIONS):
        raise OptionError(f"The study {name!r} in {storage} is not one of this search. Choose another --study-name.")
    return study


def table(study: optuna.Study) -> str:
    """
    :param study: After some trials
    :return: Recipes that no other beats in everything, best return first
    """
    lines = ["| recipe | return | latency | bytes |", "| --- | --- | --- | --- |"]
    for trial in sorted(study.best_trials, key=lambda trial: -trial.values[0]):
        score, latency, n_bytes = trial.values
        lines.append(f"| {trial.user_attrs['recipe']} | {score:.2f} | {latency:.2f}x | {n_bytes:,.0f} |")
    return "\n".join(lines)


def reason(study: optuna.Study) -> str:
    """
    :param study: Without a trial that was completed
    :return: Why the last one was not
    """
    return study.trials[-1].user_attrs.get("reason", "another process is at them")


def _storage(storage: str | None) -> BaseStorage | str | None:
    if storage is None or not storage.endswith(".log"):
        return storage
    Path(storage).parent.mkdir(parents=True, exist_ok=True)
    # By default locked by a symbolic link, which Windows lets only administrators make
    lock = JournalFileOpenLock(storage) if sys.platform == "win32" else None
    return JournalStorage(JournalFileBackend(storage, lock))
