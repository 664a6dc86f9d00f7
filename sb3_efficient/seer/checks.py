"""What SEER cannot do, said when training starts."""

from __future__ import annotations

import inspect
import warnings
from itertools import pairwise
from typing import Any

from gymnasium import spaces
from gymnasium.wrappers import RecordEpisodeStatistics
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.policies import BaseModel
from stable_baselines3.common.vec_env import VecMonitor, VecNormalize, is_vecenv_wrapped, unwrap_vec_wrapper

from sb3_efficient.errors import ConflictError, ObservationError, OptionError, TrialError
from sb3_efficient.fast.networks import SB3_METHODS, image_extractors
from sb3_efficient.seer.buffers import check_buffer, check_no_goals
from sb3_efficient.seer.encoder import encoders
from sb3_efficient.seer.stages import check_staged, n_layers

NEEDS_IMAGES = "SEER freezes the convolutions of a policy that looks at images"


def check_model(model: Any) -> None:
    """Refuse a model whose network, observations or buffer SEER cannot replace."""
    check_no_goals(model)
    space = model.observation_space
    if isinstance(space, spaces.Dict):
        raise ObservationError(f"{NEEDS_IMAGES}; dictionaries of observations are not supported, found {space}.")
    if not image_extractors(model):
        raise ObservationError(
            f"{NEEDS_IMAGES}, and this one, {type(model.policy).__name__} on {space}, has none: leave SEER out."
        )
    for extractor, *_ in encoders(model):
        check_staged(extractor)
    for network in model.policy.modules():
        if isinstance(network, BaseModel) and type(network).extract_features not in SB3_METHODS:
            raise ConflictError(
                f"{type(network).__name__} prepares its observations itself, and would not know latents."
            )
    check_buffer(model)
    normalize = unwrap_vec_wrapper(model.env, VecNormalize) if model.env is not None else None
    if isinstance(normalize, VecNormalize) and normalize.norm_obs:
        raise ConflictError("VecNormalize changes its images during training: give it norm_obs=False for SEER.")


def warn_without_returns(model: Any) -> None:
    """Of which SB3 knows by :class:`Monitor` or its kin, and without which "auto" freezes nothing."""
    env = model.get_env()
    # Others may put episodes into their infos themselves
    if not is_vecenv_wrapped(env, VecMonitor) and not any(
        all(env.env_is_wrapped(wrapper)) for wrapper in (Monitor, RecordEpisodeStatistics)
    ):
        warnings.warn(
            'SEER\'s "auto" freezes once returns have risen, and these environments are not wrapped in a Monitor, '
            "without which SB3 knows no returns: add one (VecMonitor(env)), or say when, freeze_at= or latest=.",
            stacklevel=2,
        )


def warn_of_own_training(model: Any) -> None:
    """Which may do with images what cannot be done with latents, as to shift them."""
    train = inspect.unwrap(type(model).train)
    if train.__module__.partition(".")[0] not in ("stable_baselines3", "sb3_contrib"):
        warnings.warn(
            f"{type(model).__name__} has a train() of its own ({train.__module__}): from the freeze on the "
            "observations in its minibatches are latents, (B, L), in place of images.",
            stacklevel=2,
        )


def check_times(model: Any, due: list[tuple[int, Any]], total: int, has_encoder: bool) -> None:
    """Refuse depths that the network does not have, and times at which there is nothing to freeze."""
    extractor = encoders(model)[0][0]
    for (earlier, shallow), (later, deep) in pairwise(due):
        if later <= earlier or n_layers(extractor, deep) <= n_layers(extractor, shallow):
            raise OptionError(f"A schedule goes from early and shallow to late and deep, got {due}.")
    first = first_update(model)
    for when, _ in due:
        if when >= total:
            raise OptionError(f"freeze_at: {when} timesteps is beyond training, which ends at {total}.")
        if not has_encoder:
            check_updated("freeze_at", when, first)


def check_updated(option: str, when: int, first: int) -> None:
    """
    :param option: As the message says it
    :param when: Timestep of a freeze
    :param first: That of the first update
    """
    if when <= first:
        raise TrialError(
            f"{option}: {when} timesteps is not after the first update, which is at {first}: the encoder would stay as "
            "it was initialised. Freeze later, or start from another agent's, encoder='agent.zip'."
        )


def first_update(model: BaseAlgorithm) -> int:
    """
    :return: Timestep of the rollout that the first update learns from; -1 if there were updates before this training
    """
    any_model: Any = model
    start = model._num_timesteps_at_start
    if model._n_updates:
        return -1
    if isinstance(model, OnPolicyAlgorithm):
        return int(start + any_model.n_steps * model.n_envs)
    return int(max(start, any_model.learning_starts))
