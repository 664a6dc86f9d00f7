"""Which extractor is inside a saved agent, and whether it is the one that was asked for."""

from __future__ import annotations

import inspect
from typing import Any

from stable_baselines3.common.save_util import load_from_zip_file

from sb3_efficient.errors import ConflictError
from sb3_efficient.extractors import EncoderExtractor, find_extractor, list_extractors

#: Set by the machinery, not by the user
_MACHINERY = {"normalized_image": False}


def saved_extractor(path: str) -> tuple[type | None, dict[str, Any]]:
    """
    :param path: Zip of an SB3 agent
    :return: Class and options of its extractor; (None, {}) if it is the policy's default
    """
    data, _, _ = load_from_zip_file(path, device="cpu")
    kwargs = (data or {}).get("policy_kwargs") or {}
    return kwargs.get("features_extractor_class"), kwargs.get("features_extractor_kwargs") or {}


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
            rest = {key: value for key, value in options.items() if key not in {**entry.preset, **_MACHINERY}}
            candidates.append((len(rest), name, rest))
    if not candidates:
        return {}
    _, name, rest = min(candidates, key=lambda candidate: candidate[:2])
    return {"features_extractor": name, **({"features_extractor_kwargs": rest} if rest else {})}


def check_same_extractor(path: str, policy_kwargs: dict[str, Any]) -> None:
    """
    Continuing an agent (``-i``) keeps its network; asking for another one is a mistake.

    :param path: Zip of the agent to continue
    :param policy_kwargs: What was asked for
    """
    asked = (policy_kwargs["features_extractor_class"], policy_kwargs["features_extractor_kwargs"])
    saved = saved_extractor(path)
    if _described(*asked) != _described(*saved):
        raise ConflictError(
            f"{path} was trained with {_shown(*saved)}, and {_shown(*asked)} was asked for. "
            "Continuing keeps the network: name the agent's own extractor or none, or train from scratch without -i."
        )


def _described(extractor_class: type | None, options: dict[str, Any]) -> tuple[type | None, dict[str, Any]]:
    if extractor_class is None or not issubclass(extractor_class, EncoderExtractor):
        return extractor_class, options
    parameters = inspect.signature(extractor_class.__init__).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
    # a YAML file has lists where Python's defaults are tuples
    complete = {**defaults, **options}
    return extractor_class, {k: list(v) if isinstance(v, (list, tuple)) else v for k, v in complete.items()}


def _shown(extractor_class: type | None, options: dict[str, Any]) -> str:
    if extractor_class is None:
        return "the policy's default extractor (NatureCNN of stable_baselines3)"
    arguments = ", ".join(f"{k}={v!r}" for k, v in options.items() if k not in _MACHINERY)
    return f"{extractor_class.__name__}({arguments})"
