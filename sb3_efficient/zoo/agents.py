"""Which extractor is inside a saved agent, and whether it is the one that was asked for."""

from __future__ import annotations

import inspect
import zipfile
import zlib
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import yaml
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.save_util import load_from_zip_file
from stable_baselines3.common.vec_env.patch_gym import _convert_space

from sb3_efficient.errors import ArtifactError, ConflictError, EfficientError
from sb3_efficient.extractors import find_extractor, list_extractors
from sb3_efficient.policies import ALGORITHMS, find_algorithm
from sb3_efficient.zoo.entries import to_stock, with_classes
from sb3_efficient.zoo.values import evaluated

#: Set by the machinery, not by the user
_MACHINERY = {"normalized_image": False}


def saved_extractor(path: str) -> tuple[type | None, dict[str, Any]]:
    """
    :param path: Zip of an SB3 agent
    :return: Class and options of its extractor; (None, {}) if it is the policy's default
    """
    kwargs = _saved(path).get("policy_kwargs") or {}
    return kwargs.get("features_extractor_class"), kwargs.get("features_extractor_kwargs") or {}


def saved_freeze(path: str) -> dict[str, Any] | None:
    """
    :param path: Zip of an SB3 agent
    :return: How SEER has frozen it, if it has
    """
    return _saved(path).get("seer")


def saved_replay_buffer(path: str) -> type | None:
    """
    :param path: Zip of an SB3 agent
    :return: Class of its replay buffer; None of one that keeps no transitions
    """
    return _saved(path).get("replay_buffer_class")


def check_algorithm(path: str, algo: str) -> None:
    """
    Refuse to continue an agent of an algorithm with other networks.

    :param path: Zip of an SB3 agent
    :param algo: rl-zoo3's name of the one that was asked for
    """
    policy = _saved(path).get("policy_class")
    able = [name for name in ALGORITHMS if policy in _policies(name)]
    # Of an algorithm of the user's own nothing is known
    if able and algo in ALGORITHMS and algo not in able:
        raise ConflictError(
            f"{path} is an agent of {' or '.join(able)}, and --algo is {algo}: continue it with its own. To train "
            f"{algo} on its encoder leave out -i, and add -params \"seer=dict(encoder='{path}', freeze_at=0)\"."
        )


def _policies(algo: str) -> list[type]:
    """None of an algorithm without images."""
    try:
        return list(find_algorithm(algo).policy_aliases.values())
    except EfficientError:
        return []


def saved_spaces(path: str) -> SimpleNamespace:
    """
    :param path: Zip of an SB3 agent
    :return: With ``observation_space`` and ``action_space``
    """
    saved = _saved(path)
    # Older agents have those of gym
    return SimpleNamespace(**{key: _convert_space(saved[key]) for key in ("observation_space", "action_space")})


def saved_policy_kwargs(path: str) -> dict[str, Any]:
    """
    :param path: Zip of an SB3 agent
    :return: Those that no key of ours stands for, as far as YAML can have them
    """
    kwargs = _saved(path).get("policy_kwargs") or {}
    ours = ("features_extractor_class", "features_extractor_kwargs") if saved_entry(path) else ()
    return {key: value for key, value in kwargs.items() if key not in ours and _can_be_written(value)}


def _can_be_written(value: Any) -> bool:
    """And read again: a function without a name can be the first alone."""
    try:
        yaml.load(yaml.dump(value), Loader=yaml.UnsafeLoader)
    except (yaml.YAMLError, TypeError):
        return False
    return True


def saved_entry(path: str) -> dict[str, Any]:
    """
    :param path: Zip of an SB3 agent
    :return: The keys of a hyper-parameter entry that stand for its extractor; none if it is not one of ours
    """
    found_class, options = saved_extractor(path)
    candidates = []
    for name in [*list_extractors(), *list_extractors(papers=True)]:
        entry = find_extractor(name)
        if entry.extractor_class is found_class and entry.preset.items() <= options.items():
            rest = {key: value for key, value in _typed(options).items() if key not in entry.preset}
            candidates.append((len(rest), name, rest))
    if not candidates:
        return {}
    _, name, rest = min(candidates, key=lambda candidate: candidate[:2])
    return {"features_extractor": name, **({"features_extractor_kwargs": rest} if rest else {})}


def check_same_extractor(path: str, typed: dict[str, Any], algo: type[BaseAlgorithm]) -> None:
    """
    Continuing an agent (``-i``) keeps its network; asking for another one is a mistake.

    :param path: Zip of the agent to continue
    :param typed: What was asked for, in our words; options that were not typed may be anything
    :param algo: Algorithm class
    """
    kwargs = to_stock(typed, algo).get("policy_kwargs", {})
    asked = (kwargs.get("features_extractor_class"), kwargs.get("features_extractor_kwargs", {}))
    saved = saved_extractor(path)
    name = typed["features_extractor"]
    preset = find_extractor(name).preset if name else {}
    options = {**preset, **(typed.get("features_extractor_kwargs") or {})}
    if asked[0] is not saved[0] or not _has(_complete(*saved), options):
        raise ConflictError(
            f"{path} was trained with {_shown(*saved)}, and {_shown(*asked)} was asked for. "
            "Continuing keeps the network: name the agent's own extractor or leave it out; or train from scratch, "
            "without -i."
        )


def check_same_policy(path: str, typed: dict[str, Any], policies: Mapping[Any, type]) -> None:
    """
    The same for what SB3 has for it: the zoo leaves ``policy`` and ``policy_kwargs`` out where an agent is continued.

    :param path: Zip of the agent to continue
    :param typed: What was asked for behind ``-params``, evaluated
    :param policies: Of the algorithm, by the names that SB3 has for them
    """
    agent = _saved(path)
    name, own = typed.get("policy"), agent.get("policy_class")
    policy = policies.get(name) if isinstance(name, str) else None
    if policy is not None and policy is not own:
        raise ConflictError(
            f"{path} has the policy {getattr(own, '__name__', own)}, and policy={typed['policy']} was asked for. "
            "Continuing keeps the policy: leave it out, or train from scratch without -i."
        )
    asked, saved = evaluated(typed, "policy_kwargs"), agent.get("policy_kwargs") or {}
    for key, value in with_classes(asked).items() if isinstance(asked, dict) else ():
        if key == "features_extractor_kwargs" and isinstance(value, dict):
            is_same = _has(_complete(*saved_extractor(path)), value)
        else:
            is_same = _plain(saved.get(key)) == _plain(value)
        if not is_same:
            found = f"with {key}={saved[key]!r}" if key in saved else f"without {key}"
            raise ConflictError(
                f"{path} was trained {found}, and policy_kwargs has {key}={value!r}. "
                "Continuing keeps the policy: leave policy_kwargs out, or train from scratch without -i."
            )


def _saved(path: str) -> dict[str, Any]:
    try:
        data, _, _ = load_from_zip_file(path, device="cpu")
    except (ValueError, AssertionError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise ArtifactError(f"{path} is no agent of Stable-Baselines3, or a damaged one. ({error})") from error
    if data is None:
        # Another zip, or a part of an agent that ends with one of those inside
        raise ArtifactError(f"{path} is no agent of Stable-Baselines3, or a damaged one: it has no 'data'.")
    return data


def _typed(options: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if (key, value) not in _MACHINERY.items()}


def _complete(extractor_class: type | None, options: dict[str, Any]) -> dict[str, Any]:
    constructor = getattr(extractor_class, "__init__", lambda: None)
    defaults = {p.name: p.default for p in inspect.signature(constructor).parameters.values()}
    return {key: _plain(value) for key, value in {**defaults, **options}.items()}


def _has(found: dict[str, Any], options: dict[str, Any]) -> bool:
    return all(found.get(key) == _plain(value) for key, value in options.items())


def _plain(value: Any) -> Any:
    """A YAML file has lists where Python's defaults are tuples."""
    return list(value) if isinstance(value, tuple) else value


def _shown(extractor_class: type | None, options: dict[str, Any]) -> str:
    if extractor_class is None:
        return "the policy's default extractor (NatureCNN of stable_baselines3)"
    arguments = ", ".join(f"{key}={value!r}" for key, value in _typed(options).items())
    return f"{extractor_class.__name__}({arguments})"
