"""
Tensors in as few bytes as they need, without loss: what pruning and binarization gain shows in the file.

``dense``: as it is. ``float16``: float32 numbers that float16 holds, too. ``sparse``: one bit a number that says
whether it is zero, and the others. ``binary``: one bit a number for its sign, and one magnitude a row.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Parts = dict[str, np.ndarray]


def encode(array: np.ndarray) -> tuple[str, Parts]:
    """
    :param array: Any numbers
    :return: Name of the smallest encoding, and what it consists of
    """
    # Whatever is kept, is kept to the bit: negative zeros and NaNs too
    candidates = [(name, parts) for name, (make, _) in ENCODINGS.items() if (parts := make(array)) is not None]
    return min(candidates, key=lambda candidate: sum(part.nbytes for part in candidate[1].values()))


def decode(encoding: str, parts: Parts, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """
    :param encoding: What :func:`encode` chose
    :param parts: What it made
    :param dtype: Of the array
    :param shape: Of the array
    :return: The array
    """
    if encoding not in ENCODINGS:
        raise ValueError(f"encoding {encoding!r} of a tensor, known are {', '.join(ENCODINGS)}")
    return ENCODINGS[encoding][1](parts, dtype, shape)


def _bits(array: np.ndarray) -> np.ndarray:
    """The same memory as whole numbers."""
    return np.ascontiguousarray(array).view(f"u{array.dtype.itemsize}").reshape(array.shape)


def _dense(array: np.ndarray) -> Parts:
    return {"values": np.ascontiguousarray(array)}


def _from_dense(parts: Parts, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    return parts["values"].reshape(shape)


def _float16(array: np.ndarray) -> Parts | None:
    if array.dtype != np.float32:
        return None
    with np.errstate(over="ignore"):
        narrow = array.astype(np.float16)
    return {"values": narrow} if np.array_equal(_bits(narrow.astype(np.float32)), _bits(array)) else None


def _from_float16(parts: Parts, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    return parts["values"].astype(dtype).reshape(shape)


def _sparse(array: np.ndarray) -> Parts:
    kept = _bits(array).ravel() != 0
    return {"mask": np.packbits(kept), "values": array.ravel()[kept]}


def _from_sparse(parts: Parts, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    array = np.zeros(shape, dtype)
    array.ravel()[_unpacked(parts["mask"], array.size)] = parts["values"]
    return array


def _binary(array: np.ndarray) -> Parts | None:
    if array.ndim < 2 or array.size == 0 or array.dtype.kind not in "fi":
        return None
    rows = array.reshape(len(array), -1)
    negative, magnitude = np.signbit(rows) if array.dtype.kind == "f" else rows < 0, np.abs(rows[:, :1])
    if not np.array_equal(_bits(np.where(negative, -magnitude, magnitude)), _bits(rows)):
        return None
    return {"signs": np.packbits(negative), "magnitudes": magnitude[:, 0]}


def _from_binary(parts: Parts, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    negative = _unpacked(parts["signs"], int(np.prod(shape))).reshape(len(parts["magnitudes"]), -1)
    magnitude = parts["magnitudes"][:, None]
    return np.where(negative, -magnitude, magnitude).astype(dtype).reshape(shape)


def _unpacked(packed: np.ndarray, count: int) -> np.ndarray:
    return np.unpackbits(packed, count=count).astype(bool)


#: Name -> into parts, if the array allows it, and back; of equally small ones the first is taken
ENCODINGS: dict[str, tuple[Callable[[np.ndarray], Parts | None], Callable[..., np.ndarray]]] = {
    "dense": (_dense, _from_dense),
    "float16": (_float16, _from_float16),
    "sparse": (_sparse, _from_sparse),
    "binary": (_binary, _from_binary),
}
