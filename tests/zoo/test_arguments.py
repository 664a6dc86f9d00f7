"""What -params understands."""

from __future__ import annotations

import argparse

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rl_zoo3.utils import StoreDict

from sb3_efficient.errors import OptionError
from sb3_efficient.zoo.arguments import store, zoo_argument


class OurStoreDict(StoreDict):
    __call__ = store(StoreDict.__call__)


def parse(*arguments: str, action: type[argparse.Action] = OurStoreDict) -> dict[str, object]:
    parser = argparse.ArgumentParser()
    parser.add_argument("-params", nargs="+", action=action)
    return parser.parse_args(["-params", *arguments]).params


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("k=impala", "impala"),
        ("k=impala-x2", "impala-x2"),
        ("k=lin_2.5e-4", "lin_2.5e-4"),
        ("k=3", 3),
        ("k=-3", -3),
        ("k=2.5", 2.5),
        ("k=1e-4", 1e-4),
        ("k=1e5", 100_000),
        ("k=2.5E+4", 25_000),
        ("k=1e999", float("inf")),
        ("k=1.0", 1.0),
        ("k=.5", 0.5),
        ("k=0.25", 0.25),
        ("k=007", 7),
        ("k=010", 10),
        ("k=1_000", 1000),
        ("k=0x10", "0x10"),
        ("k=true", True),
        ("k=False", False),
        ("k=FALSE", False),
        ("k=null", None),
        ("k=no", "no"),
        ("k=off", "off"),
        ("k=~", "~"),
        (" k = v ", "v"),
        ("k = 3", 3),
        ("k=None", None),
        ("k='3'", "3"),
        ('k="a b"', "a b"),
        ("k=dict(width=2)", {"width": 2}),
        ("k={'a': 1}", {"a": 1}),
        ("k=[1, 2]", [1, 2]),
        ("k=(1, 2)", (1, 2)),
        ("k=my.module.Class", "my.module.Class"),
        ("k=logs/a=b.zip", "logs/a=b.zip"),
        ("k=a:b", "a:b"),
        ("k=''", ""),
        ("k=it's", "it's"),
        ("k=2026-11-21", "2026-11-21"),
    ],
)
def test_behind_the_equals_sign(argument: str, value: object) -> None:
    found = parse(argument)
    assert found == {"k": value}
    assert type(found["k"]) is type(value)


@pytest.mark.parametrize(
    "argument",
    ["n:64", "lr:1e-4", "kwargs:dict(a=1)", "f:'lin_0.1'", "a:[1,2]", "p:nn.ReLU", "b:True", "x:dict(y=dict(z=2))"],
)
def test_the_zoos_own_form_is_untouched(argument: str) -> None:
    assert parse(argument) == parse(argument, action=StoreDict)


def test_both_forms_in_one_command() -> None:
    assert parse("a:1+1", "b=word", "c=dict(d=2)") == {"a": 2, "b": "word", "c": {"d": 2}}


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=0x2FF), max_size=20))
def test_words_never_run_code(text: str) -> None:
    """Behind = only what looks like a literal or dict( is evaluated; everything else comes back as it is."""
    if text.strip()[:1] in ("", "'", '"', "(", "[", "{") or text.strip().startswith("dict("):
        return
    value = parse(f"key={text}")["key"]
    assert isinstance(value, (str, int, float, bool, type(None)))
    if isinstance(value, str):
        assert value == text.strip()


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_come_back(number: float) -> None:
    assert parse(f"key={number}")["key"] == number


@pytest.mark.parametrize("argument", ["features_extractor:impala", "k=dict(", "k:", "k='a"])
def test_what_cannot_be_read_is_shown(argument: str) -> None:
    with pytest.raises(OptionError, match="^Cannot read .* behind -params: .* Write key=word for a word") as caught:
        parse("a=1", argument)
    assert repr(argument) in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (("features_extractor", "impala"), "write features_extractor=impala."),
        (("accelerate", "n_envs=2"), "write accelerate=VALUE."),
        (("a=1", "accelerate"), "write accelerate=VALUE."),
        (("n_steps=",), "write n_steps=VALUE."),
        (("n_steps= ", "a=1"), "write n_steps=VALUE."),
    ],
)
def test_forgotten_sign(arguments: tuple[str, ...], advice: str) -> None:
    with pytest.raises(OptionError, match="^Cannot read .* behind -params, which has no value: ") as caught:
        parse(*arguments)
    assert str(caught.value).endswith(advice)


def test_an_option_that_stands_twice() -> None:
    """argparse would drop what the first says; of two values of a key the last one counts, as everywhere there."""
    assert parse("a=1", "b=2", "-params", "c=3", "b:4") == {"a": 1, "b": 4, "c": 3}


def test_rewriting() -> None:
    assert zoo_argument("features_extractor=impala") == "features_extractor:'impala'"
    assert zoo_argument("features_extractor:'a=b'") == "features_extractor:'a=b'"
