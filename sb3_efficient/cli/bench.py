"""``sb3-efficient bench``: its commands, and the scripts of the repository that it calls."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from sb3_efficient.bench import everything, loop, report, scripts
from sb3_efficient.cli import hub_folder, leaderboard, nets
from sb3_efficient.cli.arguments import add_command
from sb3_efficient.errors import UnknownNameError, suggestion

HELP = "how fast things are on this machine, beside the plain way in the same run"
EXAMPLES = """\
examples:
  sb3-efficient bench nets --quick        # some minutes: the networks under every framework that is installed
  sb3-efficient bench loop                # a minute or two: where the time of a training run goes
  sb3-efficient bench all --quick         # up to half an hour: a little of everything, on one page
"""
#: Name -> module, and its options in a line
_COMMANDS: dict[str, tuple[Any, str]] = {
    "loop": (loop, "[options]"),
    "nets": (nets, "[options]"),
    "all": (everything, "[options]"),
    "report": (report, "[options]"),
    "leaderboard": (leaderboard, "-f FOLDER [options]"),
    "hub-folder": (hub_folder, "--algo ALGO --env ENV -o FOLDER [options]"),
}


def script(words: Sequence[str]) -> str | None:
    """
    :param words: Of a command line, behind ``bench``
    :return: Name of the script that they call, if it is one: scripts have their own options
    """
    names = sorted({**_COMMANDS, **scripts.SCRIPTS})
    if not words or words[0].startswith("-"):
        return None
    if words[0] not in names:
        raise UnknownNameError(
            f"Unknown benchmark {words[0]!r}.{suggestion(words[0], names)} There are: {', '.join(names)}."
        )
    return words[0] if words[0] in scripts.SCRIPTS else None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """
    :param parser: Of the command ``bench``
    """
    commands = parser.add_subparsers(dest="what", required=True, metavar="WHAT", prog="sb3-efficient bench")
    for name, (command, options) in _COMMANDS.items():
        add_command(commands, name, command, f"bench {name} {options}")
    for name, (file, what) in scripts.SCRIPTS.items():
        # Only so that they are listed: see :func:`script`
        commands.add_parser(name, help=f"{what} (examples/benchmarks/{file})")


def run(arguments: argparse.Namespace) -> int:
    """
    :param arguments: As :func:`add_arguments` has them
    :return: Exit status
    """
    command, _ = _COMMANDS[arguments.what]
    status: int = command.run(arguments)
    return status
