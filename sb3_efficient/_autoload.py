"""
How ``python -m rl_zoo3.train`` learns about this package without a flag.

rl_zoo3 offers no place for plug-ins, but torch does: at the end of ``import torch`` it calls every entry
point in the group ``torch.backends``. Ours is :func:`activate`. If rl_zoo3 is what imports torch, it leaves
a note to adapt ``rl_zoo3.exp_manager`` right after that module has run, which is before the zoo reads its
command line. In every other program it does nothing.

torch turns any exception of an entry point into a failed ``import torch``. So this module imports only the
standard library, and nothing escapes from :func:`activate`.

``SB3_EFFICIENT_AUTOLOAD=0`` switches it off; ``sb3_efficient.zoo.register()`` does the same by hand.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_TARGET = "rl_zoo3.exp_manager"


def activate() -> None:
    """Adapt rl_zoo3 as soon as it is there, if it is on its way."""
    try:
        if enabled() and "rl_zoo3" in sys.modules and not isinstance(sys.meta_path[0], _AfterImport):
            sys.meta_path.insert(0, _AfterImport())
    except Exception as error:
        _complain(error)


def enabled() -> bool:
    """Whether the hook may act in this process."""
    return os.environ.get("SB3_EFFICIENT_AUTOLOAD", "1") != "0"


class _AfterImport(MetaPathFinder):
    """Finds one module, by way of everyone else, and adds a step to its execution."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _TARGET:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_adapt(module: ModuleType) -> None:
                execute(module)
                _adapt()

            spec.loader.exec_module = execute_and_adapt  # type: ignore[method-assign]
        return spec


def _adapt() -> None:
    try:
        from sb3_efficient.zoo import register

        register()
    except Exception as error:
        _complain(error)


def _complain(error: Exception) -> None:
    # Not a warning: where warnings are errors, it would become a failed ``import torch``
    print(
        f"sb3-efficient could not adapt rl_zoo3, which stays as it is: {type(error).__name__}: {error}. "
        "SB3_EFFICIENT_AUTOLOAD=0 silences this; 'sb3-efficient doctor' says more.",
        file=sys.stderr,
    )
