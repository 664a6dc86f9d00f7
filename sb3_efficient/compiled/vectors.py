"""
LLVM vectors for numba: what a loop over numbers is not turned into by itself.

Addresses are plain integers (``array.ctypes.data``), offsets count float32 numbers.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from sb3_efficient.compiled.jit import cgutils, intrinsic, types

FLOAT, INT = ir.FloatType(), ir.IntType(64)


class Emitter:
    """
    Writes vector instructions of one width.

    :param builder: Of LLVM
    :param lanes: Floats in a vector
    """

    def __init__(self, builder: Any, lanes: int) -> None:
        self.builder, self.lanes = builder, lanes
        self.number: Any = FLOAT
        self.numbers = ir.VectorType(self.number, lanes)
        self.bits = ir.VectorType(ir.IntType(32), lanes)
        self.zero = ir.Constant(self.numbers, [0.0] * lanes)
        self.least = ir.Constant(self.numbers, [float("-inf")] * lanes)
        #: Of four bytes in a vector
        self.words = lanes

    def at(self, address: Any, offset: Any = 0, size: int = 4) -> Any:
        """
        :return: ``address + offset * size``
        """
        if isinstance(offset, int):
            return self.builder.add(address, INT(offset * size)) if offset else address
        return self.builder.add(address, self.builder.mul(offset, INT(size)))

    def load(self, address: Any) -> Any:
        return self.builder.load(self.pointer(address, self.numbers), align=4)

    def store(self, address: Any, value: Any) -> None:
        self.builder.store(value, self.pointer(address, self.numbers), align=4)

    def load_number(self, address: Any, kind: Any) -> Any:
        return self.builder.load(self.pointer(address, kind))

    def store_number(self, address: Any, value: Any) -> None:
        self.builder.store(value, self.pointer(address, value.type))

    def everywhere(self, number: Any) -> Any:
        """The number in every lane."""
        one = self.builder.insert_element(ir.Constant(self.numbers, ir.Undefined), number, ir.IntType(32)(0))
        lanes = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(one, ir.Constant(self.numbers, ir.Undefined), lanes)

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        """a * b + c, rounded once where the CPU can."""
        kind = ir.FunctionType(self.numbers, [self.numbers] * 3)
        name = f"llvm.fmuladd.v{self.lanes}f32"
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, name), [a, b, c])

    def larger(self, value: Any, before: Any) -> Any:
        return self.builder.select(self.builder.fcmp_ordered(">", value, before), value, before)

    def positive(self, value: Any) -> Any:
        """ReLU; never -0."""
        return self.larger(value, self.zero)

    def difference(self, a: Any, b: Any) -> Any:
        """Bits in which they differ."""
        return self.builder.xor(self.builder.bitcast(a, self.bits), self.builder.bitcast(b, self.bits))

    def any(self, bits: Any) -> Any:
        """1 (a byte) if one of the bits is set, otherwise 0."""
        found = self.builder.icmp_unsigned("!=", bits, ir.Constant(self.bits, [0] * self.lanes))
        packed = self.builder.bitcast(found, ir.IntType(self.lanes))
        one = self.builder.icmp_unsigned("!=", packed, ir.IntType(self.lanes)(0))
        return self.builder.zext(one, ir.IntType(8))

    def pointer(self, address: Any, kind: Any) -> Any:
        """
        :return: To a value of some kind, from a plain integer
        """
        return self.builder.inttoptr(address, kind.as_pointer())


@intrinsic
def lowest(_context, bits):  # type: ignore[no-untyped-def]
    """The number of the lowest bit that is set, of a uint64 that is not 0."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.IntType(1)(1))

    return types.int64(types.uint64), generate


@intrinsic
def floats_at(_context, address):  # type: ignore[no-untyped-def]
    """Pointer to float32, for ``carray``."""
    return _cast(types.float32)


@intrinsic
def doubles_at(_context, address):  # type: ignore[no-untyped-def]
    """Pointer to float64, for ``carray``."""
    return _cast(types.float64)


@intrinsic
def words_at(_context, address):  # type: ignore[no-untyped-def]
    """Pointer to uint64, for ``carray``."""
    return _cast(types.uint64)


@intrinsic
def bytes_at(_context, address):  # type: ignore[no-untyped-def]
    """Pointer to uint8, for ``carray``."""
    return _cast(types.uint8)


@intrinsic
def numbers_at(_context, address):  # type: ignore[no-untyped-def]
    """Pointer to int32, for ``carray``."""
    return _cast(types.int32)


@intrinsic
def shorts_at(_context, address):  # type: ignore[no-untyped-def]
    """Pointer to int16, for ``carray``."""
    return _cast(types.int16)


@intrinsic
def prefetch(_context, address):  # type: ignore[no-untyped-def]
    """Ask for the cache line that an address is in, and go on."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        pointer, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer, flag, flag, flag])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        # To read, to be kept in every cache, data
        builder.call(function, [builder.inttoptr(arguments[0], pointer), flag(0), flag(3), flag(1)])
        return context.get_dummy_value()

    return types.void(types.int64), generate


def _cast(element: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(element)(types.int64), generate


def make_difference(width: int) -> Any:
    """
    :param width: 16 or 64 bytes
    :return: Function from the addresses of two rows of bytes to a uint64: bit i is set where byte i differs
    """

    @intrinsic
    def difference(_context, one, other):  # type: ignore[no-untyped-def]
        def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            kind = ir.VectorType(ir.IntType(8), width).as_pointer()
            a, b = (builder.load(builder.inttoptr(address, kind), align=1) for address in arguments)
            packed = builder.bitcast(builder.icmp_unsigned("!=", a, b), ir.IntType(width))
            return packed if width == 64 else builder.zext(packed, INT)

        return types.uint64(types.int64, types.int64), generate

    return difference
