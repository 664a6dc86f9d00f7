"""``sb3-efficient collect``: observations of an agent at play, as a file."""

from __future__ import annotations

import argparse
from pathlib import Path

from sb3_efficient.atomic import check_writable
from sb3_efficient.cli.arguments import N_OBSERVATIONS, add_agent_arguments, add_play_arguments, check_play_arguments
from sb3_efficient.cli.common import loaded, record, saved_agent
from sb3_efficient.options import whole_arguments

HELP = "record observations of an agent at play"
EXAMPLES = """\
examples:
  sb3-efficient collect --algo ppo --env PongNoFrameskip-v4 -f logs -n 10000
  sb3-efficient compress --algo ppo --env PongNoFrameskip-v4 -f logs --observations observations.safetensors
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """
    :param parser: Of this command
    """
    add_agent_arguments(parser)
    add_play_arguments(parser)
    parser.add_argument(
        "-n", "--n-observations", type=int, default=N_OBSERVATIONS, help="how many (default: %(default)s)"
    )
    parser.add_argument(
        "--spacing", type=int, default=10, help="steps of the game between two of them (default: %(default)s)"
    )
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("observations.safetensors"), help="file (default: %(default)s)"
    )


def run(arguments: argparse.Namespace) -> int:
    """
    :param arguments: As :func:`add_arguments` has them
    :return: Exit status
    """
    from sb3_efficient.observations import save_observations

    check_play_arguments(arguments)
    whole_arguments(arguments, "n_observations", "spacing")
    agent = saved_agent(arguments)
    check_writable(arguments.output)
    spacing = arguments.spacing
    found = record(arguments, agent, loaded(agent), arguments.n_observations, spacing=spacing)
    path = save_observations(arguments.output, found)
    print(f"{len(found)} observations of shape {found.shape[1:]} in {path}")
    return 0
