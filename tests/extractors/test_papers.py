"""conv2 and tiny-rl."""

import numpy as np
import pytest
from gymnasium import spaces
from torch import nn

from sb3_efficient import list_extractors, make_extractor
from sb3_efficient.errors import ConflictError, OptionError


def convolutions(module: nn.Module) -> list[tuple[int, int, int]]:
    return [(m.out_channels, m.kernel_size[0], m.stride[0]) for m in module.modules() if isinstance(m, nn.Conv2d)]


def test_they_are_listed_apart() -> None:
    assert list_extractors() == ["impala", "impala-x2", "impala-x4", "impoola", "nature", "reuse-conv", "reuse-impala"]
    assert list_extractors(papers=True) == ["conv2", "nn-bench-large", "nn-bench-small", "reuse-conv2", "tiny-rl"]


def test_conv2_of_the_paper() -> None:
    extractor = make_extractor("conv2", spaces.Box(0, 255, (1, 105, 80), np.uint8), filters=80)
    assert convolutions(extractor) == [(80, 3, 1), (160, 3, 1)]
    assert extractor.features_dim == extractor.latent_dim == 160 * 101 * 76
    assert len(extractor.linear) == 0


def test_conv2_can_be_edited() -> None:
    space = spaces.Box(0, 255, (1, 53, 40), np.uint8)
    extractor = make_extractor("conv2", space, filters=10, kernel=5, stride=2, layers=3, features_dim=64)
    assert convolutions(extractor) == [(10, 5, 2), (20, 5, 2), (40, 5, 2)]
    assert extractor.features_dim == 64
    assert convolutions(make_extractor("conv2", space, channels=[7, 9])) == [(7, 3, 1), (9, 3, 1)]
    with pytest.raises(ConflictError, match="leave out filters and layers"):
        make_extractor("conv2", space, channels=[7, 9], filters=10)
    with pytest.raises(OptionError, match="kernel must be a whole number of at least 1, got 0"):
        make_extractor("conv2", space, kernel=0)
