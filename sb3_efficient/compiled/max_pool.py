"""
Compiled code for max-pooling of 3x3 with stride 2 and padding 1, a vector of channels at a time.

Maps are (B, H, W, C) in memory, C a multiple of ``LANES``. Addresses are plain integers, as of ``Tensor.data_ptr``.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from sb3_efficient.compiled.jit import LANES, STAMP, cgutils, intrinsic, jit, types
from sb3_efficient.compiled.vectors import INT, Emitter

#: The place in a window that no value has
NOWHERE = 255
_BYTES, _SHORTS = ir.VectorType(ir.IntType(8), LANES), ir.VectorType(ir.IntType(16), LANES)


class _Bfloat16(Emitter):
    """Reads and writes bfloat16, the upper half of a float32, and computes in float32."""

    def load(self, address: Any) -> Any:
        halves = self.builder.load(self.pointer(address, _SHORTS), align=2)
        bits = self.builder.shl(self.builder.zext(halves, self.bits), self._each(16))
        return self.builder.bitcast(bits, self.numbers)

    def store(self, address: Any, value: Any) -> None:
        bits = self.builder.bitcast(value, self.bits)
        # To the nearest; of two that are as near, to the even one
        odd = self.builder.and_(self.builder.lshr(bits, self._each(16)), self._each(1))
        bits = self.builder.add(bits, self.builder.add(odd, self._each(0x7FFF)))
        halves = self.builder.trunc(self.builder.lshr(bits, self._each(16)), _SHORTS)
        self.builder.store(halves, self.pointer(address, _SHORTS), align=2)

    def _each(self, number: int) -> Any:
        return ir.Constant(self.bits, [number] * self.lanes)


def _emitter(builder: Any, size: int) -> Emitter:
    return _Bfloat16(builder, LANES) if size == 2 else Emitter(builder, LANES)


def _place(number: int) -> Any:
    return ir.Constant(_BYTES, [number] * LANES)


def _make_largest(size: int) -> Any:
    @intrinsic
    def largest(_context, window, value, place, channels):  # type: ignore[no-untyped-def]
        """The largest of nine, and which one it is: as torch, the first, or the last that is not a number."""

        def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            window, value, place, channels = arguments
            emitter = _emitter(builder, size)
            with cgutils.for_range_slice(builder, INT(0), channels, INT(LANES), INT) as (c, _):
                best, at = emitter.least, _place(4)
                for number, address in enumerate(cgutils.unpack_tuple(builder, window, 9)):
                    one = emitter.load(emitter.at(address, c, size))
                    larger = builder.fcmp_ordered(">", one, best)
                    larger = builder.or_(larger, builder.fcmp_unordered("uno", one, one))
                    best = builder.select(larger, one, best)
                    at = builder.select(larger, _place(number), at)
                emitter.store(emitter.at(value, c, size), best)
                builder.store(at, emitter.pointer(emitter.at(place, c, 1), _BYTES), align=1)
            return context.get_dummy_value()

        address = types.int64
        return types.void(types.UniTuple(address, 9), address, address, address), generate

    return largest


def _make_collect(size: int, numbers: tuple[int, ...]) -> Any:
    """For inputs that have these numbers in the windows they are in."""
    count = len(numbers)

    @intrinsic
    def collect(_context, gradients, places, result, channels):  # type: ignore[no-untyped-def]
        """The sum of the gradients of those windows that the input was the largest of."""

        def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            gradients, places, result, channels = arguments
            windows = zip(cgutils.unpack_tuple(builder, gradients), cgutils.unpack_tuple(builder, places), strict=True)
            found = list(zip(windows, numbers, strict=True))
            emitter = _emitter(builder, size)
            with cgutils.for_range_slice(builder, INT(0), channels, INT(LANES), INT) as (c, _):
                total = emitter.zero
                for (gradient, place), number in found:
                    at = builder.load(emitter.pointer(emitter.at(place, c, 1), _BYTES), align=1)
                    own = builder.icmp_unsigned("==", at, _place(number))
                    one = emitter.load(emitter.at(gradient, c, size))
                    total = builder.fadd(total, builder.select(own, one, emitter.zero))
                emitter.store(emitter.at(result, c, size), total)
            return context.get_dummy_value()

        address = types.int64
        return types.void(types.UniTuple(address, count), types.UniTuple(address, count), address, address), generate

    return collect


def _make_pool(size: int) -> Any:
    largest = _make_largest(size)

    @jit
    def pool_images(maps, values, places, least, first, last, height, width, channels):  # type: ignore[no-untyped-def]
        pixel = size * channels
        line = pixel * width
        result = first * ((height + 1) // 2) * ((width + 1) // 2) * channels
        for image in range(first, last):
            for y in range(0, height, 2):
                at = maps + (image * height + y) * line
                up, down = y > 0, y + 1 < height
                for x in range(0, width, 2):
                    left, right = x > 0, x + 1 < width
                    above, below = at - line, at + line
                    window = (
                        above - pixel if up and left else least,
                        above if up else least,
                        above + pixel if up and right else least,
                        at - pixel if left else least,
                        at,
                        at + pixel if right else least,
                        below - pixel if down and left else least,
                        below if down else least,
                        below + pixel if down and right else least,
                    )
                    largest(window, values + size * result, places + result, channels)
                    result += channels
                    at += 2 * pixel

    return pool_images


def _make_spread(size: int) -> Any:
    one, vertical, horizontal, four = (_make_collect(size, n) for n in ((4,), (7, 1), (5, 3), (8, 6, 2, 0)))

    @jit
    def spread_images(gradients, places, result, nowhere, first, last, height, width, channels):  # type: ignore[no-untyped-def]
        # Inputs in even rows and columns are in one window, others in two or four
        columns = (width + 1) // 2
        result += size * first * height * width * channels
        for image in range(first, last):
            for y in range(height):
                row = (image * ((height + 1) // 2) + y // 2) * columns
                for x in range(width):
                    # The windows that there are to the right and below; in place of others, any gradient
                    has_right, has_below = x + 1 < width, y + 1 < height
                    right = channels if has_right else 0
                    below = columns * channels if has_below else 0
                    place = places + (row + x // 2) * channels
                    gradient = gradients + size * (place - places)
                    at_right = place + right if has_right else nowhere
                    at_below = place + below if has_below else nowhere
                    at_both = place + right + below if has_right and has_below else nowhere
                    g_right, g_below = gradient + size * right, gradient + size * below
                    if y % 2 and x % 2:
                        g_both = g_right + size * below
                        four(
                            (gradient, g_right, g_below, g_both), (place, at_right, at_below, at_both), result, channels
                        )
                    elif y % 2:
                        vertical((gradient, g_below), (place, at_below), result, channels)
                    elif x % 2:
                        horizontal((gradient, g_right), (place, at_right), result, channels)
                    else:
                        one((gradient,), (place,), result, channels)
                    result += size * channels

    return spread_images


_pool_bf16, _pool_fp32 = map(_make_pool, (2, 4))
_spread_bf16, _spread_fp32 = map(_make_spread, (2, 4))


# numba's cache looks at this file only; what is closed over counts, too, and is the stamp alone, as another compiled
# function there would be a new one in every process
def _build_pool(stamp: int) -> Any:
    @jit(cache=True)
    def pool(size, maps, values, places, least, first, last, height, width, channels):  # type: ignore[no-untyped-def]
        """
        :param size: Bytes of a number: 4, or 2 for bfloat16
        :param maps: Address of (B, H, W, C)
        :param values: Address of the result, (B, rows, columns, C)
        :param places: Address of as many bytes: where in its window each value was, row by row
        :param least: Address of (C,), -inf, which stands for what is outside of the image
        :param first: Image to begin with
        :param last: Image to end before
        """
        _ = stamp
        if size == 2:
            _pool_bf16(maps, values, places, least, first, last, height, width, channels)
        else:
            _pool_fp32(maps, values, places, least, first, last, height, width, channels)

    return pool


def _build_spread(stamp: int) -> Any:
    @jit(cache=True)
    def spread(size, gradients, places, result, nowhere, first, last, height, width, channels):  # type: ignore[no-untyped-def]
        """
        :param size: Bytes of a number: 4, or 2 for bfloat16
        :param gradients: Address of those of the values, (B, rows, columns, C)
        :param places: Address of what :func:`pool` wrote
        :param result: Address of those of the maps, (B, H, W, C)
        :param nowhere: Address of (C,) bytes, NOWHERE, which stand for a window outside of the image
        :param first: Image to begin with
        :param last: Image to end before
        """
        _ = stamp
        if size == 2:
            _spread_bf16(gradients, places, result, nowhere, first, last, height, width, channels)
        else:
            _spread_fp32(gradients, places, result, nowhere, first, last, height, width, channels)

    return spread


pool, spread = _build_pool(STAMP), _build_spread(STAMP)
