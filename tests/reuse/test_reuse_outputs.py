"""examples/benchmarks/reuse_outputs.py: outputs of a linear layer on features from distinct patches, with gradients."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import pytest
import torch as th
import torch.nn.functional as F
from games import frames, network
from helpers import ROOT
from test_training import error, exact, gradients
from torch import nn

from sb3_efficient.reuse.patches.training import distinct_features

Outputs = Callable[..., th.Tensor]


@pytest.fixture
def distinct_outputs(monkeypatch: pytest.MonkeyPatch) -> Outputs:
    monkeypatch.syspath_prepend(ROOT / "examples" / "benchmarks")
    module: Any = importlib.import_module("reuse_outputs")
    return module.distinct_outputs


@pytest.mark.parametrize("game", ["Pong", "MsPacman", "YarsRevenge"])
def test_gradients_of_a_segment_are_those_of_float64(distinct_outputs: Outputs, game: str) -> None:
    images = th.as_tensor(frames(game, 120)[-48:])
    net = network(20, images.shape[1:])
    *layers, _, linear = net
    found = distinct_outputs(images, layers, linear.weight, linear.bias)
    th.testing.assert_close(found, net(images / 255), atol=1e-6, rtol=1e-5)
    assert error(gradients(net, found), exact(net, images)) < 2e-5


@pytest.mark.parametrize("scale", [1 / 255, 1.0])
def test_in_any_order_and_on_the_scale_of_the_paper(distinct_outputs: Outputs, scale: float) -> None:
    images = th.as_tensor(frames("Seaquest", 60)[[50, 3, 59, 3, 20]])
    *layers, _, linear = network(8, images.shape[1:])
    assert isinstance(linear, nn.Linear)
    found = distinct_outputs(images.float(), layers, linear.weight, None, scale)
    expected = F.linear(nn.Sequential(*layers, nn.Flatten())(images * scale), linear.weight)
    th.testing.assert_close(found, expected, atol=2e-5 * scale * 255, rtol=1e-5)


def test_second_derivatives_are_those_behind_features(distinct_outputs: Outputs) -> None:
    images = th.as_tensor(frames("Pong", 60)[-4:])
    net = network(4, images.shape[1:], n_outputs=3)
    *layers, _, linear = net
    parameters = list(net.parameters())

    def second(values: th.Tensor) -> Any:
        first = th.autograd.grad(values.pow(3).sum(), parameters, create_graph=True)
        return th.autograd.grad(sum(g.square().sum() for g in first), parameters)  # type: ignore[arg-type]

    found = second(distinct_outputs(images, layers, linear.weight, linear.bias))
    assert error(found, second(linear(distinct_features(images, layers)))) < 1e-3
