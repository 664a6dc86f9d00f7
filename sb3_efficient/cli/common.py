"""What commands make of the options that they share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sb3_efficient.cli.arguments import check_batch_sizes
from sb3_efficient.errors import ObservationError, OptionError

if TYPE_CHECKING:
    import numpy as np
    from stable_baselines3.common.base_class import BaseAlgorithm

    from sb3_efficient.compression.recipe import Method
    from sb3_efficient.evaluation.compare import Candidate
    from sb3_efficient.evaluation.report import Report
    from sb3_efficient.zoo.saved import SavedAgent


def saved_agent(arguments: argparse.Namespace) -> SavedAgent:
    """
    :param arguments: Of :func:`~.arguments.add_agent_arguments`
    """
    from sb3_efficient.zoo.packages import import_packages
    from sb3_efficient.zoo.saved import find_agent

    import_packages(arguments.gym_packages)
    return find_agent(
        arguments.algo, arguments.env, arguments.folder, exp_id=arguments.exp_id, load_best=arguments.load_best
    )


def loaded(agent: SavedAgent) -> BaseAlgorithm:
    """
    :param agent: Of :func:`saved_agent`
    :return: Its model, if commands can record what it sees
    """
    from stable_baselines3.common.preprocessing import is_image_space

    model = agent.load()
    if not is_image_space(model.observation_space):
        raise ObservationError(
            f"{agent.path} takes {model.observation_space}, and commands record images, of uint8: use "
            "sb3_efficient.compress and make_engine in a script, with a method that needs none, as 'dynamic-int8'."
        )
    agent.check_fit(model)
    return model


def is_deterministic(arguments: argparse.Namespace, agent: SavedAgent) -> bool:
    """
    :param arguments: Of :func:`~.arguments.add_play_arguments`
    :param agent: Who plays; as rl-zoo3 has it play, if the arguments do not say
    """
    return arguments.deterministic or (agent.is_deterministic and not arguments.stochastic)


def observations_for(arguments: argparse.Namespace, agent: SavedAgent, model: BaseAlgorithm) -> np.ndarray:
    """
    :param arguments: Of all groups
    :param agent: Where it plays
    :param model: Who plays
    :return: Those of the file, or recorded now: (N, C, H, W)
    """
    from sb3_efficient.observations import load_observations

    if arguments.observations is None:
        return record(arguments, agent, model, arguments.n_observations)
    found = load_observations(arguments.observations, model.observation_space)
    check_batch_sizes(arguments.batch_size, len(found), "choose smaller ones, or 'collect' more")
    return found


def divided(observations: np.ndarray, least: int) -> tuple[np.ndarray, np.ndarray]:
    """
    :param observations: (N, C, H, W), shuffled
    :param least: Number of observations to compare on
    :return: Those to calibrate and train with, and a fifth of them, which policies are compared on; of few
        observations all are both
    """
    n = _held_out(len(observations), least)
    return (observations[n:], observations[:n]) if n else (observations, observations)


def check_n_observations(n: int, least: int, recipes: Iterable[tuple[Method, ...]]) -> None:
    """
    Refuse too few, before they are recorded.

    :param n: How many observations are going to be :func:`divided`
    :param least: As there
    :param recipes: Of which some need observations
    """
    from sb3_efficient.compression.calibration import LEAST

    rest = n - _held_out(n, least)
    for step in (step for recipe in recipes for step in recipe):
        if step.needs_observations and rest < LEAST:
            raise OptionError(
                f"--n-observations {n} leaves {rest} for {step.name!r}, beside those that policies are compared on, "
                f"and it needs at least {LEAST}: record more, better some hundreds."
            )


def _held_out(n: int, least: int) -> int:
    """How many of n observations serve for comparing only."""
    held_out = max(n // 5, least)
    return 0 if 2 * held_out > n else held_out


def record(
    arguments: argparse.Namespace, agent: SavedAgent, model: BaseAlgorithm, n: int, **options: Any
) -> np.ndarray:
    """
    :param arguments: Of :func:`~.arguments.add_play_arguments`
    :param agent: Where it plays
    :param model: Who plays
    :param n: How many observations
    :param options: Of :func:`~sb3_efficient.observations.collect`
    :return: (n, C, H, W)
    """
    from sb3_efficient.observations import collect

    env = agent.make_env(arguments.sticky)
    try:
        return collect(
            model,
            env,
            n,
            deterministic=is_deterministic(arguments, agent),
            seed=arguments.seed,
            title="recording observations",
            **options,
        )
    finally:
        env.close()


def compared(
    arguments: argparse.Namespace, agent: SavedAgent, candidates: Sequence[Candidate], observations: np.ndarray
) -> Report:
    """
    :param arguments: Of all groups
    :param agent: Where policies play
    :param candidates: The original first
    :param observations: (N, C, H, W)
    """
    from sb3_efficient.evaluation.compare import compare
    from sb3_efficient.evaluation.report import Report
    from sb3_efficient.machine import machine

    seeds = range(arguments.seed, arguments.seed + arguments.episodes)
    rows, random_return = compare(
        candidates,
        observations,
        lambda: agent.make_env(arguments.sticky),
        seeds,
        batch_sizes=arguments.batch_size,
        repeats=arguments.repeats,
        threads=arguments.threads,
        n_envs=arguments.n_envs,
        deterministic=is_deterministic(arguments, agent),
        progress=True,
    )
    here = machine()
    facts = {
        "agent": f"{agent.algo}, {agent.env_id}, {agent.path.parent.name}/{agent.path.name}",
        "episodes": f"{arguments.episodes}, seeds from {arguments.seed}, {arguments.n_envs} at a time",
        "actions": "greedy" if is_deterministic(arguments, agent) else "sampled",
        "sticky actions on Atari": arguments.sticky,
        "observations compared on": len(observations),
        "engine of compressed policies": arguments.engine,
        "threads": _threads(arguments.threads, candidates),
        "machine": f"{here['cpu']}, {here['cores']} cores, {' '.join(here['cpu_flags'])}",
        "versions": ", ".join(f"{name} {version}" for name, version in here["versions"].items()),
    }
    return Report(f"{agent.algo.upper()} on {agent.env_id}", rows, random_return, facts)


def _threads(asked: int, candidates: Sequence[Candidate]) -> str:
    fewer = {candidate.engine.threads for candidate in candidates} - {asked}
    return f"{asked}{''.join(f', of the engine {n}' for n in sorted(fewer))}"


def show(report: Report, path: Path) -> None:
    """
    Print a report and write it to files.

    :param report: What was found
    :param path: Of the files, without their endings
    """
    print(report.to_markdown())
    print(f"report: {', '.join(map(str, report.write(path)))}", file=sys.stderr)
