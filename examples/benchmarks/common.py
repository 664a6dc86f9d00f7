"""What all benchmarks share: where results go, and how tables get into README.md."""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from sb3_efficient.bench.rows import Rows
from sb3_efficient.cli.ending import exit_status
from sb3_efficient.errors import EfficientError

HERE = Path(__file__).resolve().parent
README = HERE.parents[1] / "README.md"
END = "<!-- end of table -->"
#: ``sb3-efficient bench all`` names another folder, in which --quick writes as well, and README.md is left alone
RESULTS = Path(os.environ.get("SB3_EFFICIENT_RESULTS") or HERE / "results").resolve()
IN_README = RESULTS == HERE / "results"


def open_rows(name: str, keys: Iterable[str], *, quick: bool = False) -> Rows:
    """
    :param name: Of the file
    :param keys: What makes two rows the same measurement
    :param quick: Whether nothing is to be kept, but in another folder than this one's
    """
    from sb3_efficient.doctor import machine

    return Rows(None if quick and IN_README else RESULTS / f"{name}.json", machine(), tuple(keys))


def write_rows(file: Path, rows: list[dict]) -> None:
    """A line for each row: some are long."""
    from sb3_efficient.atomic import replace_file
    from sb3_efficient.doctor import machine

    lines = ",\n  ".join(map(json.dumps, rows))
    replace_file(file, f'{{"machine": {json.dumps(machine())},\n "rows": [\n  {lines}\n]}}\n'.encode())


def write_table(name: str, text: str) -> None:
    """
    The table beside the rows, from where 'bench report' takes it.

    :param name: Of the file
    :param text: Markdown
    """
    (RESULTS / f"{name}.md").write_text(f"{text.strip()}\n")


def write_readme(begin: str, text: str) -> None:
    """
    The table beside the rows, and in README.md.

    :param begin: Line behind which it stands there, with the name of the script
    :param text: Markdown
    """
    name = re.search(r"(\w+)\.py", begin)
    assert name is not None
    write_table(name[1], text)
    if not IN_README:
        return
    before, _, rest = README.read_text().partition(begin)
    _, _, after = rest.partition(END)
    if not after:
        raise SystemExit(f"{README} has no place for the table: {begin.strip()} ... {END}")
    README.write_text(f"{before}{begin}\n{text}\n{END}{after}")


@contextmanager
def locked(file: Path, *, wait: bool = True) -> Iterator[IO[str]]:
    """
    Until the end of the block this file is ours, however many of us there are; a process that dies gives it back.

    :param file: The lock is a file beside it
    :param wait: Whether to wait for it; otherwise one that is taken ends the program
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.with_name(f".{file.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EfficientError(f"{file} is being worked on by another process: wait for it, or end it.") from None
        yield lock


def is_locked(file: Path) -> bool:
    """
    :param file: As of :func:`locked`
    """
    lock = file.with_name(f".{file.name}.lock")
    if not lock.exists():
        return False
    with lock.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def check_games(names: Iterable[str]) -> None:
    """
    :param names: Of Atari games, as Pong; one that there is not ends the program
    """
    from sb3_efficient.envs.ale_ids import look_up

    for name in names:
        look_up(f"{name}NoFrameskip-v4")


def run_program(main: Callable[[], None]) -> None:
    """
    :param main: The program, whose errors that a user can act on are shown without a traceback
    """
    try:
        status = exit_status(main, Path(sys.argv[0]).name)
    except subprocess.CalledProcessError as error:
        # A process of our own, which has said why
        status = error.returncode
    if status != 0:
        raise SystemExit(status)
