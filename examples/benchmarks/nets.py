"""
What 'sb3-efficient bench nets' finds, into results/nets.*, and the best of it into the page of this folder.

    python examples/benchmarks/nets.py                                  # more than an hour
    python examples/benchmarks/nets.py --networks nn-bench-small        # options are those of 'bench nets'
    python examples/benchmarks/nets.py --rewrite                        # the table again, nothing is measured

"Exact" is whatever computes in float32. "Other frameworks" are those that do not compute for this package. The engine
"reuse" is compared with PyTorch on frames of Pong in their order, one at a time.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from typing import Any

from common import RESULTS, run_program, write_page

from sb3_efficient.bench.nets_report import BASELINE, draw, tables

BEGIN = "<!-- table of examples/benchmarks/nets.py -->\n"
FILE = RESULTS / "nets.json"
#: Column -> frameworks and variants that it is the best of
COLUMNS = {
    "best exact": [("pytorch", "fp32"), ("pytorch", "compile"), ("onnxruntime", "fp32"), ("openvino", "fp32")],
    "bf16": [("pytorch", "bf16")],
    "best int8": [("onnxruntime", "int8"), ("openvino", "int8")],
    "other frameworks": [("flax", "jit"), ("tensorflow", "function")],
}
REUSE = [("reuse", "fp32"), ("reuse", "int8")]
NAMES = {
    "int8": "int8",
    "fp32": "this package",
    "compile": "torch.compile",
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
    "flax": "Flax",
    "tensorflow": "TensorFlow",
}
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rewrite", action="store_true", help="write the table again, measure nothing")
    arguments, options = parser.parse_known_args()
    if not arguments.rewrite:
        command = [sys.executable, "-m", "sb3_efficient", "bench", "nets", "--results", str(RESULTS), *options]
        subprocess.run(command, check=True)
    rows = json.loads(FILE.read_text())["rows"]
    print(table(rows))
    write_page(BEGIN, table(rows), full=tables(rows))
    draw(rows, FILE.with_suffix(".png"))


def table(rows: list[Row]) -> str:
    """Markdown, a line for each network, number of threads and kind of work: images from contiguous memory."""
    frames = [row for row in rows if row.get("feed") == "frames"]
    rows = [row for row in rows if row.get("feed") == "contiguous"]
    heads = [*COLUMNS, *(["reuse, frames of Pong"] if frames else [])]
    lines = [f"| network | threads | work, batch | eager | {' | '.join(heads)} |", "|" + "---|" * (4 + len(heads))]
    kinds = sorted({(row["work"], row["batch"]) for row in rows})
    for network, threads in dict.fromkeys((row["network"], row["threads"]) for row in rows):
        for work, batch in kinds:
            wanted = {"network": network, "threads": threads, "work": work, "batch": batch}
            own, in_order = (
                {(r["framework"], r["variant"]): r["median"] for r in found if wanted.items() <= r.items()}
                for found in (rows, frames)
            )
            if eager := own.get(BASELINE):
                cells = [best(own, names, eager) for names in COLUMNS.values()]
                if frames:
                    cells.append(best(in_order, REUSE, in_order[BASELINE]) if BASELINE in in_order else "")
                lines.append(f"| `{network}` | {threads} | {work}, {batch} | {eager:.3g} ms | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def best(times: dict[tuple[str, str], float], names: list[tuple[str, str]], eager: float) -> str:
    """The fastest of some, and how many times as fast as PyTorch it is."""
    fastest = min((name for name in names if name in times), key=times.__getitem__, default=None)
    if fastest is None:
        return ""
    framework, variant = fastest
    ms, who = times[fastest], NAMES.get(framework) or NAMES.get(variant)
    return f"{ms:.3g} ms ({eager / ms:.1f}x{f', {who}' if who else ''})"


if __name__ == "__main__":
    run_program(main)
