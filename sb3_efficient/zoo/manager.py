"""The three methods of rl-zoo3's ``ExperimentManager`` that have to know about ``features_extractor``."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from importlib import import_module
from pathlib import Path
from types import ModuleType
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
        own = saved_entry(self.trained_agent) if self.continue_training else {}
        name = {**own, **typed}.get("features_extractor")
        if name is not None:
            # What was typed can be judged before anything is read
            asked = {**typed, "features_extractor": name}
            stock = to_stock(asked, ALGOS[self.algo])
            if typed and self.continue_training:
                check_same_extractor(self.trained_agent, asked, stock["policy_kwargs"])
        with _entry_of_its_own(self, name):
            hyperparams, saved = original(self)
        if self.continue_training:
            # The zip brings its own network, whatever the entry says; config.yml records that one
            for key in KEYS:
                saved.pop(key, None)
                if name is not None or key not in typed:
                    hyperparams.pop(key, None)
            saved.update(own)
        return hyperparams, saved

    return read


def preprocess_hyperparams(original: Method) -> Method:
    """Put our words into those of SB3, after the zoo has evaluated its own."""

    @wraps(original)
    def preprocess(self: Any, hyperparams: dict[str, Any]) -> tuple[Any, ...]:
        hyperparams, *rest = original(self, hyperparams)
        return (to_stock(hyperparams, ALGOS[self.algo]), *rest)

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
def _entry_of_its_own(manager: Any, extractor: str | None) -> Iterator[None]:
    """While inside, the zoo looks for ``atari-impala`` where the configuration has such an entry."""
    env_name = manager.env_name
    entry = _find_entry(manager, extractor)
    try:
        if entry is not None:
            manager.env_name = EnvironmentName(entry)
        yield
    finally:
        manager.env_name = env_name


def _find_entry(manager: Any, extractor: str | None) -> str | None:
    entries = _entries(manager.config)
    env_id = manager.env_name.gym_id
    if extractor is not None and entries and env_id not in entries:
        _point_to_ours(manager, entries)
    if f"{env_id}-{extractor}" in entries:
        return f"{env_id}-{extractor}"
    if env_id not in entries and manager.is_atari(env_id) and f"atari-{extractor}" in entries:
        return f"atari-{extractor}"
    return None


def _point_to_ours(manager: Any, entries: dict[str, Any]) -> None:
    """The zoo would go on with its entry "default", or fail, where a shipped entry is what was meant."""
    ours = f"sb3_efficient.hyperparams.{manager.algo}"
    path = files().get(manager.algo)
    shipped = _entries(str(path)) if path else {}
    env_id = manager.env_name.gym_id
    missing = "Atari games" if manager.is_atari(env_id) and "atari" not in entries and "atari" in shipped else None
    if env_id in shipped:
        missing = env_id
    if missing is not None:
        raise EfficientError(f"{manager.config} has no entry for {missing}. Ours has: add -conf {ours}")


def _entries(config: str) -> dict[str, Any]:
    """Entries of a YAML file or package; none for a Python file, which the zoo shall not run twice."""
    path = Path(config)
    is_file = path.suffix in (".yml", ".yaml", ".py")
    if (is_file and not path.exists()) or not (is_file or hasattr(_module(config), "hyperparams")):
        raise UnknownNameError(
            f"-conf {config}: there is no such file (.yml, .py), and no module with 'hyperparams'."
            f"{suggestion(config, module_names())} 'sb3-efficient list' shows the shipped ones."
        )
    if path.suffix == ".py":
        return {}
    return (yaml.safe_load(path.read_text()) or {}) if is_file else import_module(config).hyperparams


def _module(name: str) -> ModuleType | None:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        return None
