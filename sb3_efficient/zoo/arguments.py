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

import yaml

from sb3_efficient.errors import OptionError

_PYTHON = re.compile(r"dict\(|[\[{('\"]")
_NUMBER = re.compile(r"[+-]?((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][+-]?\d+)?")

Store = Callable[[Action, ArgumentParser, Namespace, Sequence[str], str | None], None]


def zoo_argument(argument: str) -> str:
    """
    :param argument: ``key=value`` or ``key:expression``; the earliest of ``=`` and ``:`` divides
    :return: ``key:expression``, as rl-zoo3 reads it
    """
    match = re.search("[:=]", argument)
    if match is None or match.group() == ":":
        return argument
    return f"{argument[: match.start()]}:{_expression(argument[match.end() :])}"


def _expression(value: str) -> str:
    """Numbers, booleans and null as in YAML, quoted and bracketed values as they are, otherwise a string."""
    if _PYTHON.match(value):
        return value
    if _NUMBER.fullmatch(value):
        # YAML 1.1 takes 1e-4, without a point, for a string
        return value
    if value == "None":
        return value
    scalar = yaml.safe_load(value) if re.fullmatch(r"\w+|~", value) else value
    return repr(scalar if scalar is None or isinstance(scalar, (bool, int, float)) else value)


def store(original: Store) -> Store:
    """
    :param original: ``StoreDict.__call__``
    :return: The same, for ``key=value`` too, and with an error that shows the argument at fault
    """

    @wraps(original)
    def call(
        self: Action, parser: ArgumentParser, namespace: Namespace, values: Sequence[str], option: str | None = None
    ) -> None:
        stored: dict[str, Any] = {}
        for value in values:
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
