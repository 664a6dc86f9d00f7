"""The loss of QR-DQN and TQC from sums over sorted targets, without a matrix of all pairs of quantiles."""

from __future__ import annotations

from typing import Any

import torch as th
from sb3_contrib.common.utils import quantile_huber_loss as plain_loss
from sb3_contrib.qrdqn import qrdqn
from sb3_contrib.tqc import tqc
from stable_baselines3.common.base_class import BaseAlgorithm
from torch.nn.functional import pad

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
            plan.change(f"loss: from sorted quantiles, not from all pairs ({algorithm.__name__}, whole process)")


def quantile_huber_loss(
    current_quantiles: th.Tensor,
    target_quantiles: th.Tensor,
    cum_prob: th.Tensor | None = None,
    sum_over_quantiles: bool = True,
) -> th.Tensor:
    """
    Quantile Huber loss (Dabney et al. 2018, equation 10), as :func:`sb3_contrib.common.utils.quantile_huber_loss`.

    There the differences of N quantiles and M targets go through a dozen operations, each with a result of N x M that
    autograd keeps and goes back through. Here the targets are sorted: where the loss is one polynomial, it and its
    gradient follow from how many targets there are and from the sums of them and of their squares, so that no N x M
    is ever computed.

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
        n, m = current.shape[-1], target.shape[-1]
        tau = (th.arange(n, device=current.device, dtype=th.float64) + 0.5) / n
        count, delta, square = _zones(current, target)
        # Targets below a quantile weigh 1 - tau, those above tau
        slope = th.lerp(delta[1] - count[0], delta[2] + count[3], tau)
        loss = th.lerp(square[1] - 2 * delta[0] - count[0], square[2] + 2 * delta[3] - count[3], tau)
        ctx.save_for_backward((slope / -m).to(current.dtype))
        return (loss / (2 * m)).to(current.dtype)

    @staticmethod
    @th.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: th.Tensor) -> tuple[th.Tensor, None]:
        (slope,) = ctx.saved_tensors
        return gradient * slope, None


def _zones(current: th.Tensor, target: th.Tensor) -> tuple[th.Tensor, th.Tensor, th.Tensor]:
    """
    What the targets of each quantile amount to in each of four zones, in which the Huber loss is one formula: more than
    1 below it, below, above, and more than 1 above.

    :return: Their number, and the sums of differences to the quantile and of the squares of these, each (4, ..., N)
    """
    # Differences of sums, near zero and in float64, so that they are exact beyond float32
    middle = target.double().mean(dim=-1, keepdim=True)
    points = current - middle
    ordered = (target - middle).sort(dim=-1).values.expand(*points.shape[:-1], -1).contiguous()
    ends = [th.zeros_like(points, dtype=th.long), th.full_like(points, target.shape[-1], dtype=th.long)]
    inner = [th.searchsorted(ordered, points + step) for step in (-1, 0, 1)]
    edges = th.stack([ends[0], *inner, ends[1]])

    def sums(values: th.Tensor) -> th.Tensor:
        up_to = pad(values.cumsum(dim=-1), (1, 0))
        return up_to.expand(len(edges), *up_to.shape).gather(-1, edges).diff(dim=0)

    count, total = edges.diff(dim=0), sums(ordered)
    return count, total - count * points, sums(ordered.square()) - (2 * total - count * points) * points
