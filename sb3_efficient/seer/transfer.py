"""The encoder of another agent, put into a model before it is trained."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.save_util import load_from_zip_file

from sb3_efficient.errors import ConflictError, OptionError
from sb3_efficient.seer.encoder import encoders
from sb3_efficient.seer.stages import Depth, layers, n_layers


def transfer_encoder(path: str | Path, model: BaseAlgorithm, depth: Depth) -> None:
    """
    Copy the layers up to ``depth`` from an agent of any algorithm, into every extractor of the model.

    :param path: SB3 zip; only its weights are read
    :param model: Model with the same network up to there; its other layers, and its optimizer, stay as they are
    :param depth: See :mod:`sb3_efficient.seer.stages`
    """
    weights = _encoder_weights(path)
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


def _encoder_weights(path: str | Path) -> dict[str, th.Tensor]:
    """Name below the extractor -> weights of the first extractor in the file, which is the one that acts."""
    check_file(path)
    try:
        _, parameters, _ = load_from_zip_file(str(path), device="cpu", load_data=False)
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
    return found


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
