"""The three methods of rl-zoo3's ``ExperimentManager`` that have to know about ``features_extractor``."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml
from huggingface_sb3 import EnvironmentName
from rl_zoo3 import ALGOS, hyperparams_opt

from sb3_efficient.errors import EfficientError, UnknownNameError, suggestion
from sb3_efficient.zoo.agents import check_same_extractor, saved_entry
from sb3_efficient.zoo.conf import files, module_names
from sb3_efficient.zoo.entries import KEYS, to_stock

Method = Callable[..., Any]


def read_hyperparameters(original: Method) -> Method:
    """Prefer the entry made for the extractor; remember the extractor of an agent that is continued."""

    @wraps(original)
    def read(self: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        typed = {key: value for key, value in (self.custom_hyperparams or {}).items() if key in KEYS}
        if "features_extractor" in typed:
            # A name on the command line can be judged before anything is read
            to_stock(typed, ALGOS[self.algo])
        try:
            with _entry_of_its_own(self):
                hyperparams, saved = original(self)
        except KeyError as error:
            if error.args != ("atari",) or self.algo not in files():
                raise
            ours = f"sb3_efficient.hyperparams.{self.algo}"
            raise EfficientError(f"{self.config} has no entry for Atari games. Ours has: add -conf {ours}") from error
        if self.continue_training and "features_extractor" not in saved:
            # The zip brings its own network; only the record in config.yml would be lost
            saved.update(saved_entry(self.trained_agent))
        return hyperparams, saved

    return read


def preprocess_hyperparams(original: Method) -> Method:
    """Put our words into those of SB3, after the zoo has evaluated its own."""

    @wraps(original)
    def preprocess(self: Any, hyperparams: dict[str, Any]) -> tuple[Any, ...]:
        hyperparams, *rest = original(self, hyperparams)
        asked = "features_extractor" in hyperparams
        hyperparams = to_stock(hyperparams, ALGOS[self.algo])
        if asked and self.continue_training:
            check_same_extractor(self.trained_agent, hyperparams["policy_kwargs"])
        return (hyperparams, *rest)

    return preprocess


def hyperparameters_optimization(original: Method) -> Method:
    """
    Keep the extractor in every trial.

    The zoo lets the sampled ``policy_kwargs`` replace the configured ones, and so drops the extractor
    without a word (DLR-RM/rl-baselines3-zoo#431). Layers that are searched for stay as sampled.
    """

    @wraps(original)
    def optimize(self: Any) -> None:
        configured = self._hyperparams.get("policy_kwargs") or {}
        if "features_extractor_class" not in configured:
            original(self)
            return
        samplers: dict[str, Any] = hyperparams_opt.HYPERPARAMS_SAMPLER
        sampler = samplers[self.algo]

        def sample(*args: Any) -> dict[str, Any]:
            sampled = sampler(*args)
            policy_kwargs = {**copy.deepcopy(configured), **sampled.get("policy_kwargs", {})}
            return {**sampled, "policy_kwargs": policy_kwargs}

        samplers[self.algo] = sample
        try:
            original(self)
        finally:
            samplers[self.algo] = sampler

    return optimize


@contextmanager
def _entry_of_its_own(manager: Any) -> Iterator[None]:
    """While inside, the zoo looks for ``atari-impala`` where the configuration has such an entry."""
    env_name = manager.env_name
    entry = _find_entry(manager)
    try:
        if entry is not None:
            manager.env_name = EnvironmentName(entry)
        yield
    finally:
        manager.env_name = env_name


def _find_entry(manager: Any) -> str | None:
    name = (manager.custom_hyperparams or {}).get("features_extractor")
    entries = _entries(manager.config)
    env_id = manager.env_name.gym_id
    if f"{env_id}-{name}" in entries:
        return f"{env_id}-{name}"
    if env_id not in entries and manager.is_atari(env_id) and f"atari-{name}" in entries:
        return f"atari-{name}"
    return None


def _entries(config: str) -> dict[str, Any]:
    """Entries of a YAML file or package; none for a Python file, which the zoo shall not run twice."""
    path = Path(config)
    if path.suffix in (".yml", ".yaml"):
        return yaml.safe_load(path.read_text()) or {}
    if path.suffix == ".py":
        return {}
    try:
        return import_module(config).hyperparams
    except ModuleNotFoundError as error:
        if error.name is None or not f"{config}.".startswith(f"{error.name}."):
            raise
        raise UnknownNameError(
            f"-conf {config}: neither a file (.yml, .py) nor a module."
            f"{suggestion(config, module_names())} 'sb3-efficient list' shows the shipped ones."
        ) from error
