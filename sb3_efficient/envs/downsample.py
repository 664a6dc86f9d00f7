"""The preprocessing of the reuse paper."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from sb3_efficient.errors import ObservationError, OptionError
from sb3_efficient.options import whole_number


class DownsampleWrapper(gym.ObservationWrapper):
    """
    Keep every second or fourth pixel of one colour channel: ``screen[::factor, ::factor, channel]``.

    Atari's 210x160 screens become 105x80 or 53x40 (Khachatourian, arXiv 1909.05632). In rl-zoo3::

        env_wrapper:
          - sb3_efficient.envs.DownsampleWrapper: {factor: 2}

    :param env: Environment with images of shape (H, W, C), uint8
    :param factor: 2 or 4
    :param channel: Colour channel to keep; the paper keeps red, 0
    """

    def __init__(self, env: gym.Env, factor: int = 2, channel: int = 0) -> None:
        super().__init__(env)
        space = env.observation_space
        if not (isinstance(space, spaces.Box) and len(space.shape) == 3 and space.dtype == np.uint8):
            raise ObservationError(
                f"DownsampleWrapper needs uint8 images of shape (height, width, channels), found {space}. "
                "Put it before wrappers that change the image."
            )
        if whole_number("factor", factor) not in (2, 4):
            raise OptionError(f"factor must be 2 or 4, got {factor!r}.")
        if whole_number("channel", channel, least=0) not in range(space.shape[2]):
            raise OptionError(f"channel must be one of the image's {space.shape[2]} (0 is the first), got {channel!r}.")
        self.factor, self.channel = factor, channel
        shape = (-(-space.shape[0] // factor), -(-space.shape[1] // factor), 1)
        self.observation_space = spaces.Box(0, 255, shape, np.uint8)

    def observation(self, observation: np.ndarray) -> np.ndarray:
        """
        :param observation: (H, W, C)
        :return: (H / factor, W / factor, 1), rounded up
        """
        return observation[:: self.factor, :: self.factor, self.channel : self.channel + 1].copy()
