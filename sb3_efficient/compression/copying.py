"""Another model of the same kind: what is compressed is a copy, and the original stays as it is."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_efficient.policies import optimizers

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
    # With its environment, which would have to begin anew, by its seed
    with kept_generators():
        another = type(model).load(zipped, device=model.device)
    env = model.get_env()
    if env is not None:
        another.set_env(env)
    return another


@contextmanager
def kept_generators() -> Iterator[None]:
    """The generators of random numbers that all share, those of GPUs too, are afterwards as they were."""
    # SB3 seeds numpy's old one
    state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    with th.random.fork_rng(devices=range(th.cuda.device_count())):
        try:
            yield
        finally:
            random.setstate(state)
            np.random.set_state(numpy_state)  # noqa: NPY002


def forget_moments(policy: Any) -> None:
    """
    Have the optimizers start anew: their running averages belong to weights that are no more.

    :param policy: Policy of an SB3 or contrib model
    """
    for optimizer in optimizers(policy):
        optimizer.state.clear()
