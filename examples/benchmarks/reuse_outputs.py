"""
Training with reuse, up to the outputs: a linear layer behind the convolutions, without the large maps between the two.
For the network of the reuse paper (reuse_tables.py); SB3's policies have a head of their own behind the features.

A linear layer adds up what each position contributes. Where a position shows the same patch in images that follow each
other, its share is computed once, and only enters the sums and leaves them.

Shapes: ``B`` images, ``C H W`` image, ``P`` positions, ``N`` distinct patches, ``F`` filters, ``A`` outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch as th
from torch import nn

from sb3_efficient.compiled.jit import STAMP, jit
from sb3_efficient.reuse.patches.recall import dot
from sb3_efficient.reuse.patches.training import Gather, Scatter, applied, distinct_results


def distinct_outputs(
    images: th.Tensor,
    layers: Sequence[nn.Module],
    weight: th.Tensor,
    bias: th.Tensor | None = None,
    scale: float = 1 / 255,
) -> th.Tensor:
    """
    What ``nn.Sequential(*layers, nn.Flatten(), linear)(images * scale)`` gives, with its gradients, and without the
    large maps between the two. Images that follow each other in time cost least, in any order the result is the same.

    :param images: (B, C, H, W), uint8, or floats that hold pixel values from 0 to 255
    :param layers: Unpadded convolutions, each followed by a ReLU
    :param weight: Of the linear layer, (A, F * P)
    :param bias: (A,)
    :param scale: What a pixel is multiplied with
    :return: (B, A)
    """
    numbers, results = distinct_results(images, layers, scale)
    outputs: th.Tensor = applied(_Linear, results, weight, numbers)
    return outputs if bias is None else outputs + bias


class _Linear(th.autograd.Function):
    """Results of distinct patches (N, F), and weight (A, F * P) -> outputs of the linear layer, (B, A)."""

    @staticmethod
    def forward(ctx: Any, results: th.Tensor, weight: th.Tensor, numbers: np.ndarray) -> th.Tensor:
        by_position = _by_position(weight, numbers.shape[1])
        transposed = np.ascontiguousarray(numbers.T)
        outputs = np.empty((len(numbers), len(weight)), np.float32)
        _linear_forward(transposed, results.contiguous().numpy(), by_position.numpy(), outputs)
        ctx.save_for_backward(results, weight)
        ctx.by_position, ctx.transposed, ctx.numbers = by_position, transposed, numbers
        return th.from_numpy(outputs)

    @staticmethod
    def backward(ctx: Any, *gradients: th.Tensor) -> Any:
        results, weight = ctx.saved_tensors
        if th.is_grad_enabled():
            # To be differentiated again: in operations that can be
            of_results = applied(Scatter, gradients[0] @ weight, ctx.numbers, len(results))
            return of_results, gradients[0].T @ applied(Gather, results, ctx.numbers), None
        of_results, of_weight = th.zeros_like(results), th.zeros_like(ctx.by_position)
        _linear_backward(
            ctx.transposed,
            results.contiguous().numpy(),
            ctx.by_position.numpy(),
            gradients[0].contiguous().numpy(),
            of_results.numpy(),
            of_weight.numpy(),
        )
        return of_results, of_weight.permute(1, 2, 0).reshape(weight.shape), None


def _by_position(weight: th.Tensor, positions: int) -> th.Tensor:
    """(A, F * P) -> (P, A, F)."""
    return weight.detach().view(len(weight), -1, positions).permute(2, 0, 1).contiguous()


@jit
def _runs(numbers, stamps, places, position, members, starts):  # type: ignore[no-untyped-def]
    """
    The images in which a position shows the same patch, for one position.

    :param numbers: Of its patch in each image, (B,)
    :param stamps: Of each patch: the last position that asked for it, (N,)
    :param places: Of each patch: where it is among the members of that position, (N,)
    :param members: The distinct patches of the position are written here, (B,)
    :param starts: First image and member of each run of equal patches, (B + 1, 2)
    :return: Their numbers
    """
    n_members, n_runs, last = 0, 0, -1
    for b in range(numbers.shape[0]):
        number = numbers[b]
        if number == last:
            continue
        last = number
        if stamps[number] != position:
            stamps[number] = position
            places[number] = n_members
            members[n_members] = number
            n_members += 1
        starts[n_runs, 0], starts[n_runs, 1] = b, places[number]
        n_runs += 1
    starts[n_runs, 0] = numbers.shape[0]
    return n_members, n_runs


@jit
def _add(target, factor, source):  # type: ignore[no-untyped-def]
    for f in range(target.shape[0]):
        target[f] += factor * source[f]


@jit
def _forward(numbers, results, weight, outputs):  # type: ignore[no-untyped-def]
    n_images, n_outputs = outputs.shape
    stamps, places = np.full(results.shape[0], -1, np.int32), np.empty(results.shape[0], np.int32)
    members, starts = np.empty(n_images, np.int32), np.empty((n_images + 1, 2), np.int32)
    parts = np.empty((n_images, n_outputs), np.float32)
    # What each image adds to the sum of the one before
    steps = np.zeros((n_images + 1, n_outputs), np.float64)
    for p in range(numbers.shape[0]):
        n_members, n_runs = _runs(numbers[p], stamps, places, p, members, starts)
        for m in range(n_members):
            for a in range(n_outputs):
                parts[m, a] = dot(weight[p, a], results[members[m]])
        for r in range(n_runs):
            for a in range(n_outputs):
                steps[starts[r, 0], a] += parts[starts[r, 1], a]
                steps[starts[r + 1, 0], a] -= parts[starts[r, 1], a]
    for a in range(n_outputs):
        total = 0.0
        for b in range(n_images):
            total += steps[b, a]
            outputs[b, a] = total


@jit
def _backward(numbers, results, weight, gradients, of_results, of_weight):  # type: ignore[no-untyped-def]
    n_images, n_outputs = gradients.shape
    stamps, places = np.full(results.shape[0], -1, np.int32), np.empty(results.shape[0], np.int32)
    members, starts = np.empty(n_images, np.int32), np.empty((n_images + 1, 2), np.int32)
    sums = np.empty((n_images, n_outputs), np.float64)
    before = np.zeros((n_images + 1, n_outputs), np.float64)
    for b in range(n_images):
        for a in range(n_outputs):
            before[b + 1, a] = before[b, a] + gradients[b, a]
    for p in range(numbers.shape[0]):
        n_members, n_runs = _runs(numbers[p], stamps, places, p, members, starts)
        for m in range(n_members):
            for a in range(n_outputs):
                sums[m, a] = 0
        for r in range(n_runs):
            for a in range(n_outputs):
                sums[starts[r, 1], a] += before[starts[r + 1, 0], a] - before[starts[r, 0], a]
        for m in range(n_members):
            for a in range(n_outputs):
                factor = np.float32(sums[m, a])
                _add(of_weight[p, a], factor, results[members[m]])
                _add(of_results[members[m]], factor, weight[p, a])


def _build(stamp: int) -> Any:
    # numba's cache looks at this file only; what it closes over counts, too
    @jit(cache=True)
    def forward(numbers, results, weight, outputs):  # type: ignore[no-untyped-def]
        assert stamp >= 0
        _forward(numbers, results, weight, outputs)

    @jit(cache=True)
    def backward(numbers, results, weight, gradients, of_results, of_weight):  # type: ignore[no-untyped-def]
        assert stamp >= 0
        _backward(numbers, results, weight, gradients, of_results, of_weight)

    return forward, backward


#: outputs[b] = sum over p of weight[p] @ results[numbers[p, b]]; numbers (P, B), weight (P, A, F)
_linear_forward: Any
#: Adds to the gradients of results (N, F) and weight (P, A, F)
_linear_backward: Any
_linear_forward, _linear_backward = _build(STAMP)
