"""
``-params key=value``: what a shell user would type, beside rl-zoo3's ``key:python-expression``.

Only the text is rewritten (``features_extractor=impala`` -> ``features_extractor:'impala'``); the zoo's own
``StoreDict`` still evaluates it.
"""

from __future__ import annotations

import re
from argparse import Action, ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from sb3_efficient.errors import OptionError

_PYTHON = re.compile(r"dict\(|[\[{('\"]")
_WHOLE = re.compile(r"[+-]?[0-9]+(_[0-9]+)*")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_WORDS = {"true": "True", "false": "False", "null": "None"}

Store = Callable[[Action, ArgumentParser, Namespace, Sequence[str], str | None], None]


def zoo_argument(argument: str) -> str:
    """
    :param argument: ``key=value`` or ``key:expression``; the earliest of ``=`` and ``:`` divides
    :return: ``key:expression``, as rl-zoo3 reads it
    """
    match = re.search("[:=]", argument)
    if match is None or match.group() == ":":
        return argument
    return f"{argument[: match.start()].strip()}:{_expression(argument[match.end() :].strip())}"


def _expression(value: str) -> str:
    """Decimal numbers, booleans and null, quoted and bracketed values as they are, otherwise a string."""
    if _WHOLE.fullmatch(value):
        # Python refuses 010, and YAML 1.1 takes it for 8
        return str(int(value))
    if _NUMBER.fullmatch(value):
        # Who types 1e5 for a size means a whole number, which 100000.0 is not
        is_whole = "e" in value.lower() and float(value).is_integer()
        return str(int(float(value))) if is_whole else value
    if value == "None" or _PYTHON.match(value):
        return value
    # Not YAML, to which "no" and "off" are booleans as well
    return _WORDS.get(value.lower(), repr(value))


def store(original: Store) -> Store:
    """
    :param original: ``StoreDict.__call__``
    :return: The same, for ``key=value`` too, added to what an option that was given before has, and with an error that
        shows the argument at fault
    """

    @wraps(original)
    def call(
        self: Action, parser: ArgumentParser, namespace: Namespace, values: Sequence[str], option: str | None = None
    ) -> None:
        stored: dict[str, Any] = dict(getattr(namespace, self.dest, None) or {})
        for value, following in zip(values, [*values[1:], ""], strict=True):
            _check_parts(value, following, option)
            scratch = Namespace()
            try:
                original(self, parser, scratch, [zoo_argument(value)], option)
            except Exception as error:
                raise OptionError(
                    f"Cannot read {value!r} behind {option}: {type(error).__name__}: {error}. "
                    "Write key=word for a word, number or boolean, and key:expression for Python."
                ) from error
            stored.update(getattr(scratch, self.dest))
        setattr(namespace, self.dest, stored)

    return call


def _check_parts(argument: str, following: str, option: str | None) -> None:
    """``features_extractor impala`` and ``n_steps=``, where the zoo would evaluate nothing."""
    name, _, rest = argument.partition("=")
    if not name.isidentifier() or rest.strip():
        return
    value = "VALUE" if not following or re.search("[:=]", following) else following
    raise OptionError(f"Cannot read {argument!r} behind {option}, which has no value: write {name}={value}.")
