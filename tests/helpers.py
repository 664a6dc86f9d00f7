"""What several test files need."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import torch as th

#: ``python`` and ``zoo`` of conftest.py
Run = Callable[..., subprocess.CompletedProcess[str]]
#: ``zoo_in_turn`` of conftest.py
RunInTurn = Callable[..., list[subprocess.CompletedProcess[str]]]


def count(module: th.nn.Module) -> int:
    """Number of parameters."""
    return sum(p.numel() for p in module.parameters())


def parameters_match(one: th.nn.Module, other: th.nn.Module) -> bool:
    """Whether two modules hold the same numbers."""
    return all(th.equal(p, q) for p, q in zip(one.parameters(), other.parameters(), strict=True))
