from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sb3_efficient.compiled.int8_kernels import add_up_int8, blocked_int8, convolve_int8, maximum_int8, summed_int8
from sb3_efficient.compiled.jit import jit
from sb3_efficient.reuse.changes.quantized import QuantizedSum


@jit(cache=True)
def _convolve(  # type: ignore[no-untyped-def]
    n, i, o, source, rows, length, step, w, b, s, zero, channels, residual, sum, floor, raw, relu, flags
):
    convolve_int8(
        n, i.ctypes.data, o.ctypes.data, source.ctypes.data, rows, length, step, w.ctypes.data, b.ctypes.data,
        s.ctypes.data, zero, channels, residual.ctypes.data if residual.size else 0, sum.ctypes.data, floor,
        raw.ctypes.data, relu.ctypes.data if relu.size else 0, flags.ctypes.data,
    )  # fmt: skip


@jit(cache=True)
def _maximum(source, rows, columns, step, channels, floor, raw, relu, flag):  # type: ignore[no-untyped-def]
    maximum_int8(
        source.ctypes.data, rows, columns, step, channels, floor, raw.ctypes.data, relu.ctypes.data, flag.ctypes.data
    )


@jit(cache=True)
def _sum(n, indexes, factors, weights, n_rows, n_outputs, sums):  # type: ignore[no-untyped-def]
    done = 0
    while done < n_outputs:
        done += add_up_int8(
            n, indexes.ctypes.data, factors.ctypes.data, weights.ctypes.data, n_rows, n_outputs, done,
            sums.ctypes.data + 4 * done,
        )  # fmt: skip


NOTHING = np.zeros(0, np.uint8)


def check_convolution(
    n_input: int, n_output: int, kernel: int, stride: int, n: int, zero: int, floor: int | None = None
) -> None:
    """
    With the largest numbers that there are, which sums of 16 bits would not hold.

    :param floor: What stands for zero behind a residual; None without one
    """
    rng, side = np.random.default_rng(n_input + n_output + n), 12
    source = np.where(rng.random((side, side, n_input)) < 0.5, 255, rng.integers(0, 256, (side, side, n_input)))
    source = source.astype(np.uint8)
    weight = np.where(rng.random((kernel * kernel * n_input, n_output)) < 0.5, -128, 127).astype(np.int8)
    bias = rng.integers(-(10**6), 10**6, n_output, np.int32)
    scale = (rng.random(n_output) * 10 / np.sqrt(len(weight)) / 1000).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(source, (kernel, kernel), axis=(0, 1))[::stride, ::stride]
    out = windows.shape[1]
    sums = windows.transpose(0, 1, 3, 4, 2).reshape(out * out, -1).astype(np.int64) @ weight.astype(np.int64) + bias
    low = np.float32(-zero)
    expected = np.rint(np.clip(sums.astype(np.float32) * scale, low, low + 255)) + zero
    y, x = np.divmod(np.arange(out * out), out)
    chosen = rng.permutation(out * out)[:n]
    inputs = ((y * side + x) * stride * n_input // 4).astype(np.int32)[chosen]
    outputs = (np.arange(out * out, dtype=np.int32) * n_output // 4)[chosen]
    result, flags = np.full(expected.shape, 7, np.uint8), np.zeros(len(chosen), np.uint8)
    steps = kernel, kernel * n_input // 4, side * n_input // 4
    residual = positive = NOTHING
    add = QuantizedSum(np.float32(0.7), np.float32(0.9), np.float32(-20.3))
    if floor is not None:
        residual, positive = rng.integers(0, 256, expected.shape, np.uint8), result.copy()
        expected = add(expected, residual)
    factors = np.array([add.factor, add.residual, add.fixed])
    more = residual, factors, floor or 0, result, positive, flags
    numbers = blocked_int8(weight), bias, scale, zero, n_output, *more
    _convolve(len(chosen), inputs, outputs, source, *steps, *numbers)
    np.testing.assert_array_equal(result[chosen], expected[chosen])
    assert (np.delete(result, chosen, axis=0) == 7).all()
    changed = (expected[chosen] != 7).any(axis=1).astype(np.uint8)
    if floor is not None:
        np.testing.assert_array_equal(positive[chosen], np.maximum(expected[chosen], floor))
        changed += 2 * (np.maximum(expected[chosen], floor) != 7).any(axis=1).astype(np.uint8)
    np.testing.assert_array_equal(flags, changed)
    flags[:] = 0
    _convolve(len(chosen), inputs, outputs, source, *steps, *numbers)
    assert not flags.any()


def check_sum(n_inputs: int, n_outputs: int, n: int) -> None:
    rng = np.random.default_rng(n)
    weight = rng.integers(-128, 128, (n_inputs, n_outputs), np.int8)
    indexes, factors = rng.integers(0, n_inputs, n + 1, np.int32), rng.integers(-255, 256, n + 1, np.int16)
    indexes[n], factors[n] = 0, 0
    sums = np.zeros(n_outputs, np.int32)
    _sum(n, indexes, factors, summed_int8(weight), n_inputs, n_outputs, sums)
    np.testing.assert_array_equal(sums, factors.astype(np.int64) @ weight[indexes].astype(np.int64))


@settings(deadline=None, max_examples=40)
@given(
    n_input=st.sampled_from([4, 16, 32]),
    n_output=st.sampled_from([16, 32, 48, 80]),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 3),
    n=st.integers(0, 40),
    zero=st.sampled_from([0, 100]),
    floor=st.sampled_from([None, 0, 120]),
)
def test_a_convolution_is_exact(
    n_input: int, n_output: int, kernel: int, stride: int, n: int, zero: int, floor: int | None
) -> None:
    check_convolution(n_input, n_output, kernel, stride, n, zero, floor)


def check_maximum(rows: int, columns: int, words: int, floor: int) -> None:
    rng = np.random.default_rng(rows + columns)
    source = rng.integers(0, 256, (5, 6, 4 * words), np.uint8)
    raw, relu, flag = np.zeros(4 * words, np.uint8), np.full(4 * words, floor, np.uint8), np.zeros(1, np.uint8)
    _maximum(source, rows, columns, 6 * words, words, floor, raw, relu, flag)
    expected = source[:rows, :columns].max(axis=(0, 1))
    np.testing.assert_array_equal(raw, expected)
    np.testing.assert_array_equal(relu, np.maximum(expected, floor))
    assert flag[0] == 1 + 2 * (expected > floor).any()


@settings(deadline=None, max_examples=40)
@given(
    rows=st.integers(1, 5), columns=st.integers(1, 6), words=st.sampled_from([4, 8, 12]),
    floor=st.sampled_from([0, 130, 255]),
)  # fmt: skip
def test_a_maximum_is_exact(rows: int, columns: int, words: int, floor: int) -> None:
    check_maximum(rows, columns, words, floor)


@settings(deadline=None, max_examples=40)
@given(n_inputs=st.integers(1, 300), n_outputs=st.integers(1, 9), n=st.integers(0, 50))
def test_a_sum_is_exact(n_inputs: int, n_outputs: int, n: int) -> None:
    check_sum(n_inputs, 32 * n_outputs, n)


@pytest.mark.parametrize(
    ("lanes", "without"),
    [
        ("4", "X86"),
        ("8", "VNNI"),
        ("", "VNNI"),
        pytest.param("4", "", marks=pytest.mark.long),
        pytest.param("8", "", marks=pytest.mark.long),
    ],
)
def test_other_cpus_give_the_same(lanes: str, without: str, python, tmp_path) -> None:  # type: ignore[no-untyped-def]
    code = f"""
import sys; sys.path.insert(0, {str(__file__.rpartition("/")[0])!r})
from sb3_efficient.compiled import int8_vectors
{f"int8_vectors.{without} = False" if without else ""}
from test_int8_kernels import check_convolution, check_maximum, check_sum
check_convolution(32, 48, 3, 2, 20, 100)
check_convolution(32, 48, 3, 1, 30, 100, 120)
check_maximum(3, 2, 12, 130)
check_sum(100, 224, 20)
"""
    python("-c", code, SB3_EFFICIENT_VECTOR=lanes, NUMBA_CACHE_DIR=str(tmp_path))
