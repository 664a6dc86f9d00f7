"""Values of an entry that the zoo takes itself: what it would misread, or end in a traceback over."""

from __future__ import annotations

from typing import Any

from rl_zoo3 import exp_manager

from sb3_efficient.errors import OptionError, UnavailableError
from sb3_efficient.options import check_switches, whole_number
from sb3_efficient.zoo.entries import Entry, import_class

_WHOLE = ("n_timesteps", "n_envs", "frame_stack")
#: Python, where they are text
_MAPPINGS = {"policy_kwargs": "dict(net_arch=[64])", "replay_buffer_kwargs": "dict(compress='zstd')"}


def check_values(entry: Entry, ours: str | None = None) -> None:
    """
    :param entry: Hyper-parameters of one environment; timesteps that were written as 1e5 are made a whole number
    :param ours: Module with an entry of ours for the same, if this one is the zoo's
    """
    if "n_timesteps" in entry:
        entry["n_timesteps"] = _whole(entry["n_timesteps"])
    for key in _WHOLE:
        if entry.get(key) is not None:
            whole_number(key, entry[key])
    for key, example in _MAPPINGS.items():
        if not isinstance(evaluated(entry, key), (dict, type(None))):
            raise OptionError(f"{key} must be a mapping, as {example}, got {entry[key]!r}.")
    normalize = evaluated(entry, "normalize")
    if normalize is not None and not isinstance(normalize, dict):
        check_switches(normalize=normalize)
    _check_policy(entry)
    for key in ("env_wrapper", "vec_env_wrapper"):
        _check_classes(key, entry.get(key), ours)


def evaluated(entry: Entry, key: str) -> Any:
    """
    :return: The value, as the zoo reads it; None if there is none
    """
    value = entry.get(key)
    if not isinstance(value, str):
        return value
    try:
        return eval(value, dict(vars(exp_manager)))
    except Exception as error:
        raise OptionError(f"{key}={value} is read as Python, and is none ({type(error).__name__}: {error}).") from error


def number(value: Any) -> Any:
    """
    :return: ``value``, or the number if it is the text of one: to YAML 1e-4 is text, and 1.0e-4 a number
    """
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _whole(value: Any) -> Any:
    value = number(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _check_policy(entry: Entry) -> None:
    policy = entry.get("policy", "")
    if not isinstance(policy, (str, type)):
        raise OptionError(f"policy must be a name, as CnnPolicy, got {policy!r}.")
    if isinstance(policy, str) and "." in policy:
        import_class("policy", policy)


def _check_classes(key: str, value: Any, ours: str | None) -> None:
    """One, or several, of which each may have options."""
    for one in value if isinstance(value, list) else [value]:
        path, options = next(iter(one.items()), (None, {})) if isinstance(one, dict) else (one, {})
        if not isinstance(path, str):
            continue
        if not isinstance(options, dict):
            raise OptionError(f"{key}: options of {path} must be a mapping, as {{}}, got {options!r}.")
        try:
            import_class(key, path)
        except OptionError as error:
            if ours is None or not isinstance(error.__cause__, ModuleNotFoundError):
                raise
            raise UnavailableError(
                f"rl-zoo3's own settings want a package that is not installed ({error.__cause__}). Take those of this "
                f"package: add -conf {ours}"
            ) from error
