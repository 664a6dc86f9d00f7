"""rl-zoo3's own programs, with this package registered."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from sb3_efficient.engines import find_engine, list_engines, make_engine
from sb3_efficient.errors import OptionError
from sb3_efficient.zoo import register


def run(verb: str, arguments: Sequence[str]) -> None:
    """
    :param verb: Module of rl_zoo3 that is a program: ``"train"``, ``"enjoy"``, ``"record_video"``
    :param arguments: Its command line; ``enjoy`` and ``record_video`` have ``--policy FILE`` and ``--engine NAME`` too
    """
    arguments, policy, engine = list(arguments), None, None
    if verb != "train":
        policy = _taken(arguments, "--policy", "a file, as 'sb3-efficient compress' writes them")
        engine = _taken(arguments, "--engine", f"a name: {', '.join(list_engines())}")
    register()
    argv = sys.argv
    sys.argv = [f"sb3-efficient {verb}", *arguments]
    try:
        with _acting(policy, engine):
            runpy.run_module(f"rl_zoo3.{verb}", run_name="__main__")
    finally:
        sys.argv = argv


def _taken(arguments: list[str], name: str, what: str) -> str | None:
    """An option that is not the zoo's, out of its arguments."""
    if name not in arguments:
        return None
    i = arguments.index(name)
    if i + 1 == len(arguments):
        raise OptionError(f"{name} needs {what}.")
    value = arguments[i + 1]
    del arguments[i : i + 2]
    return value


@contextmanager
def _acting(path: str | None, engine: str | None) -> Iterator[None]:
    """While inside, the zoo's programs load what shall act in place of an agent; of it they use ``predict``."""
    if path is None and engine is None:
        yield
        return
    from rl_zoo3 import ALGOS

    algorithms: dict[str, Any] = ALGOS
    before = dict(algorithms)
    algorithms.update({name: SimpleNamespace(load=_loader(kind, path, engine)) for name, kind in before.items()})
    try:
        yield
    finally:
        algorithms.update(before)


def _loader(algorithm: Any, path: str | None, engine: str | None) -> Callable[..., Any]:
    """In place of ``algorithm.load``: the compressed policy if there is one, otherwise the agent, on the engine."""
    from sb3_efficient.compression import load_policy

    policy = None if path is None else load_policy(path)
    if engine is not None:
        find_engine(engine)  # that there is one of this name, before anything else happens

    def load(*arguments: Any, seed: int | None = None, **options: Any) -> Any:
        actor = algorithm.load(*arguments, seed=seed, **options) if policy is None else policy
        if engine is not None:
            actor = make_engine(actor, engine)
        actor.set_random_seed(seed)
        return actor

    return load
