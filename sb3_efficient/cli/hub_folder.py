"""``sb3-efficient bench hub-folder``: what Hugging Face's hub needs of an agent, in a folder."""

from __future__ import annotations

import argparse
import errno
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from sb3_efficient.atomic import check_writable
from sb3_efficient.cli.arguments import add_agent_arguments, add_game_arguments, check_game_arguments
from sb3_efficient.cli.common import saved_agent
from sb3_efficient.cli.leaderboard import whole_games
from sb3_efficient.errors import EfficientError, WriteError
from sb3_efficient.options import whole_arguments

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm

    from sb3_efficient.zoo.hub import Score
    from sb3_efficient.zoo.saved import SavedAgent

HELP = "write what Hugging Face's hub needs of an agent: zip, settings, score, model card, video"
EXAMPLES = """\
examples:
  sb3-efficient bench hub-folder --algo ppo --env PongNoFrameskip-v4 -f examples/agents -o hub/ppo-Pong
  hf upload my-organization/ppo-PongNoFrameskip-v4 hub/ppo-Pong .

The same files as rl_zoo3.push_to_hub's, which cannot be imported with today's versions of what it needs;
rl_zoo3.load_from_hub reads them. Nothing is uploaded.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """
    :param parser: Of this command
    """
    add_agent_arguments(parser)
    add_game_arguments(parser)
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder, which must not be there or be empty")
    parser.add_argument("--video-steps", type=int, default=1000, help="length of the video; 0 for none (default: 1000)")


def run(arguments: argparse.Namespace) -> int:
    """
    :param arguments: As :func:`add_arguments` has them
    :return: Exit status
    """
    check_game_arguments(arguments)
    whole_arguments(arguments, "video_steps", least=0)
    target: Path = arguments.output.resolve()
    if target == Path.cwd():
        raise EfficientError("The folder is put in its place when it is finished: name one in here with -o.")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise EfficientError(f"{target} is there already and not empty: name another folder with -o.")
    agent = saved_agent(arguments)
    check_writable(target.parent / f".{target.name}.new")
    # All of it or nothing: a folder that is begun would be in the way of the next attempt
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".hub-folder-") as made:
            folder = Path(made) / target.name
            score = _write(folder, agent, arguments)
            if target.exists():
                target.rmdir()
            folder.rename(target)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise WriteError(f"{target} could not be written: {error.strerror}. Make room for it.") from error
    print(f"{target}: mean reward {score.mean:.2f} +/- {score.std:.2f} of {score.episodes} games")
    return 0


def _write(folder: Path, agent: SavedAgent, arguments: argparse.Namespace) -> Score:
    from sb3_efficient.zoo.hub import Score, plays_with_package, write_card, write_files

    model = agent.load()
    folder.mkdir()
    write_files(agent, folder)
    if arguments.video_steps:
        _film(arguments, agent.path.parent, folder / "replay.mp4")
    games, greedy = whole_games(agent, model, arguments)
    score = Score(float(games[:, 0].mean()), float(games[:, 0].std()), len(games), greedy)
    (folder / "results.json").write_text(json.dumps(score.to_json(), indent=1) + "\n")
    ours = needs_package(model) or plays_with_package(agent)
    write_card(agent, score, folder, needs_package=ours, gym_packages=arguments.gym_packages)
    return score


def needs_package(model: BaseAlgorithm) -> bool:
    """
    :param model: Any
    :return: Whether its zip names classes of this package, without which it cannot be loaded
    """
    buffers = (getattr(model, f"{kind}_buffer_class", None) for kind in ("replay", "rollout"))
    found = [type(model.policy), model.policy.features_extractor_class, *buffers]
    return any(getattr(part, "__module__", "").startswith("sb3_efficient") for part in found)


def _film(arguments: argparse.Namespace, run_folder: Path, file: Path) -> None:
    """By the zoo's own program, with the wrappers that the agent was trained in."""
    # An agent that lies in the folder of its algorithm has no number
    number = match[1] if (match := re.search(r"_(\d+)$", run_folder.name)) else "-1"
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "sb3_efficient", "record_video", "--algo", arguments.algo]
        command += ["--env", arguments.env, "-f", str(arguments.folder), "--exp-id", number, "-o", folder]
        command += ["-n", str(arguments.video_steps), "--seed", str(arguments.seed), "--no-render"]
        command += ["--load-best"] if arguments.load_best else []
        command += ["--gym-packages", *arguments.gym_packages] if arguments.gym_packages else []
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        films = sorted(Path(folder).glob("*.mp4"))
        if done.returncode != 0 or not films:
            raise EfficientError(
                "The video could not be recorded, and nothing was written (--video-steps 0 leaves it out):\n"
                f"{done.stderr.strip()[-2000:]}"
            )
        file.write_bytes(films[0].read_bytes())
