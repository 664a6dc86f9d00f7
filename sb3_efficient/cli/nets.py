"""``sb3-efficient bench nets``: the networks themselves, under every framework that is installed."""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from sb3_efficient.atomic import replace_file
from sb3_efficient.errors import EfficientError, UnavailableError

HELP = "the networks themselves under PyTorch, ONNX Runtime, OpenVINO, Flax and TensorFlow"
EXAMPLES = """\
examples:
  sb3-efficient bench nets --quick
  sb3-efficient bench nets --networks impala --frameworks pytorch onnxruntime --threads 1 2

Writes nets.json, nets.md and nets.png into --results. What is there is not measured again, so that an interrupted
series goes on. Frameworks are compared in turns: one that comes later is to be measured with the others, --again. What
is not installed, or does not fit, is skipped with its reason. The framework "cuda" is PyTorch on a GPU.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """
    :param parser: Of the command ``bench nets``
    """
    parser.add_argument("--networks", nargs="+", metavar="NAME", help="default: the source's two, nature and impala")
    parser.add_argument("--frameworks", nargs="+", metavar="NAME", help="default: all")
    parser.add_argument("--threads", type=int, nargs="+", default=[1], help="and cores (default: 1)")
    parser.add_argument("--quick", action="store_true", help="some minutes: fewer batch sizes, few images")
    parser.add_argument("--results", type=Path, default=Path("bench"), help="folder (default: %(default)s)")
    parser.add_argument("--again", action="store_true", help="measure rows that are there as well")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace) -> int:
    """
    :param arguments: As :func:`add_arguments` has them
    :return: Exit status
    """
    from sb3_efficient.bench.frameworks import FRAMEWORKS
    from sb3_efficient.bench.nets import KEYS, NETWORKS
    from sb3_efficient.bench.nets_report import draw, tables
    from sb3_efficient.bench.rows import Rows
    from sb3_efficient.cpu import check_threads
    from sb3_efficient.extractors import find_extractor
    from sb3_efficient.machine import machine
    from sb3_efficient.options import check_name, whole_number

    networks, frameworks = arguments.networks or list(NETWORKS), arguments.frameworks or list(FRAMEWORKS)
    for framework in frameworks:
        check_name("framework", framework, FRAMEWORKS)
    for network in networks:
        find_extractor(network)
    for threads in arguments.threads:
        check_threads(whole_number("--threads", threads))
    name = "nets_quick" if arguments.quick else "nets"
    file = arguments.results / f"{name}.json"
    rows = Rows(file, machine(), KEYS)
    if arguments.child:
        _measure(rows, networks[0], arguments.threads[0], frameworks, arguments)
        return 0
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
    replace_file(file.with_suffix(".md"), text.encode())
    if not any("median" in row for row in rows.rows):
        raise UnavailableError(f"None of {', '.join(frameworks)} is installed: nothing was measured.")
    draw(rows.rows, file.with_suffix(".png"))
    return 0


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
