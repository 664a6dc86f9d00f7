"""A game small enough to be learnt in minutes, from pixels."""

from __future__ import annotations

from typing import Any, Literal

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class CatchEnv(gym.Env[np.ndarray, np.int64]):
    """
    A ball falls, a paddle at the bottom catches it, for five balls an episode.

    As "Catch" of Mnih et al., "Recurrent Models of Visual Attention" (2014), and of bsuite, on a screen of
    84x84 pixels with 12 columns and rows of 7x7 pixels. Reward 1 for a ball caught and -1 for one missed;
    returns lie between -5 and 5, a random player has about -2.

    Observations: (84, 84, 1), uint8. Actions: 0 stay, 1 left, 2 right (one column a step).

    :param render_mode: ``"rgb_array"`` or None
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 15}  # noqa: RUF012  (gymnasium's own form)
    CELLS, CELL, PADDLE, BALLS = 12, 7, 3, 5

    def __init__(self, render_mode: Literal["rgb_array"] | None = None) -> None:
        self.render_mode = render_mode
        side = self.CELLS * self.CELL
        self.observation_space = spaces.Box(0, 255, (side, side, 1), np.uint8)
        self.action_space = spaces.Discrete(3)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Put the paddle in the middle and drop the first of the balls."""
        super().reset(seed=seed)
        self._paddle = self.CELLS // 2
        self._balls_left = self.BALLS
        self._drop()
        return self._screen(), {}

    def step(self, action: np.int64 | int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Move the paddle by one column, then the ball by one row."""
        self._paddle = int(np.clip(self._paddle + (0, -1, 1)[action], 1, self.CELLS - 2))
        self._row += 1
        reward = 0.0
        if self._row == self.CELLS - 1:
            reward = 1.0 if abs(self._column - self._paddle) <= self.PADDLE // 2 else -1.0
            self._balls_left -= 1
            if self._balls_left > 0:
                self._drop()
        return self._screen(), reward, self._balls_left == 0, False, {}

    def render(self) -> np.ndarray | None:
        """
        :return: The screen in colour channels, (84, 84, 3)
        """
        return self._screen().repeat(3, axis=2) if self.render_mode == "rgb_array" else None

    def _drop(self) -> None:
        self._row = 0
        self._column = int(self.np_random.integers(self.CELLS))

    def _screen(self) -> np.ndarray:
        cells = np.zeros((self.CELLS, self.CELLS), np.uint8)
        cells[self._row, self._column] = 255
        cells[-1, self._paddle - 1 : self._paddle + 2] = 160
        return cells.repeat(self.CELL, axis=0).repeat(self.CELL, axis=1)[:, :, None]
