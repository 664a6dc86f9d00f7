"""
From the results of distinct patches to those of whole images, and gradients back: the compiled loops.

Shapes: ``B`` images, ``P`` positions, ``N`` distinct patches, ``F`` filters.
"""

from __future__ import annotations

from typing import Any

from sb3_efficient.compiled.jit import STAMP, jit

#: Positions that are moved at a time: as many float32 as fill a cache line
_BLOCK = 16


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
    def gather(numbers, results, maps):  # type: ignore[no-untyped-def]
        _ = stamp
        _gather(numbers, results, maps)

    @jit(cache=True)
    def scatter(numbers, maps, results):  # type: ignore[no-untyped-def]
        _ = stamp
        _scatter(numbers, maps, results)

    @jit(cache=True)
    def sum_rows(numbers, rows, results):  # type: ignore[no-untyped-def]
        _ = stamp
        _sum_rows(numbers, rows, results)

    return gather, scatter, sum_rows


#: maps[b, :, p] = results[numbers[b, p]]; numbers (B, P), maps (B, F, P)
gather: Any
#: results[numbers[b, p]] += maps[b, :, p]
scatter: Any
#: results[numbers[i]] += rows[i]; numbers (M,), rows (M, F)
sum_rows: Any
gather, scatter, sum_rows = _build(STAMP)
