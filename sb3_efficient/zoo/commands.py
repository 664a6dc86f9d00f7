"""rl-zoo3's own programs, with this package registered."""

from __future__ import annotations

import argparse
import runpy
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from sb3_efficient.errors import OptionError
from sb3_efficient.options import whole_arguments
from sb3_efficient.zoo import register
from sb3_efficient.zoo.folder import check_possible
from sb3_efficient.zoo.mistakes import in_one_line, typed_options
from sb3_efficient.zoo.packages import import_packages

_KEYS = """\
keys behind -params and in YAML, beside rl-zoo3's:
  features_extractor=impala   network by name ('sb3-efficient list'); features_extractor_kwargs="dict(width=2)"
  accelerate=True             the same training, faster; accelerate="dict(precision='fp32')" without bfloat16
  vec_env=ale                 Atari games on ale-py's own vector of environments
  seer=True                   freeze the encoder and store latents; seer="dict(freeze_at=0.5, depth='conv')"
"""
_POLICY = "a compressed policy, as 'sb3-efficient compress' writes them, acts in place of the agent"
_ENGINE = "runtime that acts, for agents and for compressed policies: 'sb3-efficient list' names them"
_PACKAGES = "imported first, as they register environments"


def run(verb: str, arguments: Sequence[str]) -> None:
    """
    :param verb: Module of rl_zoo3 that is a program: ``"train"``, ``"enjoy"``, ``"record_video"``
    :param arguments: Its command line; ``enjoy`` and ``record_video`` have ``--policy FILE`` and ``--engine NAME`` too,
        and the latter ``--gym-packages MODULE``
    """
    own = argparse.Namespace(policy=None, engine=None)
    typed = typed_options(verb, arguments)
    if verb != "train":
        arguments = _taken(verb, arguments, own)
    if verb == "train" and not {"-h", "--help"}.isdisjoint(arguments):
        print(_KEYS)
    register()
    # Here, too, where the zoo imports them itself: it would end in a traceback
    import_packages(typed.gym_packages)
    whole_arguments(typed, "n_envs")
    if verb == "record_video" and typed.output_folder is not None:
        check_possible("-o", Path(typed.output_folder))
    argv = sys.argv
    sys.argv = [f"sb3-efficient {verb}", *arguments]
    try:
        with in_one_line(typed), _acting(own.policy, own.engine):
            runpy.run_module(f"rl_zoo3.{verb}", run_name="__main__")
    finally:
        sys.argv = argv


def _taken(verb: str, arguments: Sequence[str], own: argparse.Namespace) -> list[str]:
    """``--policy FILE`` and ``--engine NAME`` out of the zoo's arguments, and into our own."""
    from sb3_efficient.engines import find_engine, list_engines

    parser = argparse.ArgumentParser(f"sb3-efficient {verb}", add_help=False, allow_abbrev=False, usage="%(prog)s ...")
    group = parser.add_argument_group("options beside rl-zoo3's")
    group.add_argument("--policy", metavar="FILE", nargs="?", const="", help=_POLICY)
    group.add_argument("--engine", metavar="NAME", nargs="?", const="", help=_ENGINE)
    if verb == "record_video":
        # The zoo's enjoy has it
        group.add_argument("--gym-packages", nargs="+", metavar="MODULE", help=_PACKAGES)
    _, rest = parser.parse_known_args(arguments, own)
    if own.policy == "":
        raise OptionError("--policy needs a file, as 'sb3-efficient compress' writes them.")
    if own.engine == "":
        raise OptionError(f"--engine needs a name: {', '.join(list_engines())}.")
    if own.engine is not None:
        find_engine(own.engine)  # that there is one
    if not {"-h", "--help"}.isdisjoint(rest):
        print(parser.format_help())
    return rest


@contextmanager
def _acting(path: str | None, engine: str | None) -> Iterator[None]:
    """While inside, the zoo's programs load what shall act in place of an agent; of it they use ``predict``."""
    if path is None and engine is None:
        yield
        return
    from rl_zoo3 import ALGOS

    from sb3_efficient.compression import load_policy

    policy = None if path is None else load_policy(path)
    algorithms: dict[str, Any] = ALGOS
    before = dict(algorithms)
    loaders = {name: _loader(kind, policy, path, engine) for name, kind in before.items()}
    algorithms.update({name: SimpleNamespace(load=loader) for name, loader in loaders.items()})
    try:
        yield
    finally:
        algorithms.update(before)


def _loader(algorithm: Any, policy: Any, path: str | None, engine: str | None) -> Callable[..., Any]:
    """In place of ``algorithm.load``: the compressed policy if there is one, otherwise the agent, on the engine."""
    from sb3_efficient.compression.policy import check_spaces
    from sb3_efficient.engines import make_engine
    from sb3_efficient.zoo.agents import saved_spaces

    def load(agent: str, *arguments: Any, seed: int | None = None, **options: Any) -> Any:
        if policy is None:
            actor = algorithm.load(agent, *arguments, seed=seed, **options)
        else:
            check_spaces(Path(path or ""), policy, saved_spaces(agent))
            print(f"In its place {path} acts")
            actor = policy
        if engine is not None:
            actor = make_engine(actor, engine)
        actor.set_random_seed(seed)
        return actor

    return load
