"""Commands, and options that several of them have."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sb3_efficient.errors import ConflictError, OptionError
from sb3_efficient.options import whole_arguments, whole_number

#: That are recorded where nothing is said
N_OBSERVATIONS = 1000


def add_command(commands: Any, name: str, command: Any, usage: str) -> None:
    """
    :param commands: As ``add_subparsers`` gives them
    :param name: On the command line
    :param command: Module with ``HELP``, ``EXAMPLES`` and ``add_arguments``
    :param usage: Behind ``sb3-efficient``
    """
    parser = commands.add_parser(
        name,
        help=command.HELP,
        # Not capitalize(), which makes the rest lower case
        description=f"{command.HELP[0].upper()}{command.HELP[1:]}.",
        epilog=command.EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage=f"sb3-efficient {usage}",
    )
    parser.set_defaults(parser=parser)
    command.add_arguments(parser)


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
    add_gym_packages(group)


def add_gym_packages(parser: argparse._ActionsContainer) -> None:
    """
    :param parser: Of a command about environments, or a group of it
    """
    parser.add_argument(
        "--gym-packages", nargs="+", default=[], metavar="MODULE", help="imported first, as they register environments"
    )


def add_game_arguments(parser: argparse.ArgumentParser) -> None:
    """
    :param parser: Of a command that scores agents
    """
    parser.add_argument("--episodes", type=int, default=100, help="whole games of each agent (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first game (default: %(default)s)")
    parser.add_argument("--n-envs", type=int, default=8, help="games at a time (default: %(default)s)")
    parser.add_argument(
        "--threads", type=int, default=1, help="threads of torch and of the engine (default: %(default)s)"
    )


def check_game_arguments(arguments: argparse.Namespace) -> None:
    """
    :param arguments: Of :func:`add_game_arguments`
    """
    from sb3_efficient.cpu import check_threads

    whole_arguments(arguments, "episodes", "n_envs", "threads")
    check_threads(arguments.threads)
    check_seed(arguments.seed, arguments.episodes)


def check_seed(seed: int, episodes: int) -> None:
    """
    :param seed: Of the first game
    :param episodes: Games, each with the next seed
    """
    # What SB3 and gymnasium seed with
    most = 2**32 - 1
    if episodes > most:
        raise OptionError(f"--episodes must be at most {most}, as each has a seed of its own, got {episodes}.")
    if not 0 <= seed <= most - episodes:
        raise OptionError(f"--seed must be a whole number from 0 to {most - episodes}, got {seed}.")


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
    chance = group.add_mutually_exclusive_group()
    chance.add_argument(
        "--deterministic",
        action="store_true",
        help="take the most probable actions; default outside of Atari, and of what has no others, as dqn",
    )
    chance.add_argument("--stochastic", action="store_true", help="sample actions; default on Atari, as in 'enjoy'")
    group.add_argument("--seed", type=int, default=0, help="seed of the first episode (default: %(default)s)")


def add_report_arguments(parser: argparse.ArgumentParser) -> None:
    """
    :param parser: Of a command that ends in a report
    """
    group = parser.add_argument_group("report")
    group.add_argument(
        "--episodes", type=int, default=100, help="whole games of each policy; 0 for none (default: %(default)s)"
    )
    group.add_argument("--n-envs", type=int, default=8, help="games at a time (default: %(default)s)")
    group.add_argument("--engine", default="onnxruntime", help="runtime of compressed policies (default: %(default)s)")
    group.add_argument("--threads", type=int, default=1, help="threads of every network (default: %(default)s)")
    group.add_argument(
        "--batch-size",
        type=int,
        nargs="+",
        default=[1, 100],
        help="batches that are timed; a search takes the first (default: 1 100)",
    )
    group.add_argument(
        "--repeats", type=int, default=200, help="timed calls of each kind, at most (default: %(default)s)"
    )
    group.add_argument("--observations", type=Path, help="file of 'collect' (default: recorded now)")
    group.add_argument(
        "--n-observations",
        type=int,
        help=f"how many to record for calibration and training of students (default: {N_OBSERVATIONS})",
    )


def check_report_arguments(arguments: argparse.Namespace) -> None:
    """
    Say what is wrong before hours are spent.

    :param arguments: Of :func:`add_play_arguments` and :func:`add_report_arguments`
    """
    from sb3_efficient.cpu import check_threads
    from sb3_efficient.engines import find_engine

    if find_engine(arguments.engine).last_steps == ():
        raise OptionError(
            f"{arguments.engine!r} cannot run compressed policies: choose --engine onnxruntime, openvino or reuse."
        )
    if arguments.observations is not None and arguments.n_observations is not None:
        raise ConflictError("--observations is a file, and --n-observations says how many to record: leave out one.")
    if arguments.n_observations is None:
        arguments.n_observations = N_OBSERVATIONS
    whole_number("--episodes", arguments.episodes, least=0)
    check_play_arguments(arguments)
    whole_arguments(arguments, "n_envs", "threads", "repeats", "n_observations")
    check_threads(arguments.threads)
    for size in arguments.batch_size:
        whole_number("--batch-size", size)
    if arguments.observations is None:
        check_batch_sizes(arguments.batch_size, arguments.n_observations, "choose more --n-observations, or less of it")


def check_play_arguments(arguments: argparse.Namespace) -> None:
    """
    :param arguments: Of :func:`add_agent_arguments` and :func:`add_play_arguments`
    """
    from sb3_efficient.policies import GREEDY

    check_seed(arguments.seed, getattr(arguments, "episodes", 0))
    if arguments.stochastic and arguments.algo in GREEDY:
        raise OptionError(
            f"{arguments.algo} has one action for an observation, and --stochastic nothing to sample: leave it out."
        )
    if not 0 <= arguments.sticky < 1:
        raise OptionError(f"--sticky is a chance in [0, 1), got {arguments.sticky!r}.")


def check_batch_sizes(sizes: Sequence[int], n: int, advice: str) -> None:
    """
    :param sizes: That are going to be timed
    :param n: Number of observations
    :param advice: What to do about it
    """
    if max(sizes) > n:
        raise OptionError(f"--batch-size {max(sizes)} takes as many observations, and there are {n}: {advice}.")
