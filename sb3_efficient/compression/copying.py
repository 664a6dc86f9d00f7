"""Another model of the same kind: what is compressed is a copy, and the original stays as it is."""

from __future__ import annotations

import io
from typing import Any, TypeVar

from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_efficient.generators import kept_generators
from sb3_efficient.optimizers import optimizers
from sb3_efficient.seer.resume import train_from_images

Model = TypeVar("Model", bound=BaseAlgorithm)


def copied(model: Model) -> Model:
    """
    What ``save`` and ``load`` would give, so that whatever comes out of here can be saved and loaded. Of a model that
    SEER has frozen it is one that learns from images, all layers: its encoder is not that of stored latents any more.

    :param model: Any SB3 or contrib model
    :return: Another one, with the same environment
    """
    zipped = io.BytesIO()
    model.save(zipped)
    zipped.seek(0)
    # Seeds the generators that all share, and would seed the environment, so that it comes later
    with kept_generators():
        another = type(model).load(zipped, device=model.device)
    train_from_images(another)
    env = model.get_env()
    if env is not None:
        another.set_env(env)
    # As it acts: statistics of batches move only where it is trained
    another.policy.set_training_mode(False)
    return another


def forget_moments(policy: Any) -> None:
    """
    Have the optimizers start anew: their moments belong to weights that are no more.

    :param policy: Policy of an SB3 or contrib model
    """
    for optimizer in optimizers(policy):
        optimizer.state.clear()
