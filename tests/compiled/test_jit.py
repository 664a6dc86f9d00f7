"""Compiled code: of which source it is, and where there is no folder to keep it in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sb3_efficient.compiled import jit as module
from sb3_efficient.compiled.jit import jit


def test_compiled_by_each_process_where_nothing_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def njit(**options: Any) -> Any:
        asked.append(options)
        if options.get("cache"):
            raise RuntimeError("cannot cache function 'number': no locator available for file 'patches.py'")
        return lambda function: function

    monkeypatch.setattr(module.numba, "njit", njit)

    @jit(cache=True)
    def number() -> int:
        return 3

    assert number() == 3
    assert [options["cache"] for options in asked] == [True, False]
    assert all(options["nogil"] for options in asked)


def test_what_is_kept_knows_of_which_source_it_is_with_optimized_bytecode_too() -> None:
    program = (
        "from sb3_efficient.compiled import max_pool\n"
        "from sb3_efficient.reuse.changes import interpret_float, interpret_int8\n"
        "from sb3_efficient.reuse.patches import distinct, recall, sums\n"
        "kept = [interpret_float.run, interpret_int8.run, max_pool.pool, max_pool.spread, distinct._number,"
        " distinct._reinsert, distinct._cut, recall.step, sums.gather, sums.scatter, sums.sum_rows]\n"
        "print(len(kept), *{function.py_func.__closure__[0].cell_contents for function in kept})\n"
        "from sb3_efficient.compiled.jit import STAMP; print(STAMP)"
    )
    done = subprocess.run([sys.executable, "-O", "-c", program], capture_output=True, text=True, check=True)
    count, one, other = done.stdout.split()
    assert one == other
    sources = Path(module.__file__).parents[1].rglob("*.py")
    assert sum(source.read_text().count("@jit(cache=True)") for source in sources) == int(count), "all there are"
