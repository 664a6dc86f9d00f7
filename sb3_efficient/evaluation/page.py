"""The report as one page that needs no other file, with the picture of what is traded for what."""

from __future__ import annotations

import io
from html import escape
from typing import TYPE_CHECKING

from sb3_efficient.evaluation.compare import Row

if TYPE_CHECKING:
    from sb3_efficient.evaluation.report import Report

#: Colours that the colour-blind can tell apart (Okabe and Ito), and marks for those who print
LOOKS = {
    "same": ("#009e73", "o"),
    "not shown": ("#e69f00", "s"),
    "worse": ("#d55e00", "X"),
    "": ("#0072b2", "D"),
}
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 96rem; padding: 0 1rem; color: #222; }
h1 { font-size: 1.4rem; }
h2 { font-size: 1.15rem; margin-top: 2.5rem; }
figure { margin: 1rem 0; max-width: 60rem; overflow-x: auto; }
figure svg, figure img { max-width: 100%; height: auto; }
@media (max-width: 40rem) { figure img { max-width: 40rem; } }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; }
th, td { padding: .35rem .6rem; text-align: right; white-space: nowrap; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child, td.text { text-align: left; }
li, .machine { color: #555; font-size: 13px; }
"""
#: Of the report: the second column is a recipe
_RECIPES = """
figure { max-width: 46rem; }
figure svg { width: 100%; }
th:nth-child(2), td:nth-child(2) { text-align: left; white-space: normal; min-width: 12rem; }
"""


def document(title: str, body: str, style: str = "") -> str:
    """
    :param title: Also its heading
    :param body: HTML; what is wider than a phone stands in a ``<div class="wide">``
    :param style: CSS, after the one of all pages
    :return: A page that needs no other file
    """
    return f"""<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{escape(title)}</title><style>{_STYLE}{style}</style></head>
<body>
<h1>{escape(title)}</h1>
{body}
</body>
</html>
"""


def page(report: Report) -> str:
    """
    :param report: Of a comparison
    :return: HTML
    """
    cells = report.cells()
    head = "".join(f"<th>{escape(name)}</th>" for name in ("#", *cells[0]))
    rows = "\n".join(_row(i, texts) for i, texts in enumerate(cells))
    notes = "\n".join(f"<li>{escape(note)}</li>" for note in report.notes())
    body = f"""<figure>{pareto_picture(report)}</figure>
<div class="wide"><table>
<thead><tr>{head}</tr></thead>
<tbody>
{rows}
</tbody>
</table></div>
<ul>
{notes}
</ul>"""
    return document(report.title, body, _RECIPES)


def pareto_picture(report: Report) -> str:
    """
    Bytes against latency of the network at the smallest batch, coloured by verdict and numbered as in the table. The
    line joins what nothing of the same return beats in both.

    :param report: Of a comparison
    :return: SVG
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    size = min(report.rows[0].timing.network)
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "report", "font.size": 9}):
        figure = Figure(figsize=(7.5, 4.5), layout="constrained")
        axes = figure.add_subplot()
        for verdict, (colour, mark) in LOOKS.items():
            points = [_point(row, size) for row in report.rows if row.verdict == verdict]
            if points:
                axes.plot(
                    *zip(*points, strict=True),
                    mark,
                    color=colour,
                    label=verdict or "original, or not played",
                    linestyle="",
                )
        front = pareto_front([_point(row, size) for row in report.rows if row.verdict in ("same", "")])
        axes.plot(*zip(*front, strict=True), color="#888", linewidth=1, zorder=0)
        for i, row in enumerate(report.rows):
            axes.annotate(str(i), _point(row, size), xytext=(5, 4), textcoords="offset points")
        axes.set(xscale="log", yscale="log", xlabel="MB on disk", ylabel=f"network, batch of {size}, ms")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter(NullFormatter())
        axes.margins(0.1)
        axes.grid(alpha=0.2)
        axes.legend(frameon=False)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()[text.getvalue().index("<svg") :]


def pareto_front(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """
    :param points: Of which less is better in both numbers
    :return: Those that no other beats, in order
    """
    front: list[tuple[float, float]] = []
    for point in sorted(points):
        if not front or point[1] < front[-1][1]:
            front.append(point)
    return front


def _point(row: Row, size: int) -> tuple[float, float]:
    return row.n_bytes / 1e6, row.timing.network[size].median


def _row(number: int, texts: dict[str, str]) -> str:
    cells = [f"<td>{number}</td>"]
    for name, text in texts.items():
        # The colour of the picture beside the text, which would be hard to read in it
        dot = f'<b style="color: {LOOKS[text][0]}">\u25cf</b> ' if name == "verdict" and text else ""
        cells.append(f"<td>{dot}{escape(text)}</td>")
    return f"<tr>{''.join(cells)}</tr>"
