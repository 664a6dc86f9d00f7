"""The shipped hyper-parameters as modules, the form in which ``-conf`` takes a plain name."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

Entries = dict[str, dict[str, Any]]
#: Beside those that are named after their extractor
VARIANTS = ("fast", "seer")


def files() -> dict[str, Path]:
    """
    :return: The shipped YAML files by algorithm
    """
    package = import_module("sb3_efficient.hyperparams")
    return {path.stem: path for path in sorted(Path(str(package.__file__)).parent.glob("*.yml"))}


def shipped(algo: str) -> Entries:
    """
    :param algo: rl-zoo3's name
    :return: The shipped entries by environment; none where there is no file
    """
    path = files().get(algo)
    return _read(path) if path else {}


def module_names() -> list[str]:
    """
    :return: What ``-conf`` takes: ``sb3_efficient.hyperparams.ppo``, ``sb3_efficient.hyperparams.ppo.impala``, ...
    """
    package = import_module("sb3_efficient.hyperparams").__name__
    return sorted(name for name in sys.modules if name.startswith(f"{package}."))


def add_modules(package: str) -> None:
    """
    Make ``<package>.<algo>`` and ``<package>.<algo>.<variant>`` importable, for every file beside the package.
    The variant is the name of an extractor, ``fast`` or ``seer``.

    :param package: Name of the package that is being imported
    """
    folder = Path(str(sys.modules[package].__file__)).parent
    for path in folder.glob("*.yml"):
        algo = f"{package}.{path.stem}"
        sys.modules[algo] = _Conf(algo, path)
        for variant in {_variant(key, entry) for key, entry in _read(path).items()}:
            sys.modules[f"{algo}.{variant}"] = _Conf(f"{algo}.{variant}", path, variant)


class _Conf(ModuleType):
    """What ``rl_zoo3`` expects of a configuration module: an attribute ``hyperparams``."""

    def __init__(self, name: str, path: Path, variant: str | None = None) -> None:
        super().__init__(name, f"Entries of {path.name}" + (f" for {variant}" if variant else ""))
        self._path, self._variant = path, variant

    @property
    def hyperparams(self) -> Entries:
        """Entries by environment; the zoo alters what it is given, so they are read anew each time."""
        from sb3_efficient.zoo import registered

        entries = _read(self._path)
        if self._variant is not None:
            entries = _of(self._variant, entries)
        return entries if registered() else {key: _stock(entry, self._path.stem) for key, entry in entries.items()}


def _read(path: Path) -> Entries:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _stock(entry: dict[str, Any], algo: str) -> dict[str, Any]:
    """In the words of stock rl-zoo3, which has none for ``vec_env: ale`` and makes its own environments."""
    from sb3_efficient.zoo.entries import to_stock
    from sb3_efficient.zoo.entry_callbacks import take_callbacks
    from sb3_efficient.zoo.vec_env import take_vec_env

    take_callbacks(entry)
    take_vec_env(entry, {})
    if isinstance(path := entry.get("replay_buffer_class"), str):
        # Evaluated by the zoo, whose enjoy wants text in config.yml
        module, _, name = path.rpartition(".")
        entry["replay_buffer_class"] = f"__import__({module!r}, fromlist=[{name!r}]).{name}"
    return to_stock(entry, algo)


def _variant(key: str, entry: dict[str, Any]) -> str:
    own = key.rpartition("-")[2]
    return own if own in VARIANTS else str(entry["features_extractor"])


def _of(variant: str, entries: Entries) -> Entries:
    """Entries of one variant under the keys that the zoo looks for."""
    return {key.removesuffix(f"-{variant}"): entry for key, entry in entries.items() if _variant(key, entry) == variant}
