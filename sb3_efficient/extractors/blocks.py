"""
The first convolution, on blocks of pixels in place of pixels (space-to-depth).

A kernel of 8x8 pixels that moves by 4 over 4 channels is one of 2x2 that moves by 1 over the 64 numbers of a block of
4x4 pixels: the same products, in another order. Vectors of 16 or 32 numbers are filled by 64 channels, and not by 4.
The division by 255 is left to the weights, which are few; pixels stay whole numbers, which bfloat16 holds exactly.

Measured by examples/benchmarks/first_convolution.py.
"""

from __future__ import annotations

from collections.abc import Callable

import torch as th
import torch.nn.functional as F
from torch import nn

from sb3_efficient.extractors.recording import is_hooked, is_recorded

#: Smaller batches gain nothing by blocks
LEAST = 8
#: Integers that hold a row of a block, by the block's side: moved as one
_ROWS = {2: th.int16, 4: th.int32, 8: th.int64}


def applies(cnn: nn.Module, images: th.Tensor) -> bool:
    """
    :param cnn: What computes on images; only one that begins with an ordinary convolution will do
    :param images: (B, C, H, W)
    :return: Whether :func:`encode` computes the same as ``cnn(images / 255)``, hooks of others included
    """
    if images.dtype != th.uint8 or images.device.type != "cpu" or is_recorded():
        return False
    if th.is_autocast_enabled("cpu") and th.get_autocast_dtype("cpu") == th.float16:
        # Gradients of sums of bytes are 255 times as large as those of pixels, more than it holds
        return False
    if type(cnn) is not nn.Sequential or _is_changed(cnn):
        return False
    conv = next(iter(cnn), None)
    # What is parametrized has a class of its own
    return type(conv) is nn.Conv2d and not _is_changed(conv) and _has_blocks(conv)


def through(
    layers: nn.Sequential, images: th.Tensor, dtype: th.dtype, pixels: Callable[[th.Tensor], th.Tensor]
) -> th.Tensor:
    """
    :param layers: That begin with those on images
    :param images: (B, C, H, W)
    :param dtype: As of :func:`encode`
    :param pixels: Prepares images that :func:`applies` has nothing for
    :return: What comes out of the layers
    """
    return encode(layers, images, dtype) if applies(layers, images) else layers(pixels(images))


def encode(cnn: nn.Sequential, images: th.Tensor, dtype: th.dtype) -> th.Tensor:
    """
    :param cnn: That :func:`applies`
    :param images: (B, C, H, W), uint8
    :param dtype: Number format of activations; for another one than that of the weights, within an autocast
    :return: What ``cnn`` makes of ``images / 255``
    """
    conv, *others = cnn
    maps = first_convolution(conv, images, dtype)  # type: ignore[arg-type]
    for layer in others:
        if isinstance(layer, nn.Flatten) and maps.requires_grad:
            maps.register_hook(_in_order_of_maps)  # type: ignore[no-untyped-call]
        maps = layer(maps)
    return maps


def first_convolution(conv: nn.Conv2d, images: th.Tensor, dtype: th.dtype) -> th.Tensor:
    """
    :param conv: Without padding, whose kernel is a multiple of its stride
    :param images: (B, C, H, W), uint8
    :param dtype: As of :func:`encode`
    :return: (B, channels, rows, columns), channels-last
    """
    weight = conv.weight / 255
    if len(images) < LEAST:
        pixels = images.contiguous(memory_format=th.channels_last).to(dtype)
        return F.conv2d(pixels, weight, conv.bias, conv.stride)
    kernel, stride = conv.kernel_size[0], conv.stride[0]
    rows, columns = (covered(side, kernel, stride) for side in images.shape[2:])
    return F.conv2d(_blocks(images[..., :rows, :columns], stride).to(dtype), blocked(weight, stride), conv.bias)


def fits(kernel: int, stride: int) -> bool:
    """
    :param kernel: Side of a kernel, pixels
    :param stride: Pixels
    :return: Whether it moves by whole blocks that can be moved as integers
    """
    return stride in _ROWS and kernel % stride == 0


def covered(length: int, kernel: int, stride: int) -> int:
    """
    :param length: Side of an image, pixels
    :return: How many of them, from the beginning, a convolution without padding computes on
    """
    return (length - kernel) // stride * stride + kernel


def blocked(weight: th.Tensor, side: int) -> th.Tensor:
    """
    :param weight: Of a kernel on pixels, (O, C, K, K), in any number format
    :param side: Of a block
    :return: The same on blocks, (O, C * side * side, K / side, K / side)
    """
    filters, channels, kernel, _ = weight.shape
    n = kernel // side
    parts = weight.view(filters, channels, n, side, n, side).permute(0, 1, 3, 5, 2, 4)
    return parts.reshape(filters, channels * side * side, n, n)


def _in_order_of_maps(gradient: th.Tensor) -> th.Tensor:
    # Behind a flattening it is channel-first, and the ReLU before it would take many times as long over two orders
    return gradient.contiguous(memory_format=th.channels_last)


def _is_changed(module: nn.Module) -> bool:
    """Whether calling it does more than its class says."""
    return is_hooked(module) or "forward" in vars(module)


def _has_blocks(conv: nn.Conv2d) -> bool:
    kernel, stride = conv.kernel_size[0], conv.stride[0]
    is_square = conv.kernel_size == (kernel, kernel) and conv.stride == (stride, stride)
    is_plain = conv.padding == (0, 0) and conv.dilation == (1, 1) and conv.groups == 1
    return is_square and is_plain and fits(kernel, stride)


def _blocks(images: th.Tensor, side: int) -> th.Tensor:
    """(B, C, H, W) to (B, C * side * side, H / side, W / side), channels-last."""
    batch, channels, height, width = images.shape
    # In one row, as the stride of a single channel can be anything, also where the rest is in order
    pixels = images.contiguous().view(-1)
    if pixels.storage_offset() % side:
        # Begins in the middle of an integer
        pixels = pixels.clone()
    rows = pixels.view(_ROWS[side]).view(batch, channels, height // side, side, width // side)
    blocks = rows.permute(0, 2, 4, 1, 3).contiguous().view(th.uint8)
    return blocks.view(batch, height // side, width // side, channels * side * side).permute(0, 3, 1, 2)
