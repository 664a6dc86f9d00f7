"""
LLVM vectors for numba: what a loop over numbers is not turned into by itself.

Addresses are plain integers (``array.ctypes.data``), offsets count float32 numbers.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from sb3_efficient.reuse.jit import cgutils, intrinsic, types

FLOAT, INT = ir.FloatType(), ir.IntType(64)


class Emitter:
    """
    Writes vector instructions of one width.

    :param builder: Of LLVM
    :param lanes: Floats in a vector
    """

    def __init__(self, builder: Any, lanes: int) -> None:
        self.builder, self.lanes = builder, lanes
        self.floats = ir.VectorType(FLOAT, lanes)
        self.bits = ir.VectorType(ir.IntType(32), lanes)
        self.zero = ir.Constant(self.floats, [0.0] * lanes)

    def at(self, address: Any, offset: Any = 0, size: int = 4) -> Any:
        """
        :return: ``address + offset * size``
        """
        if isinstance(offset, int):
            return self.builder.add(address, INT(offset * size)) if offset else address
        return self.builder.add(address, self.builder.mul(offset, INT(size)))

    def load(self, address: Any) -> Any:
        return self.builder.load(self._pointer(address, self.floats), align=4)

    def store(self, address: Any, value: Any) -> None:
        self.builder.store(value, self._pointer(address, self.floats), align=4)

    def load_number(self, address: Any, kind: Any) -> Any:
        return self.builder.load(self._pointer(address, kind))

    def store_number(self, address: Any, value: Any) -> None:
        self.builder.store(value, self._pointer(address, value.type))

    def everywhere(self, number: Any) -> Any:
        """The number in every lane."""
        one = self.builder.insert_element(ir.Constant(self.floats, ir.Undefined), number, ir.IntType(32)(0))
        lanes = ir.Constant(self.bits, [0] * self.lanes)
        return self.builder.shuffle_vector(one, ir.Constant(self.floats, ir.Undefined), lanes)

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        """a * b + c, rounded once where the CPU can."""
        kind = ir.FunctionType(self.floats, [self.floats] * 3)
        name = f"llvm.fmuladd.v{self.lanes}f32"
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, name), [a, b, c])

    def positive(self, value: Any) -> Any:
        """ReLU; never -0."""
        return self.builder.select(self.builder.fcmp_ordered(">", value, self.zero), value, self.zero)

    def difference(self, a: Any, b: Any) -> Any:
        """Bits in which they differ."""
        return self.builder.xor(self.builder.bitcast(a, self.bits), self.builder.bitcast(b, self.bits))

    def any(self, bits: Any) -> Any:
        """1 (a byte) if one of the bits is set, otherwise 0."""
        found = self.builder.icmp_unsigned("!=", bits, ir.Constant(self.bits, [0] * self.lanes))
        packed = self.builder.bitcast(found, ir.IntType(self.lanes))
        one = self.builder.icmp_unsigned("!=", packed, ir.IntType(self.lanes)(0))
        return self.builder.zext(one, ir.IntType(8))

    def _pointer(self, address: Any, kind: Any) -> Any:
        return self.builder.inttoptr(address, kind.as_pointer())


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
            _convolve(Emitter(builder, lanes), positions, vectors, *arguments)
            return cgutils.get_null_value(ir.IntType(8).as_pointer())

        return signature, generate

    return tile


def _convolve(
    e: Emitter, positions: int, vectors: int, inputs: Any, outputs: Any, source: Any, rows: Any, length: Any,
    step: Any, weights: Any, bias: Any, residual: Any, raw: Any, relu: Any, flags: Any,
) -> None:  # fmt: skip
    """See :func:`make_tile`."""
    builder = e.builder
    starts = [e.at(source, _offset(e, inputs, p)) for p in range(positions)]
    sums = [[cgutils.alloca_once(builder, e.floats) for _ in range(vectors)] for _ in starts]
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
                number = e.everywhere(e.load_number(e.at(place, column.index), FLOAT))
                for value, one in zip(values, position, strict=True):
                    builder.store(e.multiply_add(number, value, builder.load(one)), one)
            builder.store(e.at(here, vectors * e.lanes), weight)
    for p, position in enumerate(sums):
        _finish(
            e, [builder.load(one) for one in position], _offset(e, outputs, p), residual, raw, relu, e.at(flags, p, 1)
        )


def _finish(e: Emitter, sums: list[Any], offset: Any, residual: Any, raw: Any, relu: Any, flag: Any) -> None:
    """Add the residual, write, and say what changed."""
    builder = e.builder
    totals = [cgutils.alloca_once_value(builder, one) for one in sums]
    with builder.if_then(builder.icmp_unsigned("!=", residual, INT(0))):
        for v, total in enumerate(totals):
            other = e.load(e.at(e.at(residual, offset), v * e.lanes))
            builder.store(builder.fadd(builder.load(total), other), total)
    for bit, target in enumerate((raw, relu)):
        with builder.if_then(builder.icmp_unsigned("!=", target, INT(0))):
            changed = ir.Constant(e.bits, [0] * e.lanes)
            for v, total in enumerate(totals):
                value = builder.load(total)
                value = e.positive(value) if target is relu else value
                place = e.at(e.at(target, offset), v * e.lanes)
                changed = builder.or_(changed, e.difference(e.load(place), value))
                e.store(place, value)
            found = builder.shl(e.any(changed), ir.IntType(8)(bit))
            e.store_number(flag, builder.or_(e.load_number(flag, ir.IntType(8)), found))


def _offset(e: Emitter, addresses: Any, number: int) -> Any:
    """An entry of a list of int32."""
    return e.builder.sext(e.load_number(e.at(addresses, number), ir.IntType(32)), INT)
