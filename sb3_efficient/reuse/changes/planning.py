"""The plan of a program: from the table that compiled code reads, and what it counted."""

from __future__ import annotations

import numpy as np

from sb3_efficient.compiled.jit import LANES
from sb3_efficient.reuse.changes import fields as at
from sb3_efficient.reuse.changes.plan import Layer, Plan
from sb3_efficient.reuse.changes.program import Program

#: Where a row has the size of its result, and of what it reads
_RESULT, _SOURCE = (at.HEIGHT, at.WIDTH), (at.SOURCE_HEIGHT, at.SOURCE_WIDTH)
_ALGORITHMS = {
    at.SCAN: "bytes compared, changed pixels converted",
    at.CONV: "affected positions, overwritten",
    at.MAX_POOL: "affected windows",
    at.AVERAGE: "everything, if anything changed",
    at.ADAPTIVE_MAX: "everything, if anything changed",
    at.LINEAR: "changed inputs, running total",
    at.FLATTEN: "copied",
}


def make_plan(program: Program, counts: np.ndarray, frames: int) -> Plan:
    """
    :param program: Of a network
    :param counts: At how many positions each step was computed
    :param frames: In how many observations
    """
    steps = program.network.steps
    n_inputs, linear = program.network.flat, program.network.linear
    last = f"linear, {n_inputs} -> {program.network.outputs}" if linear else "flatten"
    names = ["image", *(step.name for step in steps), last]
    work = [0, *(step.work for step in steps), n_inputs * program.network.outputs if linear else 0]
    layers = []
    for row, name, multiplications, count in zip(program.table, names, work, counts, strict=True):
        kind = int(row[at.KIND])
        positions, source = (int(row[h] * row[w]) for h, w in (_RESULT, _SOURCE))
        whole = {at.LINEAR: n_inputs, at.FLATTEN: source}.get(kind, positions)
        computed = float(count) / (frames * whole) if frames else None
        layers.append(Layer(name, _ALGORITHMS[kind], multiplications, program.bytes_of(row), computed))
    return Plan(tuple(layers), program.state_bytes, frames, LANES, numbers=program.numbers)
