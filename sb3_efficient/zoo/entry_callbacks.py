"""
How an entry may say that training is to be faster: callbacks that rl-zoo3 makes.

============================  ======================================================================
``accelerate: true``          :func:`sb3_efficient.accelerate`
``accelerate: {...}``         the same with options
``seer: true``, ``{...}``     :class:`~sb3_efficient.SEERCallback`, with its defaults or with options
============================  ======================================================================
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sb3_efficient.errors import ConflictError, OptionError
from sb3_efficient.fast import AccelerateCallback
from sb3_efficient.options import check_names
from sb3_efficient.seer import SEERCallback, ThawCallback
from sb3_efficient.zoo.agents import saved_freeze
from sb3_efficient.zoo.entries import Entry, import_class

CALLBACKS: dict[str, Callable[..., Any]] = {"accelerate": AccelerateCallback, "seer": SEERCallback}
_EXAMPLES = {"accelerate": "dict(precision='fp32')", "seer": "dict(freeze_at=0.5)"}


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
    for key, callback in CALLBACKS.items():
        wish = entry.pop(key, None)
        if continues and callback is SEERCallback and wish is False:
            last.append(f"sb3_efficient.seer.{ThawCallback.__name__}")
        if wish is None or wish is False:
            continue
        if any(_name(other).endswith(f".{callback.__name__}") for other in others):
            raise ConflictError(f"{key}={wish!r} adds a {callback.__name__}, and callback names one as well. Keep one.")
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
    if name := _name(callback):
        import_class("callback", name)


def _name(callback: Any) -> str:
    """Dotted; that of one with options, too."""
    name = next(iter(callback), None) if isinstance(callback, dict) else callback
    return name if isinstance(name, str) else ""


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
