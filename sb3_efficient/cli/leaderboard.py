"""``sb3-efficient bench leaderboard``: every agent of a folder scored, in the columns of rl-zoo3's and in ours."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sb3_efficient.atomic import check_writable, replace_file
from sb3_efficient.bench.rows import Row, Rows
from sb3_efficient.cli.arguments import add_game_arguments, add_gym_packages, check_game_arguments
from sb3_efficient.errors import EfficientError
from sb3_efficient.zoo.record import read_record

if TYPE_CHECKING:
    import numpy as np
    from stable_baselines3.common.base_class import BaseAlgorithm

    from sb3_efficient.zoo.saved import SavedAgent

HELP = "score every agent of a folder, as rl-zoo3's leaderboard does, with size and time of its policy"
EXAMPLES = """\
examples:
  sb3-efficient bench leaderboard -f examples/agents
  sb3-efficient bench leaderboard -f logs --episodes 20 --results scores

Whole games, sampled actions on Atari (DQN and QR-DQN: greedy ones), no sticky actions: what rl-zoo3's benchmark.md
has, which rl_zoo3.benchmark computes inside its own checkout only. Writes leaderboard.json and, of the agents of that
folder, leaderboard.md; those that have been scored with the same options are not scored again (--again). Hours and
memory of training, and steps of all runs that led to an agent, are shown where its folder says them, in training.json:
{"n_timesteps": 4000000, "hours": 1.2, "peak_rss_mb": 700}. The zoo's training writes it, with this package installed.
"""
KEYS = ("algo", "env_id", "run", "sha256")
_COLUMNS = {
    "algo": "algo",
    "env_id": "env_id",
    "mean_reward": "mean_reward",
    "std_reward": "std_reward",
    "n_timesteps": "n_timesteps",
    "eval_timesteps": "eval_timesteps",
    "eval_episodes": "eval_episodes",
    "run": "run",
    "hours": "hours of training",
    "peak_rss_mb": "MB of memory",
    "zip_mb": "MB of zip",
    "predict_ms": "`predict`, ms",
    "engine_ms": "on ONNX Runtime, ms",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """
    :param parser: Of this command
    """
    parser.add_argument("-f", "--folder", type=Path, default=Path("logs"), help="the zoo's (default: %(default)s)")
    parser.add_argument("--results", type=Path, default=Path("bench"), help="folder (default: %(default)s)")
    parser.add_argument("--again", action="store_true", help="score agents that are there as well")
    add_gym_packages(parser)
    add_game_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """
    :param arguments: As :func:`add_arguments` has them
    :return: Exit status
    """
    from sb3_efficient.machine import machine
    from sb3_efficient.zoo.packages import import_packages
    from sb3_efficient.zoo.saved import all_agents

    check_game_arguments(arguments)
    import_packages(arguments.gym_packages)
    agents, unknown = all_agents(arguments.folder)
    for path in unknown:
        print(
            f"skipped {path}: its environment is not registered; name the module that does it with --gym-packages",
            file=sys.stderr,
        )
    if not agents:
        raise EfficientError(
            f"There is no agent in {arguments.folder}. They lie in <folder>/<algo>/<env>_<n>/<env>.zip, as rl-zoo3 and "
            "'sb3-efficient train' save them: name that folder with -f."
        )
    file = arguments.results / "leaderboard.json"
    rows = Rows(file, machine(), KEYS)
    check_writable(file.with_suffix(".md"))
    wanted = [_facts(agent, arguments) for agent in agents]
    reasons: list[str] = []
    for agent, facts in zip(agents, wanted, strict=True):
        row = None if arguments.again else rows.find(**facts)
        if row is not None:
            print(f"{agent.path.parent}: there already", file=sys.stderr)
        try:
            record = read_record(agent.path.parent)
            found = row or {**facts, **_score(agent, arguments)}
        except EfficientError as error:
            # One that is damaged, or of an algorithm without images, costs the others nothing
            print(f"skipped {agent.path}: {error}", file=sys.stderr)
            reasons.append(str(error))
            continue
        rows.add([{**found, **record}])
    if len(reasons) == len(agents):
        raise EfficientError(f"None of the agents in {arguments.folder} could be scored: {reasons[0]}")
    # The file may have those of other folders
    text = table([row for facts in wanted if (row := rows.find(**facts))])
    print(text)
    replace_file(file.with_suffix(".md"), text.encode())
    return 0


def table(rows: list[Row]) -> str:
    """
    :param rows: Agents
    :return: Markdown, best of each game first
    """
    lines = [f"| {' | '.join(_COLUMNS.values())} |", "|" + "---|" * len(_COLUMNS)]
    for row in sorted(rows, key=lambda row: (row["env_id"], -row["mean_reward"])):
        lines.append(f"| {' | '.join(_shown(row.get(column)) for column in _COLUMNS)} |")
    return "\n".join(lines) + "\n"


def whole_games(agent: SavedAgent, model: BaseAlgorithm, arguments: argparse.Namespace) -> tuple[np.ndarray, bool]:
    """
    :param agent: Where it plays
    :param model: The agent's
    :param arguments: As :func:`add_arguments` has them
    :return: Return and length of each game, (N, 2), and whether actions were greedy
    """
    from sb3_efficient.evaluation.episodes import play_games
    from sb3_efficient.threads import torch_threads

    agent.check_fit(model)
    greedy = agent.is_deterministic
    with torch_threads(arguments.threads):
        games = play_games(
            model,
            lambda: agent.make_env(sticky=0.0),
            range(arguments.seed, arguments.seed + arguments.episodes),
            n_envs=arguments.n_envs,
            deterministic=greedy,
            title=f"{agent.algo} {agent.path.parent.name}",
        )
    return games, greedy


def _facts(agent: SavedAgent, arguments: argparse.Namespace) -> Row:
    """What a score depends on, but for the machine: the agent, not only its name, and how it plays."""
    return {
        "algo": agent.algo,
        "env_id": agent.env_id,
        "run": agent.path.parent.name,
        "sha256": agent.digest,
        "eval_episodes": arguments.episodes,
        **{name: getattr(arguments, name) for name in ("seed", "n_envs", "threads")},
    }


def _score(agent: SavedAgent, arguments: argparse.Namespace) -> Row:
    from sb3_efficient.engines import make_engine
    from sb3_efficient.evaluation.latency import time_in_turns
    from sb3_efficient.threads import torch_threads

    model = agent.load()
    games, greedy = whole_games(agent, model, arguments)
    with torch_threads(arguments.threads):
        env = agent.make_env(sticky=0.0)
        observation: Any = env.reset()
        env.close()
        calls = {"predict_ms": lambda: model.predict(observation)}
        try:
            engine = make_engine(model, threads=arguments.threads)
            calls["engine_ms"] = lambda: engine.predict(observation)
        except EfficientError as error:
            print(f"no engine for {agent.path}: {error}", file=sys.stderr)
        latency = time_in_turns(calls)
    return {
        "mean_reward": round(float(games[:, 0].mean()), 3),
        "std_reward": round(float(games[:, 0].std()), 3),
        "n_timesteps": model.num_timesteps,
        "eval_timesteps": int(games[:, 1].sum()),
        "actions": "greedy" if greedy else "sampled",
        "zip_mb": round(agent.path.stat().st_size / 1e6, 2),
        **{name: round(found.median, 3) for name, found in latency.items()},
    }


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 10 else f"{value:,.1f}"
    if isinstance(value, int):
        # What would be rounded to 1000k is 1M
        return f"{value / 1e6:.3g}M" if value >= 999_500 else f"{value / 1e3:.3g}k" if value >= 10**4 else str(value)
    return value or ""
