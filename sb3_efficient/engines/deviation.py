"""
How far continuous actions are spread: the logarithm of their standard deviation, where SB3 has no layer for it.

Shapes: ``B`` batch, ``F`` numbers before the last layer, ``A`` dimensions of the action.
"""

from __future__ import annotations

from typing import Any

import torch as th
from torch import nn

from sb3_efficient.exploration import log_deviation, variances


class Fixed(nn.Module):
    """
    The same for every observation.

    :param log_std: (A,), of PPO's gaussian
    """

    def __init__(self, log_std: th.Tensor) -> None:
        super().__init__()
        self.log_std = nn.Parameter(log_std.detach().clone())

    def forward(self, latent: th.Tensor) -> th.Tensor:
        # A copy: what an engine gives is the caller's, who may write to it
        return self.log_std.expand(latent.shape[0], -1).clone()


class StateDependent(nn.Module):
    """
    By state, as the policy explores.

    :param actor: Of :func:`~sb3_efficient.exploration.exploring`
    """

    def __init__(self, actor: Any) -> None:
        super().__init__()
        found = variances(actor).detach().clone(memory_format=th.contiguous_format)
        self.variances = nn.Parameter(found)
        self.epsilon = nn.Parameter(found.new_full(found.shape[:1], actor.action_dist.epsilon))

    def forward(self, latent: th.Tensor) -> th.Tensor:
        """
        :param latent: (B, F)
        :return: (B, A)
        """
        return log_deviation(latent, self.variances, self.epsilon)
