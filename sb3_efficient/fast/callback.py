"""``accelerate`` as a callback, for scripts and configurations that do not see the model."""

from __future__ import annotations

from typing import Any

from stable_baselines3.common.callbacks import BaseCallback

from sb3_efficient.fast.model import accelerate, check_options


class AccelerateCallback(BaseCallback):
    """
    Call :func:`sb3_efficient.accelerate` when training starts. In rl-zoo3, also where this package adapts nothing::

        callback: sb3_efficient.fast.AccelerateCallback

    :param options: Those of :func:`sb3_efficient.accelerate`, checked here already
    """

    def __init__(self, **options: Any) -> None:
        super().__init__()
        check_options(options)
        self.options = options

    def _init_callback(self) -> None:
        # Before any callback hears of the start of training: SEER freezes a continued model there
        accelerate(self.model, **self.options)

    def _on_step(self) -> bool:
        return True
