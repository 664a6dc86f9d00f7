"""
Vectors in int8: products of bytes, and sums of them in int32.

With VNNI four products are added in one instruction, elsewhere two by ``pmaddwd``, or as LLVM makes it. All are exact.
Addresses are plain integers; offsets count words of four bytes, which are four channels of a map.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir

from sb3_efficient.compiled.jit import LANES, cgutils
from sb3_efficient.compiled.vectors import FLOAT, Emitter

_BYTE, _SHORT, _WORD = ir.IntType(8), ir.IntType(16), ir.IntType(32)


def _has(*features: str) -> bool:
    return any(llvm.get_host_cpu_features().get(feature) for feature in features)


#: Whether vectors of so many words can multiply bytes at once
VNNI = {16: _has("avx512vnni"), 8: _has("avxvnni", "avx512vnni"), 4: False}[LANES]
X86 = _has("sse2")
#: Sums of two products of shorts, where there is no VNNI
_MADD = f"llvm.x86.{ {16: 'avx512.pmaddw.d.512', 8: 'avx2.pmadd.wd', 4: 'sse2.pmadd.wd'}[LANES] }"
#: Names of the instructions: four products of bytes, two products of shorts
_FOUR, _TWO = (f"llvm.x86.avx512.{name}.{32 * LANES}" for name in ("vpdpbusd", "vpdpwssd"))


class Int8Emitter(Emitter):
    """Vectors of int32."""

    def __init__(self, builder: Any, lanes: int) -> None:
        super().__init__(builder, lanes)
        self.number = _WORD
        self.numbers = self.bits
        self.zero = ir.Constant(self.bits, [0] * lanes)

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        """Sums c of four products of a, uint8, and b, int8."""
        if VNNI:
            return self._call(_FOUR, c, a, b)
        shorts = ir.VectorType(_SHORT, 2 * self.lanes)
        a, b = self.builder.bitcast(a, shorts), self.builder.bitcast(b, shorts)
        eight, low = (ir.Constant(shorts, [number] * 2 * self.lanes) for number in (8, 255))
        # Each short holds two bytes
        lower = self._pairs(self.builder.and_(a, low), self.builder.ashr(self.builder.shl(b, eight), eight))
        upper = self._pairs(self.builder.lshr(a, eight), self.builder.ashr(b, eight))
        return self.builder.add(c, self.builder.add(lower, upper))

    def add_pairs(self, total: Any, a: Any, b: Any) -> Any:
        """Sums of two products of int16."""
        if VNNI:
            return self._call(_TWO, total, self.builder.bitcast(a, self.bits), self.builder.bitcast(b, self.bits))
        return self.builder.add(total, self._pairs(a, b))

    def load_shorts(self, address: Any) -> Any:
        """Twice as many int8 as there are lanes, as int16."""
        narrow = ir.VectorType(_BYTE, 2 * self.lanes)
        found = self.builder.load(self.pointer(address, narrow), align=1)
        return self.builder.sext(found, ir.VectorType(_SHORT, 2 * self.lanes))

    def bytes_of(self, sums: Any, scale: Any, zero: Any) -> Any:
        """
        What a quantized layer gives: sums times a float32, rounded to even, from 0 to 255.

        :param zero: What stands for zero, as an int32
        """
        b, floats = self.builder, Emitter(self.builder, self.lanes)
        low, high = (floats.everywhere(b.sitofp(b.sub(_WORD(bound), zero), FLOAT)) for bound in (0, 255))
        rounded = self._rounded(b.fmul(b.sitofp(sums, floats.numbers), scale), low, high)
        return b.trunc(b.add(rounded, self.everywhere(zero)), ir.VectorType(_BYTE, self.lanes))

    def add_bytes(self, value: Any, other: Any, factors: Any) -> Any:
        """
        The sum of two quantized numbers, rounded to another scale.

        :param value: Bytes, of a convolution
        :param other: Bytes, that are added
        :param factors: Three vectors of float32: of the one, of the other, and what is added
        """
        b, floats = self.builder, Emitter(self.builder, self.lanes)
        low, high = (ir.Constant(floats.numbers, [bound] * self.lanes) for bound in (0.0, 255.0))
        total = factors[2]
        for numbers, factor in zip((value, other), factors, strict=False):
            total = floats.multiply_add(b.uitofp(numbers, floats.numbers), factor, total)
        return b.trunc(self._rounded(total, low, high), value.type)

    def _rounded(self, value: Any, low: Any, high: Any) -> Any:
        """To even, within bounds, as int32."""
        b = self.builder
        value = b.select(b.fcmp_ordered("<", value, high), value, high)
        value = b.select(b.fcmp_ordered(">", value, low), value, low)
        kind = ir.FunctionType(value.type, [value.type])
        value = b.call(cgutils.get_or_insert_function(b.module, kind, f"llvm.rint.v{self.lanes}f32"), [value])
        return b.fptosi(value, self.bits)

    def _call(self, name: str, *arguments: Any) -> Any:
        kind = ir.FunctionType(self.bits, [self.bits] * 3)
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, name), arguments)

    def _halves(self, value: Any) -> tuple[Any, Any]:
        """Those at even and at odd places."""
        n, nothing = value.type.count, ir.Constant(value.type, ir.Undefined)
        return tuple(
            self.builder.shuffle_vector(
                value, nothing, ir.Constant(ir.VectorType(_WORD, n // 2), list(range(first, n, 2)))
            )
            for first in (0, 1)
        )

    def _pairs(self, a: Any, b: Any) -> Any:
        """Sums of two products of shorts each."""
        if X86:
            kind = ir.FunctionType(self.bits, [a.type] * 2)
            return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, _MADD), [a, b])
        wide = ir.VectorType(_WORD, a.type.count // 2)
        products = [
            self.builder.mul(self.builder.sext(x, wide), self.builder.sext(y, wide))
            for x, y in zip(self._halves(a), self._halves(b), strict=True)
        ]
        return self.builder.add(*products)


class ByteEmitter(Emitter):
    """
    Vectors of uint8.

    :param lanes: Bytes in a vector
    :param zero: What stands for zero, an int64
    """

    def __init__(self, builder: Any, lanes: int, zero: Any) -> None:
        super().__init__(builder, lanes)
        self.number, self.words = _BYTE, lanes // 4
        self.numbers = self.bits = ir.VectorType(_BYTE, lanes)
        self.least = ir.Constant(self.numbers, [0] * lanes)
        self.zero = self.everywhere(builder.trunc(zero, _BYTE))

    def larger(self, value: Any, before: Any) -> Any:
        return self.builder.select(self.builder.icmp_unsigned(">", value, before), value, before)
