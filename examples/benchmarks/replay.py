"""
Replay buffers of Atari's frames: bytes of a transition, and what it takes to add one and to sample a minibatch.

    python examples/benchmarks/replay.py            # every row, a quarter of an hour
    python examples/benchmarks/replay.py --quick    # a minute, nothing is written

"SB3" is its ReplayBuffer, "frames" FrameReplayBuffer, "zlib" and "zstd" the same with compress=. "extra" is
sb3-extra-buffers (CompressedReplayBuffer, zstd at level 3, as its documentation recommends), where it is installed; its
bytes are counted object by object, without what malloc loses between them.

buffers    All take the same 10,000 transitions of a game under random actions, one step after the other, and
           minibatches of 32 are sampled from them in turns; one thread, medians. Bytes are those of a full buffer:
           resident memory that it took, in a process of its own.
training   Frames a second of DQN on Pong, as training_loop.py measures them, accelerated, in AleVecEnv.

Writes results/replay.json and the table in its page.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import psutil
import training_loop as loop
from common import check_games, count, in_turns, open_rows, options, run_program, write_page
from stable_baselines3.common.buffers import ReplayBuffer

from sb3_efficient.bench.cores import cores
from sb3_efficient.bench.rows import Row, summary
from sb3_efficient.envs import AleVecEnv
from sb3_efficient.frames import FrameReplayBuffer

BEGIN = "<!-- table of examples/benchmarks/replay.py -->\n"
KEYS = ("kind", "game", "buffer")
GAMES = ("Pong", "Breakout", "Seaquest", "MsPacman", "SpaceInvaders", "Qbert")
#: Name -> class, and options; DQN is trained with all of them
BUFFERS: dict[str, tuple[type[ReplayBuffer], dict[str, Any]]] = {
    "SB3": (ReplayBuffer, {}),
    "frames": (FrameReplayBuffer, {}),
    "zlib": (FrameReplayBuffer, {"compress": "zlib"}),
    "zstd": (FrameReplayBuffer, {"compress": "zstd"}),
}
#: Name -> package that it needs
NEEDS = {"zstd": "zstandard", "extra": "sb3_extra_buffers"}
BATCH = 32


def main() -> None:
    parser = options(__doc__, quick="Pong, 1,000 transitions, no training")
    parser.add_argument("--games", nargs="+", help=f"default: {' '.join(GAMES)}")
    parser.add_argument("--transitions", type=count, default=10_000)
    parser.add_argument("--rounds", type=count, default=9, help="of training each; 20 times as many minibatches")
    parser.add_argument("--child", nargs=2, metavar=("KIND", "BUFFER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    games = arguments.games or (GAMES[:1] if arguments.quick else GAMES)
    check_games(games)
    with cores(1):
        work(arguments, games)


def work(arguments: argparse.Namespace, games: list[str]) -> None:
    if arguments.child:
        kind, name = arguments.child
        CHILDREN[kind](name, games[0], arguments.transitions)
        return
    if arguments.quick:
        arguments.transitions, arguments.rounds = min(1000, arguments.transitions), 1
    for name in [] if arguments.rewrite else sorted({*NEEDS} - {*names()}):
        print(f"skipped: {name}: {NEEDS[name]} is not installed", file=sys.stderr)
    rows = open_rows("replay", KEYS, quick=arguments.quick)
    for game in [] if arguments.rewrite else games:
        if not (arguments.missing and rows.has(kind="buffers", game=game)):
            print(f"measuring: buffers, {game}", file=sys.stderr)
            rows.add(compare(game, arguments.transitions, 20 * arguments.rounds))
    if not (arguments.rewrite or arguments.quick or (arguments.missing and rows.has(kind="training"))):
        print("measuring: training", file=sys.stderr)
        rows.add(training(arguments.rounds))
    print(table(rows.rows))
    if rows.file is not None:
        write_page(BEGIN, table(rows.rows))


def names() -> list[str]:
    """What is installed."""
    return [name for name in (*BUFFERS, "extra") if name not in NEEDS or importlib.util.find_spec(NEEDS[name])]


def make(name: str, size: int, env: AleVecEnv) -> ReplayBuffer:
    """An empty buffer for one environment."""
    if name == "extra":
        from sb3_extra_buffers.compressed import CompressedReplayBuffer

        buffer_class, options = CompressedReplayBuffer, {"compression_method": "zstd3", "output_dtype": "raw"}
    else:
        buffer_class, options = BUFFERS[name]
    return buffer_class(size, env.observation_space, env.action_space, "cpu", 1, **options)


def compare(game: str, transitions: int, minibatches: int) -> list[Row]:
    """Times, of all in turns, and bytes, of each alone."""
    env = AleVecEnv(f"{game}NoFrameskip-v4", 1, seed=loop.SEED, num_threads=1)
    buffers = {name: make(name, transitions, env) for name in names()}
    added = play(env, transitions, {name: buffer.add for name, buffer in buffers.items()})
    ways = {name: partial(sampling, buffer) for name, buffer in buffers.items()}
    sampled = in_turns(f"{game}: sampling", ways, minibatches)
    return [
        {
            "kind": "buffers",
            "game": game,
            "buffer": name,
            "transitions": transitions,
            "bytes": child("bytes", name, game, transitions)["bytes"],
            "add_us": round(float(np.median(added[name])), 1),
            **summary(sampled[name], "microseconds"),
        }
        for name in buffers
    ]


def sampling(buffer: ReplayBuffer) -> float:
    """Microseconds of a minibatch."""
    start = time.perf_counter()
    buffer.sample(BATCH)
    return 1e6 * (time.perf_counter() - start)


def play(env: AleVecEnv, steps: int, adds: dict[str, Callable[..., None]]) -> dict[str, list[float]]:
    """
    Random actions.

    :return: Microseconds that each way to add a transition took
    """
    rng = np.random.default_rng(loop.SEED)
    found: dict[str, list[float]] = {name: [] for name in adds}
    before = env.reset()
    for _ in range(steps):
        actions = rng.integers(env.action_space.n, size=1)  # type: ignore[attr-defined]
        after, rewards, dones, infos = env.step(actions)
        last = infos[0]["terminal_observation"][None] if dones[0] else after
        for name, add in adds.items():
            start = time.perf_counter()
            add(before, last, actions, rewards, dones, infos)
            found[name].append(1e6 * (time.perf_counter() - start))
        before = after
    return found


def count_bytes(name: str, game: str, transitions: int) -> None:
    """What a full buffer adds to this process."""
    env = AleVecEnv(f"{game}NoFrameskip-v4", 1, seed=loop.SEED, num_threads=1)
    # Whatever is made once
    warm = make(name, 100, env)
    play(env, 200, {name: warm.add})
    before = psutil.Process().memory_info().rss
    buffer = make(name, transitions, env)
    play(env, transitions, {name: buffer.add})
    taken = psutil.Process().memory_info().rss - before
    if name == "extra":
        taken = sum(map(own_bytes, vars(buffer).values()))
    print(json.dumps({"bytes": round(taken / transitions, 1)}))


def own_bytes(value: Any) -> int:
    """Of an array, and of the objects in it."""
    if not isinstance(value, np.ndarray):
        return 0
    return value.nbytes + (sum(map(sys.getsizeof, value.ravel())) if value.dtype == object else 0)


def training(rounds: int) -> list[Row]:
    answers = loop.ask_in_turns({name: command("training", name) for name in names() if name in BUFFERS}, 1, rounds)
    return [
        {"kind": "training", "game": "Pong", "buffer": name, **summary([one["fps"] for one in found], "frames/s")}
        for name, found in answers.items()
    ]


def serve(name: str, game: str, transitions: int) -> None:
    buffer_class, kwargs = BUFFERS[name]
    options = {"replay_buffer_class": buffer_class, "replay_buffer_kwargs": kwargs}
    model = loop.make_model("dqn", "nature", "with AleVecEnv", 1, **options)
    loop.answer(lambda: loop.train(model, loop.SEGMENT["dqn"]))


CHILDREN = {"bytes": count_bytes, "training": serve}


def command(*details: str) -> list[str]:
    return [sys.executable, __file__, "--child", *details]


def child(kind: str, name: str, game: str, transitions: int) -> dict[str, Any]:
    """What a process of its own says."""
    words = [*command(kind, name), "--games", game, "--transitions", str(transitions)]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


HEADS = {
    "SB3": "SB3's `ReplayBuffer`",
    "frames": "`FrameReplayBuffer`",
    "zlib": '`compress="zlib"`',
    "zstd": '`compress="zstd"`',
    "extra": "sb3-extra-buffers, zstd",
}


def table(rows: list[Row]) -> str:
    """Markdown: bytes, how many times less than SB3's, and microseconds to add one and to sample 32."""
    shown = [name for name in HEADS if any(row["buffer"] == name for row in rows)]
    lines = [f"| | {' | '.join(HEADS[name] for name in shown)} |", "|" + "---|" * (1 + len(shown))]
    found = {(row["kind"], row["game"], row["buffer"]): row for row in rows}
    for kind, game in dict.fromkeys((row["kind"], row["game"]) for row in rows):
        plain = found[kind, game, "SB3"]
        cells = [cell(found.get((kind, game, name)), plain) for name in shown]
        lines.append(f"| {game}{', DQN' if kind == 'training' else ''} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def cell(row: Row | None, plain: Row) -> str:
    if row is None:
        return ""
    if row["kind"] == "training":
        return f"{row['median']:.0f} frames/s" + ("" if row is plain else f" ({row['median'] / plain['median']:.2f}x)")
    times = "" if row is plain else f" ({plain['bytes'] / row['bytes']:.0f}x)"
    return f"{row['bytes']:,.0f} B{times}, {row['add_us']:.0f} + {row['median']:,.0f} µs"


if __name__ == "__main__":
    run_program(main)
