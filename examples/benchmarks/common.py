"""What all benchmarks share: where results go, and how tables get into the pages of the project."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from sb3_efficient.atomic import locked, replace_file
from sb3_efficient.bench.rows import Rows
from sb3_efficient.cli.ending import exit_status
from sb3_efficient.progress import progress_bar

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
#: README.md, one of each part of the package, and that of the benchmarks
PAGES = [ROOT / "README.md", *sorted((ROOT / "sb3_efficient").glob("*/README.md")), HERE / "README.md"]
END = "<!-- end of table -->"
#: ``sb3-efficient bench all`` names another folder, in which --quick writes as well, and the pages are left alone
RESULTS = Path(os.environ.get("SB3_EFFICIENT_RESULTS") or HERE / "results").resolve()
IN_PAGES = RESULTS == HERE / "results"

Way = TypeVar("Way", bound=Hashable)


def count(text: str) -> int:
    """
    How many, on a command line.

    :return: The number, if it is at least 1
    """
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number


def options(description: str | None, *, quick: str) -> argparse.ArgumentParser:
    """
    :param description: Docstring of the script, as ``--help`` shows it
    :param quick: What there is less of then
    :return: Parser that knows what scripts with one file of rows have in common
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{quick}; nothing is written")
    parser.add_argument("--missing", action="store_true", help="measure only what is not there yet")
    parser.add_argument("--rewrite", action="store_true", help="write table and picture again, measure nothing")
    return parser


def open_rows(name: str, keys: Iterable[str], *, quick: bool = False) -> Rows:
    """
    :param name: Of the file
    :param keys: What makes two rows the same measurement
    :param quick: Whether nothing is to be kept, but in another folder than this one's
    """
    from sb3_efficient.machine import machine

    return Rows(None if quick and IN_PAGES else RESULTS / f"{name}.json", machine(), tuple(keys))


def rows_of(name: str) -> list[dict[str, Any]]:
    """
    :param name: Of a file of results, with its ending or without
    :return: Its rows; none where there is no such file
    """
    file = (RESULTS / name).with_suffix(".json")
    content = json.loads(file.read_text()) if file.exists() else []
    return content if isinstance(content, list) else content["rows"]


def in_turns(title: str, ways: Mapping[Way, Callable[[], float]], rounds: int) -> dict[Way, list[float]]:
    """
    Measure several ways round by round, so that whatever else the machine does slows all of them alike.

    :param title: Of the progress bar
    :param ways: Each measures once, and says how much
    :param rounds: That count; one before them warms up
    :return: What each found, round by round
    """
    found: dict[Way, list[float]] = {way: [] for way in ways}
    with progress_bar(title, (1 + rounds) * len(ways)) as advance:
        for lap, (way, measure) in itertools.product(range(1 + rounds), ways.items()):
            value = measure()
            found[way] += [value] if lap else []
            advance()
    return found


def write_table(name: str, text: str) -> None:
    """
    The table beside the rows, from where 'bench report' takes it.

    :param name: Of the file
    :param text: Markdown
    """
    (RESULTS / f"{name}.md").write_text(f"{text.strip()}\n", encoding="utf-8")


def write_page(begin: str, text: str, full: str = "") -> None:
    """
    The table in the page that has a place for it, and beside the rows.

    :param begin: Line behind which it stands there, with the name of the script
    :param text: Markdown
    :param full: What stands beside the rows, where the page has a part of it only
    """
    name = re.search(r"(\w+)\.py", begin)
    assert name is not None
    write_table(name[1], full or text)
    if not IN_PAGES:
        return
    page = next((page for page in PAGES if END in page.read_text(encoding="utf-8").partition(begin)[2]), None)
    if page is None:
        raise SystemExit(f"No page of {ROOT} has a place for the table: {begin.strip()} ... {END}")
    with locked(page):
        before, _, rest = page.read_text(encoding="utf-8").partition(begin)
        _, _, after = rest.partition(END)
        replace_file(page, f"{before}{begin}\n{text}\n{END}{after}".encode())


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
