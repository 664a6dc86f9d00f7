"""The shipped hyper-parameters as modules, the form in which ``-conf`` takes a plain name."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

Entries = dict[str, dict[str, Any]]


def files() -> dict[str, Path]:
    """
    :return: The shipped YAML files by algorithm
    """
    package = import_module("sb3_efficient.hyperparams")
    return {path.stem: path for path in sorted(Path(str(package.__file__)).parent.glob("*.yml"))}


def module_names() -> list[str]:
    """
    :return: What ``-conf`` takes: ``sb3_efficient.hyperparams.ppo``, ``sb3_efficient.hyperparams.ppo.impala``, ...
    """
    package = import_module("sb3_efficient.hyperparams").__name__
    return sorted(name for name in sys.modules if name.startswith(f"{package}."))


def add_modules(package: str) -> None:
    """
    Make ``<package>.<algo>`` and ``<package>.<algo>.<extractor>`` importable, for every file beside the package.

    :param package: Name of the package that is being imported
    """
    folder = Path(str(sys.modules[package].__file__)).parent
    for path in folder.glob("*.yml"):
        algo = f"{package}.{path.stem}"
        sys.modules[algo] = _Conf(algo, path)
        for extractor in {entry["features_extractor"] for entry in _read(path).values()}:
            sys.modules[f"{algo}.{extractor}"] = _Conf(f"{algo}.{extractor}", path, extractor)


class _Conf(ModuleType):
    """What ``rl_zoo3`` expects of a configuration module: an attribute ``hyperparams``."""

    def __init__(self, name: str, path: Path, extractor: str | None = None) -> None:
        super().__init__(name, f"Entries of {path.name}" + (f" for {extractor}" if extractor else ""))
        self._path, self._extractor = path, extractor

    @property
    def hyperparams(self) -> Entries:
        """Entries by environment; the zoo alters what it is given, so they are read anew each time."""
        from sb3_efficient.zoo import registered
        from sb3_efficient.zoo.entries import to_stock

        entries = _read(self._path)
        if self._extractor is not None:
            entries = _of(self._extractor, entries)
        return entries if registered() else {key: to_stock(entry, self._path.stem) for key, entry in entries.items()}


def _read(path: Path) -> Entries:
    return yaml.safe_load(path.read_text())


def _of(extractor: str, entries: Entries) -> Entries:
    """Entries of one extractor under the keys that the zoo looks for."""
    chosen = {key: entry for key, entry in entries.items() if entry["features_extractor"] == extractor}
    return {key.removesuffix(f"-{extractor}"): entry for key, entry in chosen.items()}
