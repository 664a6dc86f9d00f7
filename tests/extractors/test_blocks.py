"""The first convolution on blocks of pixels: the same as on pixels."""

from __future__ import annotations

from typing import Any

import pytest
import torch as th
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.torch_layers import NatureCNN
from torch import nn

from sb3_efficient import make_extractor
from sb3_efficient.extractors import blocks
from sb3_efficient.fast.forward import FastForward

IMAGES = spaces.Box(0, 255, (4, 84, 84), "uint8")


def some(*shape: int) -> th.Tensor:
    return th.randint(0, 256, shape, dtype=th.uint8, generator=th.Generator().manual_seed(0))


def gradients(cnn: nn.Module, maps: th.Tensor) -> list[th.Tensor]:
    (maps * th.linspace(-1, 1, maps.numel()).view_as(maps)).sum().backward()
    found = [p.grad.clone() for p in cnn.parameters() if p.grad is not None]
    cnn.zero_grad()
    return found


@settings(deadline=None)
@given(
    batch=st.sampled_from([1, 7, 8, 9]),
    channels=st.integers(1, 5),
    stride=st.sampled_from([2, 4, 8]),
    multiple=st.integers(1, 3),
    height=st.integers(0, 9),
    width=st.integers(0, 9),
    filters=st.integers(1, 5),
    bias=st.booleans(),
)
def test_outputs_and_gradients_are_those_on_pixels(
    batch: int, channels: int, stride: int, multiple: int, height: int, width: int, filters: int, bias: bool
) -> None:
    kernel = stride * multiple
    cnn = nn.Sequential(nn.Conv2d(channels, filters, kernel, stride, bias=bias), nn.ReLU(), nn.Flatten())
    images = some(batch, channels, kernel + height, kernel + width)
    assert blocks.applies(cnn, images)
    plain, found = cnn(images / 255), blocks.encode(cnn, images, th.float32)
    th.testing.assert_close(found, plain, rtol=1e-4, atol=1e-5)
    for ours, theirs in zip(gradients(cnn, found), gradients(cnn, plain), strict=True):
        th.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    "images",
    [
        some(16, 84, 84, 4).permute(0, 3, 1, 2),
        some(16, 5, 90, 91)[:, 1:, 3:87, 5:89],
        some(1 + 16 * 4 * 84 * 84)[1:].view(16, 4, 84, 84),
    ],
    ids=["channels last", "cut out", "begins in the middle of an integer"],
)
def test_however_images_lie_in_memory(images: th.Tensor) -> None:
    cnn = make_extractor("nature", IMAGES).cnn
    assert images.shape == (16, 4, 84, 84)
    assert blocks.applies(cnn, images)
    th.testing.assert_close(blocks.encode(cnn, images, th.float32), cnn(images / 255), rtol=1e-4, atol=1e-5)


def test_a_single_channel_that_was_the_last() -> None:
    images = some(16, 84, 84, 1).permute(0, 3, 1, 2)
    # Contiguous to torch, whatever the stride
    assert images.is_contiguous()
    assert images.stride(1) == 1
    cnn = make_extractor("nature", spaces.Box(0, 255, (1, 84, 84), "uint8")).cnn
    th.testing.assert_close(blocks.encode(cnn, images, th.float32), cnn(images / 255), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch", [1, 32])
def test_bf16_is_nearer_to_float32_than_on_pixels(batch: int) -> None:
    th.manual_seed(0)
    extractor, images = make_extractor("nature", IMAGES, precision="bf16"), some(batch, 4, 84, 84)
    exact = extractor.cnn(images / 255)
    with th.autocast("cpu", th.bfloat16):
        on_pixels = extractor.cnn(images.to(th.bfloat16) / 255)
    on_blocks = extractor.encode(images)
    assert on_blocks.dtype == th.bfloat16
    assert (on_blocks.float() - exact).norm() < 1.05 * (on_pixels.float() - exact).norm()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_stock_networks_get_it_from_accelerate(precision: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(blocks, "encode", lambda *a, own=blocks.encode: calls.append(a) or own(*a))
    extractor, images = NatureCNN(IMAGES), some(16, 4, 84, 84)
    found = FastForward(extractor, precision, scales_pixels=True)(images)
    assert calls
    assert found.dtype == th.float32
    th.testing.assert_close(found, extractor(images / 255), rtol=0.02, atol=1e-4 if precision == "fp32" else 0.02)


def _hooked(cnn: nn.Sequential) -> None:
    cnn[0].register_forward_hook(lambda layer, x, y: None)


def _with_forward(cnn: nn.Sequential) -> None:
    cnn[0].forward = lambda x: x  # type: ignore[method-assign]


def _parametrized(cnn: nn.Sequential) -> None:
    nn.utils.parametrize.register_parametrization(cnn[0], "weight", nn.Identity())


def _hooked_whole(cnn: nn.Sequential) -> None:
    cnn.register_forward_pre_hook(lambda layer, x: None)


def _watched(cnn: nn.Sequential) -> None:
    cnn[0].register_full_backward_hook(lambda layer, before, after: None)


def _watched_before(cnn: nn.Sequential) -> None:
    cnn[0].register_full_backward_pre_hook(lambda layer, after: None)


@pytest.mark.parametrize("change", [_hooked, _with_forward, _parametrized, _hooked_whole, _watched, _watched_before])
def test_what_others_do_to_the_network_is_respected(change: Any) -> None:
    cnn = make_extractor("nature", IMAGES).cnn
    assert blocks.applies(cnn, some(8, 4, 84, 84))
    change(cnn)
    assert not blocks.applies(cnn, some(8, 4, 84, 84))


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(4, 8, 8, 4, padding=1),
        nn.Conv2d(4, 8, 8, 4, dilation=2),
        nn.Conv2d(4, 8, 8, 4, groups=2),
        nn.Conv2d(4, 8, 6, 4),
        nn.Conv2d(4, 8, 3, 1),
        nn.Conv2d(4, 8, (8, 4), 4),
        nn.Conv2d(4, 8, 8, (4, 2)),
        nn.Linear(84, 84),
    ],
    ids=str,
)
def test_other_layers_compute_on_pixels(conv: nn.Module) -> None:
    assert not blocks.applies(nn.Sequential(conv), some(8, 4, 84, 84))


class Skip(nn.Sequential):
    def forward(self, x: th.Tensor) -> th.Tensor:
        return 1 + super().forward(x)


def test_sequences_that_are_others_than_their_class_says_compute_on_pixels() -> None:
    assert not blocks.applies(Skip(nn.Conv2d(4, 8, 8, 4)), some(8, 4, 84, 84))


def test_float_images_are_no_pixels() -> None:
    cnn = make_extractor("nature", IMAGES).cnn
    assert not blocks.applies(cnn, some(8, 4, 84, 84).float())


def test_gradients_of_gradients() -> None:
    """As TRPO takes them."""
    cnn = nn.Sequential(nn.Conv2d(2, 3, 4, 2), nn.Tanh(), nn.Flatten())
    images, found = some(8, 2, 12, 12), []
    for maps in (blocks.encode(cnn, images, th.float32), cnn(images / 255)):
        (first,) = th.autograd.grad(maps.square().sum(), cnn[0].weight, create_graph=True)
        found.append(th.autograd.grad(first.square().sum(), cnn[0].weight)[0])
    th.testing.assert_close(*found, rtol=1e-3, atol=1e-2)


def test_gradients_of_maps_keep_the_order_of_the_maps() -> None:
    class Look(nn.Identity):
        def forward(self, maps: th.Tensor) -> th.Tensor:
            maps.register_hook(lambda gradient: seen.append((maps, gradient)))
            return maps.clone()

    seen: list[tuple[th.Tensor, th.Tensor]] = []
    *layers, flatten = make_extractor("nature", IMAGES).cnn
    assert isinstance(flatten, nn.Flatten)
    cnn = nn.Sequential(*layers, Look(), flatten)
    gradients(cnn, blocks.encode(cnn, some(16, 4, 84, 84), th.float32))
    ((maps, gradient),) = seen
    assert gradient.stride() == maps.stride()
    assert maps.is_contiguous(memory_format=th.channels_last)


def test_gradients_that_float16_could_not_hold() -> None:
    cnn, images = make_extractor("nature", IMAGES).cnn, some(32, 4, 84, 84)
    with th.autocast("cpu", dtype=th.float16):
        assert not blocks.applies(cnn, images)
    with th.autocast("cpu", dtype=th.bfloat16):
        assert blocks.applies(cnn, images)


@pytest.mark.parametrize("name", ["nature", "reuse-conv"])
def test_hooks_of_all_modules_see_every_layer(name: str) -> None:
    extractor, seen = make_extractor(name, IMAGES), []
    hook = nn.modules.module.register_module_forward_hook(lambda layer, *_: seen.append(layer))
    try:
        with th.no_grad():
            extractor(some(8, 4, 84, 84))
    finally:
        hook.remove()
    convolutions = [layer for layer in extractor.modules() if isinstance(layer, nn.Conv2d)]
    assert [layer for layer in seen if isinstance(layer, nn.Conv2d)] == convolutions
