"""
Moments in Adam that have decayed to denormal numbers.

A weight behind a dead ReLU gets no gradient, so its first moment in Adam shrinks by a tenth with every step. After some
800 steps it is below the smallest normal number of float32, 1.2e-38, and there it stays, as a tenth of the smallest
number there is would be rounded away. A fifth to a third of NatureCNN's moments are like this after 1,500 updates on
Pong, and CPUs take many times as long over denormal numbers as over others (examples/benchmarks/update_parts.py). As
zeros they cost nothing.
"""

from __future__ import annotations

from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm
from torch.optim import Optimizer

from sb3_efficient.fast.plan import Plan
from sb3_efficient.optimizers import optimizers

#: Optimizer steps from one sweep to the next; a sweep takes a third of a step
INTERVAL = 20
#: The root of a second moment that becomes zero is below 1e-19; what optimizers add to it must be far above
LEAST_EPS = 1e-12

_hooks: WeakKeyDictionary[Optimizer, Any] = WeakKeyDictionary()


def plan_denormals(plan: Plan, model: BaseAlgorithm) -> None:
    """
    Set denormal moments of an optimizer on the CPU to zero, now and then. What they add to a step is below 1e-26.

    :param plan: Gets what is to be done
    :param model: Any SB3 model
    """
    for optimizer in optimizers(model.policy):
        if optimizer not in _hooks and all(map(_bears_zeros, optimizer.param_groups)):
            plan.step(partial(_watch, optimizer), partial(_unwatch, optimizer))
            plan.change("moments: denormal ones, below 1e-38, are flushed to zero, as CPUs are slow with them")


def _bears_zeros(group: dict[str, Any]) -> bool:
    # Adafactor has two, of another meaning
    eps = group.get("eps", 1)
    return isinstance(eps, (int, float)) and eps >= LEAST_EPS


def _watch(optimizer: Optimizer) -> None:
    _hooks[optimizer] = optimizer.register_step_post_hook(_Sweep())


def _unwatch(optimizer: Optimizer) -> None:
    if (hook := _hooks.pop(optimizer, None)) is not None:
        hook.remove()


class _Sweep:
    """A hook, called after each step. It knows the optimizer by its argument, so that it does not keep it alive."""

    def __init__(self) -> None:
        self.steps = 0

    def __call__(self, optimizer: Optimizer, *_: Any) -> None:
        self.steps += 1
        if self.steps % INTERVAL:
            return
        for state in optimizer.state.values():
            for moment in state.values():
                if isinstance(moment, th.Tensor) and moment.ndim and moment.is_floating_point():
                    th.hardshrink(moment, th.finfo(moment.dtype).tiny, out=moment)
