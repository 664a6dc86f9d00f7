"""How deep a depth is, for every registered extractor."""

from __future__ import annotations

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.torch_layers import FlattenExtractor, NatureCNN
from torch import nn

from sb3_efficient import list_extractors, make_extractor
from sb3_efficient.errors import ObservationError, OptionError
from sb3_efficient.seer.stages import check_depth, check_staged, layers, n_layers, n_stages

SPACE = spaces.Box(0, 255, (4, 84, 84), np.uint8)


@pytest.mark.parametrize("name", [*list_extractors(), *list_extractors(papers=True)])
def test_depths_of_every_extractor(name: str) -> None:
    extractor = make_extractor(name, SPACE)
    depths = [n_layers(extractor, stage) for stage in range(1, n_stages(extractor) + 1)]
    assert depths == sorted(set(depths)), "every stage adds layers"
    assert depths[-1] == n_layers(extractor, "conv") == len(extractor.cnn)
    assert n_layers(extractor, "lower") == depths[:-1][-1]
    assert n_layers(extractor, "features") == len(layers(extractor))
    with th.no_grad():
        latent = nn.Sequential(*layers(extractor)[: n_layers(extractor, "conv")])(th.zeros(1, 4, 84, 84))
    assert latent.shape == (1, extractor.latent_dim)


@pytest.mark.parametrize("extractor", [NatureCNN(SPACE), make_extractor("nature", SPACE)])
def test_nature_has_a_stage_a_convolution(extractor: NatureCNN) -> None:
    assert [n_layers(extractor, depth) for depth in (1, 2, "lower", 3, "conv", "features")] == [2, 4, 4, 7, 7, 9]


def test_impala_has_three_stages() -> None:
    assert [n_layers(make_extractor("impala", SPACE), depth) for depth in (1, 2, 3)] == [1, 2, 5]


@pytest.mark.parametrize(
    ("depth", "text"),
    [
        (0, "depth=0 is not one of NatureCNN: 1, 2, 3, 'lower', 'conv' or 'features'."),
        (4, "depth=4 is not one of"),
        ("convs", "'lower', 'conv' or 'features'. Did you mean 'conv'?"),
        (True, "depth=True is not one of"),
        (1.5, "depth=1.5 is not one of"),
        (None, "depth=None is not one of"),
    ],
)
def test_unknown_depth(depth: object, text: str) -> None:
    with pytest.raises(OptionError) as error:
        check_depth(NatureCNN(SPACE), depth)
    assert text in str(error.value)


def test_foreign_extractors_are_refused() -> None:
    with pytest.raises(ObservationError, match=r"found FlattenExtractor.*policy_kwargs\('nature', PPO\)"):
        check_staged(FlattenExtractor(SPACE))
