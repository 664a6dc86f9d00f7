"""examples/benchmarks/reuse_outputs.py: outputs of a linear layer on features from distinct patches, with gradients."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest
import torch as th
import torch.nn.functional as F
from helpers import ROOT
from torch import nn

from sb3_efficient.reuse.training import distinct_features


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(ROOT / "examples" / "benchmarks")
    return importlib.import_module("reuse_outputs")


def case(n: int) -> tuple[th.Tensor, list[nn.Module], nn.Linear]:
    """Images that follow each other and repeat patches, and the paper's network."""
    rng = np.random.default_rng(n)
    images = np.zeros((n, 1, 16, 15), np.uint8)
    for i in range(n):
        images[i, 0, i % 9 : i % 9 + 4, 3:7] = 255
        images[i, 0, 12, 10] = rng.integers(3)
    layers = [nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.ReLU()]
    return th.from_numpy(images), layers, nn.Linear(6 * 12 * 11, 3)


def close(found: Any, expected: Any) -> None:
    for one, other in zip(found, expected, strict=True):
        th.testing.assert_close(one, other, atol=1e-5 * float(other.detach().abs().max()), rtol=1e-4)


@pytest.mark.parametrize("in_order", [True, False])
def test_values_gradients_and_those_of_gradients(module: Any, in_order: bool) -> None:
    images, layers, linear = case(12)
    images = images if in_order else images[th.randperm(12)]
    found = module.distinct_outputs(images, layers, linear.weight, linear.bias)
    expected = linear(distinct_features(images, layers))
    close([found], [expected])
    parameters = [*nn.Sequential(*layers).parameters(), linear.weight]
    gradients = [th.autograd.grad(y.pow(3).sum(), parameters, create_graph=True) for y in (found, expected)]
    close(*gradients)
    close(*(th.autograd.grad(sum(g.square().sum() for g in first), parameters) for first in gradients))


@pytest.mark.parametrize("scale", [1 / 255, 1.0])
def test_on_the_scale_of_the_paper_and_of_floats(module: Any, scale: float) -> None:
    images, layers, linear = case(5)
    found = module.distinct_outputs(images.float(), layers, linear.weight, None, scale)
    dense = nn.Sequential(*layers, nn.Flatten())(images * scale)
    close([found], [F.linear(dense, linear.weight)])
