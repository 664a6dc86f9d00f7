"""When to freeze, and how deep: what the user said, made a list of timesteps and depths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sb3_efficient.errors import ConflictError, OptionError, suggestion
from sb3_efficient.seer.stages import NAMED, Depth

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

    def timestep(self, start: int, total: int) -> int:
        """
        :param start: Timestep at which training starts
        :param total: Timestep at which it ends
        :return: Timestep at whose next end of a rollout to freeze
        """
        return self.when if isinstance(self.when, int) else start + round(self.when * (total - start))


def freezes(freeze_at: Any, depth: Any) -> list[Freeze]:
    """
    :param freeze_at: Timesteps or fraction; None if ``depth`` is a schedule
    :param depth: Depth, or pairs of (when, depth), the shallower ones first
    :return: The steps in order
    """
    if not isinstance(depth, Sequence) or isinstance(depth, str):
        return [Freeze(_when(freeze_at), depth)]
    if freeze_at is not None:
        raise ConflictError(f"depth={depth!r} says when to freeze: leave out freeze_at={freeze_at!r}.")
    if not depth or not all(isinstance(pair, Sequence) and len(pair) == 2 for pair in depth):
        raise OptionError(
            f"depth must be a depth or pairs of when and how deep, as [(0.2, 1), (0.4, 'conv')], got {depth!r}."
        )
    return [Freeze(_when(when), deep) for when, deep in depth]


def order(depth: Depth) -> float:
    """
    :return: A number that grows with depth
    """
    return depth if isinstance(depth, int) else 1000 + NAMED.index(depth)


def _when(value: Any) -> When:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        hint = suggestion(value, ["auto"]) if isinstance(value, str) else ""
        raise OptionError(f"freeze_at must be timesteps (300_000), a fraction (0.3) or 'auto', got {value!r}.{hint}")
    if isinstance(value, float) and value.is_integer() and value > 1:
        return int(value)
    if value < 0 or (isinstance(value, float) and not 0 < value < 1):
        raise OptionError(f"freeze_at={value!r} is neither a number of timesteps nor a fraction between 0 and 1.")
    return value
