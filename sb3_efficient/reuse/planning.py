"""The plan of a program: from the table that compiled code reads, and what it counted."""

from __future__ import annotations

import numpy as np

from sb3_efficient.reuse import fields as at
from sb3_efficient.reuse.jit import LANES
from sb3_efficient.reuse.plan import Layer, Plan
from sb3_efficient.reuse.program import Program

_ALGORITHMS = {
    at.SCAN: "bytes compared, changed pixels converted",
    at.CONV: "affected positions, overwritten",
    at.MAX_POOL: "affected windows",
    at.AVERAGE: "everything, if anything changed",
    at.ADAPTIVE_MAX: "everything, if anything changed",
    at.LINEAR: "changed inputs, float64 total",
}


def make_plan(program: Program, counts: np.ndarray, frames: int) -> Plan:
    """
    :param program: Of a network
    :param counts: At how many positions each step was computed
    :param frames: In how many observations
    """
    steps = program.network.steps
    names = ["image", *(step.name for step in steps), f"linear, {program.n_inputs} -> {program.network.outputs}"]
    work = [0, *(step.work for step in steps), program.n_inputs * program.network.outputs]
    layers = []
    for row, name, multiplications, count in zip(program.table, names, work, counts, strict=True):
        kind = int(row[at.KIND])
        whole = program.n_inputs if kind == at.LINEAR else int(row[at.HEIGHT] * row[at.WIDTH])
        computed = float(count) / (frames * whole) if frames else None
        layers.append(Layer(name, _ALGORITHMS[kind], multiplications, program.bytes_of(row), computed))
    return Plan(tuple(layers), program.state_bytes, frames, LANES)
