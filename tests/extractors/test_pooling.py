from __future__ import annotations

import numpy as np
import pytest
import torch as th
from agents import Images, images
from stable_baselines3 import PPO
from torch import nn

from sb3_efficient import make_engine, policy_kwargs
from sb3_efficient.extractors.pooling import _regular, replace_adaptive_pools


@pytest.mark.parametrize(("n_input", "n_output"), [(11, 6), (12, 6), (6, 6), (7, 4), (9, 1), (9, 6), (5, 6)])
def test_adaptive_max_in_plain_operators(n_input: int, n_output: int) -> None:
    maps = th.randn(2, 3, n_input, n_input + 1)
    pool = nn.AdaptiveMaxPool2d((n_output, None))
    assert th.equal(replace_adaptive_pools(nn.Sequential(nn.ReLU(), pool))(maps), pool(maps.relu()))


def test_global_average() -> None:
    maps = th.randn(2, 3, 5, 6)
    found = replace_adaptive_pools(nn.Sequential(nn.AdaptiveAvgPool2d(1)))(maps)
    th.testing.assert_close(found, maps.mean(dim=(2, 3), keepdim=True))


@pytest.mark.parametrize("pool", ["average", "adaptive-max-6"])
def test_extractors_that_pool(pool: str) -> None:
    kwargs = policy_kwargs("impala", PPO, pool=pool, depths=(4, 4), features_dim=16)
    model = PPO("CnnPolicy", Images(), policy_kwargs=kwargs, device="cpu", seed=0)
    with th.no_grad():
        expected = model.policy.get_distribution(th.as_tensor(images(4))).distribution.logits
    for name in ("eager", "onnxruntime"):
        logits = th.as_tensor(make_engine(model, name).outputs(images(4))["logits"]).log_softmax(dim=1)
        np.testing.assert_allclose(logits, expected, atol=1e-5)


def test_windows_are_searched_once() -> None:
    pool, maps = replace_adaptive_pools(nn.Sequential(nn.AdaptiveMaxPool2d(6))), th.randn(1, 1, 13, 13)
    pool(maps)
    searched = _regular.cache_info().misses
    pool(maps)
    assert _regular.cache_info().misses == searched
