"""The loss of QR-DQN and TQC, whose matrices of all pairs of quantiles are not kept for the way back."""

from __future__ import annotations

from typing import Any

import torch as th
from sb3_contrib.common.utils import quantile_huber_loss as plain_loss
from sb3_contrib.qrdqn import qrdqn
from sb3_contrib.tqc import tqc
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_efficient.fast.plan import Plan

NAME = plain_loss.__name__


def plan_quantile_loss(plan: Plan, model: BaseAlgorithm) -> None:
    """
    Replace the loss in the module of the algorithm, where its ``train`` looks it up.

    :param plan: Gets what is to be done
    :param model: Any SB3 model
    """
    for module, algorithm in ((qrdqn, qrdqn.QRDQN), (tqc, tqc.TQC)):
        if isinstance(model, algorithm) and getattr(module, NAME) is plain_loss:
            plan.set(module, NAME, quantile_huber_loss)
            plan.change(f"loss: gradients of all pairs of quantiles at once ({algorithm.__name__}, whole process)")


def quantile_huber_loss(
    current_quantiles: th.Tensor,
    target_quantiles: th.Tensor,
    cum_prob: th.Tensor | None = None,
    sum_over_quantiles: bool = True,
) -> th.Tensor:
    """
    Quantile Huber loss (Dabney et al. 2018, equation 10), as :func:`sb3_contrib.common.utils.quantile_huber_loss`.

    There the differences of N quantiles and M targets go through a dozen operations, each with a result of N x M that
    autograd keeps and goes back through; here they are summed in the same pass as their gradient, known in closed form.

    :param current_quantiles: (B, N) or (B, critics, N)
    :param target_quantiles: (B, M), (B, 1, M) or (B, critics, M)
    :param cum_prob: If given (neither algorithm does), or if the targets need gradients, sb3-contrib's loss is used
    :param sum_over_quantiles: Whether to sum over N, instead of averaging
    :return: A number
    """
    shapes = current_quantiles.shape[:-1], target_quantiles.shape[:-1]
    usual = len(shapes[0]) == len(shapes[1]) in (1, 2) and shapes[0][0] == shapes[1][0]
    if cum_prob is not None or target_quantiles.requires_grad or not usual:
        return plain_loss(current_quantiles, target_quantiles, cum_prob, sum_over_quantiles)
    losses: th.Tensor = _MeanOverTargets.apply(current_quantiles, target_quantiles)  # type: ignore[no-untyped-call]
    return (losses.sum(dim=-1) if sum_over_quantiles else losses).mean()


class _MeanOverTargets(th.autograd.Function):
    """Of each quantile its loss, (B, N) or (B, critics, N)."""

    @staticmethod
    def forward(ctx: Any, current: th.Tensor, target: th.Tensor) -> th.Tensor:
        n = current.shape[-1]
        tau = (th.arange(n, device=current.device, dtype=current.dtype) + 0.5) / n
        # (..., N, M)
        delta = target.unsqueeze(-2) - current.unsqueeze(-1)
        (slope_below, loss_below), (slope_above, loss_above) = _huber(delta, -1, 0), _huber(delta, 0, 1)
        # 1 - tau and tau of them, as targets lie below and above
        ctx.save_for_backward(-th.lerp(slope_below, slope_above, tau))
        return th.lerp(loss_below, loss_above, tau)

    @staticmethod
    @th.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: th.Tensor) -> tuple[th.Tensor, None]:
        (slope,) = ctx.saved_tensors
        return gradient * slope, None


def _huber(delta: th.Tensor, low: int, high: int) -> tuple[th.Tensor, th.Tensor]:
    """
    :param delta: Differences, (..., N, M)
    :return: Means over M of slope and loss of those on one side, (..., N)
    """
    near = delta.clamp(low, high)
    slope = near.mean(dim=-1)
    # Within 1, delta * delta / 2, beyond it |delta| - 1/2: both are near * (delta - near / 2)
    return slope, near.mul_(delta.sub(near, alpha=0.5)).mean(dim=-1)
