"""What was computed for the last observation, position by position: for pictures and for the curious."""

from __future__ import annotations

from ctypes import c_uint64
from dataclasses import dataclass

import numpy as np

from sb3_efficient.reuse.changes import fields as at
from sb3_efficient.reuse.changes.masks import words
from sb3_efficient.reuse.changes.program import Program


@dataclass(frozen=True)
class Seen:
    """
    :param name: Of the layer
    :param computed: Where its result was computed, (H, W)
    :param changed: Where that gave another result than before, (H, W)
    """

    name: str
    computed: np.ndarray
    changed: np.ndarray


def look(program: Program, base: int) -> list[Seen]:
    """
    :param program: Of a network
    :param base: Address of the state of an environment
    :return: The image, and each layer up to the flattening
    """
    table, steps = program.table, program.network.steps
    masks = np.ctypeslib.as_array((c_uint64 * (program.state_bytes // 8)).from_address(base))
    pixels = _read(masks, table[0, at.RAW_MASK], int(table[0, at.HEIGHT]), int(table[0, at.WIDTH]))
    found = [Seen("image", pixels, pixels)]
    for row, step in zip(table[1:-1], steps, strict=True):
        height, width = int(row[at.HEIGHT]), int(row[at.WIDTH])
        source = _read(masks, row[at.SOURCE_MASK], int(row[at.SOURCE_HEIGHT]), int(row[at.SOURCE_WIDTH]))
        if step.kind in ("conv", "max-pool"):
            computed = _spread(source, int(row[at.KERNEL]), int(row[at.STRIDE]), int(row[at.PADDING]), height, width)
        else:
            computed = np.full((height, width), bool(source.any()))
        if step.residual is not None:
            computed = computed | _read(masks, row[at.RESIDUAL_MASK], height, width)
        result = row[at.RAW_MASK] if row[at.RAW_MASK] >= 0 else row[at.RELU_MASK]
        found.append(Seen(step.name, computed, _read(masks, result, height, width)))
    return found


def _read(masks: np.ndarray, offset: int, height: int, width: int) -> np.ndarray:
    rows = masks[int(offset) : int(offset) + height * words(width)].reshape(height, -1)
    bits = np.unpackbits(np.ascontiguousarray(rows).view(np.uint8), axis=1, bitorder="little")
    return bits[:, :width].astype(np.bool_)


def _spread(source: np.ndarray, kernel: int, stride: int, padding: int, height: int, width: int) -> np.ndarray:
    """Results of a convolution that see a changed position."""
    room = np.pad(source, [(padding, padding + kernel)] * 2)
    found = np.zeros((height, width), np.bool_)
    for y in range(kernel):
        for x in range(kernel):
            found |= room[y : y + stride * height : stride, x : x + stride * width : stride][:height, :width]
    return found
