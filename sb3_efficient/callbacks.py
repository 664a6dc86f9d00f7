"""Where callbacks of this package can be placed."""

from __future__ import annotations

from stable_baselines3.common.callbacks import BaseCallback

from sb3_efficient.errors import ConflictError


def check_parent(callback: BaseCallback) -> None:
    """Refuse a place in which SB3 tells a callback of steps only."""
    if callback.parent is not None:
        own, parent = type(callback).__name__, type(callback.parent).__name__
        raise ConflictError(
            f"{own} acts at the ends of rollouts, of which {parent} tells it nothing: give {own} to learn() by itself "
            "or in a list."
        )
