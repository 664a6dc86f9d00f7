from __future__ import annotations

import ale_py
import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from sb3_efficient.envs import DownsampleWrapper
from sb3_efficient.errors import ObservationError, OptionError

gym.register_envs(ale_py)


@pytest.mark.parametrize(("factor", "shape"), [(2, (105, 80, 1)), (4, (53, 40, 1))])
def test_atari_screens_as_in_the_paper(factor: int, shape: tuple[int, int, int]) -> None:
    plain = gym.make("PongNoFrameskip-v4")
    env = DownsampleWrapper(gym.make("PongNoFrameskip-v4"), factor=factor, channel=0)
    assert env.observation_space == spaces.Box(0, 255, shape, np.uint8)
    expected, _ = plain.reset(seed=1)
    found, _ = env.reset(seed=1)
    assert np.array_equal(found[:, :, 0], expected[::factor, ::factor, 0])
    assert found in env.observation_space
    found, *_ = env.step(2)
    assert found.shape == shape
    assert found.flags.c_contiguous


def test_bad_options() -> None:
    env = gym.make("PongNoFrameskip-v4")
    with pytest.raises(OptionError, match="factor must be 2 or 4, got 3"):
        DownsampleWrapper(env, factor=3)
    with pytest.raises(OptionError, match="channel must be one of the image's 3 .* got 3"):
        DownsampleWrapper(env, channel=3)
    with pytest.raises(OptionError, match="factor must be a whole number of at least 1, got 2.0"):
        DownsampleWrapper(env, factor=2.0)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="channel must be a whole number of at least 0, got True"):
        DownsampleWrapper(env, channel=True)
    with pytest.raises(ObservationError, match="needs uint8 images of shape .height, width, channels., found Box"):
        DownsampleWrapper(gym.make("CartPole-v1"))
