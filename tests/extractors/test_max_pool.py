"""IMPALA's max-pooling in compiled code: values, places and gradients of torch."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch as th
import torch.nn.functional as F
from gymnasium import spaces
from helpers import Run
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses import FakeTensorMode

from sb3_efficient import make_extractor
from sb3_efficient.extractors import max_pool
from sb3_efficient.extractors.max_pool import HalvingMaxPool, applies

DTYPES = (th.float32, th.bfloat16)
pool = HalvingMaxPool()


def plain(maps: th.Tensor) -> th.Tensor:
    return F.max_pool2d(maps, 3, stride=2, padding=1)


def some(*size: int, dtype: th.dtype = th.float32, seed: int = 0) -> th.Tensor:
    """Quarters, of which many are equal."""
    numbers = th.randn(size, generator=th.Generator().manual_seed(seed))
    return (4 * numbers).round().div(4).to(dtype).contiguous(memory_format=th.channels_last)


def both(maps: th.Tensor) -> tuple[th.Tensor, th.Tensor]:
    """Gradients of ours, and of torch in float32, for other numbers at every place."""
    found: list[th.Tensor] = []
    for function in (pool, lambda x: plain(x.float())):
        leaf = maps.clone().requires_grad_()
        values = function(leaf)
        assert type(values.grad_fn).__name__ == (
            "_PoolBackward" if function is pool else "MaxPool2DWithIndicesBackward0"
        )
        weights = th.randn(values.shape, generator=th.Generator().manual_seed(1)).to(maps.dtype)
        values.backward(weights.to(values.dtype))
        assert leaf.grad is not None
        found.append(leaf.grad)
    return found[0], found[1]


@settings(deadline=None)
@given(
    batch=st.integers(1, 3),
    channels=st.sampled_from([16, 32, 48]),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 1000),
)
def test_values_and_gradients_are_those_of_torch(
    batch: int, channels: int, height: int, width: int, dtype: th.dtype, seed: int
) -> None:
    maps = some(batch, channels, height, width, dtype=dtype, seed=seed)
    assert applies(maps)
    values = pool(maps)
    assert th.equal(values, plain(maps))
    assert values.is_contiguous(memory_format=th.channels_last)
    # Of bfloat16, too: sums in float32, rounded once
    ours, theirs = both(maps)
    assert th.equal(ours, theirs)


@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_without_order_and_without_end(dtype: th.dtype) -> None:
    maps = some(2, 16, 6, 7, dtype=dtype)
    maps[0, :, 2, 3] = th.nan
    maps[1, :, 4, 1] = -th.nan
    maps[0, :, 5, 5] = th.inf
    maps[1, :, :3, 4:] = -th.inf
    assert th.equal(pool(maps).isnan(), plain(maps).isnan())
    assert th.equal(pool(maps).nan_to_num(), plain(maps).nan_to_num())


@pytest.mark.parametrize("dtype", DTYPES)
def test_as_many_parts_as_threads(dtype: th.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    maps = some(5, 16, 9, 8, dtype=dtype)
    alone = both(maps)[0]
    monkeypatch.setattr(max_pool, "LEAST_FOR_THREADS", 0)
    before = th.get_num_threads()
    try:
        for threads in (2, 3, 8):
            th.set_num_threads(threads)
            assert th.equal(pool(maps), plain(maps))
            assert th.equal(both(maps)[0], alone)
    finally:
        th.set_num_threads(before)


def test_gradients_of_gradients() -> None:
    """As TRPO needs them."""

    def twice(function: Callable[[th.Tensor], th.Tensor]) -> list[th.Tensor]:
        maps, weights = some(2, 16, 5, 6).requires_grad_(), th.linspace(-1, 1, 2 * 16 * 9).view(2, 16, 3, 3)
        weights.requires_grad_()
        (first,) = th.autograd.grad(function(maps**2), maps, weights, create_graph=True)
        return list(th.autograd.grad((first**3).sum(), (maps, weights)))

    for ours, theirs in zip(twice(pool), twice(plain), strict=True):
        th.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(
    "maps",
    [
        some(2, 16, 6, 6).contiguous(),
        some(2, 13, 6, 6),
        some(2, 16, 6, 6).double(),
        some(2, 16, 6, 6).to("meta"),
        some(1, 16, 6, 6)[0],
        some(0, 16, 6, 6),
    ],
    ids=["channel-first", "thirteen channels", "float64", "meta", "no batch", "nothing"],
)
def test_others_are_left_to_torch(maps: th.Tensor) -> None:
    assert not applies(maps)
    assert pool(maps).shape == plain(maps).shape
    if not maps.is_meta:
        assert th.equal(pool(maps), plain(maps))


def test_left_to_torch_where_numba_does_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(name: str) -> None:
        raise ImportError("Numba needs NumPy 2.1 or less")

    monkeypatch.setattr(max_pool, "import_module", fails)
    monkeypatch.setattr(max_pool, "_kernels", max_pool._kernels.__wrapped__)
    maps = some(2, 16, 6, 6)
    assert not applies(maps)
    assert th.equal(pool(maps), plain(maps))


def test_tracers_and_transforms_see_the_operator_of_torch() -> None:
    maps = some(2, 16, 6, 6)
    with FakeTensorMode() as mode:
        assert pool(mode.from_tensor(maps)).shape == (2, 16, 3, 3)
    assert th.equal(th.vmap(pool)(maps[None])[0], plain(maps))
    assert th.equal(th.export.export(pool, (maps,)).module()(maps), plain(maps))
    with warnings.catch_warnings():
        # Newer versions of torch call it deprecated
        warnings.filterwarnings("ignore", ".*jit.trace")
        traced: Any = th.jit.trace(pool, maps)  # type: ignore[no-untyped-call]
    assert "max_pool2d" in str(traced.graph)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_impala_uses_it(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    images = th.randint(0, 256, (4, 4, 84, 84), dtype=th.uint8)
    extractor = make_extractor("impala", spaces.Box(0, 255, (4, 84, 84), "uint8"), precision=precision)
    ours = extractor(images)
    seen: list[th.Tensor] = []
    monkeypatch.setattr(max_pool, "applies", lambda maps: bool(seen.append(maps)))
    assert th.equal(extractor(images), ours)
    monkeypatch.undo()
    assert len(seen) == 3
    assert all(map(applies, seen))


def test_without_compiled_code(python: Run) -> None:
    code = """if True:
    import torch as th, torch.nn.functional as F
    from sb3_efficient.extractors.max_pool import HalvingMaxPool
    maps = th.randn(3, 16, 7, 8).contiguous(memory_format=th.channels_last)
    print(th.equal(HalvingMaxPool()(maps), F.max_pool2d(maps, 3, 2, 1)))
    """
    assert python("-c", code, NUMBA_DISABLE_JIT="1").stdout.strip() == "True"


@pytest.mark.parametrize("lanes", ["4", "8"])
def test_vectors_of_other_cpus(lanes: str, python: Run, tmp_path: Path) -> None:
    code = """if True:
    import torch as th, torch.nn.functional as F
    from sb3_efficient.extractors.max_pool import HalvingMaxPool
    for dtype in (th.float32, th.bfloat16):
        maps = th.randn(3, 16, 7, 8).to(dtype).contiguous(memory_format=th.channels_last).requires_grad_()
        ours, plain = HalvingMaxPool()(maps), F.max_pool2d(maps.float(), 3, 2, 1)
        gradients = [th.autograd.grad(values.float().square().sum(), maps)[0] for values in (ours, plain)]
        print(th.equal(ours.float(), plain), th.equal(*gradients))
    """
    done = python("-c", code, SB3_EFFICIENT_VECTOR=lanes, NUMBA_CACHE_DIR=str(tmp_path))
    assert done.stdout.split() == ["True"] * 4
