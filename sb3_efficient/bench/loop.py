"""``sb3-efficient bench loop``: where the time of a training run goes, plain and fast, in rl-zoo3's own program."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path

from sb3_efficient.atomic import check_writable, replace_file
from sb3_efficient.bench.picture import write_picture
from sb3_efficient.errors import ConflictError, EfficientError, OptionError, UnknownNameError, suggestion
from sb3_efficient.options import whole_arguments

#: What is measured under which name: behind ``-params``
VARIANTS = {"plain": [], "fast": ["vec_env=ale", "vec_env_kwargs=dict(num_threads={})", "accelerate=True"]}
_WARM_UP = 1024
#: What tells variants apart, and measures them
_SET_HERE = ("callback", "vec_env", "vec_env_kwargs", "accelerate")
Runs = dict[str, tuple[int, dict[str, float]]]
HELP = "where the time of a training run goes, plain and fast, in rl-zoo3's own program"
EXAMPLES = """\
examples:
  sb3-efficient bench loop
  sb3-efficient bench loop --algo dqn --env BreakoutNoFrameskip-v4 --extractor impala --picture loop.png
  sb3-efficient bench loop --steps 512 --variants fast -params n_envs=4
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """
    :param parser: Of the command ``bench loop``
    """
    parser.add_argument("--algo", default="ppo", help="rl-zoo3's name (default: %(default)s)")
    parser.add_argument("--env", default="PongNoFrameskip-v4", help="default: %(default)s")
    parser.add_argument(
        "--extractor", help="of this package, also where the rest is plain (default: none, SB3's own NatureCNN)"
    )
    parser.add_argument("--steps", type=int, default=8192, help="counted steps (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="of torch and games, and cores (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=1, help="runs of each, in turns, summed up (default: 1)")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), help="default: all")
    parser.add_argument("--picture", type=Path, help="write a bar chart to this file (.png, .svg)")
    parser.add_argument("--json", type=Path, help="write the seconds to this file")
    parser.add_argument("-params", nargs="+", default=[], help="further hyper-parameters for all, as in rl-zoo3")


def run(arguments: argparse.Namespace) -> int:
    """
    :param arguments: As :func:`add_arguments` has them
    :return: Exit status
    """
    import ale_py
    import gymnasium as gym

    import sb3_efficient.envs  # noqa: F401  (registers our environments with gymnasium)
    from sb3_efficient.bench.cores import cores
    from sb3_efficient.extractors import find_extractor
    from sb3_efficient.policies import find_algorithm
    from sb3_efficient.profiler import SECTIONS, table
    from sb3_efficient.zoo.conf import files

    gym.register_envs(ale_py)
    if arguments.env not in gym.registry:
        hint = suggestion(arguments.env, gym.registry)
        raise UnknownNameError(f"No environment {arguments.env!r} is registered.{hint}")
    find_algorithm(arguments.algo)
    if arguments.algo not in files():
        raise OptionError(f"There are no shipped settings for {arguments.algo!r}, only for {', '.join(files())}.")
    if "fast" in arguments.variants:
        _check_fast(arguments.env)
    if arguments.extractor is not None:
        find_extractor(arguments.extractor)
    whole_arguments(arguments, "steps", "threads", "repeats")
    for file in filter(None, (arguments.json, arguments.picture)):
        check_writable(file)
    _check_ending(arguments.picture)
    _check_params(arguments.params)
    runs: Runs = {name: (0, dict.fromkeys(SECTIONS, 0.0)) for name in arguments.variants}
    # The processes that train keep to those as well
    with cores(arguments.threads):
        for i, name in product(range(arguments.repeats), arguments.variants):
            print(f"training {name}, run {i + 1} of {arguments.repeats}", file=sys.stderr)
            more_steps, more = _train(arguments, [word.format(arguments.threads) for word in VARIANTS[name]])
            steps, seconds = runs[name]
            runs[name] = (steps + more_steps, {section: seconds[section] + more[section] for section in SECTIONS})
    print(table(runs))
    if arguments.json is not None:
        content = {name: {"steps": steps, "seconds": seconds} for name, (steps, seconds) in runs.items()}
        replace_file(arguments.json, (json.dumps(content, indent=1) + "\n").encode())
    if arguments.picture is not None:
        draw(runs, arguments.picture, f"{arguments.algo.upper()} on {arguments.env}, {arguments.threads} thread(s)")
    return 0


def _check_fast(env_id: str) -> None:
    """That it can be played so, before the plain variant is trained."""
    from sb3_efficient.zoo.vec_env import check_skip

    try:
        check_skip(env_id, {})
    except EfficientError as error:
        raise OptionError(
            f"'bench loop' cannot measure the variant 'fast' here: add --variants plain. {error}"
        ) from error


def _check_params(params: list[str]) -> None:
    for word in params:
        key, *values = re.split("[=:]", word)
        if not values:
            raise OptionError(f"-params {word}: write name=value, as n_envs=4.")
        if key in _SET_HERE:
            raise ConflictError(f"'bench loop' sets {key} itself: leave it out, or choose by --variants.")


def _check_ending(picture: Path | None) -> None:
    """That matplotlib can write such a file, before anything is trained for it."""
    if picture is None:
        return
    from matplotlib.backend_bases import FigureCanvasBase

    known = FigureCanvasBase.get_supported_filetypes()
    if picture.suffix.lower()[1:] not in known:
        raise OptionError(f"--picture {picture}: its ending must be one of .{', .'.join(sorted(known))}.")


def _train(arguments: argparse.Namespace, params: list[str]) -> tuple[int, dict[str, float]]:
    """One run of the zoo in a process of its own, in a folder that is thrown away."""
    from sb3_efficient.policies import is_off_policy

    common = [f"features_extractor={arguments.extractor}", *arguments.params]
    if is_off_policy(arguments.algo):
        common = [f"learning_starts={_WARM_UP // 2}", "buffer_size=10000", *common]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "profile.json"
        profiler = {"sb3_efficient.profiler.ProfileCallback": {"file": str(file), "skip": _WARM_UP, "verbose": 0}}
        command = [sys.executable, "-m", "sb3_efficient", "train", "--algo", arguments.algo, "--env", arguments.env]
        command += ["-conf", f"sb3_efficient.hyperparams.{arguments.algo}", "-n", str(arguments.steps + _WARM_UP)]
        command += ["--num-threads", str(arguments.threads), "--eval-freq", "-1", "-f", folder, "--seed", "1"]
        command += ["--verbose", "0", "-params", f"callback={[profiler]}", *common, *params]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            message = done.stderr.strip()
            # One that the program says itself stands alone
            said = message.rpartition("\n")[2].partition("sb3-efficient: ")[2]
            raise EfficientError(said or f"Training failed: {' '.join(command[1:])}\n{message[-2000:]}")
        found = json.loads(file.read_text())
        return found["steps"], found["seconds"]


def draw(runs: Runs, file: Path, title: str) -> None:
    """
    :param runs: Steps and seconds of each section, by variant
    :param file: Picture, in the format that its ending names
    :param title: Of the picture
    """
    from matplotlib.figure import Figure

    from sb3_efficient.profiler import SECTIONS

    figure = Figure(figsize=(7, 0.9 + 0.5 * len(runs)), layout="constrained")
    axes = figure.add_subplot()
    left = dict.fromkeys(runs, 0.0)
    for section in SECTIONS:
        widths = {name: 1000 * seconds[section] / steps for name, (steps, seconds) in runs.items()}
        axes.barh(list(runs), list(widths.values()), left=list(left.values()), label=section)
        left = {name: left[name] + width for name, width in widths.items()}
    axes.invert_yaxis()
    axes.set(xlabel="milliseconds a step", title=title)
    figure.legend(loc="outside lower center", ncols=len(SECTIONS), frameon=False, fontsize=8)
    write_picture(figure, file)
