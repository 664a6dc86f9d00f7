"""
Layers of ``static-int8``.

Every number is one of 256. A layer adds up products of bytes in int32, multiplies the sum by a float32, and rounds to
even: what ONNX Runtime computes, and here, too, bit by bit.

Shapes: ``B`` batch, ``C H W`` map, ``D`` flattened map, ``F`` outputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

#: What a step of one is worth, float32, and what stands for zero
Scale = tuple[Any, int]


@dataclass(frozen=True, eq=False)
class QuantizedLinear:
    """
    :param weight: int8, (F, C, kernel, kernel) or (F, D)
    :param bias: int32, (F,); for inputs as they are, whatever stands for zero in them
    :param scale: float32, (F,): what sums are multiplied with
    :param zero: What stands for zero in the result; None for a result in float32
    """

    weight: np.ndarray
    bias: np.ndarray
    scale: np.ndarray
    zero: int | None

    @property
    def out_features(self) -> int:
        """``F``"""
        return len(self.weight)

    @cached_property
    def _matrix(self) -> np.ndarray:
        return self.weight.T.astype(np.float64)

    def __call__(self, numbers: np.ndarray) -> np.ndarray:
        """
        As a linear layer.

        :param numbers: (B, D), whole numbers from 0 to 255, any dtype
        :return: (B, F), float32; whole numbers again but for the last layer
        """
        # Sums are below 2^53, so that any order of adding gives the same
        return self.rounded(numbers.astype(np.float64) @ self._matrix + self.bias)

    def rounded(self, sums: np.ndarray) -> np.ndarray:
        """
        :param sums: (..., F), whole numbers
        :return: (..., F), float32
        """
        values = sums.astype(np.float32) * self.scale
        if self.zero is None:
            return values
        zero = np.float32(self.zero)
        return np.rint(np.clip(values, -zero, 255 - zero)) + zero


@dataclass(frozen=True, eq=False)
class QuantizedSum:
    """
    A convolution's result and a residual, added and rounded to another scale.

    :param factor: Of the result
    :param residual: Of the residual
    :param fixed: What is added besides, for what stands for zero
    """

    factor: np.float32
    residual: np.float32
    fixed: np.float32

    @classmethod
    def of(cls, residual: Scale, numbers: Scale, result: Scale) -> QuantizedSum:
        """In the order in which ONNX Runtime multiplies and adds, of which the last two are one instruction."""
        ratio, factor = (np.float32(scale / result[0]) for scale, _ in (residual, numbers))
        both = _fused(ratio, np.float64(residual[1]), np.float32(factor * np.float32(numbers[1])))
        return cls(factor, ratio, np.float32(np.float32(result[1]) - both))

    def __call__(self, numbers: np.ndarray, residual: np.ndarray) -> np.ndarray:
        """
        :param numbers: Whole numbers from 0 to 255, any dtype
        :param residual: The same
        :return: float32; whole numbers again
        """
        total = _fused(self.residual, residual, _fused(self.factor, numbers, self.fixed))
        return np.rint(np.clip(total, 0, 255))


def _fused(factor: np.float32, numbers: Any, added: Any) -> Any:
    """``factor * numbers + added``, rounded once, as one instruction does: in float64 both are exact."""
    return (np.asarray(numbers, np.float64) * factor + np.asarray(added, np.float64)).astype(np.float32)


@dataclass(frozen=True, eq=False, repr=False)
class QuantizedConvolution(QuantizedLinear):
    """
    :param stride: Pixels from one result to the next
    :param padding: Pixels, of what stands for zero
    :param sum: How a residual is added; None without one
    """

    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int] = (1, 1)
    sum: QuantizedSum | None = None

    def __repr__(self) -> str:
        return f"a convolution in int8 (kernel {self.kernel_size}, stride {self.stride}, padding {self.padding})"

    @property
    def kernel_size(self) -> tuple[int, ...]:
        """Pixels."""
        return self.weight.shape[2:]
