"""A training of the zoo that is ended by Ctrl-C: its agent is saved, and callbacks have to leave it as it is to be."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

from stable_baselines3.common.callbacks import BaseCallback

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm


class _End(BaseCallback):
    """Whether SB3 has told callbacks that training has ended: not if it was interrupted."""

    is_reached = False

    def _on_step(self) -> bool:
        return True

    def _on_training_end(self) -> None:
        self.is_reached = True


def learn(original: Callable[..., None]) -> Callable[..., None]:
    """
    Let callbacks of this package end after ``ExperimentManager.learn``, which tells the first one only. Others may do
    more at the end than an interrupted training is to.
    """

    @wraps(original)
    def ended(self: Any, model: BaseAlgorithm) -> None:
        self.callbacks.append(end := _End())
        original(self, model)
        for callback in self.callbacks[1:] if not end.is_reached else []:
            if type(callback).__module__.startswith("sb3_efficient."):
                callback.on_training_end()

    return ended
