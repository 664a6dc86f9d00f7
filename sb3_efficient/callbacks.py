"""Where callbacks of this package can be placed."""

from __future__ import annotations

from typing import Any

from stable_baselines3.common.callbacks import BaseCallback

from sb3_efficient.errors import ConflictError


class RolloutCallback(BaseCallback):
    """Acts when rollouts begin or end, so that it refuses places in which SB3 tells a callback of steps only."""

    def _init_callback(self) -> None:
        # EvalCallback does not tell of the start of training either
        self._check_parent()

    def on_training_start(self, locals_: dict[str, Any], globals_: dict[str, Any]) -> None:
        """See :class:`BaseCallback`; those in a list have the parent of the list from here on."""
        self._check_parent()
        super().on_training_start(locals_, globals_)

    def _on_step(self) -> bool:
        return True

    def _check_parent(self) -> None:
        if self.parent is not None:
            own, parent = type(self).__name__, type(self.parent).__name__
            raise ConflictError(
                f"{own} acts when rollouts begin or end, of which {parent} tells it nothing: give {own} to learn() by "
                "itself or in a list."
            )
