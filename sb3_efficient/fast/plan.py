"""What ``accelerate`` is going to do: collected and checked first, then done completely or not at all."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

_ABSENT = object()


@dataclass
class Plan:
    """
    :param changes: One line for each change
    :param left_alone: One line for each thing that was looked at and is not changed, with the reason
    """

    changes: list[str] = field(default_factory=list)
    left_alone: list[str] = field(default_factory=list)
    _steps: list[tuple[Callable[[], Any], Callable[[], Any]]] = field(default_factory=list)

    def change(self, line: str) -> None:
        """Say what is going to change, once however many networks it concerns."""
        if line not in self.changes:
            self.changes.append(line)

    def leave(self, line: str) -> None:
        """Say what stays as it is, and why."""
        if line not in self.left_alone:
            self.left_alone.append(line)

    def step(self, do: Callable[[], Any], undo: Callable[[], Any]) -> None:
        """
        :param do: Called by :meth:`run`
        :param undo: Called if this step or a later one fails
        """
        self._steps.append((do, undo))

    def set(self, target: object, name: str, value: Any) -> None:
        """Set an attribute of one object, over the one of its class if need be."""
        previous = vars(target).get(name, _ABSENT)
        self.step(partial(setattr, target, name, value), partial(_restore, target, name, previous))

    def run(self) -> None:
        """Do all steps; if one fails, undo those done and let the error through."""
        with ExitStack() as undone_on_failure:
            for do, undo in self._steps:
                undone_on_failure.callback(undo)
                do()
            undone_on_failure.pop_all()


def _restore(target: object, name: str, previous: Any) -> None:
    if previous is not _ABSENT:
        setattr(target, name, previous)
    elif name in vars(target):
        delattr(target, name)
