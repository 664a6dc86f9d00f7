"""``sb3-efficient bench report``: every table and picture of a folder of results, on one page without other files."""

from __future__ import annotations

import argparse
import base64
import json
import re
from html import escape
from pathlib import Path
from typing import Any

from sb3_efficient.atomic import check_writable, replace_file
from sb3_efficient.bench import scripts
from sb3_efficient.bench.rows import Row
from sb3_efficient.errors import ArtifactError, EfficientError, OptionError

HELP = "one page with every table and picture of a folder of results"
EXAMPLES = """\
examples:
  sb3-efficient bench report
  sb3-efficient bench report --results examples/benchmarks/results/MACHINE-CLASS -o page.html

The default folder is examples/benchmarks/results of the checkout, of which the project's pages show a part; elsewhere
bench.
"""
#: File without its ending -> heading; in this order, then the others
HEADINGS = {
    "headline": "Pong over hours, and the memory of a replay buffer",
    "composition": "One agent, from stock to everything",
    "leaderboard": "Agents",
    "score": "Agents: scores in two pipelines",
    "curve": "Agents: learning curves",
    "runs": "Training runs",
    "branches": "When and how deep to freeze",
    "settling": "What the criterion of the freeze sees",
    "transfer": "An encoder from another agent",
    "extractors": "Extractors",
    "first_convolution": "The first convolution, on blocks of pixels",
    "update_parts": "Adam's step late in training, and the quantile loss",
    "training_loop": "Training, plain and accelerated",
    "loop": "Where the time of a training run goes",
    "environments": "Atari environments",
    "replay": "Replay buffers of frames",
    "seer": "Freezing the encoder",
    "reuse_acting": "Acting on what changed",
    "reuse_first_layer": "The first layer: overwritten, or moved on by a frame",
    "reuse_updates": "Updates from distinct patches",
    "reuse_tables": "The reuse paper's tables",
    "compress": "Compressed policies",
    "nets": "Networks by framework",
    "sbx": "Beside SBX",
    "losses": "Where it does not help",
    "all": "What was run",
}
#: Files of many agents, and pictures without a table: first word -> section
_TOGETHER = {"curve": "curve", "score": "score", "loop": "loop", "reuse": "reuse_acting"}
_PICTURES = {".png": "image/png", ".gif": "image/gif", ".svg": "image/svg+xml"}
_NAME = "report.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """
    :param parser: Of the command ``bench report``
    """
    parser.add_argument("--results", type=Path, help="folder (default: see below)")
    parser.add_argument("-o", "--output", type=Path, help=f"file (default: {_NAME} in that folder)")


def run(arguments: argparse.Namespace) -> int:
    """
    :param arguments: As :func:`add_arguments` has them
    :return: Exit status
    """
    print(write(arguments.results or scripts.results(), arguments.output))
    return 0


def write(results: Path, output: Path | None = None) -> Path:
    """
    :param results: Folder
    :param output: The page; ``report.html`` in that folder if None
    :return: The page
    """
    from sb3_efficient.evaluation.page import document

    names = sections(results)
    if not names:
        raise EfficientError(f"There are no results in {results}: make some with 'sb3-efficient bench all --quick'.")
    output = output or results / _NAME
    if output.suffix != ".html":
        raise OptionError(f"--output {output}: the page is HTML, so that its name must end in .html.")
    check_writable(output)
    links = [f'<a href="#{escape(name)}">{escape(_heading(name))}</a>' for name in names]
    parts = [f"<nav>{' · '.join(links)}</nav>"]
    parts += [_section(name, files) for name, files in names.items()]
    return replace_file(output, document("sb3-efficient: what was measured", "\n".join(parts)).encode())


def sections(results: Path) -> dict[str, list[Path]]:
    """
    :param results: Folder
    :return: Section -> its files. A picture belongs to the longest name of a table that it begins with
    """
    files = sorted(file for file in results.glob("*") if file.suffix in (".json", ".md", *_PICTURES) and file.is_file())
    tables = {file.stem for file in files if file.suffix in (".json", ".md")}
    found: dict[str, list[Path]] = {}
    for file in files:
        owners = [name for name in tables if file.stem == name or file.stem.startswith(f"{name}_")]
        together = _TOGETHER.get(file.stem.partition("_")[0], file.stem)
        name = together if together in ("curve", "score", "loop") else max(owners, key=len, default=together)
        found.setdefault(name, []).append(file)
    known = list(HEADINGS)
    return dict(sorted(found.items(), key=lambda item: (known.index(item[0]) if item[0] in known else 99, item[0])))


def _heading(name: str) -> str:
    return HEADINGS.get(name) or name.replace("_", " ")


def _section(name: str, files: list[Path]) -> str:
    texts = [file for file in files if file.suffix == ".md"]
    parts = [f'<section id="{escape(name)}"><h2>{escape(_heading(name))}</h2>']
    parts += [_markdown(file) for file in texts]
    for file in files:
        if file.suffix == ".json":
            parts.append(_json(file, is_shown=not texts))
    parts += [_picture(file) for file in files if file.suffix in _PICTURES]
    return "\n".join([*parts, "</section>"])


def _markdown(file: Path) -> str:
    from markdown_it import MarkdownIt

    # Links to files of the repository lead nowhere from here
    text = re.sub(r"\[([^]]+)\]\((?!https?:)[^)]*\)", r"\1", _read(file))
    html: str = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    return html.replace("<table>", '<div class="wide"><table>').replace("</table>", "</table></div>")


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ArtifactError(f"{file} is no text in UTF-8 ({error}): write it again, or move it away.") from error


def _picture(file: Path) -> str:
    data = base64.b64encode(file.read_bytes()).decode()
    return f'<figure><img alt="{escape(file.stem)}" src="data:{_PICTURES[file.suffix]};base64,{data}"></figure>'


def _json(file: Path, is_shown: bool) -> str:
    """The rows, folded away where a table is made of them, and the machine."""
    try:
        content = json.loads(_read(file))
        rows: list[Row] = content if isinstance(content, list) else content.get("rows", [])
        machine = content.get("machine") if isinstance(content, dict) else rows[0].get("machine") if rows else None
        if not all(isinstance(part, dict) for part in (*rows, machine or {})):
            raise TypeError("a row or a machine that is none")
        where = f"<p class=machine>{escape(_machine(machine))}</p>" if machine else ""
    except (ValueError, AttributeError, TypeError) as error:
        raise ArtifactError(f"{file} holds no measurements ({error}): measure them again, or move it away.") from error
    parts = []
    if rows:
        table = _table(rows)
        closed = f"<details><summary>{len(rows)} rows as measured: {escape(file.name)}</summary>{table}</details>"
        parts.append(table if is_shown else closed)
    return "\n".join([*parts, where])


def _machine(facts: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in facts.get("versions", {}).items())
    flags = " ".join(facts.get("cpu_flags", []))
    revision = f"; revision {facts['revision']}" if facts.get("revision") else ""
    gpu = f"; {facts['gpu']}" if facts.get("gpu") else ""
    return f"{facts.get('cpu')}, {facts.get('cores')} cores, {flags}{gpu}; {versions}{revision}"


def _table(rows: list[Row]) -> str:
    """Plain values only: curves and the like stay in the file."""
    names = list(dict.fromkeys(name for row in rows for name, value in row.items() if _shown(value)))
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "\n".join(f"<tr>{''.join(_cell(row.get(name)) for name in names)}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(value: Any) -> str:
    return f"<td{' class=text' if isinstance(value, str) else ''}>{escape(_shown(value))}</td>"


def _shown(value: Any) -> str:
    if isinstance(value, list) and len(value) == 2 and all(isinstance(v, (int, float)) for v in value):
        return f"{_shown(value[0])} to {_shown(value[1])}"
    if isinstance(value, (bool, str)):
        return str(value)
    if isinstance(value, (int, float)):
        return f"{value:,}" if abs(value) >= 10_000 else f"{value:.4g}"
    return ""
