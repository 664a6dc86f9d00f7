"""
The max-pooling of IMPALA's stages, in compiled code.

torch remembers places in eight bytes each, and goes back by adding to zeros: a third of Impala's update in bfloat16 is
pooling. Here a place is one byte, and every gradient is written once. Values and gradients are those of torch, but that
sums of bfloat16 are rounded once, and that of a window of negative infinities another place gets the gradient.

Measured by examples/benchmarks/update_parts.py.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib import import_module
from typing import Any

import torch as th
from torch import nn

from sb3_efficient.extractors.recording import is_recorded

#: Numbers in the input below which other threads are not asked
LEAST_FOR_THREADS = 1 << 18
#: Channels are a multiple of this, the lanes of the longest vectors
_VECTOR = 16


class HalvingMaxPool(nn.MaxPool2d):
    """(B, C, H, W) -> (B, C, ceil(H / 2), ceil(W / 2)): ``nn.MaxPool2d(3, stride=2, padding=1)``."""

    def __init__(self) -> None:
        super().__init__(3, stride=2, padding=1)

    def forward(self, maps: th.Tensor) -> th.Tensor:
        if not applies(maps):
            return super().forward(maps)
        values: th.Tensor = _Pool.apply(maps)  # type: ignore[no-untyped-call]
        return values


def applies(maps: th.Tensor) -> bool:
    """
    :param maps: (B, C, H, W)
    :return: Whether compiled code computes it; tracers, compilers and other devices need torch's operator
    """
    # Fake tensors and the like are of other types
    if type(maps) is not th.Tensor or maps.device.type != "cpu" or is_recorded():
        return False
    known = maps.dtype in (th.float32, th.bfloat16) and maps.ndim == 4 and maps.numel() > 0
    in_order = known and maps.shape[1] % _VECTOR == 0 and maps.is_contiguous(memory_format=th.channels_last)
    return in_order and _kernels() is not None


@cache
def _kernels() -> Any:
    """Compiled when they are first called; None where numba does not work."""
    try:
        kernels = import_module("sb3_efficient.compiled.max_pool")
        return None if import_module("numba").config.DISABLE_JIT else kernels
    except ImportError:
        return None


class _Pool(th.autograd.Function):
    """(B, C, H, W) -> (B, C, rows, columns), channels-last."""

    @staticmethod
    def forward(ctx: Any, maps: th.Tensor) -> th.Tensor:
        batch, channels, height, width = maps.shape
        values = _empty((batch, channels, -(-height // 2), -(-width // 2)), maps.dtype)
        places = _empty(values.shape, th.uint8)
        least = maps.new_full((channels,), -th.inf)
        _in_parts(_kernels().pool, maps, values, places, least, size=maps.shape)
        ctx.save_for_backward(places)
        ctx.size = maps.shape
        return values

    @staticmethod
    def backward(ctx: Any, *gradients: th.Tensor) -> Any:
        (places,) = ctx.saved_tensors
        return _Spread.apply(gradients[0], places, ctx.size)  # type: ignore[no-untyped-call]


class _Spread(th.autograd.Function):
    """Gradients of the values to those of the maps, (B, C, rows, columns) -> (B, C, H, W)."""

    @staticmethod
    def forward(ctx: Any, gradients: th.Tensor, places: th.Tensor, size: th.Size) -> th.Tensor:
        result = _empty(size, gradients.dtype)
        nowhere = places.new_full((size[1],), _kernels().NOWHERE)
        gradients = gradients.contiguous(memory_format=th.channels_last)
        _in_parts(_kernels().spread, gradients, places, result, nowhere, size=size)
        ctx.save_for_backward(places)
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: th.Tensor) -> Any:
        """To differentiate again, as TRPO does: the numbers at those places."""
        (places,) = ctx.saved_tensors
        rows, columns = (th.arange(side)[:, None] for side in places.shape[2:])
        numbers = places.long()
        y, x = 2 * rows - 1 + numbers // 3, 2 * columns.T - 1 + numbers % 3
        at = y * gradients[0].shape[3] + x
        found = gradients[0].flatten(2).gather(2, at.flatten(2)).view(places.shape)
        return found, None, None


def _empty(size: th.Size | tuple[int, ...], dtype: th.dtype) -> th.Tensor:
    return th.empty(size, dtype=dtype, memory_format=th.channels_last)


def _in_parts(kernel: Callable[..., None], *tensors: th.Tensor, size: th.Size) -> None:
    """A part of the images for each of torch's threads."""
    batch, channels, height, width = size
    threads = min(th.get_num_threads(), batch) if size.numel() >= LEAST_FOR_THREADS else 1
    bounds = [batch * part // threads for part in range(threads + 1)]
    size_and_addresses = tensors[0].itemsize, *(tensor.data_ptr() for tensor in tensors)

    def part(number: int) -> None:
        kernel(*size_and_addresses, *bounds[number : number + 2], height, width, channels)

    if threads == 1:
        part(0)
        return
    with ThreadPoolExecutor(threads) as executor:
        list(executor.map(part, range(threads)))
