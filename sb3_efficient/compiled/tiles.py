"""
The inner loops: sums and maxima that stay in registers until they are complete.

Addresses are plain integers (``array.ctypes.data``), offsets count float32 numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from sb3_efficient.compiled.jit import cgutils, intrinsic, types
from sb3_efficient.compiled.vectors import FLOAT, INT, Emitter


def make_tile(positions: int, vectors: int, lanes: int) -> Any:
    """
    A convolution at a few positions for a few output channels, all sums in registers. The result is a function of::

        inputs, outputs   addresses of int32 offsets, one a position
        source            address of the map that is read, (H, W, C)
        rows, length      the kernel: rows, and numbers in each (kernel width x C), which lie side by side
        step              numbers from one row of the map to the next
        weights           (rows * length, vectors * lanes)
        bias              (vectors * lanes,)
        residual          map that is added, or 0
        raw, relu         maps that the sums, and their positive parts, are written to, or 0
        flags             one byte a position: bit 0 is set if raw changed, bit 1 if relu did

    :param positions: How many
    :param vectors: Output channels are ``vectors * lanes``
    :param lanes: Floats in a vector
    """

    @intrinsic
    def tile(  # type: ignore[no-untyped-def]
        _context, inputs, outputs, source, rows, length, step, weights, bias, residual, raw, relu, flags
    ):
        signature = types.void(*[types.int64] * 12)

        def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            inputs, outputs, source, rows, length, step, weights, bias, residual, raw, relu, flags = arguments

            def finish(sums: list[Any], offset: Any, flag: Any) -> None:
                write(e, _added(e, sums, offset, residual), offset, raw, relu, flag)

            e = Emitter(builder, lanes)
            convolve(e, positions, vectors, finish, inputs, outputs, source, rows, length, step, weights, bias, flags)
            return cgutils.get_null_value(ir.IntType(8).as_pointer())

        return signature, generate

    return tile


def convolve(
    e: Emitter, positions: int, vectors: int, finish: Callable[[list[Any], Any, Any], None], inputs: Any, outputs: Any,
    source: Any, rows: Any, length: Any, step: Any, weights: Any, bias: Any, flags: Any,
) -> None:  # fmt: skip
    """See :func:`make_tile`; ``finish`` takes the sums of a position, its offset in the result, and its flag."""
    builder = e.builder
    starts = [e.at(source, _offset(e, inputs, p)) for p in range(positions)]
    sums = [[cgutils.alloca_once(builder, e.numbers) for _ in range(vectors)] for _ in starts]
    for position in sums:
        for v, one in enumerate(position):
            builder.store(e.load(e.at(bias, v * e.lanes)), one)
    weight = cgutils.alloca_once_value(builder, weights)
    with cgutils.for_range(builder, rows) as row:
        from_start = builder.mul(row.index, step)
        places = [e.at(start, from_start) for start in starts]
        with cgutils.for_range(builder, length) as column:
            here = builder.load(weight)
            values = [e.load(e.at(here, v * e.lanes)) for v in range(vectors)]
            for place, position in zip(places, sums, strict=True):
                number = e.everywhere(e.load_number(e.at(place, column.index), e.number))
                for value, one in zip(values, position, strict=True):
                    builder.store(e.multiply_add(number, value, builder.load(one)), one)
            builder.store(e.at(here, vectors * e.lanes), weight)
    for p, position in enumerate(sums):
        finish([builder.load(one) for one in position], _offset(e, outputs, p), e.at(flags, p, 1))


def _added(e: Emitter, sums: list[Any], offset: Any, residual: Any) -> list[Any]:
    """With the residual, if there is one."""
    builder = e.builder
    totals = [cgutils.alloca_once_value(builder, one) for one in sums]
    with builder.if_then(builder.icmp_unsigned("!=", residual, INT(0))):
        for v, total in enumerate(totals):
            other = e.load(e.at(e.at(residual, offset), v * e.words))
            builder.store(builder.fadd(builder.load(total), other), total)
    return [builder.load(total) for total in totals]


def write(e: Emitter, values: list[Any], offset: Any, raw: Any, relu: Any, flag: Any) -> None:
    """
    Write numbers, and their positive parts, and say what changed.

    :param values: Vectors that lie side by side
    :param offset: In both maps, in words of four bytes
    :param raw: Map for the numbers, or 0
    :param relu: Map for their positive parts, or 0
    :param flag: Address of a byte: bit 0 is set if raw changed, bit 1 if relu did
    """
    builder = e.builder
    for bit, target in enumerate((raw, relu)):
        with builder.if_then(builder.icmp_unsigned("!=", target, INT(0))):
            changed = ir.Constant(e.bits, [0] * e.lanes)
            for v, one in enumerate(values):
                value = e.positive(one) if target is relu else one
                place = e.at(e.at(target, offset), v * e.words)
                changed = builder.or_(changed, e.difference(e.load(place), value))
                e.store(place, value)
            found = builder.shl(e.any(changed), ir.IntType(8)(bit))
            e.store_number(flag, builder.or_(e.load_number(flag, ir.IntType(8)), found))


def _offset(e: Emitter, addresses: Any, number: int) -> Any:
    """An entry of a list of int32."""
    return e.builder.sext(e.load_number(e.at(addresses, number), ir.IntType(32)), INT)


def make_maximum(vectors: int, lanes: int) -> Any:
    """
    The largest of a window, for ``vectors * lanes`` channels. The result is a function of::

        source            address of the first number of the window in a map (H, W, C)
        rows, columns     of the window
        step, channels    numbers from one row of the map to the next, and from one column
        raw, relu         addresses that the maxima, and their positive parts, are written to, or 0
        flags             address of a byte: bit 0 is set if raw changed, bit 1 if relu did

    :param vectors: Channels are ``vectors * lanes``
    :param lanes: Floats in a vector
    """

    @intrinsic
    def maximum(_context, source, rows, columns, step, channels, raw, relu, flags):  # type: ignore[no-untyped-def]
        signature = types.void(*[types.int64] * 8)

        def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            e = Emitter(builder, lanes)
            source, rows, columns, step, channels, raw, relu, flags = arguments
            write(e, largest(e, vectors, source, rows, columns, step, channels), INT(0), raw, relu, flags)
            return cgutils.get_null_value(ir.IntType(8).as_pointer())

        return signature, generate

    return maximum


def largest(e: Emitter, vectors: int, source: Any, rows: Any, columns: Any, step: Any, channels: Any) -> list[Any]:
    """See :func:`make_maximum`."""
    builder = e.builder
    found = [cgutils.alloca_once_value(builder, e.least) for _ in range(vectors)]
    with cgutils.for_range(builder, rows) as row:
        start = e.at(source, builder.mul(row.index, step))
        with cgutils.for_range(builder, columns) as column:
            here = e.at(start, builder.mul(column.index, channels))
            for v, one in enumerate(found):
                builder.store(e.larger(e.load(e.at(here, v * e.words)), builder.load(one)), one)
    return [builder.load(one) for one in found]


def make_sum(vectors: int, lanes: int) -> Any:
    """
    Add up chosen rows of a matrix. The result is a function of::

        n                 how many rows
        indexes, factors  addresses of (n,) int32 and (n,) float32
        weights           address of (all rows, vectors * lanes)
        sums              address that (vectors * lanes,) are written to

    :param vectors: Numbers in a row are ``vectors * lanes``
    :param lanes: Floats in a vector
    """

    @intrinsic
    def add_up(_context, n, indexes, factors, weights, sums):  # type: ignore[no-untyped-def]
        signature = types.void(*[types.int64] * 5)

        def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            e = Emitter(builder, lanes)
            n, indexes, factors, weights, sums = arguments
            totals = [cgutils.alloca_once_value(builder, e.zero) for _ in range(vectors)]
            with cgutils.for_range(builder, n) as loop:
                index = builder.sext(e.load_number(e.at(indexes, loop.index), ir.IntType(32)), INT)
                factor = e.everywhere(e.load_number(e.at(factors, loop.index), FLOAT))
                row = e.at(weights, builder.mul(index, INT(vectors * lanes)))
                for v, total in enumerate(totals):
                    value = e.load(e.at(row, v * lanes))
                    builder.store(e.multiply_add(factor, value, builder.load(total)), total)
            for v, total in enumerate(totals):
                e.store(e.at(sums, v * lanes), builder.load(total))
            return cgutils.get_null_value(ir.IntType(8).as_pointer())

        return signature, generate

    return add_up
