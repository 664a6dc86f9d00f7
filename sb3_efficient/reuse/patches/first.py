"""
The first layer of a network, in updates: once per distinct patch of a shuffled minibatch.

Minibatches of stacked Atari frames repeat the patches of a first convolution 10 to 100 times. What is computed once is
the convolution of ``nature`` with its ReLU, or that of ``impala`` with the max-pooling behind it, whose result is a
quarter as large; the layers behind get the same maps, and hand back the same gradients, as from the dense layer.

Shapes: ``B`` images, ``C H W`` image, ``K`` side of a patch, ``P`` positions, ``N`` distinct patches, ``F`` filters.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch as th
from torch import nn

from sb3_efficient.reuse.patches import sums
from sb3_efficient.reuse.patches.distinct import distinct


def first_convolution(layer: nn.Conv2d, images: np.ndarray, dtype: th.dtype = th.float32) -> th.Tensor:
    """
    What ``layer(images / 255).relu()`` gives.

    :param layer: Unpadded and square
    :param images: (B, C, H, W), uint8
    :param dtype: That is computed in: float32 or bfloat16
    :return: (B, F, rows, columns), channels-last
    """
    kernel, stride = layer.kernel_size[0], layer.stride[0]
    numbers, patches = distinct(images, kernel, stride)
    columns = th.from_numpy(patches).to(dtype).div_(255).flatten(1)
    results = _product(columns, layer.weight.flatten(1).T, layer.bias, dtype).relu()
    return _maps(results, numbers, (images.shape[2] - kernel) // stride + 1)


def first_pooled(layer: nn.Conv2d, images: np.ndarray, dtype: th.dtype = th.float32) -> th.Tensor:
    """
    What ``nn.MaxPool2d(3, stride=2, padding=1)(layer(images / 255))`` gives.

    :param layer: 3x3, stride 1, padding 1
    :param images: (B, C, H, W), uint8
    :param dtype: That is computed in: float32 or bfloat16
    :return: (B, F, ceil(H / 2), ceil(W / 2)), channels-last
    """
    height, width = images.shape[2:]
    rows, columns = -(-height // 2), -(-width // 2)
    # A pixel for the convolution and one for the pooling
    padded = np.zeros((*images.shape[:2], 2 * rows + 3, 2 * columns + 3), np.uint8)
    padded[:, :, 2 : height + 2, 2 : width + 2] = images
    numbers, patches = distinct(padded, 5, 2)
    numbers, patches, outside = _borders(numbers, patches, rows, columns, height, width)
    maps = th.from_numpy(patches).to(dtype).div_(255)
    windows = maps.unfold(2, 3, 1).unfold(3, 3, 1).permute(2, 3, 0, 1, 4, 5)
    products = _product(windows.reshape(9 * len(patches), -1), layer.weight.flatten(1).T, layer.bias, dtype)
    products = products.view(9, len(patches), -1)
    # The pooling takes no values from outside of the convolution's result
    products = products.masked_fill(th.from_numpy(outside)[:, :, None], -th.inf)
    return _maps(products.max(dim=0).values, numbers, rows)


def _product(columns: th.Tensor, matrix: th.Tensor, bias: th.Tensor | None, dtype: th.dtype) -> th.Tensor:
    product = columns @ matrix.to(dtype)
    return product if bias is None else product + bias.to(dtype)


def _borders(
    numbers: np.ndarray, patches: np.ndarray, rows: int, columns: int, height: int, width: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """
    Numbers of their own for patches at the border, where some of the 9 windows are outside.

    :return: Numbers, patches, and what is outside, (9, N)
    """
    places = np.arange(rows * columns)
    y, x = np.divmod(places, columns)
    window_y, window_x = (
        2 * along + step
        for along, step in ((y, np.repeat((-1, 0, 1), 3)[:, None]), (x, np.tile((-1, 0, 1), 3)[:, None]))
    )
    outside = (window_y < 0) | (window_y >= height) | (window_x < 0) | (window_x >= width)
    at_border = outside.any(axis=0).nonzero()[0]
    # Which windows are outside, as a number
    kinds = (1 << np.arange(9)) @ outside[:, at_border]
    pairs, again = np.unique(numbers[:, at_border].astype(np.int64) * 512 + kinds, return_inverse=True)
    numbers = numbers.copy()
    numbers[:, at_border] = len(patches) + again.reshape(len(numbers), -1)
    every = np.concatenate([patches, patches[pairs // 512]])
    kind = np.concatenate([np.zeros(len(patches), np.int64), pairs % 512])
    return numbers, every, (kind >> np.arange(9)[:, None] & 1).astype(np.bool_)


def _maps(results: th.Tensor, numbers: np.ndarray, rows: int) -> th.Tensor:
    gathered: th.Tensor = _Rows.apply(results, numbers.ravel())  # type: ignore[no-untyped-call]
    return gathered.view(len(numbers), rows, -1, results.shape[1]).permute(0, 3, 1, 2)


class _Rows(th.autograd.Function):
    """Results (N, F) -> those of all positions, (B * P, F)."""

    @staticmethod
    def forward(ctx: Any, results: th.Tensor, numbers: np.ndarray) -> th.Tensor:
        ctx.numbers, ctx.count = numbers, len(results)
        return results.index_select(0, th.from_numpy(numbers))

    @staticmethod
    def backward(ctx: Any, *gradients: th.Tensor) -> Any:
        return _Sums.apply(gradients[0], ctx.numbers, ctx.count), None  # type: ignore[no-untyped-call]


class _Sums(th.autograd.Function):
    """Sums over equal patches: (B * P, F) -> (N, F)."""

    @staticmethod
    def forward(ctx: Any, gradients: th.Tensor, numbers: np.ndarray, count: int) -> th.Tensor:
        ctx.numbers = numbers
        results = np.zeros((count, gradients.shape[1]), np.float32)
        sums.sum_rows(numbers, gradients.float().contiguous().numpy(), results)
        return th.from_numpy(results).to(gradients.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: th.Tensor) -> Any:
        return _Rows.apply(gradients[0], ctx.numbers), None, None  # type: ignore[no-untyped-call]
