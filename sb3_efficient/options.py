"""Options that arrive as a dictionary, or untyped from a command line: checked before anything is built from them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable
from typing import Any

import numpy as np

from sb3_efficient.errors import OptionError, UnknownNameError, suggestion


def check_names(owner: str, options: Iterable[str], function: Callable[..., Any], given: Collection[str] = ()) -> None:
    """
    Refuse options that a function does not take. One that takes any (``**kwargs``) has to check them itself.

    :param owner: Whose options they are, as the message says it
    :param options: Their names
    :param function: Function, method or class that they are going to be passed to
    :param given: Parameters that somebody else fills in
    """
    parameters = [p for p in inspect.signature(function).parameters.values() if p.name not in given]
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return
    check_known(owner, options, [p.name for p in parameters if p.kind is not p.VAR_POSITIONAL])


def check_known(owner: str, options: Iterable[str], accepted: Collection[str]) -> None:
    """
    :param owner: Whose options they are, as the message says it
    :param options: Their names
    :param accepted: Names that there are
    """
    for option in options:
        if option not in accepted:
            known = f"Accepted: {', '.join(accepted)}" if accepted else "It has none"
            raise OptionError(f"{owner} has no option {option!r}.{suggestion(str(option), accepted)} {known}.")


def check_name(kind: str, name: Any, known: Iterable[str]) -> None:
    """
    :param kind: What it is the name of, as the message says it
    :param name: Anything: what comes from a file may be no text at all
    :param known: Names that there are
    """
    names = list(known)
    if name not in names:
        raise UnknownNameError(f"Unknown {kind} {name!r}.{suggestion(str(name), names)} Known: {', '.join(names)}.")


def check_switches(**switches: Any) -> None:
    """Refuse what Python would silently take for true, such as ``"no"``."""
    for name, value in switches.items():
        if not isinstance(value, (bool, int, np.bool_)) or value not in (True, False):
            raise OptionError(f"{name} must be true or false, got {value!r}.")


def number(option: str, value: Any, least: float | None = None) -> float:
    """
    :param least: None: anything above zero
    :return: ``value``, if it is a finite number, and large enough
    """
    if not _is_number(value) or not np.isfinite(value) or (value <= 0 if least is None else value < least):
        asked = "a positive number" if least is None else f"a number of at least {least:g}"
        raise OptionError(f"{option} must be {asked}, got {value!r}.")
    return float(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def whole_arguments(arguments: Any, *names: str, least: int = 1) -> None:
    """
    :param arguments: As argparse has read them
    :param names: Of those that must be whole numbers of at least ``least``
    """
    for name in names:
        whole_number(f"--{name.replace('_', '-')}", getattr(arguments, name), least)


def fraction(option: str, value: Any) -> float:
    """
    :return: ``value``, if it is a part of something, and not all of it
    """
    if not _is_number(value) or not 0 <= value < 1:
        raise OptionError(f"{option} must be a part, in [0, 1), as 0.5 for one half, got {value!r}.")
    return float(value)


def whole_number(option: str, value: Any, least: int = 1) -> int:
    """
    :return: ``value`` as a plain int, if it is a whole number of at least ``least``
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise OptionError(f"{option} must be a whole number of at least {least}, got {value!r}.")
    return int(value)
