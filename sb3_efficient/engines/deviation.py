"""
How far continuous actions are spread: the logarithm of their standard deviation, where SB3 has no layer for it.

Shapes: ``B`` batch, ``F`` numbers before the last layer, ``A`` dimensions of the action.
"""

from __future__ import annotations

from typing import Any

import torch as th
from stable_baselines3.common.distributions import StateDependentNoiseDistribution
from torch import nn


def log_deviation(distribution: Any, log_std: th.Tensor, latent_sde: th.Tensor | None = None) -> th.Tensor:
    """
    :param distribution: Of a policy of continuous actions
    :param log_std: As SB3 hands it to the distribution
    :param latent_sde: (B, F)
    :return: (B, A), or ``log_std`` where it is that already. Gradients flow as in SB3's own distribution, which stays
        as it is
    """
    if latent_sde is None or not isinstance(distribution, StateDependentNoiseDistribution):
        return log_std
    latent = latent_sde if distribution.learn_features else latent_sde.detach()
    variance = latent.square() @ distribution.get_std(log_std).square()
    return 0.5 * (variance + distribution.epsilon).log()


class Fixed(nn.Module):
    """
    The same for every observation.

    :param log_std: (A,), of PPO's gaussian
    """

    def __init__(self, log_std: th.Tensor) -> None:
        super().__init__()
        self.log_std = nn.Parameter(log_std.detach().clone())

    def forward(self, latent: th.Tensor) -> th.Tensor:
        return self.log_std.expand(latent.shape[0], -1)


class StateDependent(nn.Module):
    """
    Of generalized state-dependent exploration (Raffin et al. 2021, section 3): noise is a linear function of the
    latents, whose weights are drawn, so that its variance is linear in their squares.

    :param distribution: Of the policy; it says how its parameters become standard deviations
    :param log_std: (F, A), or (F, 1) for all dimensions: those of the weights
    """

    def __init__(self, distribution: StateDependentNoiseDistribution, log_std: th.Tensor) -> None:
        super().__init__()
        variances = distribution.get_std(log_std.detach()).square().T
        dimensions, features = variances.shape
        # Without drawing random numbers, which training may go on with
        self.variance = nn.Linear(features, dimensions, device="meta").to_empty(device="cpu")
        with th.no_grad():
            self.variance.weight.copy_(variances)
            self.variance.bias.fill_(distribution.epsilon)

    def forward(self, latent: th.Tensor) -> th.Tensor:
        """
        :param latent: (B, F)
        :return: (B, A)
        """
        return 0.5 * self.variance(latent.square()).log()
