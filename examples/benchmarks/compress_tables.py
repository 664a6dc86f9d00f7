"""
The recipes that compress.py measures, the rows of tiny_rl's tables, and the tables made of what was found.

    python examples/benchmarks/compress_tables.py    # prints what is in results/compress.json
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

import numpy as np
from common import rows_of, run_program

from sb3_efficient.evaluation.statistics import bootstrap, interquartile_mean, non_inferiority

#: Half of the channels, and a quarter of the units behind them
NARROW = "channel-pruning(ratio=0.5, layers={'linear.0': 0.75})"
#: Minibatches of 128 that students are trained with: of NARROW, of other pruning, to round
STEPS = (4000, 2000, 500)
#: Impala takes five times as long
FEWER_STEPS = {"Pong Impala": (4000, 600, 200)}


def recipes_of(agent: str) -> dict[str, str]:
    """
    :param agent: Its name
    :return: Recipe by name; in this order they are measured
    """
    narrow, other, qat = FEWER_STEPS.get(agent, STEPS)
    pruned = f"{NARROW} distillation(steps={narrow}, batch_size=128)"
    return {
        "static-int8": "static-int8",
        "channels, distilled, static-int8": f"{pruned} static-int8",
        "channels, distilled": pruned,
        "90 % of weights, distilled": f"magnitude-pruning(ratio=0.9) distillation(steps={other}, batch_size=128)",
        "binary fc, distilled": f"binary(steps={other}, batch_size=128)",
        "qat, static-int8": f"qat(steps={qat}, batch_size=128) static-int8",
        "channels, not distilled, static-int8": f"{NARROW} static-int8",
        "90 % of weights, not distilled": "magnitude-pruning(ratio=0.9)",
        "half of fc's columns zero": "ln-structured(ratio=0.5)",
        "float32": "",
        "dynamic-float16": "dynamic-float16",
        "static-float16": "static-float16",
        "dynamic-int8": "dynamic-int8",
    }


NAMES = tuple(recipes_of(""))


@dataclass(frozen=True)
class Source:
    """
    What tiny_rl reports, on Montezuma's Revenge.

    :param reward: Mean of an episode
    :param seconds: For a batch of 100
    :param mb: Of the file
    :param sparse: Seconds and MB in torch's sparse format
    """

    reward: float | None
    seconds: float | None
    mb: float | None
    sparse: tuple[float, float] | None = None


def _zeros(part: str, ratio: float) -> str:
    return f"magnitude-pruning(ratio={ratio}, part='{part}')"


def _rows(ratio: float, *layers: str, n: int = 1) -> str:
    return f"ln-structured(ratio={ratio}, n={n}, layers={list(layers)})"


def _narrower(**ratios: float) -> str:
    layers = {f"{name[:-1]}.{name[-1]}": ratio for name, ratio in ratios.items()}
    return f"channel-pruning(ratio=0, layers={layers})"


_FC1, _FC2, _EXTRA = "linear.0", "linear.2", "mlp_extractor.policy_net.extra"
#: Row -> our recipe, and what the source reports. RL: layers behind the convolutions
TINY_RL: dict[str, tuple[str, Source]] = {
    "float32": ("", Source(6600, 0.0148, 5.6354)),
    "RL float16, dynamic": ("dynamic-float16", Source(6600, 0.0287, 5.6402)),
    "RL int8, dynamic": ("dynamic-int8", Source(6600, 0.0155, 1.6568)),
    "CNN + RL float16, static": ("static-float16", Source(6600, 0.0197, 5.6355)),
    "CNN + RL int8, static": ("static-int8", Source(6600, 0.0188, 1.4264)),
    "RL, 50 % of weights": (_zeros("dense", 0.5), Source(6600, 0.0160, 5.6353, (0.1049, 13.6048))),
    "ALL, 50 % of weights": (_zeros("all", 0.5), Source(6600, 0.0148, 5.6353, (1.2456, 14.0726))),
    "RL, 60 % of weights": (_zeros("dense", 0.6), Source(6488, 0.0146, 5.6353, (0.0920, 10.9489))),
    "ALL, 60 % of weights": (_zeros("all", 0.6), Source(5162, 0.0162, 5.6353, (1.3546, 11.2611))),
    "RL, 75 % of weights": (_zeros("dense", 0.75), Source(5781, 0.0151, 5.6353, (0.0733, 6.9652))),
    "ALL, 75 % of weights": (_zeros("all", 0.75), Source(69, 0.0139, 5.6353, (1.1668, 7.0439))),
    "fc1, 15 % of columns, L2": (_rows(0.15, _FC1, n=2), Source(6360, 0.0172, 5.6354)),
    "fc1, 15 % of columns, L1": (_rows(0.15, _FC1), Source(5636, 0.0142, 5.6354)),
    "fc1, fc2, 10 % of columns": (_rows(0.1, _FC1, _FC2), Source(6518, 0.0146, 5.6354)),
    "fc1, fc2, extra_policy, 10 % of columns": (_rows(0.1, _FC1, _FC2, _EXTRA), Source(6447, 0.0142, 5.6354)),
    "fc1 256 -> 180": (_narrower(linear0=76 / 256), Source(6600, 0.0143, 4.5456)),
    "fc1 256 -> 64": (_narrower(linear0=0.75), Source(499, 0.0153, 2.8821)),
    "fc1 256 -> 180, fc2 448 -> 404": (_narrower(linear0=76 / 256, linear2=44 / 448), Source(6535, 0.0187, 4.2098)),
    "fc1 256 -> 180, fc2 448 -> 359": (_narrower(linear0=76 / 256, linear2=89 / 448), Source(6445, 0.0152, 3.8986)),
    "fc1 256 -> 180, fc2 448 -> 314": (_narrower(linear0=76 / 256, linear2=134 / 448), Source(6251, 0.0148, 3.6197)),
    "conv3 64 -> 61": (_narrower(cnn4=3 / 64), Source(6600, 0.0145, 5.4779)),
    "fc1 binary, trained": (f"binary(layers=['{_FC1}'], steps={STEPS[1]}, batch_size=128)", Source(None, None, None)),
    "ours: channels, distilled, static-int8": (
        recipes_of("")["channels, distilled, static-int8"],
        Source(None, None, None),
    ),
}
#: What the page shows
SHOWN = ("static-int8", "channels, distilled, static-int8")
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    print(table(rows_of("compress")))


def table(rows: list[Row]) -> str:
    """Markdown, of what has been measured."""
    kinds = {
        kind: [row for row in rows if row["kind"] == kind] for kind in ("latency", "recipes", "returns", "tiny_rl")
    }
    scores = {(row["agent"], row["recipe"]): row["returns"] for row in kinds["returns"]}
    tables = [engines(kinds["latency"]), sizes(kinds["recipes"], scores), tiny(kinds["tiny_rl"], scores)]
    return "\n".join(found for found in tables if found)


def in_short(rows: list[Row]) -> str:
    """Markdown, of the recipes that are recommended: what a user gets."""
    scores = {(row["agent"], row["recipe"]): row["returns"] for row in rows if row["kind"] == "returns"}
    lines = ["| agent | recipe | bytes | acts on 1 image | on 100 | mean return | games, verdict |", "|" + "---|" * 7]

    def add(agent: str, recipe: str, size: str, times: list[str]) -> None:
        mean, _, games = played(agent, recipe, scores)
        lines.append(f"| {' | '.join([agent, recipe, size, *times, mean, games])} |")

    for row in rows:
        if row["kind"] != "recipes" or row["recipe"] not in SHOWN:
            continue
        agent, original = row["agent"], row["original_timing"]
        if row["recipe"] == SHOWN[0]:
            add(agent, "original", f"{row['original_bytes']:,}", speeds(original, None))
        add(agent, row["recipe"], size_of(row), speeds(row["timing"], original))
    return "\n".join(lines) + "\n"


def engines(rows: list[Row]) -> str:
    """Milliseconds on one thread."""
    if not rows:
        return ""
    plain = {row["agent"]: row for row in rows if row["recipe"] == "plain SB3"}
    lines = [
        "| agent | engine | network, batch 1 | whole `predict` | network, batch 100 | whole `predict` |",
        "|" + "---|" * 6,
    ]
    for row in rows:
        cells = [
            milliseconds(row, kind, size, plain[row["agent"]])
            for size in ("1", "100")
            for kind in ("network", "predict")
        ]
        lines.append(f"| {row['agent']} | {row['recipe']} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def milliseconds(row: Row, kind: str, size: str, plain: Row) -> str:
    """Median (99th percentile), and how many times faster than plain SB3."""
    own, its = ({str(n): value for n, value in one[kind].items()}[size] for one in (row, plain))
    shown = f"{own['median']:.3g} ({own['p99']:.3g}) ms"
    return shown if row is plain else f"{shown}, {its['median'] / own['median']:.1f}x"


def sizes(rows: list[Row], scores: dict[tuple[str, str], list[float]]) -> str:
    if not rows:
        return ""
    lines = [
        "| agent | recipe | bytes | network, batch 1 | batch 100 | same action | SQNR | made in | mean return | IQM "
        "| games, verdict |",
        "|" + "---|" * 11,
    ]
    for agent in dict.fromkeys(row["agent"] for row in rows):
        own = [row for row in rows if row["agent"] == agent]
        first = own[0]
        cells = [f"{first['original_bytes']:,}", *speeds(first["original_timing"], None), "", "", ""]
        lines.append(f"| {agent} | original | {' | '.join([*cells, *played(agent, 'original', scores)])} |")
        for row in own:
            same = f"{100 * row['agreement']:.1f} %"
            sqnr = "" if row["sqnr"] is None else f"{row['sqnr']:.0f} dB"
            cells = [
                size_of(row),
                *speeds(row["timing"], row["original_timing"]),
                same,
                sqnr,
                f"{row['seconds']:.0f} s",
            ]
            lines.append(
                f"| {agent} | {row['recipe']} | {' | '.join([*cells, *played(agent, row['recipe'], scores)])} |"
            )
    return "\n".join(lines) + "\n"


def size_of(row: Row) -> str:
    return f"{row['bytes']:,} ({row['bytes'] / row['original_bytes']:.2f}x)"


def speeds(timing: Row, original: Row | None, kind: str = "network") -> list[str]:
    """Of both batch sizes."""
    own = [one["median"] for one in timing[kind].values()]
    its = [one["median"] for one in original[kind].values()] if original else [None, None]
    return [f"{a:.3g} ms" + (f" ({b / a:.1f}x)" if b else "") for a, b in zip(own, its, strict=True)]


def played(agent: str, recipe: str, scores: dict[tuple[str, str], list[float]]) -> list[str]:
    """Mean return, interquartile mean with its interval, and the verdict over games that both have played."""
    found = scores.get((agent, recipe))
    if not found:
        return ["", "", ""]
    iqm = bootstrap(interquartile_mean, found)
    shown = [f"{np.mean(found):.2f}", f"{iqm.estimate:.2f} [{iqm.low:.2f}, {iqm.high:.2f}]"]
    n, said = verdict(agent, recipe, scores)
    return [*shown, f"{n}, {said}" if said else f"{len(found)}"]


def verdict(agent: str, recipe: str, scores: dict[tuple[str, str], list[float]]) -> tuple[int, str]:
    """Games that it and its original have both played, and what they show; "" where there is nothing to compare."""
    found, originals, random = (scores.get((agent, name), []) for name in (recipe, "original", "random play"))
    n = min(len(found), len(originals))
    if recipe == "original" or not n or not random:
        return n, ""
    return n, non_inferiority(found[:n], originals[:n], random).verdict


def tiny(rows: list[Row], scores: dict[tuple[str, str], list[float]]) -> str:
    """Beside the source's numbers: its times in torch, as it reports them."""
    if not rows:
        return ""
    lines = [
        "| tiny_rl's network | source: reward | s, batch 100 | MB | as sparse tensors | here: mean return | IQM "
        "| games, verdict | s, batch 100 | MB |",
        "|" + "---|" * 10,
    ]
    for row in rows:
        source = TINY_RL[row["recipe"]][1]
        dense = ["" if value is None else f"{value:g}" for value in (source.reward, source.seconds, source.mb)]
        sparse = f"{source.sparse[0]} s, {source.sparse[1]} MB" if source.sparse else ""
        seconds = row["timing"]["network"]
        last = [f"{list(seconds.values())[-1]['median'] / 1000:.4f}", f"{row['bytes'] / 1e6:.3f}"]
        cells = [*dense, sparse, *played(row["agent"], row["recipe"], scores), *last]
        lines.append(f"| {row['recipe']} | {' | '.join(cells)} |")
    original = rows[0]
    plain = list(original["original_timing"]["network"].values())[-1]["median"] / 1000
    lines.append(
        f"| plain SB3, float32 | | | | | {' | '.join(played(original['agent'], 'original', scores))} "
        f"| {plain:.4f} | {original['original_bytes'] / 1e6:.3f} |"
    )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run_program(main)
