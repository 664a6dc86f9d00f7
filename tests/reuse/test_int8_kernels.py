from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sb3_efficient.reuse.int8_kernels import add_up_int8, blocked_int8, convolve_int8, summed_int8
from sb3_efficient.reuse.jit import jit


@jit(cache=True)
def _convolve(n, i, o, source, rows, length, step, w, b, s, zero, channels, result, flags):  # type: ignore[no-untyped-def]
    convolve_int8(
        n, i.ctypes.data, o.ctypes.data, source.ctypes.data, rows, length, step, w.ctypes.data, b.ctypes.data,
        s.ctypes.data, zero, channels, result.ctypes.data, flags.ctypes.data,
    )  # fmt: skip


@jit(cache=True)
def _sum(n, indexes, factors, weights, n_rows, n_outputs, sums):  # type: ignore[no-untyped-def]
    done = 0
    while done < n_outputs:
        done += add_up_int8(
            n, indexes.ctypes.data, factors.ctypes.data, weights.ctypes.data, n_rows, n_outputs, done,
            sums.ctypes.data + 4 * done,
        )  # fmt: skip


def check_convolution(n_input: int, n_output: int, kernel: int, stride: int, n: int, zero: int) -> None:
    """With the largest numbers that there are, which sums of 16 bits would not hold."""
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
    numbers = blocked_int8(weight), bias, scale, zero, n_output, result, flags
    _convolve(len(chosen), inputs, outputs, source, *steps, *numbers)
    np.testing.assert_array_equal(result[chosen], expected[chosen])
    assert (np.delete(result, chosen, axis=0) == 7).all()
    np.testing.assert_array_equal(flags, (expected[chosen] != 7).any(axis=1))
    flags[:] = 0
    _convolve(len(chosen), inputs, outputs, source, *steps, *numbers)
    assert not flags.any()


def check_sum(n_inputs: int, n_outputs: int, n: int) -> None:
    rng = np.random.default_rng(n)
    weight = rng.integers(-128, 128, (n_inputs, n_outputs), np.int8)
    indexes, factors = rng.integers(0, n_inputs, 2 * n, np.int32), rng.integers(-255, 256, 2 * n, np.int16)
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
)
def test_a_convolution_is_exact(n_input: int, n_output: int, kernel: int, stride: int, n: int, zero: int) -> None:
    check_convolution(n_input, n_output, kernel, stride, n, zero)


@settings(deadline=None, max_examples=40)
@given(n_inputs=st.integers(1, 300), n_outputs=st.integers(1, 9), n=st.integers(0, 50))
def test_a_sum_is_exact(n_inputs: int, n_outputs: int, n: int) -> None:
    check_sum(n_inputs, 32 * n_outputs, n)


@pytest.mark.parametrize(("lanes", "without"), [("4", ""), ("4", "X86"), ("8", ""), ("8", "VNNI"), ("", "VNNI")])
def test_other_cpus_give_the_same(lanes: str, without: str, python, tmp_path) -> None:  # type: ignore[no-untyped-def]
    code = f"""
import sys; sys.path.insert(0, {str(__file__.rpartition("/")[0])!r})
from sb3_efficient.reuse import int8_tiles
{f"int8_tiles.{without} = False" if without else ""}
from test_int8_kernels import check_convolution, check_sum
check_convolution(32, 48, 3, 2, 20, 100)
check_sum(100, 224, 20)
"""
    python("-c", code, SB3_EFFICIENT_VECTOR=lanes, NUMBA_CACHE_DIR=str(tmp_path))
