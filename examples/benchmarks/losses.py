"""
Where it does not help: everything in the results of the other benchmarks that lost to what it was compared with.

    python examples/benchmarks/losses.py
    SB3_EFFICIENT_RESULTS=examples/benchmarks/results/MACHINE-CLASS python examples/benchmarks/losses.py

A loss is a speed below 0.97 of the baseline's in the same run, a run that was frozen and ended with less than one of
the same checkpoint, or with the same seed, that was not, or a compressed policy that is shown to be worse than its
original. Measures nothing; writes losses.json and .md beside the results and the table in the page of this folder. Run
it again when results have changed.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator
from typing import Any

import branches
import compress_tables
import nets
import numpy as np
from common import RESULTS, rows_of, run_program, write_page

from sb3_efficient.atomic import replace_file

BEGIN = "<!-- table of examples/benchmarks/losses.py -->\n"
#: Slower by less is noise
LOSS = 0.97
Row = dict[str, Any]
#: What of this package a run of the queue may have, beside its extractor
SWITCHES = {"seer", "accelerate", "vec_env"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rewrite", action="store_true", help="the same")
    parser.parse_args()
    rows = find()
    print(table(rows))
    lines = ",\n".join(map(json.dumps, rows))
    replace_file(RESULTS / "losses.json", f'{{"rows": [\n{lines}\n]}}\n'.encode())
    write_page(BEGIN, table(rows))


def find() -> list[Row]:
    """What lost, against what, where and how much, and the script that says so."""
    speeds = [*extractors(), *frameworks(), *replaying(), *acting(), *updating()]
    return [*speeds, *freezing(), *training(), *compressing()]


def grouped(losses: Iterator[tuple[str, str, str, float]], script: str) -> list[Row]:
    """
    :param losses: What, against what, where, and times as fast
    :param script: That measured it
    :return: A row for each pair of the first two
    """
    found: dict[tuple[str, str], list[str]] = {}
    for what, against, where, times in losses:
        if times < LOSS:
            found.setdefault((what, against), []).append(f"{where} {times:.2f}x")
    return [
        {"what": what, "against": against, "found": ", ".join(cells), "script": script}
        for (what, against), cells in found.items()
    ]


def extractors() -> list[Row]:
    rows = rows_of("extractors")
    keys = ("extractor", "work", "batch", "threads", "isa")
    plain = {tuple(row[key] for key in keys): row["median"] for row in rows if row["variant"] == "plain"}

    def losses() -> Iterator[tuple[str, str, str, float]]:
        for row in rows:
            if row["variant"] == "plain":
                continue
            work = "training on" if row["work"] == "train" else "acting on"
            isa = ", held to AVX2 (bf16 emulated)" if row["isa"] == "AVX2" and row["variant"] == "bf16" else ""
            isa = ", held to AVX2" if row["isa"] == "AVX2" and not isa else isa
            what = f"{row['variant']}, {work} {row['batch']}{isa}"
            where = f"`{row['extractor']}` on {row['threads']} thread{'s' * (row['threads'] > 1)}"
            yield what, "the same network, plain float32", where, plain[tuple(row[k] for k in keys)] / row["median"]

    return grouped(losses(), "extractors")


def frameworks() -> list[Row]:
    """What this package offers, images from contiguous memory."""
    ours = {
        **{("pytorch", "fp32"): "fp32", ("pytorch", "bf16"): "bf16"},
        **{("onnxruntime", "fp32"): "engine onnxruntime", ("onnxruntime", "int8"): "static-int8, onnxruntime"},
        **{("openvino", "fp32"): "engine openvino", ("openvino", "int8"): "static-int8, openvino"},
    }
    rows = [row for row in rows_of("nets") if row.get("feed") == "contiguous"]
    keys = ("network", "threads", "work", "batch")
    eager = {
        tuple(r[key] for key in keys): r["median"] for r in rows if (r["framework"], r["variant"]) == nets.BASELINE
    }

    def losses() -> Iterator[tuple[str, str, str, float]]:
        for row in rows:
            if label := ours.get((row["framework"], row["variant"])):
                times = eager[tuple(row[key] for key in keys)] / row["median"]
                yield f"{label}, {row['work']}, batch {row['batch']}", "PyTorch eager", f"`{row['network']}`", times

    return grouped(losses(), "nets")


def replaying() -> list[Row]:
    """Time that smaller replay buffers take."""
    labels = {"frames": "FrameReplayBuffer", **{c: f"FrameReplayBuffer, {c}" for c in ("zlib", "zstd")}}
    rows = rows_of("replay")
    plain = {(row["kind"], row["game"]): row for row in rows if row["buffer"] == "SB3"}

    def losses() -> Iterator[tuple[str, str, str, float]]:
        for row in rows:
            if (label := labels.get(row["buffer"])) is None:
                continue
            before = plain[row["kind"], row["game"]]
            if row["kind"] == "training":
                yield f"{label}, training DQN", "SB3's ReplayBuffer", row["game"], row["median"] / before["median"]
                continue
            yield f"{label}, to add", "SB3's ReplayBuffer", row["game"], before["add_us"] / row["add_us"]
            yield f"{label}, to sample 32", "SB3's ReplayBuffer", row["game"], before["median"] / row["median"]

    return grouped(losses(), "replay")


def acting() -> list[Row]:
    def losses() -> Iterator[tuple[str, str, str, float]]:
        for row in rows_of("reuse_acting"):
            times = {name: found["median"] for name, found in row["microseconds"].items()}
            where, game = f"{row['network']}, batch {row['batch']}", f"{row['game']} ({row['weights']} weights)"
            for name, label in (("eager", "torch"), ("onnxruntime", "ONNX Runtime"), ("static-int8", "its int8")):
                yield f"reuse engine, {where}", label, game, times[name] / times["reuse"]
            yield (
                f"static-int8, {where}",
                "float32, both on ONNX Runtime",
                game,
                times["onnxruntime"] / times["static-int8"],
            )
            if ours := times.get("int8 reuse"):
                yield f"reuse engine in int8, {where}", label, game, times["static-int8"] / ours

    return grouped(losses(), "reuse_acting")


def updating() -> list[Row]:
    """The fastest number format of each."""

    def losses() -> Iterator[tuple[str, str, str, float]]:
        for row in rows_of("reuse_updates"):
            if row["kind"] == "updates":
                times = {name: found["median"] for name, found in row["variants"].items()}
                dense, ours = (
                    min(ms for name, ms in times.items() if name.startswith(way)) for way in ("dense", "distinct")
                )
                yield f"updates from distinct patches, {row['network']}", "dense", row["game"], dense / ours

        found = {row["variant"]: row["median"] for row in rows_of("reuse_updates") if row["kind"] == "training"}
        for ours, dense in (("reuse-conv", "nature"), ("reuse-conv, frozen", "nature, frozen")):
            if ours in found:
                yield f"training with {ours}", f"{dense}, bf16 where the CPU has it", "Pong", found[ours] / found[dense]

    return grouped(losses(), "reuse_updates")


def freezing() -> list[Row]:
    """Means over seeds where all of both arms have come."""
    found = []
    groups = branches.groups(rows_of("branches"))
    for (game, start, arm), curves in groups.items():
        never = groups.get((game, start, "never"))
        if never is None or arm in ("never", "plain"):
            continue
        end = min(max(curve) for curve in (*curves, *never))
        ours, theirs = (round(float(np.mean([curve[end] for curve in runs])), 1) for runs in (curves, never))
        if ours < theirs:
            runs = f"{len(curves)} and {len(never)} run{'s' * (len(never) > 1)}"
            found.append(
                {
                    "what": f"frozen: {arm}, {game}, from {start // 1000} k",
                    "against": "never frozen",
                    "found": f"return {ours:.1f}, not {theirs:.1f}, at {end // 1000} k ({runs})",
                    "script": "branches",
                }
            )
    return found


def training() -> list[Row]:
    """Whole runs with more of this package, beside those with the same settings and seeds that have less of it."""
    rows = rows_of("runs")
    pairs: dict[tuple[str, str, str, int], list[tuple[float, float]]] = {}
    for ours, theirs in itertools.product(rows, rows):
        if _switched_on(ours) > _switched_on(theirs) and _settings(ours) == _settings(theirs):
            what = ours["label"], ours["env"].removesuffix("NoFrameskip-v4"), theirs["label"], ours["steps_asked"]
            pairs.setdefault(what, []).append((ours["final_return"], theirs["final_return"]))
    found = []
    for (label, game, other, steps), returns in pairs.items():
        mean, others = np.mean(returns, axis=0)
        if mean < others:
            shown = f"return {mean:.4g}, not {others:.4g}, after {steps:,} steps ({len(returns)} of each)"
            found.append({"what": f"{label}, {game}", "against": other, "found": shown, "script": "runs"})
    return found


def _switched_on(row: Row) -> set[str]:
    # Beside "accelerate", what it alone switches on: it is compared with accelerate in float32
    rounding = {"bf16"} if "accelerate=True" in row["params"] else set()
    return rounding | ({word.partition("=")[0] for word in row["params"]} & SWITCHES)


def _settings(row: Row) -> tuple[Any, ...]:
    """Of a run, but for what changes no return, or is compared."""
    params = [word for word in row["params"] if word.partition("=")[0] not in SWITCHES]
    return (*(row[key] for key in ("env", "algo", "extractor", "seed", "steps_asked")), params)


def compressing() -> list[Row]:
    rows = [row for row in rows_of("compress") if row["kind"] == "returns"]
    games = {(row["agent"], row["recipe"]): row["returns"] for row in rows}
    found = []
    for (agent, recipe), own in games.items():
        n, said = compress_tables.verdict(agent, recipe, games)
        if recipe in (*compress_tables.NAMES, *compress_tables.TINY_RL) and said == "worse":
            shown = f"return {np.mean(own[:n]):.1f}, not {np.mean(games[agent, 'original'][:n]):.1f} ({n} games)"
            found.append({"what": f"{recipe}, {agent}", "against": "original", "found": shown, "script": "compress"})
    return found


def table(rows: list[Row]) -> str:
    """Markdown."""
    lines = ["| what | against | what came out | measured by |", "|---|---|---|---|"]
    lines += [f"| {r['what']} | {r['against']} | {r['found']} | `{r['script']}.py` |" for r in rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run_program(main)
