"""Tables and figures in the pages, and beside the results, are those that the committed results give."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from helpers import PAGES, ROOT, text_of

BENCHMARKS = ROOT / "examples" / "benchmarks"
#: Results that tell how long steps take, and what returns are by then
BY_TIME = ("seer", "branches")
SCRIPTS = [file.stem for file in sorted(BENCHMARKS.glob("*.py")) if re.search(r"^BEGIN\b", file.read_text(), re.M)]
NUMBERS = {1: "one", 2: "two", 3: "three", 5: "five"}
#: Tables that lie beside their rows, in folders of machine classes, too; runs.md has its own test
FILES = [
    file
    for file in sorted((BENCHMARKS / "results").rglob("*.md"))
    if file.with_suffix(".json").is_file() and (BENCHMARKS / f"{file.stem}.py").is_file() and file.stem != "runs"
]


def test_every_table_has_its_script() -> None:
    named = re.findall(r"<!-- tables? of examples/benchmarks/(\w+)\.py -->", text_of(*PAGES))
    assert sorted(named) == SCRIPTS


@pytest.fixture(autouse=True)
def _benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)


def _rows(script: str) -> list[dict]:
    return json.loads((BENCHMARKS / "results" / f"{script}.json").read_text())["rows"]


@pytest.mark.parametrize("script", SCRIPTS)
def test_table_is_that_of_the_results(script: str) -> None:
    module = importlib.import_module(script)
    (page,) = (text for text in map(Path.read_text, PAGES) if module.BEGIN in text)
    _, _, rest = page.partition(module.BEGIN)
    shown, _, _ = rest.partition("<!-- end of table -->")
    expected = getattr(module, "in_short", module.table)(_rows(script))
    again = f"python examples/benchmarks/{script}.py --rewrite"
    assert shown.strip() == expected.strip(), f"{again} writes the page's table again"


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_file_beside_the_results(file: Path) -> None:
    module = importlib.import_module(file.stem)
    # Beside nets.json lie the tables of the command
    write = getattr(module, "page", None) or getattr(module, "tables", module.table)
    rows = json.loads(file.with_suffix(".json").read_text())["rows"]
    assert file.read_text().strip() == write(rows).strip()


def test_what_frozen_steps_save() -> None:
    """In whole runs frozen at half, and for the arms of which it is said."""
    results = {name: json.loads((BENCHMARKS / "results" / f"{name}.json").read_text())["rows"] for name in BY_TIME}
    on_one = [row for row in results["seer"] if row["kind"] == "ppo" and row["threads"] == 1]
    fps = {(row["network"], row["variant"]): row["median"] for row in on_one}
    share = {network: fps[network, "accelerated"] / fps[network, "lower stages"] for network in ("nature", "impala")}
    whole = {network: 2 / (1 + part) for network, part in share.items()}

    def at(checkpoint: int, seed: int, step: float) -> float:
        (curve,) = (
            row["curve"]
            for row in results["branches"]
            if row["env"].startswith("Pong")
            and row["algo"] == "ppo"
            and row["arm"] == "never"
            and (row["checkpoint"], row["seed"]) == (f"rl_model_{checkpoint}_steps", seed)
        )
        return float(np.interp(step, [point[0] for point in curve], [point[-1] for point in curve]))

    slow = 1_000_000 + 950_000 * share["nature"]
    text = text_of(*PAGES, BENCHMARKS / "results" / "branches.md")
    for words in (
        f"at most {whole['nature']:.2f} (NatureCNN) or {whole['impala']:.2f} times (Impala) as fast",
        f"the frozen 500,000 steps from 600,000 take, the other makes {500 * share['nature']:.0f},000, and is at "
        f"{at(600_000, 1, 600_000 + 500_000 * share['nature']):.0f}.",
        f"and at {at(1_000_000, 2, slow):.1f} after the same time without",
    ):
        assert words in text


def test_hours_below_the_first_picture() -> None:
    headline = importlib.import_module("headline")
    seer = _rows("seer")

    steps: dict[str, list[float]] = {"nature": [], "impala": []}

    def reached(network: str, points: list[tuple[int, float]], frozen: list[tuple[int, str]]) -> float:
        step = next(step for step, value in points if value >= 18)
        steps[network].append(step / 1e6)
        return float(headline.hours((step,), frozen, headline.speeds(seer, network))[0])

    found, accelerated = {}, []
    for label, (name, network, is_stock, _) in headline.CURVES.items():
        content = json.loads((BENCHMARKS / "results" / f"{name}.json").read_text())
        points = [(step, value) for step, _, value in content["curve"]]
        if network == "impala" and not is_stock:
            accelerated.append(points)
        if max(value for _, value in points) >= 18:
            found[label] = reached(network, points, [(0, "plain")] if is_stock else [(0, ""), *content["frozen"]])
    others = [row for row in headline.other_runs() if row["label"] == "Impala, everything on"]
    stock = [row for row in headline.other_runs() if row["label"] == headline.LABELS["Nature"] and "hours" in row]
    (impala,) = (row for row in headline.other_runs() if row["label"] == headline.LABELS["Impala"])
    curves = [row["curve"] for row in others] + accelerated
    then = [f"{value:.1f}" for value in sorted(np.interp(impala["steps"], *zip(*c, strict=True)) for c in curves)]
    returns = _listed([str(row["final_return"]) for row in stock])
    ended = float(headline.hours((stock[0]["steps"],), [(0, "plain")], headline.speeds(seer, "nature"))[0])
    frozen = [[(0, ""), (row["seer"]["timesteps"], str(headline.deepest(row["seer"]["depth"])))] for row in others]
    by_auto = [f"{reached('impala', row['curve'], when):.1f}" for row, when in zip(others, frozen, strict=True)]
    assert "Nature, everything on" not in found
    assert json.loads((BENCHMARKS / "results" / "curve_ppo_PongNoFrameskip-v4_3.json").read_text())["steps"] >= 4e6
    words = (
        f"| Impala | {found[headline.LABELS['Impala']]:.1f} | {found['Impala, accelerated']:.1f} | "
        f"{found['Impala, everything on']:.1f} (by hand); {_listed(by_auto)} ({NUMBERS[len(by_auto)]} other runs, "
        "automatically) |",
        f"| NatureCNN | {found[headline.LABELS['Nature']]:.1f} | {found['Nature, accelerated']:.1f} | "
        "not within 4 million steps |",
        f"which Impala reaches after {min(steps['impala']):.1f} to {max(steps['impala']):.1f} million steps and "
        f"NatureCNN after {steps['nature'][0]:.1f}:",
        f"{NUMBERS[len(stock)]} with NatureCNN are at {returns} after 2 million steps, {ended:.1f} hours at that speed,"
        f" and one with Impala, not ended, is at {impala['final_return']} after {impala['steps']:,} steps, "
        f"where {NUMBERS[len(then)]} accelerated ones were at {_listed(then)}.",
    )
    text = text_of(ROOT / "README.md")
    assert all(sentence in text for sentence in words), words


def test_returns_that_whole_runs_on_pong_end_at() -> None:
    content = json.loads((BENCHMARKS / "results" / "runs.json").read_text())
    rows = [row for row in content if row["env"] == "PongNoFrameskip-v4"]

    def ends(label: str) -> list[str]:
        """By seed; those below one as they are."""
        found = sorted((row["seed"], row["final_return"]) for row in rows if row["label"] == label)
        return [f"{value:.1f}" if abs(value) >= 1 else str(value) for _, value in found]

    fast, float32, stock, impala = (
        _listed(ends(label))
        for label in ("Nature, accelerated", "Nature, accelerated in float32", "Nature", "Impala, everything on")
    )
    assert (
        f"three seeds of NatureCNN on Pong end at {fast} after 2 million steps, the first and the third in float32 at "
        f"{float32}, and three of stock NatureCNN at {stock}."
    ) in text_of(ROOT / "README.md")
    early = [row for row in rows if row["label"] == "Nature, everything on"]
    moments = sorted(round(row["seer"]["timesteps"] / 1000) for row in early)
    assert (
        f"On Pong, two stages frozen at {moments[0]},000 to {moments[-1]},000 of 2 million steps, three seeds end at "
        f"{_listed(ends('Nature, everything on'))}, and never frozen at {fast}. Frozen as by default, at 1.0 million, "
        f"they end at {_listed(ends('Nature, frozen in the second half'))}."
    ) in text_of(ROOT / "README.md")
    assert (
        f"of three seeds, are at {stock} after 2 million steps "
        "([runs.md](../../examples/benchmarks/results/runs.md)). Accelerated and never frozen, three seeds end at "
        f'{fast}, the first and the third in float32 (`precision="fp32"`) at {float32}'
    ) in text_of(ROOT / "sb3_efficient" / "fast" / "README.md")
    assert f"and to {impala} in the end." in text_of(BENCHMARKS / "README.md")
    assert f"and end at {impala}." in text_of(ROOT / "sb3_efficient" / "seer" / "README.md")


def _listed(values: list[str]) -> str:
    return f"{', '.join(values[:-1])} and {values[-1]}"


def test_what_the_first_table_says_of_updates_and_of_float32() -> None:
    updates = [row for row in _rows("extractors") if row["work"] == "train" and row["isa"] == "all"]
    case = ("extractor", "batch", "threads")
    plain = {tuple(row[key] for key in case): row["median"] for row in updates if row["variant"] == "plain"}
    times = {
        precision: [plain[tuple(r[key] for key in case)] / r["median"] for r in updates if r["variant"] == precision]
        for precision in ("fp32", "bf16")
    }
    low, high = ({name: f"{which(found):.1f}" for name, found in times.items()} for which in (min, max))
    on_pong = [row for row in json.loads((BENCHMARKS / "results" / "runs.json").read_text()) if "Pong" in row["env"]]
    float32, stock = (
        [f"{row['hours']:.1f}" for row in on_pong if row["label"] == label and row["machine"]["cpu"] == "AMD EPYC"]
        for label in ("Nature, accelerated in float32", "Nature")
    )
    text = text_of(ROOT / "README.md")
    assert (
        f"an update on 256 images is {low['fp32']} to {high['fp32']} times as fast as with the plain form in float32, "
        f"{low['bf16']} to {high['bf16']} times in bfloat16 (Intel Xeon with AMX, one and two threads)"
    ) in text
    assert (
        f"whole runs with NatureCNN then took {_listed(float32)} hours, in plain SB3, on other days, {_listed(stock)}."
    ) in text


def test_returns_of_qrdqn_with_and_without_seer() -> None:
    rows = [row for row in json.loads((BENCHMARKS / "results" / "runs.json").read_text()) if row["algo"] == "qrdqn"]
    found = {(row["env"].partition("NoFrame")[0], row["label"]): row["final_return"] for row in rows}
    claims = next(
        group["claimed"]["with SEER"]
        for group in yaml.safe_load((BENCHMARKS / "runs.yml").read_text())
        if group["name"] == "seer"
    )
    games = [
        f"at {found[game, 'with SEER']:.0f} on {game}, and {found[game, 'n-step QR-DQN']:.0f} without"
        for game in ("Alien", "Qbert")
    ]
    reported = [f"{claims[f'{game}NoFrameskip-v4']:.0f}" for game in ("Alien", "Qbert")]
    for page in (ROOT / "README.md", ROOT / "sb3_efficient" / "seer" / "README.md"):
        assert f"ends {', and '.join(games)} (one seed each" in text_of(page)
    assert f"(one seed each; the paper reports {' and '.join(reported)}, with Rainbow)" in text_of(ROOT / "README.md")
    assert len([row for row in rows if row["label"] == "with SEER"]) == 2


def test_tables_of_the_queue_are_those_of_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    runs = importlib.import_module("runs")
    again = "python examples/benchmarks/runs.py writes them again"
    assert (BENCHMARKS / "results" / "runs.md").read_text() == f"{runs.tables(runs.read_queue(runs.QUEUE))}\n", again


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" not in target:
            file, _, anchor = target.partition("#")
            led = (page.parent / file).resolve() if file else page
            assert led.exists(), target
            assert not anchor or anchor in _anchors(led), target


def _anchors(page: Path) -> set[str]:
    """Of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_scores_of_the_agents() -> None:
    shown = re.findall(r"^\| `(\w+-v4_\d)` \|.* \| ([^|]+) \| ([^|]+) \|$", (ROOT / "README.md").read_text(), re.M)
    assert shown
    for agent, *cells in shown:
        content = json.loads((BENCHMARKS / "results" / f"score_ppo_{agent}.json").read_text())
        for row, cell in zip(content["rows"], cells, strict=True):
            mean, error = (float(number) for number in re.findall(r"[\d.]+", cell))
            digits = 0 if row["mean"] > 100 else 1
            assert (mean, error) == (round(row["mean"], digits), round(row["standard_error"], digits))
