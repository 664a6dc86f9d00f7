from __future__ import annotations

import numpy as np
import pytest
import torch as th
from games import frames
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sb3_efficient.reuse.patches.first import first_convolution, first_pooled


def images(n: int, channels: int, height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(n * height + width)
    return (rng.integers(0, 3, (n, channels, height, width)) * 127).astype(np.uint8)


def check(found: th.Tensor, expected: th.Tensor, layer: nn.Conv2d) -> None:
    th.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    weights = th.randn(expected.shape)
    parameters = list(layer.parameters())
    one, other = (th.autograd.grad((maps.square() * weights).sum(), parameters) for maps in (found, expected))
    for a, b in zip(one, other, strict=True):
        th.testing.assert_close(a, b, atol=1e-4 * float(b.abs().max()), rtol=0)


@settings(deadline=None, max_examples=25)
@given(height=st.integers(4, 15), width=st.integers(4, 15), channels=st.integers(1, 3), bias=st.booleans())
def test_pooled_equals_torch_of_any_size(height: int, width: int, channels: int, bias: bool) -> None:
    pixels = images(3, channels, height, width)
    layer = nn.Conv2d(channels, 5, 3, padding=1, bias=bias)
    expected = nn.MaxPool2d(3, stride=2, padding=1)(layer(th.as_tensor(pixels).float() / 255))
    check(first_pooled(layer, pixels), expected, layer)


def test_negative_results_at_the_border_stay_negative() -> None:
    layer = nn.Conv2d(1, 2, 3, padding=1)
    nn.init.constant_(layer.bias, -5.0)  # type: ignore[arg-type]
    pixels = images(2, 1, 8, 9)
    assert (first_pooled(layer, pixels) < 0).all()


@pytest.mark.parametrize(("kernel", "stride"), [(8, 4), (3, 1)])
def test_convolution_equals_torch(kernel: int, stride: int) -> None:
    pixels = np.concatenate(list(frames("Pong", 60)[-8:]))[:, None]
    layer = nn.Conv2d(1, 6, kernel, stride)
    check(first_convolution(layer, pixels), layer(th.as_tensor(pixels).float() / 255).relu(), layer)


def test_second_derivatives() -> None:
    pixels = images(2, 1, 8, 8)
    layer = nn.Conv2d(1, 2, 3, padding=1)
    parameters = list(layer.parameters())
    results = []
    for maps in (first_pooled(layer, pixels), nn.MaxPool2d(3, 2, 1)(layer(th.as_tensor(pixels).float() / 255))):
        first = th.autograd.grad(maps.pow(3).sum(), parameters, create_graph=True)
        results.append(th.autograd.grad(sum(g.square().sum() for g in first), parameters))  # type: ignore[arg-type]
    for a, b in zip(*results, strict=True):
        th.testing.assert_close(a, b, atol=1e-4 * float(b.abs().max()), rtol=0)


def test_bfloat16_and_channels_last() -> None:
    pixels = images(4, 2, 9, 9)
    maps = first_pooled(nn.Conv2d(2, 8, 3, padding=1), pixels, th.bfloat16)
    assert maps.dtype == th.bfloat16
    assert maps.is_contiguous(memory_format=th.channels_last)
