"""
The inner loops in int8: products of bytes, and int32 sums that stay in registers until they are complete.

With VNNI four products are added in one instruction, elsewhere two by ``pmaddwd``, or as LLVM makes it. All are exact.
Addresses are plain integers; offsets count words of four bytes, which are four channels of a map.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir

from sb3_efficient.reuse.jit import LANES, cgutils, intrinsic, types
from sb3_efficient.reuse.tiles import convolve
from sb3_efficient.reuse.vectors import FLOAT, INT, Emitter

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
        b, floats = self.builder, ir.VectorType(FLOAT, self.lanes)
        low, high = (self._all(floats, b.sitofp(b.sub(_WORD(bound), zero), FLOAT)) for bound in (0, 255))
        value = b.fmul(b.sitofp(sums, floats), scale)
        value = b.select(b.fcmp_ordered("<", value, high), value, high)
        value = b.select(b.fcmp_ordered(">", value, low), value, low)
        kind = ir.FunctionType(floats, [floats])
        value = b.call(cgutils.get_or_insert_function(b.module, kind, f"llvm.rint.v{self.lanes}f32"), [value])
        return b.trunc(b.add(b.fptosi(value, self.bits), self._all(self.bits, zero)), ir.VectorType(_BYTE, self.lanes))

    def _all(self, kind: Any, number: Any) -> Any:
        one = self.builder.insert_element(ir.Constant(kind, ir.Undefined), number, _WORD(0))
        return self.builder.shuffle_vector(
            one, ir.Constant(kind, ir.Undefined), ir.Constant(self.bits, [0] * self.lanes)
        )

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


def make_int8_tile(positions: int, vectors: int, lanes: int) -> Any:
    """
    As :func:`~sb3_efficient.reuse.tiles.make_tile`, with bytes. The last arguments are::

        bias              (vectors * lanes,) int32
        scales            (vectors * lanes,) float32: what a sum is multiplied with
        zero              what stands for zero in the result
        result            map that is written to, uint8
        flags             one byte a position, which becomes 1 if the result changed
    """

    @intrinsic
    def tile(  # type: ignore[no-untyped-def]
        _context, inputs, outputs, source, rows, length, step, weights, bias, scales, zero, result, flags
    ):
        signature = types.void(*[types.int64] * 12)

        def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            inputs, outputs, source, rows, length, step, weights, bias, scales, zero, result, flags = arguments
            e = Int8Emitter(builder, lanes)
            narrow = ir.VectorType(_BYTE, lanes)
            number = builder.trunc(zero, _WORD)

            def finish(sums: list[Any], offset: Any, flag: Any) -> None:
                for v, total in enumerate(sums):
                    floats = ir.VectorType(FLOAT, lanes)
                    scale = builder.load(e.pointer(e.at(scales, v * lanes), floats), align=4)
                    value = e.bytes_of(total, scale, number)
                    place = e.pointer(builder.add(e.at(result, offset), INT(v * lanes)), narrow)
                    same = builder.icmp_unsigned("!=", builder.load(place, align=1), value)
                    found = builder.icmp_unsigned("!=", builder.bitcast(same, ir.IntType(lanes)), ir.IntType(lanes)(0))
                    e.store_number(flag, builder.or_(e.load_number(flag, _BYTE), builder.zext(found, _BYTE)))
                    builder.store(value, place, align=1)

            convolve(e, positions, vectors, finish, inputs, outputs, source, rows, length, step, weights, bias, flags)
            return cgutils.get_null_value(_BYTE.as_pointer())

        return signature, generate

    return tile


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
