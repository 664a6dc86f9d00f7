from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sb3_efficient.storage import ENCODINGS, decode, encode

DTYPES = (np.float32, np.float16, np.float64, np.int8, np.uint8, np.int32, np.int64)
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=7)


def same(one: np.ndarray, other: np.ndarray) -> bool:
    """To the bit."""
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(DTYPES).flatmap(lambda dtype: hnp.arrays(dtype, SHAPES, fill=st.just(0))))
def test_every_encoding_that_accepts_an_array_gives_it_back(array: np.ndarray) -> None:
    chosen, _ = encode(array)
    assert chosen in ENCODINGS
    for name, (make, _) in ENCODINGS.items():
        parts = make(array)
        if parts is not None:
            assert same(decode(name, parts, array.dtype, array.shape), array), name


@settings(max_examples=100, deadline=None)
@given(
    hnp.arrays(np.bool_, st.tuples(st.integers(1, 6), st.integers(1, 20))),
    st.lists(st.floats(width=32, min_value=0), min_size=6, max_size=6),
)
def test_signs_and_magnitudes(negative: np.ndarray, magnitudes: list[float]) -> None:
    magnitude = np.float32(magnitudes[: len(negative)])[:, None]
    array = np.where(negative, -magnitude, magnitude)
    parts = ENCODINGS["binary"][0](array)
    assert parts is not None
    assert same(decode("binary", parts, array.dtype, array.shape), array)


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def test_the_smallest_is_chosen() -> None:
    weights = normal(64, 100)
    assert encode(weights)[0] == "dense"
    assert encode(weights.astype(np.float16).astype(np.float32))[0] == "float16"
    assert encode(np.where(np.abs(weights) > 1.6, weights, 0))[0] == "sparse"
    assert encode(np.copysign(np.abs(weights).mean(axis=1, keepdims=True), weights))[0] == "binary"
    assert encode(np.sign(weights).astype(np.int8) * np.int8(127))[0] == "binary"


def test_sizes() -> None:
    weights = normal(64, 100)
    kept = np.where(np.abs(weights) > 1.645, weights, np.float32(0))
    parts = encode(kept)[1]
    assert sum(p.nbytes for p in parts.values()) == 64 * 100 // 8 + 4 * np.count_nonzero(kept)
    parts = encode(np.copysign(np.float32(0.5), weights))[1]
    assert sum(p.nbytes for p in parts.values()) == 64 * 100 // 8 + 4 * 64


def test_almost_binary_is_kept_as_it_is() -> None:
    weights = np.copysign(np.float32(0.3), normal(8, 100))
    weights[3, 5] = np.nextafter(weights[3, 5], np.float32(1))
    assert encode(weights)[0] == "dense"


def test_unknown_encoding_is_refused() -> None:
    with pytest.raises(ValueError, match="encoding 'huffman' of a tensor, known are dense, float16, sparse"):
        decode("huffman", {}, np.dtype(np.float32), (1,))
