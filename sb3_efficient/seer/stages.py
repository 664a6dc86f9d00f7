"""
How deep to freeze: the layers of an extractor, counted in stages from the image up.

A stage is a convolution (Nature) or a group of them (Impala) with what follows before the next one. ``"lower"`` is
all stages but the last (of a single one, that one), ``"conv"`` all of them, ``"features"`` the linear layers behind
them too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, NatureCNN
from torch import nn

from sb3_efficient.errors import ObservationError, OptionError, suggestion
from sb3_efficient.extractors import EncoderExtractor

Depth = int | str
NAMED = ("lower", "conv", "features")


def is_staged(extractor: object) -> bool:
    """
    :param extractor: Any features extractor
    :return: Whether it is a row of convolutions, ``cnn``, followed by a row of linear layers, ``linear``
    """
    return isinstance(extractor, EncoderExtractor) or type(extractor) is NatureCNN


def layers(extractor: BaseFeaturesExtractor) -> list[nn.Module]:
    """
    :param extractor: One that :func:`is_staged`
    :return: Its layers from the image up
    """
    parts: Any = extractor
    return [*parts.cnn, *parts.linear]


def n_stages(extractor: BaseFeaturesExtractor) -> int:
    """
    :param extractor: One that :func:`is_staged`
    :return: How many stages of convolutions it has
    """
    return len(_starts(extractor))


def n_layers(extractor: BaseFeaturesExtractor, depth: Depth) -> int:
    """
    :param extractor: One that :func:`is_staged`
    :param depth: Number of a stage, from 1, or ``"lower"``, ``"conv"`` or ``"features"``
    :return: How many of its :func:`layers` that is
    """
    if depth == "features":
        return len(layers(extractor))
    convolutions = len(extractor.cnn)  # type: ignore[arg-type]
    return [*_starts(extractor)[1:], convolutions][deepest_stage(extractor, depth) - 1]


def deepest_stage(extractor: BaseFeaturesExtractor, depth: Depth) -> int:
    """
    :param extractor: One that :func:`is_staged`
    :param depth: As in :func:`n_layers`
    :return: Number of the last stage that is frozen
    """
    check_depth(extractor, depth)
    if isinstance(depth, int):
        return depth
    last = n_stages(extractor)
    return max(1, last - 1) if depth == "lower" else last


def check_any_depth(depth: Any) -> Depth:
    """
    :return: ``depth``, if some extractor has such a one
    """
    if isinstance(depth, str) and depth in NAMED:
        return depth
    if isinstance(depth, (int, np.integer)) and not isinstance(depth, bool) and depth >= 1:
        return int(depth)
    hint = suggestion(depth, NAMED)
    raise OptionError(
        f"depth must be 'lower', 'conv', 'features' or the number of a stage, from 1, got {depth!r}.{hint}"
    )


def check_depth(extractor: BaseFeaturesExtractor, depth: Any) -> None:
    """Refuse a depth that this extractor does not have."""
    name, known = type(extractor).__name__, range(1, n_stages(extractor) + 1)
    if isinstance(depth, str) and depth in NAMED:
        return
    if isinstance(depth, int) and not isinstance(depth, bool) and depth in known:
        return
    hint = suggestion(depth, NAMED)
    raise OptionError(
        f"depth={depth!r} is not one of {name}: {', '.join(map(str, known))}, 'lower', 'conv' or 'features'.{hint}"
    )


def check_staged(extractor: object) -> None:
    """Refuse a network whose layers are not known."""
    if not is_staged(extractor):
        raise ObservationError(
            f"SEER knows the layers of SB3's NatureCNN and of this package's extractors, and found "
            f"{type(extractor).__name__}: choose one with policy_kwargs=sb3_efficient.policy_kwargs('nature', PPO)."
        )


def _starts(extractor: BaseFeaturesExtractor) -> list[int]:
    cnn: Any = extractor.cnn
    return [i for i, layer in enumerate(cnn) if any(isinstance(m, nn.Conv2d) for m in layer.modules())]
