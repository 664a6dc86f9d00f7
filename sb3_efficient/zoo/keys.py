"""Keys and values of an entry that nobody would understand: refused before anything is made."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import NoneType
from typing import Any, get_args

import numpy as np

from sb3_efficient.errors import OptionError, UnknownNameError, suggestion
from sb3_efficient.options import check_switches
from sb3_efficient.zoo import entries, vec_env
from sb3_efficient.zoo.entries import Entry
from sb3_efficient.zoo.entry_callbacks import CALLBACKS
from sb3_efficient.zoo.values import number

_OWN_KEYS = (*entries.KEYS, *vec_env.KEYS, *CALLBACKS)
#: Of the zoo, which has taken the first when we look at what is left of an entry
_TAKEN_KEYS = ("n_timesteps", "n_envs", "frame_stack", "normalize", "env_wrapper", "vec_env_wrapper", "env_kwargs")
_LATER_KEYS = ("noise_type", "noise_std")
#: What the zoo gives algorithms itself, and its own options for that
_TYPED = {"env": "--env", "seed": "--seed", "device": "--device", "verbose": "--verbose", "tensorboard_log": "-tb"}
#: Of the zoo, too: "lin_0.001"
_SCHEDULES = ("learning_rate", "clip_range", "clip_range_vf", "delta_std")


def check_schedules(entry: Entry) -> None:
    """
    Refuse what the zoo cannot make a schedule of.

    :param entry: Hyper-parameters of one environment; numbers that are text are made such
    """
    for key in _SCHEDULES:
        if key in entry:
            value = entry[key] = number(entry[key])
            if isinstance(value, bool) or (isinstance(value, str) and not _is_falling(value)):
                raise OptionError(f"{key} must be a number, or lin_0.001 to fall from 0.001 to 0, got {value!r}.")


def _is_falling(schedule: str) -> bool:
    # The zoo takes any word for the first
    kind, _, start = schedule.partition("_")
    return kind in ("lin", "linear") and isinstance(number(start), float)


def check_keys(hyperparams: Entry, algo: Callable[..., Any]) -> None:
    """
    Refuse a misspelt key, of ours or of anybody's, which the algorithm would be given, a misspelt policy, and what is
    no number, no whole one or no switch where SB3 wants one.

    :param hyperparams: What is left of an entry after the zoo has taken its own keys; whole numbers in it that were
        written as 1e5 are made such
    :param algo: Algorithm class
    """
    parameters = inspect.signature(algo).parameters
    known = [*_OWN_KEYS, *_LATER_KEYS, *parameters]
    # An algorithm of the user's own may hand them on
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    for key, value in hyperparams.items():
        if key in _TYPED:
            raise OptionError(f"The zoo gives {algo.__name__} its {key} itself: say it by {_TYPED[key]}, not here.")
        if key in parameters:
            hyperparams[key] = _of_kind(parameters[key].annotation, f"{key} of {algo.__name__}", value)
        if key in known or takes_any:
            continue
        if key.startswith(("replay_buffer", "buffer_size")):
            hint = " It is for algorithms that keep transitions, as DQN and SAC."
        else:
            hint = suggestion(key, [*known, *_TAKEN_KEYS])
        raise OptionError(f"{algo.__name__} has no hyper-parameter {key!r}.{hint}")
    _check_train_freq(hyperparams.get("train_freq", 1))
    if hyperparams.get("noise_type") is not None and "noise_std" not in hyperparams:
        raise OptionError(f"noise_type={hyperparams['noise_type']} needs noise_std beside it, as noise_std=0.1.")
    for key in ("n_epochs", "buffer_size"):
        if hyperparams.get(key, 1) < 1:
            raise OptionError(f"{key} must be at least 1, got {hyperparams[key]!r}.")
    policy, policies = hyperparams.get("policy"), getattr(algo, "policy_aliases", {})
    # The zoo has made a class of a path
    if isinstance(policy, str) and policy not in policies:
        hint = suggestion(policy, policies)
        raise UnknownNameError(f"{algo.__name__} has no policy {policy!r}.{hint} Known: {', '.join(policies)}.")


def _check_train_freq(value: Any) -> None:
    steps, unit = value if isinstance(value, (list, tuple)) and len(value) == 2 else (value, "step")
    is_number = isinstance(steps, (int, np.integer)) and not isinstance(steps, bool)
    if not is_number or steps < 1 or unit not in ("step", "episode"):
        raise OptionError(f"train_freq must be a whole number of steps, or as (1, 'episode'), got {value!r}.")


def _of_kind(kind: Any, what: str, value: Any) -> Any:
    """What Python would take for something else than was meant, or refuse deep in a run."""
    given = [one for one in get_args(kind) if one is not NoneType]
    if len(given) == 1 and value is not None:
        # Of float | None
        (kind,) = given
    if kind is bool:
        check_switches(**{what: value})
    if kind in (int, float):
        value = number(value)
    if kind is float and (isinstance(value, bool) or not isinstance(value, (int, float, np.number))):
        raise OptionError(f"{what} must be a number, got {value!r}.")
    if kind is not int or (isinstance(value, (int, np.integer)) and not isinstance(value, bool)):
        return value
    if not isinstance(value, float) or not value.is_integer():
        raise OptionError(f"{what} must be a whole number, got {value!r}.")
    return int(value)
