"""What a user may say about when and how deep."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sb3_efficient.errors import ConflictError, OptionError
from sb3_efficient.seer.schedule import Freeze, Timetable, freezes, timestep


@pytest.mark.parametrize(
    ("freeze_at", "depth", "expected"),
    [
        (300_000, "conv", [Freeze(300_000, "conv")]),
        (3e5, 2, [Freeze(300_000, 2)]),
        (np.int64(300_000), np.int64(2), [Freeze(300_000, 2)]),
        (np.float32(0.25), 2, [Freeze(0.25, 2)]),
        (0.25, "features", [Freeze(0.25, "features")]),
        (0, "conv", [Freeze(0, "conv")]),
        (None, [(0.2, 1), (0.4, "conv")], [Freeze(0.2, 1), Freeze(0.4, "conv")]),
        ("auto", [[1000, 1]], [Freeze(1000, 1)]),
    ],
)
def test_accepted(freeze_at: Any, depth: Any, expected: list[Freeze]) -> None:
    assert repr(freezes(freeze_at, depth)) == repr(expected)


@pytest.mark.parametrize(
    ("freeze_at", "depth", "error", "text"),
    [
        ("atuo", "conv", OptionError, "a fraction (0.3) or 'auto', got 'atuo'. Did you mean 'auto'?"),
        (None, "conv", OptionError, "freeze_at must be timesteps"),
        (True, "conv", OptionError, "freeze_at must be timesteps"),
        (-5, "conv", OptionError, "freeze_at=-5 is neither"),
        (1.0, "conv", OptionError, "freeze_at=1.0 is neither"),
        (1.5, "conv", OptionError, "freeze_at=1.5 is neither"),
        (float("nan"), "conv", OptionError, "is neither"),
        (0.5, [(0.2, 1)], ConflictError, "leave out freeze_at=0.5"),
        (None, [], OptionError, "depth must be a depth or pairs"),
        (None, [1, 2], OptionError, "depth must be a depth or pairs"),
    ],
)
def test_refused(freeze_at: Any, depth: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error) as raised:
        freezes(freeze_at, depth)
    assert text in str(raised.value)


def test_fractions_are_of_this_training() -> None:
    assert timestep(0.5, 1000, 3000) == 2000
    assert timestep(1500, 1000, 3000) == 1500


def test_a_timetable_skips_what_is_overdue() -> None:
    table = Timetable([(10, 1), (20, 2), (30, "conv")])
    at = [table.due(SimpleNamespace(num_timesteps=n)) for n in (5, 12, 14, 31, 99)]  # type: ignore[arg-type]
    assert at == [None, 1, None, "conv", None]
