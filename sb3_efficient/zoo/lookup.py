"""Which entry of which configuration the zoo shall read."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import rl_zoo3
import yaml

from sb3_efficient.errors import ConflictError, EfficientError, OptionError, UnknownNameError, suggestion
from sb3_efficient.extractors import find_extractor, list_extractors
from sb3_efficient.zoo.conf import files, module_names, shipped
from sb3_efficient.zoo.packages import import_if_there


@contextmanager
def one_entry(manager: Any, extractor: str | None) -> Iterator[dict[str, Any]]:
    """
    While inside, the zoo has a configuration of one entry, the one of the environment: ``atari-impala`` where that is
    asked for and there.

    :param manager: rl-zoo3's ``ExperimentManager``
    :param extractor: Name of the extractor, if one was asked for
    :return: The entry
    """
    config = manager.config
    key, entry = _find_entry(manager, extractor)
    # What it says that it reads, and as which it imports this: not by a name that begins with a dot, as "./mine.yml"
    module = ModuleType(f"entry of {config}, {key}")
    vars(module)["hyperparams"] = {manager.env_name.gym_id: dict(entry)}
    sys.modules[module.__name__] = module
    manager.config = module.__name__
    try:
        yield entry
    finally:
        manager.config = config
        del sys.modules[module.__name__]


def ours_instead(manager: Any) -> str | None:
    """
    :param manager: rl-zoo3's ``ExperimentManager``
    :return: Module of ours with an entry for the environment, where the zoo's own file is read
    """
    is_default = Path(manager.config).parent == Path(str(rl_zoo3.__file__)).parent / "hyperparams"
    has_one = is_default and manager.env_name.gym_id in shipped(manager.algo)
    return f"sb3_efficient.hyperparams.{manager.algo}" if has_one else None


def _find_entry(manager: Any, extractor: str | None) -> tuple[str, dict[str, Any]]:
    _check_algo(manager)
    env_id = manager.env_name.gym_id
    is_atari = manager.is_atari(env_id)
    entries = _entries(manager.config, (env_id, "atari" if is_atari else "default"))
    for key in (env_id, "atari") if is_atari else (env_id,):
        for candidate in (*(f"{key}-{name}" for name in _kin(extractor)), key):
            if candidate in entries:
                return candidate, entries[candidate]
    _check_fallback(manager, entries, extractor)
    return "default", entries["default"]


def _kin(extractor: str | None) -> list[str]:
    """Names whose entries do for an extractor: its own, then those of its class (``impala`` for ``impala-x2``)."""
    if extractor is None:
        return []
    kin = [name for name in list_extractors() if _class(name) is _class(extractor)]
    return [extractor, *kin]


def _class(extractor: str) -> type:
    return find_extractor(extractor).extractor_class


def _check_algo(manager: Any) -> None:
    """Of our modules, whose names begin with the algorithm they are for."""
    ours, _, name = manager.config.partition(".hyperparams.")
    algo = name.partition(".")[0]
    if ours == "sb3_efficient" and algo in files() and algo != manager.algo:
        raise ConflictError(
            f"-conf {manager.config} is for {algo}, and --algo is {manager.algo}: name another of the two."
        )


def _check_fallback(manager: Any, entries: dict[str, Any], extractor: str | None) -> None:
    """The zoo would go on with its entry "default", or fail, where a shipped entry is what was meant."""
    env_id = manager.env_name.gym_id
    is_atari = manager.is_atari(env_id)
    key, fallback, what = ("atari", "atari", "Atari games") if is_atari else (env_id, "default", env_id)
    if fallback in entries and (is_atari or not (extractor or _is_blind(manager, entries[fallback]))):
        return
    if key in shipped(manager.algo):
        ours = f"sb3_efficient.hyperparams.{manager.algo}"
        raise EfficientError(f"{manager.config} has no entry for {what}. Ours has: add -conf {ours}")
    if fallback not in entries:
        raise EfficientError(
            f"{manager.config} has no entry for {what}, only for {', '.join(entries)}: add one, or name another "
            "configuration with -conf."
        )


def _is_blind(manager: Any, default: dict[str, Any]) -> bool:
    """Whether a game of this package, which is all images, would be learnt by a policy for vectors."""
    is_ours = manager.entry_point(manager.env_name.gym_id).startswith("sb3_efficient.")
    policy = {**default, **(manager.custom_hyperparams or {})}.get("policy")
    return is_ours and not manager.continue_training and str(policy).startswith("Mlp")


def _entries(config: str, read: tuple[str, ...]) -> dict[str, Any]:
    """Entries of a YAML or Python file, or a module."""
    path = Path(config)
    is_file = path.suffix in (".yml", ".yaml", ".py")
    if (is_file and not path.exists()) or not (is_file or hasattr(import_if_there(config), "hyperparams")):
        # Who has no checkout means the installed file of the same name
        hint = suggestion(f"sb3_efficient.hyperparams.{path.stem}" if path.stem in files() else config, module_names())
        raise UnknownNameError(
            f"-conf {config}: there is no such file (.yml, .py), and no module with 'hyperparams'."
            f"{hint} 'sb3-efficient list' shows the shipped ones."
        )
    return _checked(config, _read(path) if is_file else import_module(config).hyperparams, read)


def _read(path: Path) -> Any:
    if path.suffix == ".py":
        found = runpy.run_path(str(path))
        if "hyperparams" not in found:
            raise OptionError(f"-conf {path} has no 'hyperparams': settings by environment.")
        return found["hyperparams"]
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.constructor.ConstructorError as error:
        raise OptionError(
            f"-conf {path} is not plain YAML; config.yml of a run is not, and has no name of an environment: copy its "
            f"settings into a file of your own, under the environment's id. ({error.problem})"
        ) from error
    except yaml.YAMLError as error:
        raise OptionError(f"-conf {path} is not YAML: {error}") from error


def _checked(config: str, entries: Any, read: tuple[str, ...]) -> dict[str, Any]:
    """That there are settings by environment, of those that are read; others may be there as YAML's anchors."""
    if not entries:
        raise OptionError(f"-conf {config} is empty: it must have settings by environment, as hyperparams/ppo.yml.")
    if isinstance(entries, dict):
        settings = {key: entry for key, entry in entries.items() if isinstance(entry, dict)}
        others = [key for key in entries if key not in settings and (key in read or not settings)]
        wrong = ", ".join(f"{key}: {entries[key]!r}" for key in others)
    else:
        wrong = "a list, or a single value"
    if wrong:
        raise OptionError(
            f"-conf {config} must have settings by environment, as 'atari: {{policy: CnnPolicy, n_envs: 8}}', and has "
            f"{wrong}."
        )
    return settings
