"""
How fast the Atari environments are, alone: AleVecEnv beside SB3's own pipeline.

    python examples/benchmarks/environments.py            # every row, about ten minutes
    python examples/benchmarks/environments.py --quick    # half a minute, nothing is written

"dummy" and "subproc" are make_atari_env in DummyVecEnv and SubprocVecEnv, stacked by VecFrameStack, as the zoo makes
them; "ale" is AleVecEnv. All play the same random actions, in turns of some steps in one process (and the processes
of subproc), so that a change of the machine's speed meets all of them; a row tells the median of the turns. Threads
are cores here: everything of a row, its processes too, is held to that many (Linux only). Steps are the agent's: four
frames each, of each environment.

Writes results/environments.json.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time

import cv2
import numpy as np
from common import check_games, count, open_rows, options, run_program, write_table
from stable_baselines3.common.env_util import make_atari_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv, VecFrameStack

from sb3_efficient.bench.cores import cores
from sb3_efficient.bench.rows import summary
from sb3_efficient.envs import AleVecEnv

KEYS = ("env", "variant", "threads", "n_envs")
GAMES = ("Pong", "Breakout", "Seaquest", "MsPacman", "SpaceInvaders", "BeamRider")


def main() -> None:
    parser = options(__doc__, quick="Pong, few turns")
    parser.add_argument("--games", nargs="+", help=f"default: {' '.join(GAMES)}; with --quick {GAMES[0]}")
    parser.add_argument("--n-envs", type=count, default=8)
    parser.add_argument("--threads", type=count, nargs="+", default=[1, 2])
    parser.add_argument("--turns", type=count, default=15)
    parser.add_argument("--steps", type=count, default=100, help="of every environment, in a turn")
    arguments = parser.parse_args()
    arguments.games = arguments.games or (GAMES[:1] if arguments.quick else GAMES)
    if arguments.quick:
        arguments.turns = min(arguments.turns, 5)
    check_games(arguments.games)
    rows = open_rows("environments", KEYS, quick=arguments.quick)
    for game, threads in itertools.product([] if arguments.rewrite else arguments.games, arguments.threads):
        env_id = f"{game}NoFrameskip-v4"
        if arguments.missing and rows.has(env=env_id, threads=threads, n_envs=arguments.n_envs):
            continue
        # Held to so many cores before anything is made: threads and processes inherit it
        with cores(threads):
            found = measure(env_id, threads, arguments)
        rows.add(found)
        plain = found[0]["median"]
        for row in found:
            print(
                f"{game:14} {threads} threads  {row['variant']:8} {row['median']:7.0f} steps/s  "
                f"{row['median'] / plain:.2f}x",
                flush=True,
            )
    # The table has one number of games
    those = [row for row in rows.rows if row["n_envs"] == arguments.n_envs]
    if rows.file is not None:
        write_table("environments", table(those))
    for threads in arguments.threads:
        for variant in ("ale", "subproc"):
            speeds = ratios(those, variant, threads).values()
            if not speeds:
                continue
            print(
                f"{threads} threads, {variant} against dummy: median of the games {statistics.median(speeds):.2f}x, "
                f"from {min(speeds):.2f}x to {max(speeds):.2f}x"
            )


def table(rows: list[dict]) -> str:
    """Markdown: steps a second, and how much faster than ``dummy``."""
    threads = sorted({row["threads"] for row in rows})
    heads = [f"{name}, {n} thread{'s' * (n > 1)}" for n in threads for name in ("dummy", "subproc", "ale")]
    lines = [f"| agent steps a second | {' | '.join(heads)} |", "|" + "---|" * (1 + len(heads))]
    speed = {(row["env"], row["threads"], row["variant"]): row["median"] for row in rows}
    for env in dict.fromkeys(row["env"] for row in rows):
        cells = []
        for n in threads:
            plain = speed.get((env, n, "dummy"))
            for name in ("dummy", "subproc", "ale"):
                found = speed.get((env, n, name))
                times = "" if name == "dummy" or not plain or not found else f" ({found / plain:.2f}x)"
                cells.append(f"{found:.0f}{times}" if found else "")
        lines.append(f"| {env} | {' | '.join(cells)} |")
    return "\n".join(lines)


def make(env_id: str, n_envs: int) -> dict[str, VecEnv]:
    # Not from a fork server, which would keep its processes on the cores that it was started on
    spawn = {"vec_env_cls": SubprocVecEnv, "vec_env_kwargs": {"start_method": "spawn"}}
    return {
        "dummy": VecFrameStack(make_atari_env(env_id, n_envs, seed=0, vec_env_cls=DummyVecEnv), 4),
        "subproc": VecFrameStack(make_atari_env(env_id, n_envs, seed=0, **spawn), 4),
        "ale": AleVecEnv(env_id, n_envs, seed=0),
    }


def measure(env_id: str, threads: int, arguments: argparse.Namespace) -> list[dict]:
    cv2.setNumThreads(threads)
    envs = make(env_id, arguments.n_envs)
    rng = np.random.default_rng(0)
    speeds: dict[str, list[float]] = {variant: [] for variant in envs}
    for env in envs.values():
        env.reset()
    for turn in range(arguments.turns + 1):
        script = rng.integers(0, envs["ale"].action_space.n, (arguments.steps, arguments.n_envs))  # type: ignore[attr-defined]
        for variant, env in envs.items():
            start = time.perf_counter()
            for actions in script:
                env.step(actions)
            if turn > 0:  # the first one warms up
                speeds[variant].append(script.size / (time.perf_counter() - start))
    for env in envs.values():
        env.close()
    return [_row(env_id, variant, threads, arguments.n_envs, found) for variant, found in speeds.items()]


def _row(env_id: str, variant: str, threads: int, n_envs: int, speeds: list[float]) -> dict:
    labels = {"env": env_id, "variant": variant, "threads": threads, "n_envs": n_envs}
    return {**labels, **summary(speeds, "agent steps per second")}


def ratios(rows: list[dict], variant: str, threads: int) -> dict[str, float]:
    """How much faster than ``dummy`` a variant is, in each game."""
    speed = {(row["env"], row["variant"]): row["median"] for row in rows if row["threads"] == threads}
    return {env: value / speed[env, "dummy"] for (env, found), value in speed.items() if found == variant}


if __name__ == "__main__":
    run_program(main)
