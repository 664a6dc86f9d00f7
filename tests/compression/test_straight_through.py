from __future__ import annotations

import pytest
import torch as th
from torch import nn

from sb3_efficient.compression.straight_through import coarsen, settle, settled_at_the_end


@pytest.mark.parametrize("layer", [nn.Conv2d(2, 3, 3, stride=2, padding=1), nn.Linear(5, 4)])
def test_only_the_computation_changes(layer: nn.Conv2d | nn.Linear) -> None:
    x = th.randn(2, 2, 5, 5)
    names, weight, before = list(layer.state_dict()), layer.weight, layer(x)
    coarsen(layer, lambda w: w * 2, lambda inputs: inputs + 1)
    assert list(layer.state_dict()) == names
    assert layer.weight is weight
    coarse = layer(x)
    assert not th.equal(coarse, before)
    coarse.sum().backward()
    assert weight.grad is not None
    original = weight.detach().clone()
    settle([layer])
    assert th.equal(layer.weight, original * 2)
    th.testing.assert_close(layer(x + 1), coarse)


def test_ordinary_layers_are_left_alone() -> None:
    layer = nn.Linear(2, 2)
    before = layer.weight.clone()
    layer.forward = th.relu  # type: ignore[method-assign]
    settle([layer])
    assert th.equal(layer.weight, before)
    assert layer.forward is th.relu


def test_layers_are_ordinary_after_a_failure() -> None:
    layer = nn.Linear(2, 2)

    def interrupted() -> None:
        with settled_at_the_end([layer]):
            coarsen(layer, lambda w: w)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert "forward" not in vars(layer)
