"""Another model of the same kind: what is compressed is a copy, and the original stays as it is."""

from __future__ import annotations

import io
from typing import Any, TypeVar

from stable_baselines3.common.base_class import BaseAlgorithm
from torch.optim import Optimizer

Model = TypeVar("Model", bound=BaseAlgorithm)


def copied(model: Model) -> Model:
    """
    What ``save`` and ``load`` would give, so that whatever comes out of here can be saved and loaded.

    :param model: Any SB3 or contrib model
    :return: Another one, with the same environment
    """
    zipped = io.BytesIO()
    model.save(zipped)
    zipped.seek(0)
    return type(model).load(zipped, env=model.get_env(), device=model.device)


def forget_moments(policy: Any) -> None:
    """
    Have the optimizers start anew: their running averages belong to weights that are no more.

    :param policy: Policy of an SB3 or contrib model
    """
    for optimizer in optimizers(policy):
        optimizer.state.clear()


def optimizers(policy: Any) -> list[Optimizer]:
    """
    :param policy: Policy of an SB3 or contrib model
    :return: Its optimizers: one, or those of its actor and critic
    """
    owners = [policy, *policy.children()]
    found = [getattr(owner, "optimizer", None) for owner in owners]
    return [optimizer for optimizer in found if isinstance(optimizer, Optimizer)]
