"""The command ``sb3-efficient``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import sb3_efficient
from sb3_efficient.bench import scripts
from sb3_efficient.cli import bench, collect, compress, evaluate
from sb3_efficient.cli.arguments import add_command
from sb3_efficient.cli.ending import exit_status
from sb3_efficient.errors import UnknownNameError, suggestion

ZOO_VERBS = ("train", "enjoy", "record_video")

_DESCRIPTION = """\
Visual reinforcement learning in Stable-Baselines3 that is cheap to train and cheap to run.

commands that rl-zoo3 has, with this package registered (all its options; --help lists them):
  train          train an agent
  enjoy          watch or score an agent, or with --policy FILE a compressed one; --engine NAME lets a runtime act
  record_video   film an agent, likewise

commands of our own (each with --help and examples):
  compress       make an agent's policy smaller and faster, and report what it cost
  evaluate       compare an agent with others and with compressed policies
  collect        record observations of an agent at play
  list           extractors by name with their sizes, engines, and the shipped hyper-parameters
  bench          how fast things are on this machine: nets, loop, seer, reuse, compress, ..., all, report
  doctor         what is installed, what this machine can do, whether rl-zoo3 is adapted
"""
_EXAMPLES = """\
examples:
  sb3-efficient train --algo ppo --env PongNoFrameskip-v4 -params features_extractor=impala -P
  sb3-efficient enjoy --algo ppo --env PongNoFrameskip-v4 -f logs --no-render -n 5000
  sb3-efficient enjoy --algo ppo --env PongNoFrameskip-v4 -f logs --policy NAME.policy --engine reuse
  sb3-efficient train --algo ppo --env Catch-v0 -conf sb3_efficient.hyperparams.ppo.impala
  sb3-efficient compress --algo ppo --env PongNoFrameskip-v4 -f logs --recipe static-int8
  sb3-efficient list --image 3x64x64

The first is the same as: python -m rl_zoo3.train --algo ppo ...
"""


#: Without a command
_OPTIONS = ("-h", "--help", "--version")


def main(argv: Sequence[str] | None = None) -> int:
    """
    :param argv: Arguments, those of the process if None
    :return: Exit status: 0 for success, 1 for an error of the user's or the installation's, 2 for wrong usage, 69 where
        something is lacking here, as an extra, 130 for an interruption, 141 where nobody reads the output on
    """
    if argv is None:
        argv = sys.argv[1:]
        # As with python -m: modules that --gym-packages and -conf name may lie here
        sys.path.append("")
    return exit_status(lambda: _run(argv), "sb3-efficient")


def _run(argv: Sequence[str]) -> int:
    if argv and argv[0] in ZOO_VERBS:
        from sb3_efficient.zoo.commands import run

        run(argv[0], argv[1:])
        return 0
    if argv and argv[0] == "bench" and (script := bench.script(argv[1:])) is not None:
        return scripts.run(script, argv[2:])
    parser = _parser()
    if not argv:
        parser.print_help()
        return 2
    known = sorted((*_OWN, *ZOO_VERBS))
    if argv[0] not in known and argv[0] not in _OPTIONS:
        hint = suggestion(argv[0], [*known, *_OPTIONS])
        raise UnknownNameError(f"Unknown command {argv[0]!r}.{hint} Commands: {', '.join(known)}.")
    arguments, unknown = parser.parse_known_args(argv)
    if unknown:
        # With the usage of the command, which argparse leaves to the outermost parser
        arguments.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    return _OWN[arguments.command](arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sb3-efficient",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="sb3-efficient COMMAND [options]",
    )
    parser.add_argument("--version", action="version", version=f"sb3-efficient {sb3_efficient.__version__}")
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", help=argparse.SUPPRESS, prog="sb3-efficient"
    )
    what = "extractors with parameters and multiply-accumulates, engines, and shipped hyper-parameters, by name"
    listing = commands.add_parser("list", description=what, epilog="example: sb3-efficient list --image 3x64x64")
    listing.set_defaults(parser=listing)
    listing.add_argument(
        "--image", default="4x84x84", metavar="CxHxW", help="image that the sizes refer to (default: %(default)s)"
    )
    checks = "what is installed, what this machine can do, and whether rl-zoo3 is adapted; status 1 if not all is well"
    doctor = commands.add_parser("doctor", description=checks)
    doctor.set_defaults(parser=doctor)
    for name, (command, options) in _COMMANDS.items():
        add_command(commands, name, command, f"{name} {options}")
    return parser


def _list(arguments: argparse.Namespace) -> int:
    from sb3_efficient.compression import list_methods
    from sb3_efficient.engines import list_engines
    from sb3_efficient.sizes import table
    from sb3_efficient.zoo.conf import module_names

    print(table(arguments.image))
    print(f"\nEngines, sb3_efficient.make_engine(model, NAME): {', '.join(list_engines())}")
    print(f"\nSteps of recipes, 'sb3-efficient compress --recipe': {', '.join(list_methods())}")
    print("\nHyper-parameters, -conf sb3_efficient.hyperparams.ALGO or .ALGO.VARIANT:")
    names = [name.split(".")[2:] for name in module_names()]
    for algo, own in groupby(names, lambda parts: parts[0]):
        print(f"{algo:<12}{', '.join(parts[1] for parts in own if parts[1:])}")
    return 0


def _doctor(arguments: argparse.Namespace) -> int:
    from sb3_efficient.doctor import report

    text, healthy = report()
    print(text)
    return 0 if healthy else 1


_WITH_AGENT = "--algo ALGO --env ENV [options]"
#: Name -> module, and its options in a line
_COMMANDS: dict[str, tuple[Any, str]] = {
    "bench": (bench, "WHAT [options]"),
    "compress": (compress, _WITH_AGENT),
    "evaluate": (evaluate, _WITH_AGENT),
    "collect": (collect, _WITH_AGENT),
}
_OWN = {"list": _list, "doctor": _doctor, **{name: command.run for name, (command, _) in _COMMANDS.items()}}
