"""``sb3-efficient compress --search``: recipes of an agent, searched for."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from hashlib import sha256
from typing import TYPE_CHECKING

from sb3_efficient.cli.common import is_deterministic, loaded, observations_for, saved_agent
from sb3_efficient.errors import EfficientError, OptionError
from sb3_efficient.options import whole_number

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm

    from sb3_efficient.compression.recipe import Method
    from sb3_efficient.evaluation.compare import Candidate
    from sb3_efficient.zoo.saved import SavedAgent

#: What two trials must have in common to be compared, beside the agent
_OF_TRIALS = (
    *("observations", "n_observations", "sticky", "episodes", "seed", "n_envs", "engine", "threads"),
    *("batch_size", "distillation"),
)


def run(arguments: argparse.Namespace) -> int:
    """
    :param arguments: As :func:`.compress.add_arguments` has them
    :return: Exit status
    """
    from sb3_efficient.compression.compress import check_recipe
    from sb3_efficient.search import Searcher, open_study, reason, table

    trials = whole_number("--n-trials", 20 if arguments.n_trials is None else arguments.n_trials)
    distillation = _distillation(arguments)
    agent = saved_agent(arguments)
    model = loaded(agent)
    check_recipe(model, distillation)
    # A file may be wrong, which is seen before a study is made; to record takes time, for which a storage may be wrong
    given = None if arguments.observations is None else observations_for(arguments, agent, model)
    name = arguments.study_name or _study_name(arguments, agent)
    print(f"study {name}", file=sys.stderr)
    study = open_study(arguments.storage, name)
    searcher = Searcher(
        model,
        observations_for(arguments, agent, model) if given is None else given,
        _mean_return(arguments, agent, model),
        engine=arguments.engine,
        threads=arguments.threads,
        batch_size=arguments.batch_size[0],
        repeats=arguments.repeats,
        distillation=_text(arguments),
    )
    try:
        study.optimize(searcher, trials)
    finally:
        # Of an interrupted search, too: in memory, it would be lost
        if study.best_trials:
            print(table(study))
    if not study.best_trials:
        raise EfficientError(f"No recipe of {trials} could be tried: {reason(study)}. Ask for more --n-trials.")
    return 0


def _distillation(arguments: argparse.Namespace) -> tuple[Method, ...]:
    """The step that was typed, and that enough is asked for to try recipes."""
    from sb3_efficient.compression import make_recipe
    from sb3_efficient.compression.calibration import LEAST
    from sb3_efficient.compression.recipe import LastMethod

    whole_number("--episodes", arguments.episodes)
    if arguments.observations is None:
        whole_number("--n-observations", arguments.n_observations, LEAST)
    found = make_recipe(_text(arguments))
    if any(isinstance(step, LastMethod) for step in found):
        raise OptionError(
            f"--distillation stands between pruning and the last step of a recipe, got {_text(arguments)!r}."
        )
    return found


def _text(arguments: argparse.Namespace) -> str:
    return arguments.distillation or "distillation"


def _mean_return(
    arguments: argparse.Namespace, agent: SavedAgent, model: BaseAlgorithm
) -> Callable[[Candidate], float]:
    """What a trial plays for, on the same seeds as all others."""
    from sb3_efficient.evaluation.episodes import play, takes_masks

    seeds = range(arguments.seed, arguments.seed + arguments.episodes)

    def mean_return(candidate: Candidate) -> float:
        returns = play(
            candidate.policy,
            lambda: agent.make_env(arguments.sticky),
            seeds,
            n_envs=arguments.n_envs,
            deterministic=is_deterministic(arguments, agent),
            masked=takes_masks(model),
            title=candidate.method,
        )
        return float(returns.mean())

    return mean_return


def _study_name(arguments: argparse.Namespace, agent: SavedAgent) -> str:
    """Another one where trials of another agent, or with other settings, would stand beside these."""
    settings = {option: str(getattr(arguments, option)) for option in _OF_TRIALS}
    settings["deterministic"] = str(is_deterministic(arguments, agent))
    if arguments.observations is not None and arguments.observations.is_file():
        # What is in the file, not where it lies
        settings["observations"] = sha256(arguments.observations.read_bytes()).hexdigest()
        del settings["n_observations"]
    facts = json.dumps([settings, agent.digest]).encode()
    return f"{agent.algo}-{agent.name}-{sha256(facts).hexdigest()[:8]}"
