"""Where SB3's models have their optimizers."""

from __future__ import annotations

from stable_baselines3.common.policies import BasePolicy
from torch.optim import Optimizer


def optimizers(policy: BasePolicy) -> list[Optimizer]:
    """
    :param policy: Of any SB3 or contrib model
    :return: The optimizers that it or a part of it holds: one, or those of actor and critic
    """
    held = (value for module in policy.modules() for value in vars(module).values())
    return list({id(value): value for value in held if isinstance(value, Optimizer)}.values())
