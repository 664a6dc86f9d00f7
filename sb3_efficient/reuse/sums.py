"""
From the results of distinct patches to what the layers behind them make of whole images, and back: the compiled loops.

Shapes: ``B`` images, ``P`` positions, ``N`` distinct patches, ``F`` filters, ``A`` outputs of a linear layer.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sb3_efficient.reuse.jit import STAMP, jit

#: Positions that are moved at a time: as many float32 as fill a cache line
_BLOCK = 16


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


@jit(fastmath=True)
def dot(one, other):  # type: ignore[no-untyped-def]
    total = np.float32(0)
    for f in range(one.shape[0]):
        total += one[f] * other[f]
    return total


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


@jit
def _gather(numbers, results, maps):  # type: ignore[no-untyped-def]
    for b in range(maps.shape[0]):
        for start in range(0, maps.shape[2], _BLOCK):
            stop = min(start + _BLOCK, maps.shape[2])
            for f in range(maps.shape[1]):
                for p in range(start, stop):
                    maps[b, f, p] = results[numbers[b, p], f]


@jit
def _scatter(numbers, maps, results):  # type: ignore[no-untyped-def]
    for b in range(maps.shape[0]):
        for start in range(0, maps.shape[2], _BLOCK):
            stop = min(start + _BLOCK, maps.shape[2])
            for f in range(maps.shape[1]):
                for p in range(start, stop):
                    results[numbers[b, p], f] += maps[b, f, p]


@jit
def _sum_rows(numbers, rows, results):  # type: ignore[no-untyped-def]
    for i in range(numbers.shape[0]):
        for f in range(rows.shape[1]):
            results[numbers[i], f] += rows[i, f]


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

    @jit(cache=True)
    def gather(numbers, results, maps):  # type: ignore[no-untyped-def]
        assert stamp >= 0
        _gather(numbers, results, maps)

    @jit(cache=True)
    def scatter(numbers, maps, results):  # type: ignore[no-untyped-def]
        assert stamp >= 0
        _scatter(numbers, maps, results)

    @jit(cache=True)
    def sum_rows(numbers, rows, results):  # type: ignore[no-untyped-def]
        assert stamp >= 0
        _sum_rows(numbers, rows, results)

    return forward, backward, gather, scatter, sum_rows


#: outputs[b] = sum over p of weight[p] @ results[numbers[p, b]]; numbers (P, B), weight (P, A, F)
linear_forward: Any
#: Adds to the gradients of results (N, F) and weight (P, A, F)
linear_backward: Any
#: maps[b, :, p] = results[numbers[b, p]]; numbers (B, P), maps (B, F, P)
gather: Any
#: results[numbers[b, p]] += maps[b, :, p]
scatter: Any
#: results[numbers[i]] += rows[i]; numbers (M,), rows (M, F)
sum_rows: Any
linear_forward, linear_backward, gather, scatter, sum_rows = _build(STAMP)
