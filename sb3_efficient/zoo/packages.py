"""Modules that a command line names: ``--gym-packages``, which register environments, and ``-conf``."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from types import ModuleType

from sb3_efficient.errors import OptionError


def import_packages(modules: Iterable[str]) -> None:
    """
    :param modules: Dotted names
    """
    for name in modules:
        if import_if_there(name) is None:
            raise OptionError(
                f"--gym-packages names the module {name!r}, and there is none: it must be installed, or lie in the "
                "current folder or on PYTHONPATH."
            )


def import_if_there(name: str) -> ModuleType | None:
    """
    :param name: Dotted
    :return: The module; None if there is none by that name, as by that of a file. What it cannot import itself is its
        own error
    """
    if not name or name.startswith("."):
        return None
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        return None
