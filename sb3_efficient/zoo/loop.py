"""
What a hyper-parameter entry may say about the training loop, beside what it says about the network.

=============================  ====================================================================
``vec_env: ale``               :class:`~sb3_efficient.envs.AleVecEnv` in place of the zoo's pipeline
``vec_env_kwargs: {...}``      options of it that the entry does not imply, ``num_threads``
``accelerate: true``           :func:`sb3_efficient.accelerate`, as a callback
``accelerate: {...}``          the same with options
``seer: true``, ``{...}``      :class:`~sb3_efficient.SEERCallback`, with its defaults or with options
``replay_buffer_class: a.b.C`` may be a dotted name, as ``sb3_efficient.frames.FrameReplayBuffer``
=============================  ====================================================================
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from stable_baselines3.common.atari_wrappers import AtariWrapper

from sb3_efficient.errors import ConflictError, OptionError, UnknownNameError, suggestion
from sb3_efficient.fast import AccelerateCallback
from sb3_efficient.options import check_name, check_names, check_switches
from sb3_efficient.seer import SEERCallback, ThawCallback
from sb3_efficient.zoo.agents import saved_freeze
from sb3_efficient.zoo.entries import import_class

Entry = dict[str, Any]
_CALLBACKS: dict[str, Callable[..., Any]] = {"accelerate": AccelerateCallback, "seer": SEERCallback}
_EXAMPLES = {"accelerate": "dict(precision='fp32')", "seer": "dict(freeze_at=0.5)"}
_OWN_KEYS = ("features_extractor", "features_extractor_kwargs", "vec_env", "vec_env_kwargs", *_CALLBACKS)
#: Of the zoo, which has taken the first when we look at what is left of an entry
_TAKEN_KEYS = ("n_timesteps", "n_envs", "frame_stack", "normalize", "env_wrapper", "vec_env_wrapper", "env_kwargs")
_LATER_KEYS = ("noise_type", "noise_std")
#: What the zoo gives algorithms itself, and its own options for that
_TYPED = {"env": "--env", "seed": "--seed", "device": "--device", "verbose": "--verbose", "tensorboard_log": "-tb"}
#: Of the zoo, too: "lin_0.001"
_SCHEDULES = ("learning_rate", "clip_range", "clip_range_vf", "delta_std")
_ATARI_WRAPPER = "stable_baselines3.common.atari_wrappers.AtariWrapper"
_VEC_ENVS = ("ale",)


def take_callbacks(entry: Entry, continues: bool = False) -> None:
    """
    Replace ``accelerate`` and ``seer`` by the callbacks that do it.

    :param entry: Hyper-parameters of one environment; altered
    :param continues: Whether an agent is continued, which may be frozen
    """
    given = entry.get("callback") or []
    others = given if isinstance(given, list) else [given]
    for other in others:
        _check_callback(other)
    # SEER may be among them, and its latents are made in the number format that accelerate() chooses
    first: list[Any] = []
    last: list[Any] = []
    for key, callback in _CALLBACKS.items():
        wish = entry.pop(key, None)
        if continues and callback is SEERCallback and wish is False:
            last.append(f"sb3_efficient.seer.{ThawCallback.__name__}")
        if wish is None or wish is False:
            continue
        if wish is not True and not isinstance(wish, dict):
            raise OptionError(f"{key} must be true, false or options, as {_EXAMPLES[key]}, got {wish!r}.")
        if isinstance(wish, dict):
            check_names(key, wish, callback)
            callback(**wish)  # says now what is wrong with the values
        path = f"{callback.__module__.rpartition('.')[0]}.{callback.__name__}"
        (first if callback is AccelerateCallback else last).append({path: wish} if isinstance(wish, dict) else path)
    if callbacks := [*first, *others, *last]:
        entry["callback"] = callbacks


def _check_callback(callback: Any) -> None:
    """That there is one by that name, which the zoo asks only once the model is made."""
    name = next(iter(callback), None) if isinstance(callback, dict) else callback
    if isinstance(name, str) and "." in name:
        import_class("callback", name)


def check_schedules(entry: Entry) -> None:
    """
    Refuse what the zoo cannot make a schedule of.

    :param entry: Hyper-parameters of one environment
    """
    for key in _SCHEDULES:
        value = entry.get(key)
        if isinstance(value, str) and not _is_falling(value):
            raise OptionError(f"{key} must be a number, or lin_0.001 to fall from 0.001 to 0, got {value!r}.")


def _is_falling(schedule: str) -> bool:
    try:
        _, start = schedule.split("_")
        float(start)
    except ValueError:
        return False
    return True


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
    policy, policies = hyperparams.get("policy"), getattr(algo, "policy_aliases", {})
    # The zoo has made a class of a path
    if isinstance(policy, str) and policy not in policies:
        hint = suggestion(policy, policies)
        raise UnknownNameError(f"{algo.__name__} has no policy {policy!r}.{hint} Known: {', '.join(policies)}.")


def _of_kind(kind: Any, what: str, value: Any) -> Any:
    """What Python would take for something else than was meant, or refuse deep in a run."""
    if kind is bool:
        check_switches(**{what: value})
    if kind is float and not isinstance(value, (int, float, np.number)):
        raise OptionError(f"{what} must be a number, got {value!r}.")
    if kind is not int or isinstance(value, (int, np.integer)):
        return value
    if not isinstance(value, float) or not value.is_integer():
        raise OptionError(f"{what} must be a whole number, got {value!r}.")
    return int(value)


def check_frozen_agent(entry: Entry, agent: str) -> None:
    """
    Refuse to continue an agent that SEER has frozen, unless it is said how.

    :param entry: Hyper-parameters of one environment
    :param agent: Zip of the agent to continue
    """
    frozen = saved_freeze(agent)
    others = str(entry.get("callback"))
    has_one = any(callback.__name__ in others for callback in (SEERCallback, ThawCallback))
    if frozen is not None and "seer" not in entry and not has_one:
        raise ConflictError(
            f"{agent} learns from latents, frozen by SEER at {frozen['timesteps']} timesteps ({frozen['depth']!r}). "
            "Continue it with -params seer=True, or with seer=False to train all of it from images."
        )


def take_vec_env(
    entry: Entry, env_kwargs: Entry, env_id: str | None = None, option: str = "--env-kwargs"
) -> Entry | None:
    """
    Take out ``vec_env`` and ``vec_env_kwargs``.

    :param entry: Hyper-parameters of one environment; altered
    :param env_kwargs: Arguments of the environment, from wherever they come
    :param env_id: As gymnasium has it, if it is known
    :param option: Of the zoo, that such arguments are typed behind
    :return: Options of ``AleVecEnv`` that stand for the entry's wrappers, or None for the zoo's own environments
    """
    name, options = entry.pop("vec_env", None), entry.pop("vec_env_kwargs", None)
    if name is None:
        if options:
            raise OptionError("vec_env_kwargs needs vec_env=ale beside it.")
        return None
    check_name("vec_env", name, _VEC_ENVS)
    if entry.get("monitor_kwargs"):
        raise ConflictError("vec_env=ale cannot honour monitor_kwargs. Leave out one of the two.")
    own, sticky = _checked(options or {}), _sticky(env_kwargs)
    _check_skip(env_id, env_kwargs, option)
    return {"frame_stack": entry.get("frame_stack") or 1, **_settings(entry.get("env_wrapper")), **sticky, **own}


def _checked(options: Any) -> Entry:
    """``vec_env_kwargs``: what does not change the game, of which the zoo's other programs would not know."""
    from sb3_efficient.envs import AleVecEnv

    if not isinstance(options, dict):
        raise OptionError(f"vec_env_kwargs must be options, as dict(num_threads=2), got {options!r}.")
    check_names("vec_env_kwargs", options, AleVecEnv)
    for name in {*options} - {"num_threads"}:
        raise ConflictError(
            f"vec_env_kwargs takes num_threads only: with {name} here, enjoy would play another game. Options of "
            "AtariWrapper belong to env_wrapper, frame_stack and n_envs stand beside it, and sticky actions are typed: "
            "--env-kwargs repeat_action_probability:0.25."
        )
    return options


def _settings(env_wrapper: Any) -> Entry:
    """Options of ``AtariWrapper``, which have the same names in ``AleVecEnv``."""
    wrappers = env_wrapper if isinstance(env_wrapper, list) else [env_wrapper] if env_wrapper else []
    if not wrappers:
        raise ConflictError(
            f"vec_env=ale shows games as AtariWrapper does, and this entry has no env_wrapper: add {_ATARI_WRAPPER}, "
            "as in the zoo's entry 'atari', or leave out vec_env=ale."
        )
    settings: Entry = {}
    for wrapper in wrappers:
        path, options = next(iter(wrapper.items())) if isinstance(wrapper, dict) else (wrapper, {})
        if path != _ATARI_WRAPPER:
            raise ConflictError(
                f"vec_env=ale cannot honour env_wrapper {path}: its games are computed in C++, with the settings of "
                "AtariWrapper only. Leave out one of the two."
            )
        options = options or {}
        check_names("env_wrapper AtariWrapper", options, AtariWrapper, given=("env",))
        settings |= options
    return settings


def _sticky(env_kwargs: Entry) -> Entry:
    known = {"repeat_action_probability": "action_repeat_probability"}
    others = sorted(set(env_kwargs) - {*known, "frameskip"})
    if others:
        raise ConflictError(f"vec_env=ale cannot honour env_kwargs {', '.join(others)}. Leave out one of the two.")
    return {known[key]: value for key, value in env_kwargs.items() if key in known}


def _check_skip(env_id: str | None, env_kwargs: Entry, option: str) -> None:
    """Refuse games that skip frames by themselves, of which AtariWrapper skips some once more, and AleVecEnv not."""
    from sb3_efficient.envs.ale_ids import look_up

    own = look_up(env_id).spec.kwargs.get("frameskip", 4) if env_id else 1
    skip = env_kwargs.get("frameskip", own)
    if skip != 1:
        raise ConflictError(
            f"{env_id or 'The game'} skips frames by itself (frameskip={skip}), and AtariWrapper those that are left, "
            f"which vec_env=ale does not imitate. Add {option} frameskip:1, or leave out vec_env=ale."
        )
