"""
The environments that an entry asks for.

=========================  =============================================================
``vec_env: ale``           :class:`~sb3_efficient.envs.AleVecEnv` in place of the zoo's
``vec_env_kwargs: {...}``  options of it that the entry does not imply, ``num_threads``
=========================  =============================================================
"""

from __future__ import annotations

from typing import Any

from stable_baselines3.common.atari_wrappers import AtariWrapper
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from sb3_efficient.errors import ConflictError, OptionError
from sb3_efficient.options import check_name, check_names
from sb3_efficient.zoo.entries import Entry

KEYS = ("vec_env", "vec_env_kwargs")
_ATARI_WRAPPER = "stable_baselines3.common.atari_wrappers.AtariWrapper"
_VEC_ENVS = ("ale",)


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
    own = _checked(options or {})
    others = sorted(set(env_kwargs) - {"repeat_action_probability", "frameskip"})
    if others:
        raise ConflictError(f"vec_env=ale cannot honour env_kwargs {', '.join(others)}. Leave out one of the two.")
    check_skip(env_id, env_kwargs, option)
    settings = _settings(entry.get("env_wrapper"))
    settings |= _sticky(settings.pop("action_repeat_probability", 0.0), env_kwargs, env_id)
    return {"frame_stack": entry.get("frame_stack") or 1, **settings, **own}


def check_ale(vec_env_class: type[VecEnv], entry: Entry) -> None:
    """
    Refuse what does not go with vec_env=ale.

    :param vec_env_class: That the zoo was told to take
    :param entry: Hyper-parameters of one environment, without ``vec_env``
    """
    if vec_env_class is not DummyVecEnv:
        raise ConflictError("vec_env=ale runs its games in threads: leave out --vec-env subproc.")
    if entry.get("normalize"):
        raise ConflictError(
            "vec_env=ale stacks frames before normalize sees them, and the zoo's enjoy could not load the statistics: "
            "leave out one of the two."
        )


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


def _sticky(wrapper: float, env_kwargs: Entry, env_id: str | None) -> Entry:
    """The emulator repeats actions, or AtariWrapper does; nothing where the id says how often."""
    from sb3_efficient.envs.ale_ids import look_up

    typed = env_kwargs.get("repeat_action_probability")
    if not wrapper:
        return {} if typed is None else {"action_repeat_probability": typed}
    emulator = typed if typed is not None else look_up(env_id).action_repeat_probability if env_id else 0
    if emulator:
        raise ConflictError(
            f"The game repeats actions by itself (repeat_action_probability={emulator!r}), and AtariWrapper once more "
            f"(action_repeat_probability={wrapper!r}), which vec_env=ale cannot do. Leave out one of the two."
        )
    return {"action_repeat_probability": wrapper}


def check_skip(env_id: str | None, env_kwargs: Entry, option: str = "--env-kwargs") -> None:
    """
    Refuse what AleVecEnv does not play, and games that skip frames by themselves, of which AtariWrapper skips some once
    more, and AleVecEnv not.

    :param env_id: As gymnasium has it, if it is known
    :param env_kwargs: Arguments of the environment
    :param option: Of the zoo, that such arguments are typed behind
    """
    from sb3_efficient.envs.ale_ids import look_up

    own = look_up(env_id).spec.kwargs.get("frameskip", 4) if env_id else 1
    skip = env_kwargs.get("frameskip", own)
    if skip != 1:
        raise ConflictError(
            f"{env_id or 'The game'} skips frames by itself (frameskip={skip}), and AtariWrapper those that are left, "
            f"which vec_env=ale does not imitate. Add {option} frameskip:1, or leave out vec_env=ale."
        )
