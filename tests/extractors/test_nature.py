import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from helpers import count
from stable_baselines3.common.torch_layers import NatureCNN

from sb3_efficient import make_extractor
from sb3_efficient.errors import ObservationError, OptionError


def test_is_naturecnn_with_the_same_weights(atari_space: spaces.Box) -> None:
    nature, theirs = make_extractor("nature", atari_space), NatureCNN(atari_space)
    nature.load_state_dict(theirs.state_dict())
    batch = th.randint(0, 256, (16, 4, 84, 84), dtype=th.uint8)
    mine, expected = nature(batch), theirs(batch.float() / 255)
    th.testing.assert_close(mine, expected)
    mine.sum().backward()
    expected.sum().backward()
    for p, q in zip(nature.parameters(), theirs.parameters(), strict=True):
        th.testing.assert_close(p.grad, q.grad, rtol=1e-4, atol=1e-4)


def test_same_seed_gives_the_weights_of_naturecnn(atari_space: spaces.Box) -> None:
    th.manual_seed(5)
    nature = make_extractor("nature", atari_space)
    th.manual_seed(5)
    theirs = NatureCNN(atari_space)
    assert list(nature.state_dict()) == list(theirs.state_dict())
    assert all(th.equal(p, q) for p, q in zip(nature.parameters(), theirs.parameters(), strict=True))


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("nature", 1_684_128), ("nn-bench-large", 1_689_258 - 5_130), ("nn-bench-small", 1_345_082 - 5_130)],
)
def test_parameter_counts(atari_space: spaces.Box, name: str, parameters: int) -> None:
    """The benchmark's figures include a linear layer of 10 outputs, 5,130 parameters."""
    assert count(make_extractor(name, atari_space)) == parameters


def test_channels_give_the_widths(atari_space: spaces.Box) -> None:
    nature = make_extractor("nature", atari_space, channels=[8, 12, 20], features_dim=100)
    assert [m.out_channels for m in nature.cnn if isinstance(m, th.nn.Conv2d)] == [8, 12, 20]
    assert nature(th.zeros(1, 4, 84, 84, dtype=th.uint8)).shape == (1, 100)


@pytest.mark.parametrize("channels", [[8, 12], 8, "8,8,8", [8, 0, 8], [8, 1.5, 8], [8, True, 8]])
def test_bad_channels(atari_space: spaces.Box, channels: object) -> None:
    with pytest.raises(OptionError, match="^channels must "):
        make_extractor("nature", atari_space, channels=channels)


def test_smallest_image_is_told() -> None:
    space = spaces.Box(0, 255, (3, 35, 64), np.uint8)
    with pytest.raises(
        ObservationError, match="^Images of 35x64 pixels are too small for NatureExtractor: .* size is 36x36"
    ):
        make_extractor("nature", space)
    assert make_extractor("nature", spaces.Box(0, 255, (3, 36, 36), np.uint8)).latent_dim == 64
