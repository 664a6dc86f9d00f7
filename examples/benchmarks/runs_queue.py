"""The queue of training runs: groups of runs.yml, and the single runs that they stand for."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
import zoo_runs
from common import HERE, rows_of

from sb3_efficient.atomic import is_locked
from sb3_efficient.errors import OptionError
from sb3_efficient.options import check_name
from sb3_efficient.policies import is_off_policy

LOGS = Path("logs/runs")
#: And what groups of that kind say
KINDS = {
    "train": ("algo", "games", "steps", "seeds", "arms"),
    "branch": ("algo", "games", "prefix", "steps", "seeds", "arms", "params"),
    "command": ("arms", "command", "file"),
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

    def points(self) -> list[list[Any]]:
        """What zoo_runs.py has logged of it on this machine."""
        if "zoo_runs.py" not in self.command[0]:
            return []
        arguments = zoo_runs.parser().parse_args(self.command[1:])
        folder = zoo_runs.folder_of(arguments.extractors[0], arguments.seeds[0], arguments)
        return zoo_runs.read(folder / "progress.json")

    def state(self) -> str:
        if self.found() or (self.row and any(self.row.items() <= row.items() for row in rows_of(self.file))):
            return "done"
        if is_locked(self.log):
            return "running"
        if self.prefix is not None and self.prefix.state() != "done":
            return "waits"
        # As runs.py ends it
        last = self.log.read_text().rstrip().rpartition("\n")[2] if self.log.exists() else ""
        return "failed" if last.startswith("failed with exit status ") else "open"


def read_queue(file: Path) -> dict[str, Row]:
    """
    :return: Groups by name, in their order
    """
    try:
        groups = yaml.safe_load(file.read_text())
        found = {group["name"]: group for group in groups}
        kinds = [group["kind"] for group in groups]
    except (OSError, yaml.YAMLError, TypeError, KeyError) as error:
        raise OptionError(f"{file} is no queue, a list of groups with a name and a kind: {error}") from error
    for kind in kinds:
        check_name("kind", kind, KINDS)
    for name, group in found.items():
        if missing := [key for key in KINDS[group["kind"]] if key not in group]:
            raise OptionError(
                f"{file}: the group {name!r} of kind {group['kind']!r} does not say {', '.join(missing)}."
            )
    return found


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
    words += ["--extractors", options["extractor"], "--label", arm, "--logs", str(LOGS)]
    # Nothing goes on from a checkpoint without a replay buffer
    words += ["--save-freq", "50000"] if not is_off_policy(group["algo"]) else []
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
