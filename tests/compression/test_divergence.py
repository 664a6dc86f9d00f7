from __future__ import annotations

import torch as th
from torch.distributions import Bernoulli, Categorical, Normal, kl_divergence

from sb3_efficient.compression.divergence import bernoulli, categorical, gaussian
from sb3_efficient.compression.networks import Outputs


def test_categorical_is_that_of_torch() -> None:
    one, other = th.randn(7, 5), th.randn(7, 5)
    first = kl_divergence(Categorical(logits=other[:, :3]), Categorical(logits=one[:, :3])).mean()
    second = kl_divergence(Categorical(logits=other[:, 3:]), Categorical(logits=one[:, 3:])).mean()
    th.testing.assert_close(categorical(one, other, [3, 2]), first + second)


def test_gaussian_is_that_of_torch() -> None:
    one, other = th.randn(7, 5), th.randn(7, 5)
    expected = kl_divergence(Normal(other, other.exp()), Normal(one, one.exp())).sum(dim=1).mean()
    th.testing.assert_close(gaussian(Outputs("gaussian", (one, one)), Outputs("gaussian", (other, other))), expected)


def test_bernoulli_is_that_of_torch() -> None:
    one, other = th.randn(7, 5), th.randn(7, 5)
    expected = kl_divergence(Bernoulli(logits=other), Bernoulli(logits=one)).sum(dim=1).mean()
    th.testing.assert_close(bernoulli(one, other), expected)
