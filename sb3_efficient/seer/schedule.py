"""When to freeze, and how deep: what the user said, made a list of timesteps and depths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_efficient.errors import ConflictError, OptionError, suggestion
from sb3_efficient.seer.stages import Depth, check_any_depth

When = int | float


@dataclass(frozen=True)
class Freeze:
    """
    One step of a schedule.

    :param when: Timesteps, or a fraction of training between 0 and 1
    :param depth: See :mod:`sb3_efficient.seer.stages`
    """

    when: When
    depth: Depth


class Timetable:
    """
    Says when to freeze, and how deep, as the user said it.

    :param due: Pairs of timestep and depth, in order
    """

    def __init__(self, due: list[tuple[int, Depth]]) -> None:
        self.remaining = due

    def due(self, model: BaseAlgorithm) -> Depth | None:
        """
        :param model: At the end of a rollout
        :return: How deep to freeze now, if at all
        """
        depth = None
        while self.remaining and model.num_timesteps >= self.remaining[0][0]:
            _, depth = self.remaining.pop(0)
        return depth


def freezes(freeze_at: Any, depth: Any) -> list[Freeze]:
    """
    :param freeze_at: Timesteps or fraction; ``"auto"`` or None if ``depth`` is a schedule
    :param depth: Depth, or pairs of (when, depth), the shallower ones first
    :return: The steps in order
    """
    if not isinstance(depth, Sequence) or isinstance(depth, str):
        return [Freeze(check_when(freeze_at), check_any_depth(depth))]
    if freeze_at not in (None, "auto"):
        raise ConflictError(f"depth={depth!r} says when to freeze: leave out freeze_at={freeze_at!r}.")
    if not depth or not all(isinstance(pair, Sequence) and len(pair) == 2 for pair in depth):
        raise OptionError(
            f"depth must be a depth or pairs of when and how deep, as [(0.2, 1), (0.4, 'conv')], got {depth!r}."
        )
    return [Freeze(check_when(when), check_any_depth(deep)) for when, deep in depth]


def check_when(value: Any, option: str = "freeze_at") -> When:
    """
    :param value: Timesteps, or a fraction between 0 and 1
    :param option: Its name, for the error
    :return: ``value``, if it is one of these
    """
    if isinstance(value, np.number):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        hint = suggestion(value, ["auto"])
        forms = ", a fraction (0.3) or 'auto'" if option == "freeze_at" else " or a fraction (0.3)"
        raise OptionError(f"{option} must be timesteps (300_000){forms}, got {value!r}.{hint}")
    if isinstance(value, float) and value.is_integer() and value != 1:
        value = int(value)
    if value < 0 or (isinstance(value, float) and not 0 < value < 1):
        raise OptionError(f"{option}={value!r} is neither a number of timesteps nor a fraction between 0 and 1.")
    return value


def timestep(when: When, start: int, total: int) -> int:
    """
    :param when: Timesteps, or a fraction of training
    :param start: Timestep at which training starts
    :param total: Timestep at which it ends
    :return: Timestep
    """
    return when if isinstance(when, int) else start + round(when * (total - start))
