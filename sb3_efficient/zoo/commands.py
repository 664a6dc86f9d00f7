"""rl-zoo3's own programs, with this package registered."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence

from sb3_efficient.zoo import register


def run(verb: str, arguments: Sequence[str]) -> None:
    """
    :param verb: Module of rl_zoo3 that is a program: ``"train"``, ``"enjoy"``, ``"record_video"``
    :param arguments: Its command line
    """
    register()
    argv = sys.argv
    sys.argv = [f"sb3-efficient {verb}", *arguments]
    try:
        runpy.run_module(f"rl_zoo3.{verb}", run_name="__main__")
    finally:
        sys.argv = argv
