"""Generators of random numbers that a whole process shares."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import numpy as np
import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_efficient.exploration import kept_exploration


@contextmanager
def kept_generators() -> Iterator[None]:
    """The generators of random numbers that all share, those of GPUs too, are afterwards as they were."""
    # SB3 seeds numpy's old one, and on GPUs makes cuDNN deterministic
    state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    cudnn = th.backends.cudnn
    algorithms = cudnn.deterministic, cudnn.benchmark
    # To ask a GPU that nothing has used yet would begin CUDA in this process, after which a fork cannot use it
    is_used: bool = th.cuda.is_initialized()  # type: ignore[no-untyped-call]
    devices = range(th.cuda.device_count()) if is_used else ()
    with th.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            random.setstate(state)
            np.random.set_state(numpy_state)  # noqa: NPY002
            cudnn.deterministic, cudnn.benchmark = algorithms


@contextmanager
def seeded(policy: Any, seed: int) -> Iterator[None]:
    """
    While inside, actions are drawn from ``seed``. A model that is in training goes on afterwards as if nothing had
    been drawn: SB3 also seeds the generators that all share, the model's action space and its environment.

    :param policy: SB3 model, or anything else with ``set_random_seed``
    :param seed: Of the actions; with ``use_sde=True`` of what ``explore_anew`` draws
    """
    is_model = isinstance(policy, BaseAlgorithm)
    kept = {"env": policy.env, "action_space": policy.action_space} if is_model else {}
    with kept_generators(), kept_exploration(getattr(policy, "policy", None)):
        try:
            if is_model:
                policy.env, policy.action_space = None, deepcopy(policy.action_space)
            policy.set_random_seed(seed)
            yield
        finally:
            for name, value in kept.items():
                setattr(policy, name, value)
