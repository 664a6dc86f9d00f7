"""``sb3-efficient evaluate``: an agent, and others and compressed policies beside it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sb3_efficient.cli.arguments import (
    add_agent_arguments,
    add_play_arguments,
    add_report_arguments,
    check_report_arguments,
)
from sb3_efficient.cli.common import compared, loaded, observations_for, saved_agent, show
from sb3_efficient.errors import OptionError

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm

    from sb3_efficient.evaluation.compare import Candidate

HELP = "compare an agent with others and with compressed policies"
EXAMPLES = """\
examples:
  sb3-efficient evaluate --algo ppo --env PongNoFrameskip-v4 -f logs
  sb3-efficient evaluate --algo ppo --env PongNoFrameskip-v4 -f logs pong.policy pruned.zip --episodes 200
  sb3-efficient evaluate --algo ppo --env PongNoFrameskip-v4 -f logs pong.policy \\
      --episodes 0 --engine openvino --threads 2 --batch-size 1 8 64 --repeats 1000     # latencies only
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """
    :param parser: Of this command
    """
    parser.add_argument("files", nargs="*", type=Path, help="compressed policies, and zips of the same algorithm")
    add_agent_arguments(parser)
    add_play_arguments(parser)
    add_report_arguments(parser)
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("evaluation"),
        help="files of the report, without their endings (default: %(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """
    :param arguments: As :func:`add_arguments` has them
    :return: Exit status
    """
    from sb3_efficient.evaluation.candidates import model_candidate
    from sb3_efficient.evaluation.report import check_report

    check_report_arguments(arguments)
    # Of "." and ".." alone no file can be named
    output: Path = arguments.output if arguments.output.name.strip(".") else arguments.output / "evaluation"
    agent = saved_agent(arguments)
    check_report(output)
    model = loaded(agent)
    named = zip(_names(arguments.files), arguments.files, strict=True)
    others = [_candidate(name, file, model, arguments) for name, file in named]
    candidates = [model_candidate("original", model, threads=arguments.threads), *others]
    report = compared(arguments, agent, candidates, observations_for(arguments, agent, model))
    show(report, output)
    return 0


def _names(files: list[Path]) -> list[str]:
    """Of files, with as many folders as tell them apart: all agents of a game have the same in the zoo's layout."""
    paths = [file.resolve().parts for file in files]
    depth = next((n for n in range(1, max(map(len, paths), default=1)) if _differ(paths, n)), 1)
    return [str(Path(*parts[-depth:])) for parts in paths]


def _differ(paths: list[tuple[str, ...]], depth: int) -> bool:
    return len({parts[-depth:] for parts in paths}) == len(paths)


def _candidate(name: str, file: Path, original: BaseAlgorithm, arguments: argparse.Namespace) -> Candidate:
    from sb3_efficient.compression import load_policy
    from sb3_efficient.compression.policy import check_spaces
    from sb3_efficient.evaluation.candidates import graph_candidate, model_candidate
    from sb3_efficient.zoo.saved import load_model

    if not file.is_file():
        raise OptionError(f"There is no file {file}. 'sb3-efficient compress' writes compressed policies.")
    if file.suffix == ".zip":
        model = load_model(arguments.algo, file)
        check_spaces(file, model, original)
        return model_candidate(name, model, threads=arguments.threads)
    policy, options = load_policy(file, original), {"engine": arguments.engine, "threads": arguments.threads}
    return graph_candidate(name, policy, file.stat().st_size, **options)
