"""Looking at a policy without disturbing it: in training mode, batch norm and its like learn from what they see."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from stable_baselines3.common.policies import BasePolicy


@contextmanager
def acting(policy: BasePolicy) -> Iterator[None]:
    """
    Layers are as when it acts; after the block each is in the mode that it was in.

    :param policy: Of an SB3 or contrib model
    """
    before = [(module, module.training) for module in policy.modules()]
    policy.set_training_mode(False)
    try:
        yield
    finally:
        for module, training in before:
            module.training = training
