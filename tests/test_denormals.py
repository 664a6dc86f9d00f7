"""Averages that have died away are set to zero, and nobody but the clock notices."""

from __future__ import annotations

import copy
import gc
import weakref
from functools import partial
from typing import Any

import pytest
import torch as th
from test_policies import model
from torch import nn
from torch.optim import Adam

from sb3_efficient import accelerate
from sb3_efficient.fast import denormals
from sb3_efficient.fast.denormals import INTERVAL, plan_denormals
from sb3_efficient.fast.plan import Plan

SMALLEST = th.finfo(th.float32).tiny


class Holder:
    """What the plan wants of a model: a policy with an optimizer."""

    def __init__(self, optimizer: Any) -> None:
        self.policy = nn.Module()
        self.policy.optimizer = optimizer


def watched(optimizer: Any) -> Plan:
    plan = Plan()
    plan_denormals(plan, Holder(optimizer))  # type: ignore[arg-type]
    plan.run()
    return plan


def with_dead_weights(steps: int, watch: bool, **options: Any) -> tuple[nn.Parameter, dict[str, th.Tensor]]:
    """Half of the weights get a gradient at first only, as behind a ReLU that dies, and one gets another at the end."""
    weight = nn.Parameter(th.linspace(-1, 1, 64))
    optimizer = Adam([weight], lr=1e-3, **options)
    if watch:
        watched(optimizer)
    for step in range(steps):
        weight.grad = th.cos(th.arange(64.0) + step)
        weight.grad[32:] *= step < 5
        weight.grad[40] = float(step < 5 or step >= steps - 3)
        optimizer.step()
    return weight, optimizer.state[weight]


@pytest.mark.parametrize("options", [{}, {"fused": True}, {"foreach": True}, {"amsgrad": True}])
def test_same_weights_without_denormal_moments(options: dict[str, Any]) -> None:
    steps = 60 * INTERVAL
    plain, plain_state = with_dead_weights(steps, watch=False, **options)
    ours, state = with_dead_weights(steps, watch=True, **options)
    assert th.equal(ours, plain)
    dead = plain_state["exp_avg"].abs()
    assert ((dead > 0) & (dead < SMALLEST)).sum() == 31
    assert (state["exp_avg"][32:] == 0).sum() == 31
    for key, found in state.items():
        lives = plain_state[key].abs() > SMALLEST
        assert th.equal(found[lives], plain_state[key][lives])


def test_only_denormal_moments_become_zero() -> None:
    weight = nn.Parameter(th.zeros(4))
    optimizer = Adam([weight], lr=1e-3)
    weight.grad = th.zeros(4)
    optimizer.step()
    state = optimizer.state[weight]
    state["exp_avg"].copy_(th.tensor([th.nan, -th.inf, -2 * SMALLEST, -SMALLEST / 2]))
    sweep = denormals._Sweep()
    for _ in range(INTERVAL):
        assert state["exp_avg"][3] != 0
        sweep(optimizer)
    expected = th.tensor([th.nan, -th.inf, -2 * SMALLEST, 0.0])
    th.testing.assert_close(state["exp_avg"], expected, equal_nan=True, rtol=0, atol=0)
    assert state["step"] == 1


def test_left_alone_where_zeros_would_matter() -> None:
    assert not watched(Adam([nn.Parameter(th.zeros(3))], eps=0.0)).changes


def test_once_and_undone_when_accelerate_fails() -> None:
    optimizer = Adam([nn.Parameter(th.zeros(3))])
    plan = Plan()
    plan_denormals(plan, Holder(optimizer))  # type: ignore[arg-type]
    plan.step(partial(int, "no number"), partial(int))
    with pytest.raises(ValueError, match="no number"):
        plan.run()
    assert not optimizer._optimizer_step_post_hooks
    assert len(watched(optimizer).changes) == 1
    assert not watched(optimizer).changes
    # A copy comes without the hooks
    assert watched(copy.deepcopy(optimizer)).changes


def test_an_optimizer_is_not_kept_alive() -> None:
    optimizer = Adam([nn.Parameter(th.zeros(3))])
    watched(optimizer)
    reference = weakref.ref(optimizer)
    del optimizer
    gc.collect()
    assert reference() is None


def test_part_of_accelerate_on_the_cpu() -> None:
    agent = model("ppo")
    assert any("1e-38" in line for line in accelerate(agent, keep_memory=False).changes)
    assert agent.policy.optimizer in denormals._hooks
    assert not any("1e-38" in line for line in accelerate(agent, keep_memory=False).changes)
