"""
The queue of training runs, runs.yml: what is done, what comes next, and the next ones, one after the other.

    python examples/benchmarks/runs.py                          # the status
    python examples/benchmarks/runs.py --go --jobs 2            # work it off, two at a time
    python examples/benchmarks/runs.py --go --only pong --max 1
    python examples/benchmarks/runs.py --commands               # the commands, to type on other machines

A run that was killed goes on from its last checkpoint the next time (one with a replay buffer, an arm of branches.py or
another command begins again). What is done is what the files of results say, so that rows of several machines can be
put together by copying them there; each has its true steps, its seed and the machine.

Writes results/runs.json (by zoo_runs.py), branches.json (by branches.py) and the tables runs.md: for each arm the
interquartile mean of its runs' last returns with its bootstrap interval, and the probability that a run of it ends
better than one of the first arm; over several games the same of human-normalised scores, drawn again within games
(Agarwal et al., NeurIPS 2021).
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
import zoo_runs
from common import HERE, RESULTS, run_program, write_table

from sb3_efficient.atomic import is_locked, locked
from sb3_efficient.errors import EfficientError, OptionError, UnknownNameError, suggestion
from sb3_efficient.evaluation.statistics import bootstrap, interquartile_mean, probability_of_improvement
from sb3_efficient.options import whole_number

QUEUE = HERE / "runs.yml"
LOGS = Path("logs/runs")
KINDS = ("train", "branch", "command")
#: Random play and people, for human-normalised scores: Wang et al. 2016 (arXiv 1511.06581), table 2
SCALES = {
    "Alien": (227.8, 7127.7),
    "BankHeist": (14.2, 753.1),
    "Breakout": (1.7, 30.5),
    "CrazyClimber": (10780.5, 35829.4),
    "Pong": (-20.7, 14.6),
    "Qbert": (163.9, 13455.0),
    "RoadRunner": (11.5, 7845.0),
    "Seaquest": (68.4, 42054.7),
}
Row = dict[str, Any]


@dataclass
class Entry:
    """
    One run.

    :param name: Of the group, the game, the arm and the seed
    :param command: Behind ``python``; empty words in place of a checkpoint that is not there yet
    :param file: Of results, with a row that has the values of ``row`` when it is done
    :param prefix: Entry that has to be done before
    :param checkpoint: Pattern of the file that a prefix makes
    """

    name: str
    command: list[str]
    file: str = "runs.json"
    row: Row = field(default_factory=dict)
    steps: int = 0
    prefix: Entry | None = None
    checkpoint: str = ""

    @property
    def log(self) -> Path:
        return LOGS / "output" / f"{re.sub(r'[^A-Za-z0-9.-]+', '-', self.name)}.log"

    def found(self) -> Path | None:
        """The checkpoint of a prefix."""
        return next((path for path in sorted(Path().glob(self.checkpoint))), None) if self.checkpoint else None

    def state(self) -> str:
        if self.found() or (self.row and any(self.row.items() <= row.items() for row in rows_of(self.file))):
            return "done"
        if is_locked(self.log):
            return "running"
        if self.prefix is not None and self.prefix.state() != "done":
            return "waits"
        return "failed" if self.log.exists() and "failed" in self.log.read_text()[-2000:] else "open"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--go", action="store_true", help="work off what is not done")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time (default: %(default)s)")
    parser.add_argument("--max", type=int, help="runs to start, at most (default: all)")
    parser.add_argument("--only", nargs="+", metavar="GROUP", help="groups of the queue (default: all)")
    parser.add_argument("--commands", action="store_true", help="show each one's command")
    parser.add_argument("--queue", type=Path, default=QUEUE, help="file (default: runs.yml beside this script)")
    arguments = parser.parse_args()
    whole_number("--jobs", arguments.jobs)
    groups = read_queue(arguments.queue)
    for name in arguments.only or []:
        if name not in groups:
            raise UnknownNameError(f"Unknown group {name!r}.{suggestion(name, groups)} Groups: {', '.join(groups)}.")
    chosen = {name: group for name, group in groups.items() if name in (arguments.only or groups)}
    todo = [entry for group in chosen.values() for entry in entries(group)]
    if arguments.go:
        work(todo, arguments.jobs, arguments.max)
    print(status(todo, arguments.commands))
    if text := tables(chosen):
        print(f"\n{text}")
        write_table("runs", tables(groups))


def read_queue(file: Path) -> dict[str, Row]:
    """
    :return: Groups by name, in their order
    """
    try:
        groups = yaml.safe_load(file.read_text())
        found = {group["name"]: group for group in groups}
        kinds = {group["kind"] for group in groups}
    except (OSError, yaml.YAMLError, TypeError, KeyError) as error:
        raise OptionError(f"{file} is no queue, a list of groups with a name and a kind: {error}") from error
    if unknown := kinds - set(KINDS):
        raise OptionError(f"{file}: unknown kind {sorted(unknown)}. Kinds: {', '.join(KINDS)}.")
    return found


def rows_of(file: str) -> list[Row]:
    path = RESULTS / file
    content = json.loads(path.read_text()) if path.exists() else []
    return content if isinstance(content, list) else content["rows"]


def entries(group: Row) -> Iterator[Entry]:
    """
    :param group: Of the queue
    :return: Its runs, seed by seed, so that all arms have as many
    """
    yield from {"train": training, "branch": branching, "command": commands}[group["kind"]](group)


def training(group: Row) -> Iterator[Entry]:
    for seed, env, (arm, options) in itertools.product(group["seeds"], group["games"], group["arms"].items()):
        params = [*group.get("params", []), *options.get("params", [])]
        words = [*zoo_words(group, env, arm, seed, params, options), "--name", "runs"]
        settings = zoo_runs.settings(options["extractor"], seed, zoo_runs.parser().parse_args(words))
        name = f"{group['name']}, {game(env)}, {arm}, {seed}"
        yield Entry(name, [str(HERE / "zoo_runs.py"), *words], row=settings, steps=group["steps"])


def zoo_words(group: Row, env: str, arm: str, seed: int, params: list[str], options: Row) -> list[str]:
    """Command line of zoo_runs.py."""
    words = ["--env", env, "--algo", group["algo"], "--steps", str(group["steps"]), "--seeds", str(seed)]
    words += ["--extractors", options["extractor"], "--label", arm, "--logs", str(LOGS), "--save-freq", "50000"]
    words += ["--precision", options["precision"]] if "precision" in options else []
    words += ["--conf", group["conf"]] if "conf" in group else []
    words += ["--vec-env", group["vec_env"]] if "vec_env" in group else []
    return [*words, *(["--params", *params] if params else [])]


def branching(group: Row) -> Iterator[Entry]:
    prefix, steps = group["prefix"], group["steps"]
    before: dict[str, Entry] = {}
    for env in group["games"]:
        words = zoo_words(group, env, "prefix", 1, group["params"], {"extractor": "stock"})
        folder = zoo_runs.folder_of("stock", 1, zoo_runs.parser().parse_args(words))
        before[env] = Entry(
            f"{group['name']}, {game(env)}, prefix",
            [str(HERE / "zoo_runs.py"), *words, "--until", str(prefix)],
            checkpoint=f"{folder}/*/*/rl_model_{prefix}_steps.zip",
            steps=prefix,
        )
    for seed, env, arm in itertools.product(group["seeds"], group["games"], group["arms"]):
        if (seed, arm) == (group["seeds"][0], group["arms"][0]):
            yield before[env]
        checkpoint = before[env].found() or before[env].checkpoint
        row = {"env": env, "algo": group["algo"], "checkpoint": f"rl_model_{prefix}_steps", "arm": arm, "seed": seed}
        words = [str(HERE / "branches.py"), str(checkpoint), "--arm", arm, "--seed", str(seed)]
        words += ["--until", str(steps), "--total", str(steps)]
        name = f"{group['name']}, {game(env)}, {arm}, {seed}"
        yield Entry(name, words, "branches.json", {**row, "until": steps}, steps - prefix, before[env])


def commands(group: Row) -> Iterator[Entry]:
    for arm, row in group["arms"].items():
        script, *words = (word.format(arm=arm) for word in group["command"])
        yield Entry(f"{group['name']}, {arm}", [str(HERE / script), *words], group["file"], row)


def game(env_id: str) -> str:
    return env_id.removesuffix("NoFrameskip-v4")


def work(queue: list[Entry], jobs: int, at_most: int | None) -> None:
    """
    Start what is open, from the top, until nothing is left that can be started.

    :param queue: In this order
    :param jobs: At a time
    :param at_most: Runs to start
    """
    tried: set[str] = set()
    running: set[Future[None]] = set()
    with ThreadPoolExecutor(jobs) as pool:
        while True:
            ready = (e for e in queue if e.name not in tried and e.state() in ("open", "failed"))
            while len(running) < jobs and (at_most is None or len(tried) < at_most) and (entry := next(ready, None)):
                tried.add(entry.name)
                running.add(pool.submit(start, entry))
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                try:
                    future.result()
                except EfficientError as error:
                    # Another queue was faster
                    print(error, flush=True)


def start(entry: Entry) -> None:
    """What fails is said, and the next one begins."""
    checkpoint = entry.prefix.found() if entry.prefix else None
    words = [str(checkpoint) if checkpoint and "*" in word else word for word in entry.command]
    with locked(entry.log, wait=False) as lock:
        print(f"{entry.name}: {entry.log}", flush=True)
        with entry.log.open("a") as output:
            done = subprocess.run(
                [sys.executable, *words], stdout=output, stderr=subprocess.STDOUT, pass_fds=[lock.fileno()], check=False
            )
            if done.returncode != 0:
                print(f"failed with exit status {done.returncode}", file=output)
    if done.returncode != 0:
        print(f"{entry.name}: failed, see {entry.log}", flush=True)


def status(queue: list[Entry], show_commands: bool) -> str:
    """A line for each run."""
    lines, counts = [], dict.fromkeys(("done", "running", "open", "waits", "failed"), 0)
    for entry in queue:
        state = entry.state()
        counts[state] += 1
        done = f"{progress(entry):,} of {entry.steps:,} steps" if entry.steps else ""
        lines.append(f"{state:8} {entry.name:56} {done}".rstrip())
        if show_commands:
            lines.append(f"         python {' '.join(repr(word) if ' ' in word else word for word in entry.command)}")
    return "\n".join([*lines, ", ".join(f"{n} {state}" for state, n in counts.items() if n)])


def progress(entry: Entry) -> int:
    """Steps of a run so far."""
    if entry.state() == "done":
        return entry.steps
    if "zoo_runs.py" not in entry.command[0]:
        return 0
    arguments = zoo_runs.parser().parse_args(entry.command[1:])
    folder = zoo_runs.folder_of(arguments.extractors[0], arguments.seeds[0], arguments)
    points = zoo_runs.read(folder / "progress.json")
    return int(points[-1][0]) if points else 0


def tables(groups: dict[str, Row]) -> str:
    """Markdown, of what there is."""
    found = [table(group) for group in groups.values() if group["kind"] != "command"]
    return "\n\n".join(text for text in found if text)


def table(group: Row) -> str:
    """An arm a line, game by game, and over all games in which all arms have as many runs."""
    last, arms = finals(group), list(group["arms"])
    if not last:
        return ""
    # What the source says of an arm, game by game
    claims: Row = group.get("claimed", {})
    heads = ["game", "arm", "runs", "last return, interquartile mean", "of each run", "better than first arm"]
    heads += ["hours", "MB", *(["the source claims"] if claims else [])]
    lines = [
        f"**{group['what']}**, {group['steps']:,} steps",
        "",
        f"| {' | '.join(heads)} |",
        "|" + "---|" * len(heads),
    ]
    for (env, arm), rows in last.items():
        values = [row["value"] for row in rows]
        first = [row["value"] for row in last.get((env, arms[0]), [])]
        better = f"{probability_of_improvement(values, first):.0%}" if first and arm != arms[0] else ""
        cost = [f"{np.median(known):.2f}" if (known := [r["hours"] for r in rows if r["hours"]]) else ""]
        cost += [f"{np.median(known):,.0f}" if (known := [r["mb"] for r in rows if r["mb"]]) else ""]
        each = " ".join(f"{value:.4g}" for value in values)
        cost += [str(claims.get(arm, {}).get(env, ""))] if claims else []
        lines.append(
            f"| {game(env)} | {arm} | {len(rows)} | {interval([values])} | {each} | {better} | {' | '.join(cost)} |"
        )
    return "\n".join([*lines, *over_games(group, last)])


def finals(group: Row) -> dict[tuple[str, str], list[Row]]:
    """
    :return: Game and arm -> last return, hours and memory of each run that is done, in the order of the queue
    """
    found: dict[tuple[str, str], list[Row]] = {}
    for env, arm in itertools.product(group["games"], group["arms"]):
        for entry in entries(group):
            wanted = {"env": env, "label" if entry.file == "runs.json" else "arm": arm}
            if entry.checkpoint or not wanted.items() <= entry.row.items():
                continue
            for row in rows_of(entry.file):
                if entry.row.items() <= row.items():
                    value = row["curve"][-1][1]
                    known = {"value": value, "hours": row.get("hours"), "mb": row.get("peak_rss_mb")}
                    found.setdefault((env, arm), []).append(known)
    return found


def over_games(group: Row, last: dict[tuple[str, str], list[Row]]) -> list[str]:
    """Human-normalised, games in which every arm has a run; as many runs of each as the least of them has."""
    arms = list(group["arms"])
    games = [env for env in group["games"] if game(env) in SCALES and all((env, arm) in last for arm in arms)]
    if len(games) < 2:
        return []
    n = min(len(last[env, arm]) for env in games for arm in arms)
    scores = {arm: [[normalised(env, row["value"]) for row in last[env, arm][:n]] for env in games] for arm in arms}
    first = scores[arms[0]]
    return [
        f"| {len(games)} games, human-normalised | {arm} | {n} each | {interval(matrix)} | | "
        f"{f'{probability_of_improvement(matrix, first):.0%}' if arm != arms[0] else ''} | | |"
        for arm, matrix in scores.items()
    ]


def normalised(env: str, value: float) -> float:
    random, human = SCALES[game(env)]
    return (value - random) / (human - random)


def interval(values: list[list[float]]) -> str:
    """
    :param values: Of each game its runs
    """
    found = bootstrap(interquartile_mean, values)
    if sum(map(len, values)) == 1:
        return f"{found.estimate:.4g}"
    return f"{found.estimate:.4g} [{found.low:.4g}, {found.high:.4g}]"


if __name__ == "__main__":
    try:
        run_program(main)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
