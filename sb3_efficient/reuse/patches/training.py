"""
Training with reuse, up to the features: forward and backward once per distinct patch, exactly.

The result of a convolution is the same for equal patches, and what they contribute to the gradients depends on the
*sum* of their output gradients only. So a batch of ``B * P`` patches shrinks to its ``N`` distinct ones, wherever on
the screens and in whatever order they are; Atari segments repeat each patch ten to two thousand times.

Exact means: as exact as the dense computation in float32, which is a float64 one with other roundings. The two differ
visibly, by up to 1e-3 of the largest gradient, where the input of a ReLU is zero up to rounding: its sign then decides
whether the gradient of a patch counts, and with it that of all its repetitions. ``tests/reuse/test_training.py`` shows
that these patches explain the whole difference.

Gradients can be differentiated again (TRPO): the derivative of the gathering is a summing, and the other way round.

Shapes: ``B`` images, ``C H W`` image, ``R`` side of a patch, ``P`` positions, ``N`` distinct patches, ``F`` filters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch as th
from torch import nn
from torch.utils.checkpoint import checkpoint

from sb3_efficient.errors import ObservationError
from sb3_efficient.reuse.changes.reuser import Announced
from sb3_efficient.reuse.patches import sums
from sb3_efficient.reuse.patches.distinct import distinct
from sb3_efficient.reuse.patches.first import first_pooled
from sb3_efficient.reuse.patches.stack import check_stack, receptive_field

#: Patches that are computed at a time, and of which no activations are kept if there are more than that
CHUNK = 8192


def warm_up() -> None:
    """Compile everything here, or load what was compiled; otherwise the first update does."""
    with Announced(), th.inference_mode(False), th.enable_grad():
        images = th.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 1, 72, 72), np.uint8))
        with th.random.fork_rng(devices=[]):
            layers, padded = [nn.Conv2d(1, 1, 3), nn.ReLU()], nn.Conv2d(1, 1, 3, padding=1)
        features = distinct_features(images, layers)
        maps = first_pooled(padded, images.numpy())
        th.autograd.backward(features.sum() + maps.sum())


def distinct_features(images: th.Tensor, layers: Sequence[nn.Module], scale: float = 1 / 255) -> th.Tensor:
    """
    What ``nn.Sequential(*layers, nn.Flatten())(images * scale)`` gives, with its gradients.

    :param images: (B, C, H, W), uint8, or floats that hold pixel values from 0 to 255
    :param layers: Unpadded convolutions, each followed by a ReLU
    :param scale: What a pixel is multiplied with
    :return: (B, F * P)
    """
    numbers, results = distinct_results(images, layers, scale)
    return applied(Gather, results, numbers)


def distinct_results(images: th.Tensor, layers: Sequence[nn.Module], scale: float) -> tuple[np.ndarray, th.Tensor]:
    """Number of each patch, (B, P); and the result of each distinct one, (N, F)."""
    convolutions = check_stack(layers)
    numbers, patches = distinct(_bytes(images), *receptive_field(convolutions))
    numbered = th.from_numpy(patches).movedim(1, -1)
    parameters = [parameter for layer in convolutions for parameter in (layer.weight, layer.bias)]
    strides = [layer.stride[0] for layer in convolutions]
    if len(patches) <= CHUNK:
        return numbers, _convolve(numbered, scale, strides, *parameters)
    parts: list[Any] = [
        checkpoint(_convolve, part, scale, strides, *parameters, use_reentrant=False)
        for part in th.split(numbered, CHUNK)
    ]
    return numbers, th.cat(parts)


def _convolve(patches: th.Tensor, scale: float, strides: list[int], *parameters: th.Tensor | None) -> th.Tensor:
    """
    As matrix products, which is what convolutions of single patches are.

    :param patches: (N, R, R, C), uint8
    :param parameters: Weight and bias of each convolution
    :return: (N, F)
    """
    maps = patches.float() / 255 if scale == 1 / 255 else patches.float() * scale
    for stride, weight, bias in zip(strides, parameters[::2], parameters[1::2], strict=True):
        assert weight is not None
        n_output, n_input, kernel, _ = weight.shape
        windows = maps.unfold(1, kernel, stride).unfold(2, kernel, stride).movedim(3, -1)
        n, height, width = windows.shape[:3]
        columns = windows.reshape(n * height * width, kernel * kernel * n_input)
        matrix = weight.permute(2, 3, 1, 0).reshape(-1, n_output)
        product = columns @ matrix if bias is None else th.addmm(bias, columns, matrix)
        maps = product.relu().view(n, height, width, n_output)
    return maps.flatten(1)


def _bytes(images: th.Tensor) -> np.ndarray:
    if images.dtype == th.uint8:
        return images.numpy()
    found = images.detach().to(th.uint8)
    if not th.equal(found.to(images.dtype), images):
        raise ObservationError(
            "Patches are compared by their bytes: images must be uint8, or floats that hold whole numbers from 0 to "
            f"255 (normalize_images=False), got {images.dtype} from {images.min():g} to {images.max():g}."
        )
    return found.numpy()


def applied(function: Any, *arguments: Any) -> Any:
    """torch's ``apply`` is untyped."""
    return function.apply(*arguments)


class Gather(th.autograd.Function):
    """Results of distinct patches (N, F) -> those of all positions, (B, F * P)."""

    @staticmethod
    def forward(ctx: Any, results: th.Tensor, numbers: np.ndarray) -> th.Tensor:
        ctx.numbers, ctx.count = numbers, len(results)
        maps = np.empty((len(numbers), results.shape[1], numbers.shape[1]), np.float32)
        sums.gather(numbers, results.contiguous().numpy(), maps)
        return th.from_numpy(maps).flatten(1)

    @staticmethod
    def backward(ctx: Any, *gradients: th.Tensor) -> Any:
        return applied(Scatter, gradients[0], ctx.numbers, ctx.count), None


class Scatter(th.autograd.Function):
    """Sums over equal patches: (B, F * P) -> (N, F)."""

    @staticmethod
    def forward(ctx: Any, maps: th.Tensor, numbers: np.ndarray, count: int) -> th.Tensor:
        ctx.numbers = numbers
        shape = (len(numbers), -1, numbers.shape[1])
        results = np.zeros((count, maps.shape[1] // numbers.shape[1]), np.float32)
        sums.scatter(numbers, maps.contiguous().view(shape).numpy(), results)
        return th.from_numpy(results)

    @staticmethod
    def backward(ctx: Any, *gradients: th.Tensor) -> Any:
        return applied(Gather, gradients[0], ctx.numbers), None, None
