"""How large an extractor is: parameters, and multiply-accumulates an image."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
import torch as th
from gymnasium import spaces
from torch.utils.flop_counter import FlopCounterMode

from sb3_efficient.errors import ObservationError, OptionError
from sb3_efficient.extractors import EncoderExtractor, list_extractors, make_extractor

#: Numbers of an image that a table is made of, at most
LARGEST = 2**26


@dataclass(frozen=True)
class Size:
    """
    :param parameters: Number of weights and biases
    :param macs: Multiply-accumulates for one image
    :param latent_dim: ``D``
    :param features_dim: ``F``
    """

    parameters: int
    macs: int
    latent_dim: int
    features_dim: int


def size(name: str, shape: tuple[int, int, int] = (4, 84, 84), **kwargs: object) -> Size:
    """
    :param name: A registered extractor
    :param shape: Image, (C, H, W)
    :param kwargs: Options of the extractor
    """
    space = spaces.Box(0, 255, shape, np.uint8)
    with th.device("meta"):
        extractor = make_extractor(name, space, **kwargs)
        if isinstance(extractor, EncoderExtractor):
            # Sizes are the same in any number format, and the meta device has this one only
            extractor.precision = "fp32"
        with FlopCounterMode(display=False) as counter:
            extractor(th.empty(1, *shape))
    parameters = sum(p.numel() for p in extractor.parameters())
    latent_dim = extractor.latent_dim if isinstance(extractor, EncoderExtractor) else extractor.features_dim
    return Size(parameters, counter.get_total_flops() // 2, latent_dim, extractor.features_dim)


def table(image: str = "4x84x84") -> str:
    """
    :param image: ``CxHxW``
    :return: All registered extractors with their sizes, as text
    """
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)x([1-9]\d*)", image)
    if match is None:
        raise OptionError(f"The image must be written CHANNELSxHEIGHTxWIDTH, as 4x84x84, got {image!r}.")
    channels, height, width = shape = (int(match[1]), int(match[2]), int(match[3]))
    if width < min(channels, height):
        raise OptionError(f"{image} looks channel-last: write it channels first, {width}x{channels}x{height}.")
    if math.prod(shape) > LARGEST:
        raise OptionError(f"An image of {image} has more numbers than any that is looked at here, {LARGEST:,}.")
    lines = [f"{'Extractor at ' + image:<24}{'parameters':>14}{'M MACs':>10}{'latent':>10}{'features':>10}"]
    for title, names in (("", list_extractors()), ("Networks of the benchmarked papers", list_extractors(papers=True))):
        lines += ["", title] if title else []
        lines += [_row(name, shape) for name in names]
    return "\n".join(lines)


def _row(name: str, shape: tuple[int, int, int]) -> str:
    try:
        found = size(name, shape)
    except ObservationError:
        return f"{name:<24}{'image too small':>24}"
    return f"{name:<24}{found.parameters:>14,}{found.macs / 1e6:>10.1f}{found.latent_dim:>10,}{found.features_dim:>10,}"
