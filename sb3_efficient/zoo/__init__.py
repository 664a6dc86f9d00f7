"""
The only place that knows rl_zoo3.

:func:`register` teaches the rl_zoo3 of this process our words: ``-params features_extractor=impala``, the same
key in YAML, and the environments of this package; and to keep what a training took beside its agent. The hook in
``_autoload`` calls it in ``python -m rl_zoo3.…``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from sb3_efficient.errors import EfficientError

_MARK = "_sb3_efficient"


def register() -> None:
    """Adapt rl_zoo3 in place. A second call changes nothing."""
    if registered():
        return
    from rl_zoo3 import exp_manager, hyperparams_opt, utils

    if registered():
        # The hook in _autoload answered to this very import
        return
    import sb3_efficient.envs  # noqa: F401  (registers our environments with gymnasium)
    from sb3_efficient.zoo import arguments, folder, interrupt, manager, record, trials

    experiment = exp_manager.ExperimentManager
    wrappers: list[tuple[type, str, Callable[..., Any]]] = [
        (utils.StoreDict, "__call__", arguments.store),
        (experiment, "setup_experiment", folder.setup_experiment),
        (experiment, "read_hyperparameters", manager.read_hyperparameters),
        (experiment, "_preprocess_hyperparams", manager.preprocess_hyperparams),
        (experiment, "create_envs", manager.create_envs),
        (experiment, "_load_pretrained_agent", manager.load_pretrained_agent),
        (experiment, "learn", folder.learn),
        (experiment, "learn", interrupt.learn),
        (experiment, "learn", record.learn),
        (experiment, "save_trained_model", record.save),
        (experiment, "load_trial", trials.load_trial),
        (experiment, "hyperparameters_optimization", trials.hyperparameters_optimization),
    ]
    needed = [*((owner, name) for owner, name, _ in wrappers), (hyperparams_opt, "HYPERPARAMS_SAMPLER")]
    if absent := dict.fromkeys(name for owner, name in needed if not hasattr(owner, name)):
        raise EfficientError(f"this rl_zoo3 has no {', '.join(absent)}; a version known to work is in constraints.txt")
    for owner, name, wrapper in wrappers:
        setattr(owner, name, wrapper(getattr(owner, name)))
    setattr(experiment, _MARK, True)
    _print_our_errors_briefly()


def registered() -> bool:
    """Whether the rl_zoo3 of this process is adapted."""
    exp_manager = sys.modules.get("rl_zoo3.exp_manager")
    return hasattr(getattr(exp_manager, "ExperimentManager", None), _MARK)


def _print_our_errors_briefly() -> None:
    """In the zoo's own programs an error of ours is one message; a traceback through the zoo would bury it."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    program = spec.name if spec is not None else Path(sys.argv[0]).name
    if not program.startswith("rl_zoo3"):
        return
    usual = sys.excepthook

    def brief(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        if isinstance(error, EfficientError):
            print(f"sb3-efficient: {error}", file=sys.stderr)
        else:
            usual(kind, error, traceback)

    sys.excepthook = brief
