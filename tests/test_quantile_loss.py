"""The loss of QR-DQN and TQC by fewer passes: the same number, the same gradient."""

from __future__ import annotations

import pytest
import torch as th
from hypothesis import given, settings
from hypothesis import strategies as st
from sb3_contrib.common.utils import quantile_huber_loss as plain_loss
from sb3_contrib.qrdqn import qrdqn
from sb3_contrib.tqc import tqc
from test_policies import model

from sb3_efficient import accelerate
from sb3_efficient.fast.quantile_loss import quantile_huber_loss


@pytest.fixture
def loss_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (qrdqn, tqc):
        monkeypatch.setattr(module, "quantile_huber_loss", plain_loss)


def both(current: th.Tensor, target: th.Tensor, summed: bool) -> list[tuple[th.Tensor, th.Tensor]]:
    """
    :return: Loss and gradient, of sb3-contrib and ours
    """
    found = []
    for function in (plain_loss, quantile_huber_loss):
        leaf = current.clone().requires_grad_()
        loss = function(leaf, target, sum_over_quantiles=summed)
        (gradient,) = th.autograd.grad(3 * loss, leaf)
        found.append((loss.detach(), gradient))
    return found


@settings(deadline=None)
@given(
    critics=st.sampled_from([None, 1, 3]),
    shared_target=st.booleans(),
    sizes=st.tuples(*[st.integers(1, 7)] * 3),
    scale=st.sampled_from([0.0, 0.1, 1.0, 30.0]),
    whole=st.booleans(),
    summed=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_same_loss_and_gradient(
    critics: int | None,
    shared_target: bool,
    sizes: tuple[int, int, int],
    scale: float,
    whole: bool,
    summed: bool,
    seed: int,
) -> None:
    batch, n, m = sizes
    generator = th.Generator().manual_seed(seed)
    middle = [] if critics is None else [critics]
    current = th.randn(batch, *middle, n, generator=generator, dtype=th.float64) * scale
    target = th.randn(batch, *([1] if middle and shared_target else middle), m, generator=generator, dtype=th.float64)
    if whole:
        # Differences of exactly 0 and 1, where the pieces meet
        current, target = current.round(), target.round()
    (plain, plain_gradient), (ours, our_gradient) = both(current, target, summed)
    th.testing.assert_close(ours, plain)
    th.testing.assert_close(our_gradient, plain_gradient)


def test_values_that_are_no_numbers_are_not_hidden() -> None:
    for bad in (th.nan, th.inf):
        (plain, _), (ours, _) = both(th.zeros(2, 3), th.tensor([[0.0, bad], [1.0, 2.0]]), True)
        assert not plain.isfinite()
        assert not ours.isfinite()


def test_what_it_does_not_know_goes_to_the_original() -> None:
    current, target = th.zeros(2, 3), th.ones(2, 4)
    weights = th.tensor([0.1, 0.5, 0.6]).view(1, -1, 1)
    assert quantile_huber_loss(current, target, weights) == plain_loss(current, target, weights)
    needed = target.clone().requires_grad_()
    assert th.autograd.grad(quantile_huber_loss(current, needed), needed)[0].all()
    with pytest.raises(ValueError, match="needs to match"):
        quantile_huber_loss(current, th.ones(2, 1, 4))


@pytest.mark.parametrize(("algo", "module"), [("qrdqn", qrdqn), ("tqc", tqc)])
def test_accelerate_puts_it_where_the_algorithm_looks(algo: str, module: object, loss_as_it_was: None) -> None:
    agent = model(algo)
    assert sum("loss: " in line for line in accelerate(agent, keep_memory=False).changes) == 1
    assert vars(module)["quantile_huber_loss"] is quantile_huber_loss
    assert not any("loss: " in line for line in accelerate(agent, keep_memory=False).changes)


def test_other_algorithms_leave_it(loss_as_it_was: None) -> None:
    accelerate(model("dqn"), keep_memory=False)
    for module in (qrdqn, tqc):
        assert vars(module)["quantile_huber_loss"] is plain_loss


@pytest.mark.parametrize("far", [1e3, 1e5, 1e7])
def test_a_target_far_from_the_others(far: float) -> None:
    target = th.linspace(-0.9, 0.9, 25)[None].clone()
    target[0, -1] = far
    current = th.linspace(-0.5, 0.5, 25)[None].clone().requires_grad_()
    (found,) = th.autograd.grad(quantile_huber_loss(current, target), current)
    (expected,) = th.autograd.grad(plain_loss(current.double(), target.double()), current)
    assert (found - expected).abs().max() < 1e-6 * expected.abs().max()
