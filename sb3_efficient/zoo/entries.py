"""
What a hyper-parameter entry may say beyond rl-zoo3, put into the words of stock rl-zoo3 and SB3.

==================================  ===============================================================
``features_extractor: impala``      becomes ``policy_kwargs``; layers of the entry's own win
``features_extractor_kwargs: {..}`` options of that extractor
``policy_kwargs.optimizer_class``,  may be dotted names, so that an entry stays plain data
``policy_kwargs.activation_fn``
==================================  ===============================================================
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_efficient.errors import ConflictError, OptionError
from sb3_efficient.policies import policy_kwargs

Entry = dict[str, Any]
KEYS = ("features_extractor", "features_extractor_kwargs")


def to_stock(entry: Entry, algo: type[BaseAlgorithm] | str) -> Entry:
    """
    :param entry: Hyper-parameters of one environment; left as it is
    :param algo: Algorithm class, or its rl-zoo3 name
    :return: The same without our words
    """
    stock = dict(entry)
    name = stock.pop("features_extractor", None)
    options = stock.pop("features_extractor_kwargs", None)
    own = stock.get("policy_kwargs")
    if isinstance(own, dict):
        stock["policy_kwargs"] = own = with_classes(own)
    if name is None:
        if options is not None:
            raise OptionError("features_extractor_kwargs needs features_extractor=NAME beside it.")
        return stock
    if options is not None and not isinstance(options, dict):
        raise OptionError(f"features_extractor_kwargs must be a mapping, as dict(width=2), got {options!r}.")
    _check_policy(name, stock.get("policy"))
    own = own or {}
    options = _joined(options or {}, own.get("features_extractor_kwargs") or {})
    stock["policy_kwargs"] = _merged(name, policy_kwargs(str(name), algo, **options), own)
    return stock


def with_classes(own: Entry) -> Entry:
    """
    :param own: ``policy_kwargs``
    :return: The same, with what stands behind dotted names
    """
    dotted = {key: own[key] for key in ("optimizer_class", "activation_fn") if isinstance(own.get(key), str)}
    return {**own, **{key: import_class(f"policy_kwargs.{key}", path) for key, path in dotted.items()}}


def import_class(key: str, path: str) -> Any:
    """
    :param key: Where the entry names the class, for the error
    :param path: ``module.Class``
    """
    module, _, name = path.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise OptionError(f"{key}: there is no {path!r} to import ({error}).") from error


def _check_policy(name: str, policy: object) -> None:
    policy_name = policy if isinstance(policy, str) else getattr(policy, "__name__", "")
    if policy_name.startswith("Mlp"):
        raise ConflictError(
            f"features_extractor={name} is for images, and this environment's entry has policy {policy_name}. "
            "If its observations are images, add policy=CnnPolicy; otherwise leave out features_extractor."
        )


def _joined(options: Entry, own: Entry) -> Entry:
    for key in options.keys() & own.keys():
        if options[key] != own[key]:
            raise ConflictError(
                f"features_extractor_kwargs has {key}={options[key]!r}, and those in policy_kwargs have "
                f"{key}={own[key]!r}. Keep one of the two."
            )
    return {**own, **options}


def _merged(name: str, ours: Entry, own: Entry) -> Entry:
    """Ours, with the entry's own ``policy_kwargs`` over it where they do not contradict."""
    extractor_class = own.get("features_extractor_class", ours["features_extractor_class"])
    if extractor_class is not ours["features_extractor_class"]:
        raise ConflictError(
            f"features_extractor={name} contradicts policy_kwargs, which has features_extractor_class="
            f"{getattr(extractor_class, '__name__', extractor_class)}. Keep one of the two."
        )
    if own.get("normalize_images", False) and not ours.get("normalize_images", True):
        raise ConflictError(
            f"features_extractor={name} divides images by 255 itself; normalize_images=True in policy_kwargs would do "
            "it a second time. Leave it out."
        )
    return {**own, **ours, "net_arch": own.get("net_arch", ours["net_arch"])}
