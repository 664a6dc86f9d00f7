"""Extractors compiled by torch."""

from __future__ import annotations

from functools import partial
from typing import Any

from sb3_contrib import TRPO
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import nn

from sb3_efficient.fast.forward import FastForward
from sb3_efficient.fast.plan import Plan


def plan_compiled(plan: Plan, model: BaseAlgorithm, extractor: nn.Module) -> None:
    """
    :param plan: Gets what is to be done
    :param model: The model of the extractor
    :param extractor: What is to be compiled
    """
    if extractor._compiled_call_impl is not None:
        return
    if not isinstance(vars(extractor).get("forward"), FastForward | None):
        plan.leave(f"network: {type(extractor).__name__} is frozen, or has another forward of its own: not compiled")
        return
    if isinstance(model, TRPO):
        plan.leave("network: TRPO takes gradients of gradients, which compiled networks do not have")
        return
    undo = partial(setattr, extractor, "_compiled_call_impl", None)
    plan.step(partial(compile_extractor, extractor, model.device.type), undo)
    plan.change("network: compiled when it is first used")


def compile_extractor(extractor: nn.Module, device_type: str) -> None:
    """
    Compile in place: on a GPU into CUDA graphs, which spare it the launch of every single kernel.

    :param extractor: Any module with one output
    :param device_type: Where it computes, ``"cpu"`` or ``"cuda"``
    """
    if device_type != "cuda":
        extractor.compile()
        return
    extractor.compile(mode="reduce-overhead")
    replay: Any = extractor._compiled_call_impl
    # The next replay writes over this output, which the layers behind keep until they are propagated back
    extractor._compiled_call_impl = lambda *args, **kwargs: replay(*args, **kwargs).clone()
