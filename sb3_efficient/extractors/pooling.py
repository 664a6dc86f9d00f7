"""Adaptive pooling in terms of plain operators, which every runtime has and int8 networks are made of."""

from __future__ import annotations

from functools import cache
from typing import TypeVar

import torch as th
import torch.nn.functional as F
from torch import nn

Network = TypeVar("Network", bound=nn.Module)
Windows = list[tuple[int, int]]


def replace_adaptive_pools(network: Network) -> Network:
    """
    :param network: Changed in place
    :return: The network, which computes the same
    """
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.AdaptiveAvgPool2d) and child.output_size in (1, (1, 1)):
                setattr(parent, name, GlobalAverage())
            elif isinstance(child, nn.AdaptiveMaxPool2d):
                setattr(parent, name, AdaptiveMax(child.output_size))
    return network


class GlobalAverage(nn.Module):
    """(B, C, H, W) -> (B, C, 1, 1)."""

    def forward(self, maps: th.Tensor) -> th.Tensor:
        return maps.mean(dim=(2, 3), keepdim=True)


class AdaptiveMax(nn.Module):
    """(B, C, H, W) -> (B, C, *output_size)."""

    def __init__(self, output_size: int | tuple[int | None, ...] | None) -> None:
        super().__init__()
        self.output_size = output_size if isinstance(output_size, tuple) else (output_size, output_size)

    def forward(self, maps: th.Tensor) -> th.Tensor:
        windows = [_windows(n, size or n) for n, size in zip(maps.shape[2:], self.output_size, strict=True)]
        regular = [_regular(n, len(found)) for n, found in zip(maps.shape[2:], windows, strict=True)]
        if None not in regular:
            kernel, stride, padding = zip(*regular, strict=True)
            return F.max_pool2d(maps, kernel, stride, padding)
        for dim, found in zip((2, 3), windows, strict=True):
            maps = th.cat([maps.narrow(dim, a, b - a).amax(dim, keepdim=True) for a, b in found], dim)
        return maps


def _windows(n_input: int, n_output: int) -> Windows:
    """Along one of the sides, as torch has them: from floor(i n / m) to ceil((i + 1) n / m)."""
    return [(i * n_input // n_output, -(-(i + 1) * n_input // n_output)) for i in range(n_output)]


@cache
def _regular(n_input: int, n_output: int) -> tuple[int, int, int] | None:
    """Kernel, stride and padding of the ordinary pooling with the same windows, if there is one."""
    windows = _windows(n_input, n_output)
    for stride in range(1, n_input + 1):
        for kernel in range(1, n_input + 1):
            for padding in range(kernel // 2 + 1):
                starts = range(-padding, n_input + padding - kernel + 1, stride)
                if windows == [(max(start, 0), min(start + kernel, n_input)) for start in starts]:
                    return kernel, stride, padding
    return None
