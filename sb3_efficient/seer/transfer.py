"""The encoder of another agent, put into a model before it is trained."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.save_util import load_from_zip_file

from sb3_efficient.errors import ConflictError, OptionError
from sb3_efficient.extractors import EncoderExtractor
from sb3_efficient.seer.encoder import encoders
from sb3_efficient.seer.stages import Depth, layers, n_layers


def transfer_encoder(path: str | Path, model: BaseAlgorithm, depth: Depth) -> None:
    """
    Copy the layers up to ``depth`` from an agent of any algorithm, into every extractor of the model.

    :param path: SB3 zip
    :param model: Model with the same network up to there, on the same pixels; its other layers, and its optimizer, stay
        as they are
    :param depth: See :mod:`sb3_efficient.seer.stages`
    """
    settings, weights = _read(path)
    _check_scale(path, settings, model)
    for extractor in (copy for copies in encoders(model) for copy in copies):
        wanted = _named_parameters(extractor, depth)
        for name, parameter in wanted.items():
            if name not in weights or weights[name].shape != parameter.shape:
                raise ConflictError(_difference(path, name, weights.get(name), parameter, extractor))
        with th.no_grad():
            for name, parameter in wanted.items():
                parameter.copy_(weights[name])


def check_file(path: str | Path) -> None:
    """Refuse what is not there."""
    # SB3 appends the suffix where it is left out
    if not any(Path(f"{path}{suffix}").is_file() for suffix in ("", ".zip")):
        raise OptionError(f"encoder={str(path)!r} is no file: give the zip of an agent saved by Stable-Baselines3.")


def _check_scale(path: str | Path, settings: dict[str, Any], model: BaseAlgorithm) -> None:
    """Refuse weights that were trained on pixels of another size. Float images are what environments make them."""
    if model.observation_space.dtype != np.uint8 or "policy_kwargs" not in settings:
        return
    there, here = _are_scaled(settings["policy_kwargs"]), _are_scaled(model.policy_kwargs)
    if there != here:
        ranges = {True: "in [0, 1]", False: "from 0 to 255"}
        raise ConflictError(
            f"The encoder of {str(path)!r} was trained on pixels {ranges[there]}, and this model has them "
            f"{ranges[here]}: give both the same normalize_images."
        )


def _are_scaled(policy_kwargs: dict[str, Any]) -> bool:
    """By SB3, or by an extractor of this package."""
    extractor = policy_kwargs.get("features_extractor_class")
    is_ours = isinstance(extractor, type) and issubclass(extractor, EncoderExtractor)
    return is_ours or bool(policy_kwargs.get("normalize_images", True))


def _read(path: str | Path) -> tuple[dict[str, Any], dict[str, th.Tensor]]:
    """
    Attributes of the agent, as far as they can be read here; name below the extractor -> weights of the first extractor
    in the file, which is the one that acts.
    """
    check_file(path)
    try:
        try:
            settings, parameters, _ = load_from_zip_file(str(path), device="cpu")
        except ImportError:
            # It names classes of a package that is not installed here, which weights do not need
            settings, parameters, _ = load_from_zip_file(str(path), device="cpu", load_data=False)
    except (ValueError, RuntimeError, UnpicklingError) as error:
        raise OptionError(f"encoder={str(path)!r} is no zip of Stable-Baselines3, or a damaged one: {error}") from error
    found: dict[str, th.Tensor] = {}
    policy: dict[str, th.Tensor] = dict(parameters.get("policy", {}))
    for name, value in policy.items():
        _, is_extractor, rest = name.partition("features_extractor.")
        if is_extractor and rest not in found:
            found[rest] = value
    if any(name.startswith("extractors.") and ".cnn." in name for name in found):
        raise ConflictError(
            f"encoder={str(path)!r} is an agent on dictionaries, which may have several encoders: give one on images."
        )
    if not any(name.startswith("cnn.") for name in found):
        raise ConflictError(f"encoder={str(path)!r} is an agent without an image encoder.")
    return settings or {}, found


def _named_parameters(extractor: Any, depth: Depth) -> dict[str, th.Tensor]:
    below = {id(value) for layer in layers(extractor)[: n_layers(extractor, depth)] for value in _state(layer)}
    return {name: value for name, value in extractor.state_dict(keep_vars=True).items() if id(value) in below}


def _state(layer: Any) -> list[th.Tensor]:
    return list(layer.state_dict(keep_vars=True).values())


def _difference(path: Any, name: str, found: th.Tensor | None, wanted: th.Tensor, extractor: object) -> str:
    there = "is missing there" if found is None else f"has shape {tuple(found.shape)} there"
    return (
        f"The encoder of {str(path)!r} does not fit this model's {type(extractor).__name__}: {name} {there} and "
        f"{tuple(wanted.shape)} here. Choose the features_extractor and the frame stack of that agent."
    )
