from __future__ import annotations

import numpy as np
import pytest
from agents import agent, images
from games import network
from stable_baselines3 import A2C
from stable_baselines3.common.envs import FakeImageEnv

from sb3_efficient import make_engine, policy_kwargs
from sb3_efficient.engines.reuse import ReuseEngine
from sb3_efficient.errors import OptionError
from sb3_efficient.reuse.changes.network import read_layers
from sb3_efficient.reuse.changes.reuser import Reuser


def test_one_pixel_spreads_as_the_kernels_reach() -> None:
    net, rest = read_layers(network(4, (1, 20, 70)), (1, 20, 70))
    net.linear = rest  # type: ignore[assignment]
    reuser = Reuser(net)
    image = np.random.default_rng(0).integers(0, 256, (1, 1, 20, 70), np.uint8)
    reuser(image)
    image[0, 0, 10, 66] ^= 128
    reuser(image)
    pixels, first, second = reuser.seen()
    assert np.argwhere(pixels.changed).tolist() == [[10, 66]]
    assert first.name == "conv 3x3 /1, 1 -> 4"
    assert np.argwhere(first.computed)[[0, -1]].tolist() == [[8, 64], [10, 66]]
    assert first.computed.sum() == 9
    assert (first.computed >= first.changed).all()
    assert (second.computed >= second.changed).all()
    assert 0 < second.computed.sum() <= 25
    # As many as the plan counted: everything once, and then these
    assert reuser.counts[1:3].tolist() == [18 * 68 + 9, 16 * 66 + second.computed.sum()]


@pytest.mark.parametrize("name", ["ppo nature", "ppo impala"])
def test_every_layer_of_an_agent(name: str) -> None:
    engine = make_engine(agent(name), "reuse")
    assert isinstance(engine, ReuseEngine)
    with pytest.raises(OptionError, match="Row 0 of the batch has seen nothing yet: there are 0 rows."):
        engine.seen()
    batch = images(2)
    engine.predict(batch)
    engine.predict(batch[[0, 0]])
    first, second = engine.seen(0), engine.seen(1)
    assert len(first) == len(engine.plan.layers) - 1
    assert not any(layer.computed.any() for layer in first)
    assert all(layer.computed.any() for layer in second)


def test_patches_have_no_positions() -> None:
    env = FakeImageEnv(screen_height=20, screen_width=18, n_channels=1, channel_first=True)
    engine = make_engine(A2C("CnnPolicy", env, policy_kwargs=policy_kwargs("conv2", A2C, filters=2)), "reuse")
    assert isinstance(engine, ReuseEngine)
    with pytest.raises(OptionError, match="remembered by patch, not by position: see engine.plan."):
        engine.seen()
