"""What a training of the zoo took, beside the agent in training.json: the leaderboard shows it."""

from __future__ import annotations

import json
import operator
import re
import sys
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sb3_efficient.atomic import replace_file
from sb3_efficient.errors import ArtifactError

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm

FILE = "training.json"
#: Environment steps, hours of wall-clock and most resident memory, and how those of successive runs come together
KINDS: dict[str, Callable[[Any, Any], Any]] = {"n_timesteps": operator.add, "hours": operator.add, "peak_rss_mb": max}


def read_record(folder: Path) -> dict[str, Any]:
    """
    :param folder: Of an agent in the zoo's layout
    :return: What is known of ``KINDS``
    """
    file = folder / FILE
    if not file.is_file():
        return {}
    try:
        found = json.loads(file.read_text())
        return {name: found[name] + 0 for name in KINDS if name in found}
    except (ValueError, TypeError) as error:
        raise ArtifactError(
            f'{file} does not say what training took, as {{"n_timesteps": 1000000, "hours": 1.2}} does ({error}): '
            "mend it, or remove it."
        ) from error


def record_of(agent: Path) -> dict[str, Any]:
    """
    :param agent: Zip, in the zoo's layout
    :return: What is known of ``KINDS``: nothing of a checkpoint, which was trained for less than the agent beside it
    """
    return read_record(agent.parent) if is_last(agent) else {}


def is_last(agent: Path) -> bool:
    """
    :param agent: Zip, in the zoo's layout
    :return: Whether it is what a run ended with, by its name and that of the folder, <env>_<n> or <env>_<n>_<uuid>
    """
    return re.fullmatch(rf"{re.escape(agent.stem)}_\d+(_.+)?", agent.parent.name) is not None


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """
    :param folder: Of an agent in the zoo's layout
    :param record: Of ``KINDS``, those that are known
    """
    replace_file(folder / FILE, f"{json.dumps(record)}\n".encode())


def learn(original: Callable[..., None]) -> Callable[..., None]:
    """Take the time of ``ExperimentManager.learn``, for :func:`save`."""

    @wraps(original)
    def timed(self: Any, model: BaseAlgorithm) -> None:
        # Read first: what is wrong with it must not cost the agent, which is saved after this
        before = record_of(Path(self.trained_agent)) if self.continue_training else dict.fromkeys(KINDS, 0)
        start = time.perf_counter()
        original(self, model)
        self.took = before, (time.perf_counter() - start) / 3600

    return timed


def save(original: Callable[..., None]) -> Callable[..., None]:
    """
    Write what training took behind ``ExperimentManager.save_trained_model``; of an agent that was continued, together
    with what it took before. What is not known of all runs that led to an agent is left out.
    """

    @wraps(original)
    def recorded(self: Any, model: BaseAlgorithm) -> None:
        original(self, model)
        if not hasattr(self, "took"):
            # A script that trains by itself
            return
        before, hours = self.took
        steps = model.num_timesteps - model._num_timesteps_at_start
        now = {"n_timesteps": steps, "hours": hours, "peak_rss_mb": _peak_mb()}
        record = {name: KINDS[name](value, now[name]) for name, value in before.items() if now[name] is not None}
        if "hours" in record:
            record["hours"] = round(record["hours"], 4)
        if record:
            write_record(Path(self.save_path), record)

    return recorded


def _peak_mb() -> int | None:
    """Of this process, without those of its environments; None where the system does not say."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / 1e6) if sys.platform == "darwin" else round(peak * 1024 / 1e6)
