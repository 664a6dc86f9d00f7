"""
Generalized state-dependent exploration (gSDE, Raffin et al. 2021), SB3's ``use_sde=True``: the noise of actions is a
linear function of the latents before the last layer, whose weights are drawn.

Shapes: ``B`` batch, ``F`` numbers before the last layer, ``A`` dimensions of the action.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch as th
import torch.nn.functional as F
from stable_baselines3.common.distributions import StateDependentNoiseDistribution

#: What the distribution has drawn
_DRAWN = ("weights_dist", "exploration_mat", "exploration_matrices")


def exploring(policy: Any) -> Any:
    """
    :param policy: Of any SB3 or contrib model
    :return: What has its ``action_dist`` and ``log_std``, (F, A) or (F, 1): the policy, or its actor; None if it does
        not explore by state
    """
    actor = getattr(policy, "actor", policy)
    return actor if isinstance(getattr(actor, "action_dist", None), StateDependentNoiseDistribution) else None


@th.no_grad()
def explore_anew(policy: Any, n: int = 1) -> None:
    """
    Draw the noise, which SB3 otherwise keeps from when the model was made. Where there is none nothing is drawn.

    :param policy: Of any SB3 or contrib model
    :param n: Number of environments
    """
    if exploring(policy) is not None:
        policy.reset_noise(n)


@contextmanager
def kept_exploration(policy: Any) -> Iterator[None]:
    """
    The noise is afterwards what it was.

    :param policy: Of any SB3 or contrib model
    """
    actor = exploring(policy)
    drawn = {} if actor is None else {name: getattr(actor.action_dist, name) for name in _DRAWN}
    try:
        yield
    finally:
        for name, value in drawn.items():
            setattr(actor.action_dist, name, value)


def variances(actor: Any) -> th.Tensor:
    """
    :param actor: Of :func:`exploring`
    :return: Of the weights, (A, F)
    """
    return actor.action_dist.get_std(actor.log_std).square().T


def log_deviation(latent: th.Tensor, variances: th.Tensor, epsilon: th.Tensor) -> th.Tensor:
    """
    :param latent: (B, F)
    :param variances: Of the weights, (A, F)
    :param epsilon: The least variance, (A,)
    :return: Logarithm of the standard deviation of each action, (B, A)
    """
    return 0.5 * F.linear(latent.square(), variances, epsilon).log()
