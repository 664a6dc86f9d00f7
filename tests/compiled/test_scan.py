from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sb3_efficient.compiled.jit import jit
from sb3_efficient.compiled.scan import scan
from sb3_efficient.reuse.changes.masks import words


@jit(cache=True)
def _scan(new, old, table, floats, mask):  # type: ignore[no-untyped-def]
    channels, height, width = new.shape
    a, b = new.ravel(), old.ravel()
    step = width * channels
    return scan(a, b, a.ctypes.data, b.ctypes.data, channels, height, width, table, floats, 0, step, channels, mask, 0)


@settings(deadline=None, max_examples=60)
@given(
    shape=st.tuples(
        st.integers(1, 5), st.integers(1, 90), st.sampled_from([1, 7, 15, 16, 17, 40, 63, 64, 65, 84, 130])
    ),
    n=st.integers(0, 30),
    seed=st.integers(0, 100),
)
def test_finds_every_pixel_that_changed(shape: tuple[int, int, int], n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    old = rng.integers(0, 256, shape, np.uint8)
    new = old.copy()
    for _ in range(n):
        new[tuple(rng.integers(0, side) for side in shape)] ^= 255
    changed = (new != old).any(axis=0)
    table = np.arange(256, dtype=np.float32)
    floats = np.ascontiguousarray(old.transpose(1, 2, 0)).astype(np.float32).ravel()
    mask = np.full((shape[1], words(shape[2])), 7, np.uint64)
    assert _scan(new, old, table, floats, mask.ravel()) == changed.sum()
    bits = np.unpackbits(mask.view(np.uint8), axis=1, bitorder="little")
    np.testing.assert_array_equal(bits[:, : shape[2]], changed)
    assert not bits[:, shape[2] :].any()
    np.testing.assert_array_equal(old, new)
    np.testing.assert_array_equal(floats.reshape(*shape[1:], shape[0]), new.transpose(1, 2, 0))
