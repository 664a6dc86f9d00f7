"""How far a student's outputs are from its teacher's."""

from __future__ import annotations

from collections.abc import Callable

import torch as th
import torch.nn.functional as F
from gymnasium import spaces

from sb3_efficient.compression.networks import Networks, Outputs

Loss = Callable[[Outputs, Outputs], th.Tensor]


def make_loss(teaching: Networks, targets: Outputs, temperature: float, value_weight: float) -> Loss:
    """
    :param teaching: Networks of the teacher
    :param targets: Their outputs for all observations, which say what is large
    :param temperature: Of the action distribution over Q values, in units of their spread over actions
    :param value_weight: What errors of the critics count, in units of their spread over observations
    :return: From the outputs of student and teacher for a minibatch to one number
    """
    space = teaching.policy.action_space
    sizes = space.nvec.tolist() if isinstance(space, spaces.MultiDiscrete) else [targets.action[0].shape[1]]
    spreads = [values.std() + 1e-6 for values in targets.values]
    # What tells actions apart is small beside what tells states apart
    spread_of_q = targets.action[0].std(dim=1, correction=min(1, targets.action[0].shape[1] - 1)).mean() + 1e-6
    divergences: dict[str, Loss] = {
        "categorical": lambda own, target: categorical(own.action[0], target.action[0], sizes),
        "bernoulli": lambda own, target: bernoulli(own.action[0], target.action[0]),
        "gaussian": gaussian,
        "squashed": _squares,
        "deterministic": _squares,
        "q": lambda own, target: _softmax(own.action[0], target.action[0], temperature * spread_of_q),
    }

    def loss(own: Outputs, target: Outputs) -> th.Tensor:
        total = divergences[target.kind](own, target)
        for value, wanted, spread in zip(own.values, target.values, spreads, strict=True):
            total = total + value_weight * F.smooth_l1_loss(value / spread, wanted / spread)
        return total

    return loss


def categorical(logits: th.Tensor, target: th.Tensor, sizes: list[int]) -> th.Tensor:
    """
    :param logits: Of the student, (B, A), all discrete actions side by side
    :param target: Of the teacher
    :param sizes: How many of the ``A`` each action has
    :return: KL, summed over actions and averaged over the batch
    """
    pairs = zip(th.split(logits, sizes, dim=1), th.split(target, sizes, dim=1), strict=True)
    return th.stack([_softmax(own, wanted, th.ones(())) for own, wanted in pairs]).sum()


def bernoulli(logits: th.Tensor, target: th.Tensor) -> th.Tensor:
    """
    :param logits: Of the student, (B, A), each of a switch of its own
    :param target: Of the teacher
    :return: KL, summed over switches and averaged over the batch
    """
    wanted = target.sigmoid()
    excess = _cross_entropy(logits, wanted) - _cross_entropy(target, wanted)
    return excess.sum(dim=1).mean()


def _cross_entropy(logits: th.Tensor, wanted: th.Tensor) -> th.Tensor:
    return F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")


def _softmax(own: th.Tensor, target: th.Tensor, temperature: th.Tensor) -> th.Tensor:
    own, target = F.log_softmax(own / temperature, dim=1), F.log_softmax(target / temperature, dim=1)
    return F.kl_div(own, target, reduction="batchmean", log_target=True)


def gaussian(own: Outputs, target: Outputs) -> th.Tensor:
    """
    :param own: Mean and log_std of the student's diagonal Gaussian
    :param target: Of the teacher's
    :return: KL, summed over dimensions and averaged over the batch
    """
    (mean, log_std), (wanted, wanted_log_std) = own.action, target.action
    ratio = (2 * (wanted_log_std - log_std)).exp()
    distance = (wanted - mean).pow(2) / (2 * log_std).exp()
    return 0.5 * (ratio + distance - 1 - 2 * (wanted_log_std - log_std)).sum(dim=1).mean()


def _squares(own: Outputs, target: Outputs) -> th.Tensor:
    return th.stack([F.mse_loss(one, other) for one, other in zip(own.action, target.action, strict=True)]).sum()
