"""
The two networks of rl-nn-benchmarks (Stooke, 2017), up to their hidden layer of 512.

The benchmark puts a linear layer of 10 outputs behind it: 1,345,082 and 1,689,258 parameters in all.
"""

from __future__ import annotations

from collections.abc import Sequence

from gymnasium import spaces

from sb3_efficient.extractors.base import EncoderExtractor, image_shape
from sb3_efficient.extractors.nature import NatureExtractor, convolutions

#: Of the small one: filters, kernels and strides of the two convolutions, kernels and strides in pixels
CHANNELS, KERNELS, STRIDES = (16, 32), (8, 4), (4, 2)


class NNBenchSmallExtractor(EncoderExtractor):
    """
    Mnih et al., "Playing Atari with Deep Reinforcement Learning" (2013), with 512 hidden units for 256.

    :param observation_space: Image space, (C, H, W), at least 20x20 pixels
    :param features_dim: ``F``
    :param channels: Filters of each convolution
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


class NNBenchLargeExtractor(NatureExtractor):
    """The Nature network under the benchmark's own name."""
