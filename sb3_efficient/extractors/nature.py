"""The network of Nature, and the row of convolutions that others have as well."""

from __future__ import annotations

from collections.abc import Sequence

from gymnasium import spaces
from torch import nn

from sb3_efficient.errors import OptionError
from sb3_efficient.extractors.base import EncoderExtractor, image_shape, positives

#: Filters, kernels and strides of the three convolutions, kernels and strides in pixels
CHANNELS, KERNELS, STRIDES = (32, 64, 64), (8, 4, 3), (4, 2, 1)


class NatureExtractor(EncoderExtractor):
    """
    The network of Mnih et al., "Human-level control through deep reinforcement learning", Nature 518 (2015).

    The same function, with the same parameters in the same order, as SB3's ``NatureCNN``:
    1,684,128 parameters at 4x84x84.

    :param observation_space: Image space, (C, H, W), at least 36x36 pixels
    :param features_dim: ``F``
    :param channels: Filters of each convolution, for instance after pruning
    :param precision: ``"fp32"``, ``"bf16"`` or ``"auto"``
    :param normalized_image: See :class:`EncoderExtractor`
    """

    def __init__(
        self,
        observation_space: spaces.Space,
        features_dim: int = 512,
        *,
        channels: Sequence[int] = CHANNELS,
        precision: str = "auto",
        normalized_image: bool = True,
    ) -> None:
        n_input = image_shape(observation_space, normalized_image)[0]
        cnn = convolutions(n_input, channels, KERNELS, STRIDES)
        super().__init__(
            observation_space,
            cnn,
            {"features_dim": features_dim},
            precision=precision,
            normalized_image=normalized_image,
        )


def convolutions(
    n_input: int, channels: Sequence[int], kernels: Sequence[int], strides: Sequence[int]
) -> nn.Sequential:
    """
    :param n_input: Channels of the image
    :param channels: Filters of each convolution
    :param kernels: Side of each kernel, pixels
    :param strides: Stride of each convolution, pixels
    :return: Unpadded convolutions, each followed by a ReLU, and a flattening at the end
    """
    channels = positives("channels", channels)
    if len(channels) != len(kernels):
        raise OptionError(f"channels must name the filters of all {len(kernels)} convolutions, got {channels!r}.")
    layers: list[nn.Module] = []
    for n_output, kernel, stride in zip(channels, kernels, strides, strict=True):
        layers += [nn.Conv2d(n_input, n_output, kernel, stride), nn.ReLU()]
        n_input = n_output
    return nn.Sequential(*layers, nn.Flatten())
