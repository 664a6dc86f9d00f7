from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sb3_efficient.errors import ObservationError, OptionError
from sb3_efficient.reuse.patches.distinct import HASH_BITS, PatchTable, Windows, distinct


def cut(images: np.ndarray, kernel: int, stride: int) -> np.ndarray:
    """Every patch, (B, P, C, kernel, kernel), by numpy."""
    windows = np.lib.stride_tricks.sliding_window_view(images, (kernel, kernel), axis=(2, 3))
    chosen = windows[:, :, ::stride, ::stride].transpose(0, 2, 3, 1, 4, 5)
    return chosen.reshape(len(images), -1, images.shape[1], kernel, kernel)


@settings(deadline=None, max_examples=80)
@given(
    n=st.integers(1, 5),
    channels=st.integers(1, 4),
    kernel=st.integers(1, 8),
    stride=st.integers(1, 4),
    colours=st.sampled_from([1, 2, 256]),
    hash_bits=st.sampled_from([0, 3, HASH_BITS]),
    seed=st.integers(0, 5),
)
def test_equal_numbers_for_equal_bytes(  # type: ignore[no-untyped-def]
    n, channels, kernel, stride, colours, hash_bits, seed
) -> None:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, colours, (n, channels, 11, 13)).astype(np.uint8)
    # A few pixels change from one image to the next, as in a game
    for i in range(1, n):
        images[i] = np.where(rng.random(images[i].shape) < 0.05, images[i], images[i - 1])
    ids, patches = distinct(images, kernel, stride, hash_bits)
    np.testing.assert_array_equal(patches[ids], cut(images, kernel, stride))
    assert len(np.unique(patches.reshape(len(patches), -1), axis=0)) == len(patches)
    # Numbered in order of first appearance
    assert (np.sort(np.unique(ids, return_index=True)[1]) == np.unique(ids, return_index=True)[1]).all()


def test_more_patches_than_the_first_table_holds() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 1, 60, 60), np.uint8)
    ids, patches = distinct(images, 5, 1)
    assert len(patches) == 3 * 56 * 56
    np.testing.assert_array_equal(patches[ids], cut(images, 5, 1))


def test_order_does_not_matter() -> None:
    images = np.random.default_rng(0).integers(0, 3, (6, 1, 9, 9), np.uint8)
    order = [3, 0, 5, 1, 4, 2]
    ids, patches = distinct(images, 3, 1)
    shuffled_ids, shuffled = distinct(images[order], 3, 1)
    np.testing.assert_array_equal(patches[ids][order], shuffled[shuffled_ids])
    assert len(patches) == len(shuffled)


def test_a_table_grows_and_forgets() -> None:
    windows = Windows((1, 9, 9), 3, 1)
    table = PatchTable(windows, 2)
    table.grow()
    assert (table.capacity, len(table.keys)) == (4, 4)
    table.count = 3
    table.clear()
    assert table.count == 0
    assert (table.slots == -1).all()
    with pytest.raises(OptionError, match="A table of patches needs room for at least one, got 0."):
        PatchTable(windows, 0)


def test_what_is_no_image_is_refused() -> None:
    with pytest.raises(ObservationError, match=r"images must be uint8 of shape \(B, C, H, W\), got float32"):
        distinct(np.zeros((1, 1, 9, 9), np.float32), 3, 1)
    with pytest.raises(ObservationError, match="Images of 4x9 pixels have no window of 5x5."):
        distinct(np.zeros((1, 1, 4, 9), np.uint8), 5, 1)
