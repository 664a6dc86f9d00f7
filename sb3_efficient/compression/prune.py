"""One step from model to model."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_efficient.compression.calibration import check_observations
from sb3_efficient.compression.recipe import ModelMethod, Step, make_method
from sb3_efficient.errors import ConflictError, OptionError, briefly

Model = TypeVar("Model", bound=BaseAlgorithm)


@th.inference_mode(False)
@th.enable_grad()
def prune(
    model: Model,
    method: Step = "channel-pruning",
    *,
    observations: np.ndarray | None = None,
    teacher: BaseAlgorithm | None = None,
    **options: Any,
) -> Model:
    """
    Make another, ordinary model of a trained one, which can be saved, loaded, played and trained as usual::

        smaller = sb3_efficient.prune(model, "channel-pruning", ratio=0.5)
        smaller = sb3_efficient.prune(smaller, "distillation", teacher=model, observations=observations)
        smaller.save("ppo_pong_small")

    :param model: SB3 or sb3-contrib model that sees images; it stays as it is
    :param method: Name or config object of a method that gives a model: ``"channel-pruning"``,
        ``"magnitude-pruning"``, ``"ln-structured"``, ``"binary"``, ``"qat"`` or ``"distillation"``
    :param observations: (N, C, H, W), as ``model.observation_space`` has them, for methods that need some
    :param teacher: Model to act like, for methods that train; None: the model itself
    :param options: Of the method
    """
    if not isinstance(model, BaseAlgorithm):
        raise OptionError(f"prune takes a Stable-Baselines3 model, such as PPO.load(path), got {briefly(model)}.")
    if options and not (isinstance(method, str) and "(" not in method):
        raise ConflictError(f"{method} has its options already: leave out {', '.join(options)}.")
    step = make_method({"method": method, **options} if options else method)
    if not isinstance(step, ModelMethod):
        raise OptionError(
            f"{step.name!r} gives a policy that only acts, not a model: use compress(model, {step.name!r})."
        )
    step.check(model)
    if teacher is not None and not isinstance(teacher, BaseAlgorithm):
        raise OptionError(f"A teacher is a Stable-Baselines3 model, such as PPO.load(path), got {briefly(teacher)}.")
    if observations is not None or step.needs_observations:
        missing = f"{step.name!r} needs observations: prune(model, {step.name!r}, observations=observations)."
        observations = check_observations(observations, model.observation_space, missing)
    return step.apply(model, teacher=teacher or model, observations=observations)  # type: ignore[return-value]
