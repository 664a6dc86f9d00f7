"""The rows of ``bench nets`` as tables and as a picture."""

from __future__ import annotations

from pathlib import Path

from sb3_efficient.bench.picture import write_picture
from sb3_efficient.bench.rows import Row

#: What all others on the CPU are compared with
BASELINE = ("pytorch", "eager")
#: And on a GPU
_GPU_BASELINE = ("cuda", "eager")


def tables(rows: list[Row]) -> str:
    """
    :param rows: As :func:`sb3_efficient.bench.nets.measure` has them
    :return: Markdown, a table for each network and number of threads
    """
    measured = [row for row in rows if "median" in row]
    kinds = list(dict.fromkeys((row["work"], row["batch"]) for row in sorted(measured, key=_order)))
    texts = []
    for network, threads in dict.fromkeys((row["network"], row["threads"]) for row in measured):
        own = [row for row in measured if (row["network"], row["threads"]) == (network, threads)]
        heads = [f"{work} {batch}" for work, batch in kinds]
        lines = [
            f"`{network}`, {threads} thread{'s' * (threads > 1)}: ms a batch (faster than eager; multiply-accumulates "
            "a second, in per cent of those of torch's float32 product of two matrices"
            f"{', and how busy the GPU is' * any('gpu_utilization' in row for row in own)})",
            "",
            f"| framework | {' | '.join(heads)} | {heads[-1]}, loader feed | infer 1, frames in order |",
            "|" + "---|" * (len(heads) + 3),
        ]
        for key in dict.fromkeys((row["framework"], row["variant"]) for row in sorted(own, key=_order)):
            cells = [_cell(own, key, *kind, "contiguous") for kind in kinds]
            cells += [_cell(own, key, *kinds[-1], "loader"), _cell(own, key, "infer", 1, "frames")]
            lines.append(f"| {' '.join(key)} | {' | '.join(cells)} |")
        texts.append("\n".join(lines))
    for row in rows:
        own_key = {name: row[name] for name in ("network", "framework")}
        # Skipped once, and measured later
        is_measured = any(own_key.items() <= other.items() for other in measured)
        if "skipped" in row and not is_measured and f"{row['network']}: {row['skipped']}" not in texts:
            texts.append(f"{row['network']}: {row['skipped']}")
    return "\n\n".join(texts) + "\n"


def draw(rows: list[Row], file: Path) -> None:
    """
    :param rows: As :func:`sb3_efficient.bench.nets.measure` has them
    :param file: Picture: how many times faster than eager each is, contiguous feed
    """
    from matplotlib.figure import Figure

    measured = [row for row in rows if "median" in row and row["feed"] == "contiguous"]
    panels = list(dict.fromkeys((row["network"], row["threads"]) for row in measured))
    names = list(dict.fromkeys((row["framework"], row["variant"]) for row in sorted(measured, key=_order)))
    figure = Figure(figsize=(1 + 4.5 * len(panels), 4), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)
    for (network, threads), ax in zip(panels, axes[0], strict=True):
        own = [row for row in measured if (row["network"], row["threads"]) == (network, threads)]
        kinds = list(dict.fromkeys((row["work"], row["batch"]) for row in sorted(own, key=_order)))
        for i, name in enumerate(names):
            pairs = [(_find(own, name, *kind), _find(own, _baseline(name), *kind)) for kind in kinds]
            heights = [base["median"] / row["median"] if row and base else 0 for row, base in pairs]
            places = [k + 0.8 * (i / len(names) - 0.5) for k in range(len(kinds))]
            ax.bar(places, heights, 0.8 / len(names), align="edge", color=f"C{i}", label=" ".join(name))
        ax.set_xticks(range(len(kinds)), [f"{work} {batch}" for work, batch in kinds])
        ax.axhline(1, color="0.5", linewidth=0.8)
        ax.set_title(f"{network}, {threads} thread{'s' * (threads > 1)}")
    axes[0][0].set_ylabel("speed, PyTorch eager = 1")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False)
    write_picture(figure, file)


def _order(row: Row) -> tuple[bool, int, bool, bool, str, str]:
    return (
        *(row["work"] == "train", row["batch"], row["framework"] != BASELINE[0], row["variant"] != BASELINE[1]),
        *(row["framework"], row["variant"]),
    )


def _find(rows: list[Row], name: tuple[str, str], work: str, batch: int, feed: str = "contiguous") -> Row | None:
    wanted = {"framework": name[0], "variant": name[1], "work": work, "batch": batch, "feed": feed}
    return next((row for row in rows if wanted.items() <= row.items()), None)


def _baseline(name: tuple[str, str]) -> tuple[str, str]:
    """Of its own device."""
    return _GPU_BASELINE if name[0] == _GPU_BASELINE[0] else BASELINE


def _cell(rows: list[Row], name: tuple[str, str], work: str, batch: int, feed: str) -> str:
    row, base = _find(rows, name, work, batch, feed), _find(rows, _baseline(name), work, batch, feed)
    if row is None:
        return ""
    notes = [f"{row['percent_of_peak']:.0f} %"]
    if base is not None and base is not row:
        notes.insert(0, f"{base['median'] / row['median']:.1f}x")
    if row.get("gpu_utilization") is not None:
        notes.append(f"GPU {row['gpu_utilization']:.0f} %")
    return f"{row['median']:.3g} ({'; '.join(notes)})"
