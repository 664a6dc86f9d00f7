"""Adam in one pass over the weights instead of ten."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
from weakref import WeakSet

import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm
from torch.optim import Adam, AdamW, Optimizer

from sb3_efficient.fast.plan import Plan
from sb3_efficient.optimizers import optimizers

#: That have the hooks of a fusion
_fused: WeakSet[Optimizer] = WeakSet()


def plan_optimizers(plan: Plan, model: BaseAlgorithm) -> None:
    """
    :param plan: Gets what is to be done
    :param model: Any SB3 model
    """
    for optimizer in optimizers(model.policy):
        name = type(optimizer).__name__
        if (reason := _obstacle(optimizer)) is not None:
            plan.leave(f"optimizer: {name} {reason}")
        elif not _is_fused(optimizer):
            fusion = _Fusion(optimizer)
            plan.step(fusion.do, fusion.undo)
            plan.change(f"optimizer: fused {name}, its state kept")


def _obstacle(optimizer: Optimizer) -> str | None:
    if type(optimizer) not in (Adam, AdamW):
        return "has no fused form"
    # Not that of the groups, which may have been loaded from a zip of an older torch
    is_refused = optimizer.defaults["fused"] is False
    explicit = ("foreach", "capturable", "differentiable")
    if is_refused or any(group[key] for group in optimizer.param_groups for key in explicit):
        return "was set up explicitly (foreach, capturable, differentiable or fused=False)"
    # A fused step walks through memory: weights and moments must lie in the same order
    if not all(p.is_contiguous() for group in optimizer.param_groups for p in group["params"]):
        return "holds weights that are not contiguous"
    return None


def _is_fused(optimizer: Optimizer) -> bool:
    """By this package, or as it was made. The groups of a copy say so, and yet its hooks were not copied."""
    is_ours = optimizer in _fused or optimizer.defaults["fused"]
    return bool(is_ours) and all(group["fused"] for group in optimizer.param_groups)


class _Fusion:
    """Turns an optimizer's fused form on, keeps it on when a state is loaded, and out of the states it saves."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        is_copy = all(group["fused"] for group in optimizer.param_groups)
        self.before = [optimizer.defaults["fused"] if is_copy else group["fused"] for group in optimizer.param_groups]
        self.hooks: list[Any] = []

    def do(self) -> None:
        strip: Callable[..., None] = partial(_strip, self.before)
        self.hooks = [
            self.optimizer.register_state_dict_post_hook(strip),
            self.optimizer.register_load_state_dict_post_hook(_turn_on),
        ]
        _fused.add(self.optimizer)
        _turn_on(self.optimizer)

    def undo(self) -> None:
        _fused.discard(self.optimizer)
        for hook in self.hooks:
            hook.remove()
        _set_back(self.optimizer.param_groups, self.before, self.optimizer)


def _strip(before: list[Any], optimizer: Optimizer, state_dict: dict[str, Any]) -> None:
    # state_dict() made these groups anew; the optimizer's own are others
    _set_back(state_dict["param_groups"], before, optimizer)


def _set_back(groups: list[dict[str, Any]], before: list[Any], optimizer: Optimizer) -> None:
    for i, group in enumerate(groups):
        # Further ones were added since then
        group["fused"] = before[i] if i < len(before) else optimizer.defaults["fused"]


def _turn_on(optimizer: Optimizer) -> None:
    for group in optimizer.param_groups:
        group["fused"] = True
    for parameter, state in optimizer.state.items():
        for key, value in state.items():
            if not isinstance(value, th.Tensor):
                continue
            # Loaded without the flag, the number of steps stays on the CPU, where a fused step on a GPU cannot use it
            state[key] = value.to(parameter.device) if key == "step" else value.contiguous()
