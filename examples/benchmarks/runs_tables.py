"""Tables of the runs: runs.md."""

from __future__ import annotations

import itertools

import numpy as np
from common import rows_of
from runs_queue import Row, entries, game
from runs_so_far import so_far_table

from sb3_efficient.evaluation.statistics import bootstrap, interquartile_mean, probability_of_improvement

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


def tables(groups: dict[str, Row]) -> str:
    """Markdown, of what there is."""
    found = [table(group) for group in groups.values() if group["kind"] != "command"]
    found.append(so_far_table(entry for group in groups.values() for entry in entries(group)))
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
        cost = [hours(rows)]
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
                    cpu = row.get("machine", {}).get("cpu", "")
                    known = {"value": value, "hours": row.get("hours"), "cpu": cpu, "mb": row.get("peak_rss_mb")}
                    found.setdefault((env, arm), []).append(known)
    return found


def hours(rows: list[Row]) -> str:
    """Median, machine by machine; hours that were lost to other work on the same core were taken out of the rows."""
    known: dict[str, list[float]] = {}
    for row in rows:
        if row["hours"]:
            known.setdefault(row["cpu"], []).append(row["hours"])
    return ", ".join(f"{np.median(known[cpu]):.2f} ({cpu})" for cpu in sorted(known))


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
    if max(map(len, values)) == 1:
        # Single runs cannot be drawn again
        return f"{found.estimate:.4g}"
    return f"{found.estimate:.4g} [{found.low:.4g}, {found.high:.4g}]"
