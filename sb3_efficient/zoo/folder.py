"""A run that could not begin, or that only searches, leaves no folder: ``enjoy`` would take it for the latest run's."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sb3_efficient.errors import OptionError
from sb3_efficient.zoo.mistakes import in_settings

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm

#: What the zoo writes before a run begins, into folders
_BEFORE = ("monitor.csv", "args.yml", "config.yml", "command.txt")


def setup_experiment(original: Callable[..., Any]) -> Callable[..., Any]:
    """Refused by the zoo, the environments or the algorithm; or a search, for which no model is made."""

    @wraps(original)
    def setup(self: Any) -> Any:
        for option, folder in (("-f", self.save_path), ("-tb", self.tensorboard_log)):
            if folder is not None:
                check_possible(option, Path(folder))
        self.has_new_folder = not Path(self.save_path).exists()
        found = None
        try:
            with in_settings():
                found = original(self)
        finally:
            # What is interrupted here has not begun either
            if found is None:
                _remove(self)
        return found

    return setup


def learn(original: Callable[..., None]) -> Callable[..., None]:
    """Refused by a callback, which is told of the training when it starts."""

    @wraps(original)
    def begun(self: Any, model: BaseAlgorithm) -> None:
        try:
            original(self, model)
        except Exception:
            if model.num_timesteps == 0:
                _remove(self)
            raise

    return begun


def check_possible(option: str, folder: Path) -> None:
    """
    Refuse what cannot be made or written to, which the zoo notices when all else is done; nothing is made yet.

    :param option: Of the zoo
    :param folder: That it names
    """
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not nearest.is_dir():
        raise OptionError(f"{option}: {folder} cannot be made, as {nearest} is a file. Name another folder.")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise OptionError(f"{option}: {nearest} cannot be written to. Name another folder, or change its permissions.")


def _remove(manager: Any) -> None:
    folder = Path(manager.save_path)
    has_results = any(path.is_file() and not path.name.endswith(_BEFORE) for path in folder.rglob("*"))
    if manager.has_new_folder and folder.is_dir() and not has_results:
        shutil.rmtree(folder)
