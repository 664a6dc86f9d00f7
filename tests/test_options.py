"""Names and values of options, checked in one place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sb3_efficient.errors import OptionError, UnknownNameError
from sb3_efficient.options import check_name, check_names, check_switches, fraction, number


def bake(oven: object, *, degrees: int = 180, minutes: int = 40) -> None:
    """Something with options."""


def anything(**options: Any) -> None:
    """Something that checks them itself."""


def test_name() -> None:
    check_name("fruit", "pear", {"pear": 1})
    with pytest.raises(UnknownNameError, match=r"^Unknown fruit 'paer'. Did you mean 'pear'\? Known: pear, fig.$"):
        check_name("fruit", "paer", ("pear", "fig"))
    for name in ({}, ["zzz"], None):
        with pytest.raises(UnknownNameError, match="^Unknown fruit .*. Known: pear.$"):
            check_name("fruit", name, {"pear": 1})


def test_names() -> None:
    check_names("bake", {"degrees": 200, "minutes": 30}, bake, given=("oven",))
    check_names("anything", {"degres": 200}, anything)
    text = "^bake has no option 'degres'. Did you mean 'degrees'\\? Accepted: degrees, minutes.$"
    with pytest.raises(OptionError, match=text):
        check_names("bake", {"degres": 200}, bake, given=("oven",))
    with pytest.raises(OptionError, match="^bake has no option 'oven'. Accepted: degrees, minutes.$"):
        check_names("bake", {"oven": None}, bake, given=("oven",))
    with pytest.raises(OptionError, match="^bake has no option 1. Accepted"):
        check_names("bake", {1: 2}, bake)  # type: ignore[dict-item]


def test_switches() -> None:
    check_switches(on=True, off=False, one=1)
    for value in ("no", None, 2, [True]):
        with pytest.raises(OptionError, match="^heat must be true or false, got "):
            check_switches(heat=value)


def test_numbers() -> None:
    assert number("heat", 3) == number("heat", np.float32(3), least=3) == 3.0
    assert number("heat", 0, least=0) == 0
    for value in (0, -1, "3", None, True, float("nan"), float("inf")):
        with pytest.raises(OptionError, match=f"^heat must be a positive number, got {value!r}.$"):
            number("heat", value)
    with pytest.raises(OptionError, match=r"^heat must be a number of at least 0\.5, got 0.25.$"):
        number("heat", 0.25, least=0.5)


def test_fractions() -> None:
    assert [fraction("share", value) for value in (0, 0.5, np.float32(0.25))] == [0, 0.5, 0.25]
    for value in (1, -0.1, "a", None, True, float("nan")):
        with pytest.raises(OptionError, match=r"^share must be a part, in \[0, 1\), as 0.5 for one half, got "):
            fraction("share", value)
