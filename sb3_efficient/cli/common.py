"""Options that several commands have, and what they make of them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sb3_efficient.errors import OptionError
from sb3_efficient.options import whole_number

if TYPE_CHECKING:
    import numpy as np
    from stable_baselines3.common.base_class import BaseAlgorithm

    from sb3_efficient.evaluation.compare import Candidate
    from sb3_efficient.evaluation.report import Report
    from sb3_efficient.zoo.saved import SavedAgent


def add_agent_arguments(parser: argparse.ArgumentParser) -> None:
    """
    :param parser: Of a command about an agent that the zoo has saved
    """
    group = parser.add_argument_group("agent, as rl-zoo3 has saved it")
    group.add_argument("--algo", required=True, help="rl-zoo3's name: ppo, dqn, ...")
    group.add_argument("--env", required=True, help="id of the environment: PongNoFrameskip-v4, ...")
    group.add_argument(
        "-f", "--folder", type=Path, default=Path("logs"), help="the zoo's folder (default: %(default)s)"
    )
    group.add_argument("--exp-id", type=int, default=0, help="number of the run (default: the latest)")
    group.add_argument("--load-best", action="store_true", help="best model of the run in place of the last")
    group.add_argument(
        "--gym-packages", nargs="+", default=[], metavar="MODULE", help="imported first, as they register environments"
    )


def add_play_arguments(parser: argparse.ArgumentParser) -> None:
    """
    :param parser: Of a command that lets policies play
    """
    group = parser.add_argument_group("play")
    group.add_argument(
        "--sticky",
        type=float,
        default=0.25,
        help="Atari: chance that a frame repeats the last action (default: %(default)s)",
    )
    group.add_argument(
        "--deterministic", action="store_true", help="take the most probable actions; default: sample them"
    )
    group.add_argument("--seed", type=int, default=0, help="seed of the first episode (default: %(default)s)")
    group.add_argument("--n-envs", type=int, default=8, help="games at a time (default: %(default)s)")


def add_report_arguments(parser: argparse.ArgumentParser) -> None:
    """
    :param parser: Of a command that ends in a report
    """
    group = parser.add_argument_group("report")
    group.add_argument(
        "--episodes", type=int, default=100, help="whole games of each policy; 0 for none (default: %(default)s)"
    )
    group.add_argument("--engine", default="onnxruntime", help="runtime of compressed policies (default: %(default)s)")
    group.add_argument("--threads", type=int, default=1, help="threads of every network (default: %(default)s)")
    group.add_argument(
        "--batch-size", type=int, nargs="+", default=[1, 100], help="batches that are timed (default: 1 100)"
    )
    group.add_argument(
        "--repeats", type=int, default=200, help="timed calls of each kind, at most (default: %(default)s)"
    )
    group.add_argument("--observations", type=Path, help="file of 'collect' (default: recorded now)")
    group.add_argument(
        "--n-observations",
        type=int,
        default=1000,
        help="how many to record for calibration and training of students (default: %(default)s)",
    )


def check_report_arguments(arguments: argparse.Namespace) -> None:
    """
    Say what is wrong before hours are spent.

    :param arguments: Of :func:`add_play_arguments` and :func:`add_report_arguments`
    """
    from sb3_efficient.engines import find_engine

    if not find_engine(arguments.engine).runs_graphs:
        raise OptionError(
            f"{arguments.engine!r} cannot run compressed policies: choose --engine onnxruntime or openvino."
        )
    whole_number("--episodes", arguments.episodes, least=0)
    check_play_arguments(arguments)
    for option in ("threads", "repeats", "n_observations"):
        whole_number(f"--{option.replace('_', '-')}", getattr(arguments, option))
    for size in arguments.batch_size:
        whole_number("--batch-size", size)
    if arguments.observations is None:
        check_batch_sizes(arguments.batch_size, arguments.n_observations, "choose more --n-observations, or less of it")


def check_play_arguments(arguments: argparse.Namespace) -> None:
    """
    :param arguments: Of :func:`add_play_arguments`
    """
    whole_number("--n-envs", arguments.n_envs)
    whole_number("--seed", arguments.seed, least=0)
    if not 0 <= arguments.sticky < 1:
        raise OptionError(f"--sticky is a chance in [0, 1), got {arguments.sticky!r}.")


def saved_agent(arguments: argparse.Namespace) -> SavedAgent:
    """
    :param arguments: Of :func:`add_agent_arguments`
    """
    from sb3_efficient.zoo.saved import find_agent

    for module in arguments.gym_packages:
        _import(module)
    return find_agent(
        arguments.algo, arguments.env, arguments.folder, exp_id=arguments.exp_id, load_best=arguments.load_best
    )


def _import(module: str) -> None:
    try:
        import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise OptionError(
            f"--gym-packages names the module {module!r}, and there is none ({error}): it must be installed, or lie in "
            "the current folder or on PYTHONPATH."
        ) from error


def is_deterministic(arguments: argparse.Namespace) -> bool:
    """
    :param arguments: Of :func:`add_agent_arguments` and :func:`add_play_arguments`
    """
    from sb3_efficient.policies import GREEDY

    return arguments.deterministic or arguments.algo in GREEDY


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


def check_batch_sizes(sizes: Sequence[int], n: int, advice: str) -> None:
    """
    :param sizes: That are going to be timed
    :param n: Number of observations
    :param advice: What to do about it
    """
    if max(sizes) > n:
        raise OptionError(f"--batch-size {max(sizes)} takes as many observations, and there are {n}: {advice}.")


def divided(observations: np.ndarray, least: int) -> tuple[np.ndarray, np.ndarray]:
    """
    :param observations: (N, C, H, W), shuffled
    :param least: Number of observations to compare on
    :return: Those to calibrate and train with, and a fifth of them, which policies are compared on; of few
        observations all are both
    """
    n = max(len(observations) // 5, least)
    return (observations, observations) if 2 * n > len(observations) else (observations[n:], observations[:n])


def record(
    arguments: argparse.Namespace, agent: SavedAgent, model: BaseAlgorithm, n: int, **options: Any
) -> np.ndarray:
    """
    :param arguments: Of :func:`add_play_arguments`
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
            deterministic=is_deterministic(arguments),
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
    from sb3_efficient.doctor import machine
    from sb3_efficient.evaluation.compare import compare
    from sb3_efficient.evaluation.report import Report

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
        deterministic=is_deterministic(arguments),
        progress=True,
    )
    here = machine()
    facts = {
        "agent": f"{agent.algo}, {agent.env_id}, {agent.path.parent.name}/{agent.path.name}",
        "episodes": f"{arguments.episodes}, seeds from {arguments.seed}",
        "actions": "greedy" if is_deterministic(arguments) else "sampled",
        "sticky actions on Atari": arguments.sticky,
        "observations compared on": len(observations),
        "engine of compressed policies": arguments.engine,
        "threads": arguments.threads,
        "machine": f"{here['cpu']}, {here['cores']} cores, {' '.join(here['cpu_flags'])}",
        "versions": ", ".join(f"{name} {version}" for name, version in here["versions"].items()),
    }
    return Report(f"{agent.algo.upper()} on {agent.env_id}", rows, random_return, facts)


def show(report: Report, path: Path) -> None:
    """
    Print a report and write it to files.

    :param report: What was found
    :param path: Of the files, without their endings
    """
    print(report.to_markdown())
    print(f"report: {', '.join(map(str, report.write(path)))}", file=sys.stderr)
