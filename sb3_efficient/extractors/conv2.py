"""
The network of the reuse paper; the environment wrapper that feeds it lies in ``sb3_efficient.envs``.

Khachatourian, "Reusing Convolutional Activations from Frame to Frame to Speed up Training and
Inference" (2019), arXiv 1909.05632.
"""

from __future__ import annotations

from collections.abc import Sequence

from gymnasium import spaces

from sb3_efficient.errors import ConflictError
from sb3_efficient.extractors.base import EncoderExtractor, image_shape, positives
from sb3_efficient.extractors.nature import convolutions
from sb3_efficient.options import whole_number

#: Of the first convolution, and how many there are
FILTERS, LAYERS = 20, 2
#: Side of each kernel, and stride of each convolution, pixels
KERNEL, STRIDE = 3, 1


class Conv2Extractor(EncoderExtractor):
    """
    Two 3x3 convolutions of stride 1 and no linear layer: the features are the flattened latent.

    The paper uses 20 and 40, 40 and 80, 80 and 160 filters on one channel of the screen, sampled down to
    53x40 or 105x80 pixels (``sb3_efficient.envs.DownsampleWrapper``).

    :param observation_space: Image space, (C, H, W)
    :param filters: Filters of the first convolution; each further one has twice as many
    :param kernel: Side of each kernel, pixels
    :param stride: Stride of each convolution, pixels
    :param layers: Number of convolutions
    :param features_dim: ``F`` of a linear layer behind the latent; None: no such layer, ``F = D``
    :param channels: Filters of each convolution one by one, in place of ``filters`` and ``layers``
    :param precision: ``"fp32"``, ``"bf16"`` or ``"auto"``
    :param normalized_image: See :class:`EncoderExtractor`
    """

    replaced_by_channels = ("filters", "layers")

    def __init__(
        self,
        observation_space: spaces.Space,
        features_dim: int | None = None,
        *,
        filters: int = FILTERS,
        kernel: int = KERNEL,
        stride: int = STRIDE,
        layers: int = LAYERS,
        channels: Sequence[int] | None = None,
        precision: str = "auto",
        normalized_image: bool = True,
    ) -> None:
        n_input = image_shape(observation_space, normalized_image)[0]
        if channels is None:
            channels = [whole_number("filters", filters) * 2**i for i in range(whole_number("layers", layers))]
        elif (filters, layers) != (FILTERS, LAYERS):
            raise ConflictError("channels names the filters of each convolution: leave out filters and layers.")
        channels = positives("channels", channels)
        kernels = [whole_number("kernel", kernel)] * len(channels)
        strides = [whole_number("stride", stride)] * len(channels)
        cnn = convolutions(n_input, channels, kernels, strides)
        hidden = {} if features_dim is None else {"features_dim": features_dim}
        super().__init__(observation_space, cnn, hidden, precision=precision, normalized_image=normalized_image)
