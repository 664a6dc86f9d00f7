"""``sb3-efficient compress``: smaller and faster policies of an agent, and the report about them."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from sb3_efficient.atomic import check_writable
from sb3_efficient.cli import search
from sb3_efficient.cli.arguments import (
    add_agent_arguments,
    add_play_arguments,
    add_report_arguments,
    check_report_arguments,
)
from sb3_efficient.cli.common import (
    check_n_observations,
    compared,
    divided,
    loaded,
    observations_for,
    saved_agent,
    show,
)
from sb3_efficient.errors import ConflictError, OptionError

if TYPE_CHECKING:
    from sb3_efficient.compression.recipe import Method
    from sb3_efficient.zoo.saved import SavedAgent

#: File systems allow 255 bytes for a name; some of them are the agent's
LONGEST_SLUG = 120
_OF_SEARCH = ("n_trials", "storage", "study_name", "distillation")
HELP = "make an agent's policy smaller and faster, and report what it cost"
EXAMPLES = """\
examples:
  sb3-efficient compress --algo ppo --env PongNoFrameskip-v4 -f logs --recipe static-int8
  sb3-efficient compress --algo ppo --env PongNoFrameskip-v4 -f logs --n-observations 10000 \\
      --recipe "channel-pruning(ratio=0.5) distillation static-int8" --recipe dynamic-float16
  sb3-efficient compress --algo ppo --env PongNoFrameskip-v4 -f logs --search --n-trials 50 --storage search.log

Each policy is written beside the agent, as NAME.policy: play it with 'sb3-efficient enjoy ... --policy NAME.policy'.
The report about them has the names of their recipes: NAME.md, NAME.csv, NAME.json and NAME.html.
"Same" in the report: the 95 % interval of the paired difference in return excludes a loss of 5 % of what the agent
gains over random play. static-int8 takes seconds to make, distillation minutes; games take most of the time.
A search of the same agent with the same settings goes on where its storage ended. To spread it over processes of one
machine, start the last command in each of them; over several machines, with
--storage postgresql://USER:PASSWORD@HOST/DATABASE.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """
    :param parser: Of this command
    """
    parser.add_argument(
        "--recipe",
        action="append",
        help='steps in order, in quotes: "channel-pruning(ratio=0.5) static-int8" (all: sb3-efficient list), or '
        "float32 for none; another --recipe makes another policy (default: static-int8)",
    )
    add_agent_arguments(parser)
    add_play_arguments(parser)
    add_report_arguments(parser)
    parser.add_argument("-o", "--output", type=Path, help="folder of policies and report (default: the agent's)")
    group = parser.add_argument_group("search for recipes, in place of --recipe")
    group.add_argument(
        "--search", action="store_true", help="search recipes for high return, low latency and few bytes"
    )
    group.add_argument("--n-trials", type=int, help="trials of this process (default: 20)")
    group.add_argument("--storage", help="URL of a database, or a journal file (.log) (default: memory)")
    group.add_argument("--study-name", help="name of the study (default: one for each agent and settings)")
    group.add_argument("--distillation", help="step that follows pruning, with options (default: distillation)")


def run(arguments: argparse.Namespace) -> int:
    """
    :param arguments: As :func:`add_arguments` has them
    :return: Exit status
    """
    from sb3_efficient.compression import compress, make_recipe
    from sb3_efficient.compression.compress import check_engine, check_recipe
    from sb3_efficient.compression.recipe import AS_IT_IS, recipe_text
    from sb3_efficient.evaluation.candidates import graph_candidate, model_candidate

    if arguments.search:
        arguments.batch_size = arguments.batch_size[:1]
    check_report_arguments(arguments)
    _check_mode(arguments)
    if arguments.search:
        return search.run(arguments)
    # What was typed can be judged before anything is read
    texts = arguments.recipe or ["static-int8"]
    if not all(text.strip() for text in texts):
        raise OptionError(f"--recipe is empty: name methods, see 'sb3-efficient list', or {AS_IT_IS}.")
    # One that is named twice is made once
    recipes = list({text: make_recipe(text) for text in texts}.values())
    for recipe in recipes:
        check_engine(arguments.engine, recipe)
    if arguments.observations is None:
        check_n_observations(arguments.n_observations, max(arguments.batch_size), recipes)
    agent = saved_agent(arguments)
    report, files = _files(agent, recipes, arguments.output or agent.path.parent)
    model = loaded(agent)
    for recipe in recipes:
        check_recipe(model, recipe)
    candidates = [model_candidate("original", model, threads=arguments.threads)]
    calibration, observations = divided(observations_for(arguments, agent, model), max(arguments.batch_size))
    for recipe, file in zip(recipes, files, strict=True):
        policy = compress(model, recipe, calibration=calibration)
        print(f"{recipe_text(recipe)}: {policy.save(file)}", file=sys.stderr)
        options = {"engine": arguments.engine, "threads": arguments.threads}
        candidates.append(graph_candidate(recipe_text(recipe), policy, policy.n_bytes, **options))
    show(compared(arguments, agent, candidates, observations), report)
    return 0


def _files(agent: SavedAgent, recipes: Sequence[tuple[Method, ...]], folder: Path) -> tuple[Path, list[Path]]:
    """Of the report, without endings, and of each policy: all writable, and others for other recipes."""
    from sb3_efficient.evaluation.report import check_report

    if folder.is_file():
        raise OptionError(f"--output {folder} is a file: name a folder.")
    report = folder / f"{agent.path.stem}-{slug(*recipes)}"
    files = [folder / f"{agent.path.stem}-{slug(recipe)}.policy" for recipe in recipes]
    check_report(report)
    for file in files:
        check_writable(file)
    return report, files


def _check_mode(arguments: argparse.Namespace) -> None:
    """Refuse options of the one mode that the other would ignore."""
    if arguments.search and arguments.recipe is not None:
        raise ConflictError("--search makes its recipes itself: leave out --recipe, or --search.")
    if arguments.search and arguments.output is not None:
        raise ConflictError("--search prints what it finds and writes no policies: leave out --output, or --search.")
    given = [option for option in _OF_SEARCH if getattr(arguments, option) is not None]
    if given and not arguments.search:
        options = ", ".join(f"--{option.replace('_', '-')}" for option in given)
        raise ConflictError(f"{options} is for searches: add --search, or leave it out.")


def slug(*recipes: tuple[Method, ...]) -> str:
    """
    :param recipes: Any
    :return: The same as part of a file's name, and no longer than these may be
    """
    from sb3_efficient.compression.recipe import recipe_text

    text = re.sub(r"[^a-z0-9.=]+", "-", " ".join(map(recipe_text, recipes)).lower()).strip("-")
    rest = sha256(text.encode()).hexdigest()[:8]
    return text if len(text) <= LONGEST_SLUG else f"{text[: LONGEST_SLUG - 9].strip('-')}-{rest}"
