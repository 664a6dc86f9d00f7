"""``--gym-packages``: modules that register environments when they are imported."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module

from sb3_efficient.errors import OptionError


def import_packages(modules: Iterable[str]) -> None:
    """
    :param modules: Dotted names
    """
    for module in modules:
        _import(module)


def _import(module: str) -> None:
    try:
        import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise OptionError(
            f"--gym-packages names the module {module!r}, and there is none ({error}): it must be installed, or lie in "
            "the current folder or on PYTHONPATH."
        ) from error
