"""
The inner loops in int8: sums that stay in registers until they are complete. All are exact.

Addresses are plain integers; offsets count words of four bytes, which are four channels of a map.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir

from sb3_efficient.compiled.int8_vectors import ByteEmitter, Int8Emitter
from sb3_efficient.compiled.jit import LANES, cgutils, intrinsic, types
from sb3_efficient.compiled.tiles import convolve, largest, write
from sb3_efficient.compiled.vectors import FLOAT, INT, Emitter

_BYTE, _SHORT, _WORD = ir.IntType(8), ir.IntType(16), ir.IntType(32)


def make_int8_tile(positions: int, vectors: int, lanes: int) -> Any:
    """
    As :func:`~sb3_efficient.compiled.tiles.make_tile`, with bytes. Besides, there are::

        bias              (vectors * lanes,) int32
        scales            (vectors * lanes,) float32: what a sum is multiplied with
        zero              what stands for zero in its result
        sum               of the residual: (3,) float32, see :meth:`Int8Emitter.add_bytes`
        floor             what stands for zero in the maps that are written
    """

    @intrinsic
    def tile(  # type: ignore[no-untyped-def]
        _context, inputs, outputs, source, rows, length, step, weights, bias, scales, zero, residual, sum, floor, raw,
        relu, flags,
    ):  # fmt: skip
        signature = types.void(*[types.int64] * 16)

        def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            (inputs, outputs, source, rows, length, step, weights, bias, scales, zero, residual, sum, floor, raw, relu,
             flags) = arguments  # fmt: skip
            e, to = Int8Emitter(builder, lanes), ByteEmitter(builder, lanes, floor)
            number = builder.trunc(zero, _WORD)

            def finish(sums: list[Any], offset: Any, flag: Any) -> None:
                floats = Emitter(builder, lanes)
                values = [e.bytes_of(one, floats.load(e.at(scales, v * lanes)), number) for v, one in enumerate(sums)]
                write(to, _added(e, to, values, offset, residual, sum), offset, raw, relu, flag)

            convolve(e, positions, vectors, finish, inputs, outputs, source, rows, length, step, weights, bias, flags)
            return cgutils.get_null_value(_BYTE.as_pointer())

        return signature, generate

    return tile


def _added(e: Int8Emitter, to: ByteEmitter, values: list[Any], offset: Any, residual: Any, sum: Any) -> list[Any]:
    """With the residual, if there is one."""
    builder, floats = e.builder, Emitter(e.builder, e.lanes)
    totals = [cgutils.alloca_once_value(builder, value) for value in values]
    with builder.if_then(builder.icmp_unsigned("!=", residual, INT(0))):
        factors = [floats.everywhere(e.load_number(e.at(sum, i), FLOAT)) for i in range(3)]
        for v, total in enumerate(totals):
            other = to.load(e.at(e.at(residual, offset), v * to.words))
            builder.store(e.add_bytes(builder.load(total), other, factors), total)
    return [builder.load(total) for total in totals]


def make_int8_maximum(vectors: int, lanes: int) -> Any:
    """As :func:`~sb3_efficient.compiled.tiles.make_maximum`, with bytes, and ``floor``: what stands for zero."""

    @intrinsic
    def maximum(_context, source, rows, columns, step, channels, floor, raw, relu, flags):  # type: ignore[no-untyped-def]
        signature = types.void(*[types.int64] * 9)

        def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            source, rows, columns, step, channels, floor, raw, relu, flags = arguments
            e = ByteEmitter(builder, lanes, floor)
            write(e, largest(e, vectors, source, rows, columns, step, channels), INT(0), raw, relu, flags)
            return cgutils.get_null_value(_BYTE.as_pointer())

        return signature, generate

    return maximum


def make_int8_sum(chunks: int, lanes: int) -> Any:
    """
    Add up chosen rows of a matrix of int8, two at a time. The result is a function of::

        n                 how many pairs
        indexes, factors  addresses of (n, 2) int32 and (n, 2) int16
        weights           address of (all rows, chunks * 2 * lanes) int8, in the order of :func:`interleaved`
        sums              address that (chunks * 2 * lanes,) int32 are written to
    """

    @intrinsic
    def add_up(_context, n, indexes, factors, weights, sums):  # type: ignore[no-untyped-def]
        signature = types.void(*[types.int64] * 5)

        def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            n, indexes, factors, weights, sums = arguments
            e = Int8Emitter(builder, lanes)
            shorts = ir.VectorType(_SHORT, 2 * lanes)
            unpack = [ir.Constant(ir.VectorType(_WORD, 2 * lanes), order) for order in _unpacked(2 * lanes)]
            totals = [cgutils.alloca_once_value(builder, e.zero) for _ in range(2 * chunks)]
            with cgutils.for_range(builder, n) as loop:
                pair = builder.mul(loop.index, INT(2))
                rows = []
                for side in (0, 1):
                    index = builder.sext(e.load_number(e.at(indexes, builder.add(pair, INT(side))), _WORD), INT)
                    rows.append(builder.add(weights, builder.mul(index, INT(2 * lanes * chunks))))
                factor = builder.bitcast(e.everywhere(e.load_number(e.at(factors, loop.index), _WORD)), shorts)
                for chunk in range(chunks):
                    one, other = (e.load_shorts(builder.add(row, INT(2 * lanes * chunk))) for row in rows)
                    for half, order in enumerate(unpack):
                        total = totals[2 * chunk + half]
                        mixed = builder.shuffle_vector(one, other, order)
                        builder.store(e.add_pairs(builder.load(total), mixed, factor), total)
            for i, total in enumerate(totals):
                e.store(e.at(sums, i * lanes), builder.load(total))
            return cgutils.get_null_value(_BYTE.as_pointer())

        return signature, generate

    return add_up


def _unpacked(n: int) -> tuple[list[int], list[int]]:
    """What ``punpcklwd`` and ``punpckhwd`` do with two vectors of ``n`` shorts: lanes of 128 bits by themselves."""
    lower, upper = (
        [place for group in range(0, n, 8) for i in range(first, first + 4) for place in (group + i, n + group + i)]
        for first in (0, 4)
    )
    return lower, upper


def interleaved(weights: np.ndarray, lanes: int = LANES) -> np.ndarray:
    """
    :param weights: (inputs, outputs), int8, with a multiple of ``2 * lanes`` outputs
    :return: The same in the order in which sums of unpacked pairs come out as they are wanted
    """
    lower, upper = (np.array(order[::2]) for order in _unpacked(2 * lanes))
    order = np.empty(2 * lanes, np.int64)
    order[lower], order[upper] = np.arange(lanes), np.arange(lanes, 2 * lanes)
    return weights.reshape(len(weights), -1, 2 * lanes)[:, :, order].reshape(weights.shape)
