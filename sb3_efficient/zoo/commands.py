"""rl-zoo3's own programs, with this package registered."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from sb3_efficient.errors import OptionError
from sb3_efficient.zoo import register


def run(verb: str, arguments: Sequence[str]) -> None:
    """
    :param verb: Module of rl_zoo3 that is a program: ``"train"``, ``"enjoy"``, ``"record_video"``
    :param arguments: Its command line; ``enjoy`` and ``record_video`` have ``--policy FILE`` too
    """
    arguments, policy = _taken(arguments) if verb != "train" else (list(arguments), None)
    register()
    argv = sys.argv
    sys.argv = [f"sb3-efficient {verb}", *arguments]
    try:
        with _acting(policy):
            runpy.run_module(f"rl_zoo3.{verb}", run_name="__main__")
    finally:
        sys.argv = argv


def _taken(arguments: Sequence[str]) -> tuple[list[str], str | None]:
    """``--policy FILE`` out of the zoo's arguments."""
    rest = list(arguments)
    if "--policy" not in rest:
        return rest, None
    i = rest.index("--policy")
    if i + 1 == len(rest):
        raise OptionError("--policy needs a file, as 'sb3-efficient compress' writes them.")
    return rest[:i] + rest[i + 2 :], rest[i + 1]


@contextmanager
def _acting(path: str | None) -> Iterator[None]:
    """While inside, the zoo's programs load a compressed policy in place of any agent; of it they use ``predict``."""
    if path is None:
        yield
        return
    from rl_zoo3 import ALGOS

    from sb3_efficient.compression import load_policy

    policy = load_policy(path)

    def load(*_: Any, seed: int | None = None, **__: Any) -> Any:
        policy.set_random_seed(seed)
        return policy

    algorithms: dict[str, Any] = ALGOS
    before = dict(algorithms)
    algorithms.update(dict.fromkeys(before, SimpleNamespace(load=load)))
    try:
        yield
    finally:
        algorithms.update(before)
