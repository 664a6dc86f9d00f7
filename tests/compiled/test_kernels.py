from __future__ import annotations

import numpy as np
import pytest
import torch as th
from hypothesis import given, settings
from hypothesis import strategies as st

from sb3_efficient.compiled.jit import jit
from sb3_efficient.compiled.kernels import blocked, convolve, rounded


@jit(cache=True)
def _convolve(n, i, o, source, rows, length, step, w, b, channels, residual, raw, relu, flags):  # type: ignore[no-untyped-def]
    convolve(
        n, i.ctypes.data, o.ctypes.data, source.ctypes.data, rows, length, step, w.ctypes.data, b.ctypes.data,
        channels, residual.ctypes.data if residual.size else 0, raw.ctypes.data if raw.size else 0,
        relu.ctypes.data if relu.size else 0, flags.ctypes.data,
    )  # fmt: skip


NOTHING = np.zeros(0, np.float32)


class Layer:
    """A convolution, its map, and torch's result at every position."""

    def __init__(self, n_input: int, n_output: int, kernel: int, stride: int, side: int) -> None:
        rng = np.random.default_rng(n_input + n_output)
        self.step, self.rows, self.length = side * n_input, kernel, kernel * n_input
        self.source = rng.standard_normal((side, side, n_input)).astype(np.float32)
        weight = rng.standard_normal((n_output, n_input, kernel, kernel)).astype(np.float32)
        bias = rng.standard_normal(n_output).astype(np.float32)
        self.weights = blocked(weight.transpose(2, 3, 1, 0).reshape(-1, n_output))
        self.channels = rounded(n_output)
        self.bias = np.pad(bias, (0, self.channels - n_output))
        image = th.as_tensor(self.source).permute(2, 0, 1)[None].double()
        expected = th.nn.functional.conv2d(image, th.as_tensor(weight).double(), th.as_tensor(bias).double(), stride)
        self.expected = np.zeros((expected[0, 0].numel(), self.channels), np.float32)
        self.expected[:, :n_output] = expected[0].flatten(1).T
        y, x = np.divmod(np.arange(len(self.expected)), expected.shape[-1])
        self.inputs = ((y * side + x) * stride * n_input).astype(np.int32)
        self.outputs = np.arange(len(self.expected), dtype=np.int32) * self.channels

    def __call__(
        self, chosen: np.ndarray, raw: np.ndarray, relu: np.ndarray, residual: np.ndarray = NOTHING
    ) -> np.ndarray:
        flags = np.zeros(len(chosen), np.uint8)
        inputs, outputs = self.inputs[chosen], self.outputs[chosen]
        _convolve(
            len(chosen), inputs, outputs, self.source, self.rows, self.length, self.step, self.weights, self.bias,
            self.channels, residual, raw, relu, flags,
        )  # fmt: skip
        return flags


@settings(deadline=None, max_examples=60)
@given(
    n_input=st.sampled_from([1, 3, 4, 16]),
    n_output=st.integers(1, 75),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 3),
    n=st.integers(0, 40),
)
def test_equals_torch_at_the_chosen_positions(n_input: int, n_output: int, kernel: int, stride: int, n: int) -> None:
    layer = Layer(n_input, n_output, kernel, stride, side=12)
    chosen = np.random.default_rng(n).permutation(len(layer.expected))[:n]
    raw, relu = np.full((2, *layer.expected.shape), 7, np.float32)
    flags = layer(chosen, raw, relu)
    np.testing.assert_allclose(raw[chosen], layer.expected[chosen], atol=1e-4)
    np.testing.assert_array_equal(relu[chosen], np.maximum(raw[chosen], 0))
    others = np.delete(np.arange(len(raw)), chosen)
    assert (raw[others] == 7).all()
    assert (relu[others] == 7).all()
    assert (flags == 3).all()


def test_says_what_changed() -> None:
    layer = Layer(4, 40, 3, 1, side=9)
    every = np.arange(len(layer.expected))
    raw, relu = np.zeros((2, *layer.expected.shape), np.float32)
    layer(every, raw, relu)
    assert (layer(every, raw, relu) == 0).all()
    raw[5, 39] += 1
    relu[7, 0] += 1
    flags = layer(every, raw, relu)
    assert (flags.nonzero()[0] == [5, 7]).all()
    assert flags[5] == 1
    assert flags[7] == 2


def test_adds_the_residual_before_the_relu() -> None:
    layer = Layer(16, 16, 3, 1, side=9)
    every = np.arange(len(layer.expected))
    residual = np.random.default_rng(0).standard_normal(layer.expected.shape).astype(np.float32)
    relu = np.zeros_like(layer.expected)
    layer(every, NOTHING, relu, residual)
    np.testing.assert_allclose(relu, np.maximum(layer.expected + residual, 0), atol=1e-4)


@pytest.mark.parametrize("lanes", ["4", "8"])
def test_narrower_vectors_give_the_same(lanes: str, python, tmp_path) -> None:  # type: ignore[no-untyped-def]
    code = f"""
import sys; sys.path.insert(0, {str(__file__.rpartition("/")[0])!r})
import numpy as np
from test_kernels import Layer
layer = Layer(4, 40, 3, 2, side=20)
raw, relu = np.zeros((2, *layer.expected.shape), np.float32)
layer(np.arange(len(raw)), raw, relu)
print(abs(raw - layer.expected).max() < 1e-4)
"""
    done = python("-c", code, SB3_EFFICIENT_VECTOR=lanes, NUMBA_CACHE_DIR=str(tmp_path))
    assert done.stdout.strip() == "True"
