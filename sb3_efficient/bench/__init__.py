"""``sb3-efficient bench``: how fast things are on this machine, beside the plain way in the same run."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sb3_efficient.bench import loop, scripts
from sb3_efficient.errors import EfficientError, UnavailableError, UnknownNameError, suggestion

_LOOP = "where the time of a training run goes, plain and fast, in rl-zoo3's own program"
_LOOP_EXAMPLES = """\
examples:
  sb3-efficient bench loop
  sb3-efficient bench loop --algo dqn --env BreakoutNoFrameskip-v4 --extractor impala --picture loop.png
  sb3-efficient bench loop --steps 512 --variants fast -params n_envs=4
"""
_NETS = "the networks themselves under PyTorch, ONNX Runtime, OpenVINO, Flax and TensorFlow"
_NETS_EXAMPLES = """\
examples:
  sb3-efficient bench nets --quick
  sb3-efficient bench nets --networks impala --frameworks pytorch onnxruntime --threads 1 2

Writes nets.json, nets.md and nets.png into --results. What is there is not measured again, so that an interrupted
series goes on. Frameworks are compared in turns: one that comes later is to be measured with the others, --again. What
is not installed, or does not fit, is skipped with its reason.
"""


def add_arguments(parser: argparse.ArgumentParser) -> argparse._SubParsersAction[argparse.ArgumentParser]:
    """
    :param parser: Of the command ``bench``
    :return: Its commands, to which others can be added
    """
    commands = parser.add_subparsers(dest="what", required=True, metavar="WHAT", prog="sb3-efficient bench")
    loop.add_arguments(_command(commands, "loop", _LOOP, _LOOP_EXAMPLES))
    nets = _command(commands, "nets", _NETS, _NETS_EXAMPLES)
    nets.add_argument("--networks", nargs="+", metavar="NAME", help="default: the source's two, nature and impala")
    nets.add_argument("--frameworks", nargs="+", metavar="NAME", help="default: all")
    nets.add_argument("--threads", type=int, nargs="+", default=[1], help="and cores (default: 1)")
    nets.add_argument("--quick", action="store_true", help="some minutes: fewer batch sizes, few images")
    nets.add_argument("--results", type=Path, default=Path("bench"), help="folder (default: %(default)s)")
    nets.add_argument("--again", action="store_true", help="measure rows that are there as well")
    nets.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    for name, (script, what) in scripts.SCRIPTS.items():
        # Only so that they are listed: they have their own options, and :func:`script` runs them
        commands.add_parser(name, help=f"{what} (examples/benchmarks/{script})")
    return commands


def _command(commands: Any, name: str, what: str, examples: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=what,
        description=what,
        epilog=examples,
        usage=f"sb3-efficient bench {name} [options]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(parser=parser)
    return parser


def script(words: Sequence[str]) -> str | None:
    """
    :param words: Of a command line, behind ``bench``
    :return: Name of the script that they call, if it is one
    """
    return words[0] if words and words[0] in scripts.SCRIPTS else None


def check_name(words: Sequence[str], known: Iterable[str]) -> None:
    """
    :param words: Of a command line, behind ``bench``
    :param known: Commands that there are
    """
    names = list(known)
    if words and not words[0].startswith("-") and words[0] not in names:
        raise UnknownNameError(
            f"Unknown benchmark {words[0]!r}.{suggestion(words[0], names)} There are: {', '.join(sorted(names))}."
        )


def run(arguments: argparse.Namespace) -> int:
    """
    :param arguments: As :func:`add_arguments` has them
    :return: Exit status
    """
    if arguments.what == "loop":
        loop.loop(arguments)
    else:
        _nets(arguments)
    return 0


def _nets(arguments: argparse.Namespace) -> None:
    from sb3_efficient.bench.frameworks import FRAMEWORKS
    from sb3_efficient.bench.nets import KEYS, NETWORKS
    from sb3_efficient.bench.nets_report import draw, tables
    from sb3_efficient.bench.rows import Rows
    from sb3_efficient.doctor import machine
    from sb3_efficient.extractors import find_extractor
    from sb3_efficient.options import whole_number

    networks, frameworks = arguments.networks or list(NETWORKS), arguments.frameworks or FRAMEWORKS.in_order()
    for framework in frameworks:
        FRAMEWORKS[framework]
    for network in networks:
        find_extractor(network)
    for threads in arguments.threads:
        whole_number("--threads", threads)
    name = "nets_quick" if arguments.quick else "nets"
    file = arguments.results / f"{name}.json"
    rows = Rows(file, machine(), KEYS)
    if arguments.child:
        _measure(rows, networks[0], arguments.threads[0], frameworks, arguments)
        return
    for network in networks:
        for threads in arguments.threads:
            # A process of its own: frameworks settle their threads when they are imported
            command = [sys.executable, "-m", "sb3_efficient", "bench", "nets", "--child", "--networks", network]
            command += ["--threads", str(threads), "--frameworks", *frameworks, "--results", str(arguments.results)]
            command += [f"--{flag}" for flag in ("quick", "again") if getattr(arguments, flag)]
            if subprocess.run(command, check=False).returncode != 0:
                raise EfficientError(f"Measuring {network} with {threads} thread(s) failed; what was measured is kept.")
    rows = Rows(file, machine(), KEYS)
    text = tables(rows.rows)
    print(text)
    file.with_suffix(".md").write_text(text, encoding="utf-8")
    if not any("median" in row for row in rows.rows):
        raise UnavailableError(f"None of {', '.join(frameworks)} is installed: nothing was measured.")
    draw(rows.rows, file.with_suffix(".png"))


def _measure(rows: Any, name: str, threads: int, frameworks: list[str], arguments: argparse.Namespace) -> None:
    from sb3_efficient.bench.nets import QUICK, Plan, measure
    from sb3_efficient.bench.network import Network

    plan = QUICK if arguments.quick else Plan()
    known = [row for row in rows.rows if (row["network"], row["threads"]) == (name, threads)]
    todo: dict[Any, list[str]] = {}
    for framework in frameworks:
        todo.setdefault(plan.kinds if arguments.again else plan.missing(known, framework), []).append(framework)
    for kinds, those in todo.items():
        if kinds:
            for found in measure(Network(name, threads), those, replace(plan, kinds=kinds)):
                rows.add(found)
