"""Compiled code where there is no folder to keep it in."""

from __future__ import annotations

from typing import Any

import pytest

from sb3_efficient.reuse import jit as module
from sb3_efficient.reuse.jit import jit


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
