"""
The residual network of IMPALA, with the choices people have found useful since.

Espeholt et al., "IMPALA: Scalable Distributed Deep-RL with Importance Weighted Actor-Learner
Architectures" (2018), figure 3 right, as in OpenAI baselines (``impala_cnn``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch as th
from gymnasium import spaces
from torch import nn

from sb3_efficient.errors import ConflictError, OptionError
from sb3_efficient.extractors.base import EncoderExtractor, image_shape, positives
from sb3_efficient.extractors.max_pool import HalvingMaxPool
from sb3_efficient.options import check_name, number

#: What stands between the last convolution and the linear layer
POOLS: dict[str, Callable[[], list[nn.Module]]] = {
    "flatten": lambda: [],
    # Impoola: Trumpp et al., arXiv 2503.05546 (2025)
    "average": lambda: [nn.AdaptiveAvgPool2d(1)],
    # Beyond The Rainbow: Clark et al., arXiv 2411.03820 (2024)
    "adaptive-max-6": lambda: [nn.AdaptiveMaxPool2d(6)],
}
DEPTHS = (16, 32, 32)
DOWNSAMPLES = ("max-pool", "strided")
CONVOLUTIONS_PER_STAGE = 5


class ImpalaExtractor(EncoderExtractor):
    """
    Three stages, each a convolution, a halving of the image and two residual blocks.

    1,089,232 parameters at 4x84x84, of which 991,488 in the linear layer behind a latent of 3872 numbers.

    :param observation_space: Image space, (C, H, W), of any size
    :param features_dim: ``F``
    :param width: Multiplies ``depths``
    :param depths: Filters of each stage
    :param downsample: How a stage halves the image: ``"max-pool"`` (3x3, stride 2) or ``"strided"``
        (its first convolution has stride 2 and there is no pooling: four times less work in it)
    :param pool: ``"flatten"``, ``"average"`` (Impoola: D = filters of the last stage) or ``"adaptive-max-6"``
    :param channels: Filters of each convolution one by one, five a stage, for instance after pruning; in place of
        ``depths`` and ``width``. The first, third and fifth of a stage are added up and must agree.
    :param precision: ``"fp32"``, ``"bf16"`` or ``"auto"``
    :param normalized_image: See :class:`EncoderExtractor`
    """

    replaced_by_channels = ("width", "depths")

    def __init__(
        self,
        observation_space: spaces.Space,
        features_dim: int = 256,
        *,
        width: float = 1,
        depths: Sequence[int] = DEPTHS,
        downsample: str = "max-pool",
        pool: str = "flatten",
        channels: Sequence[int] | None = None,
        precision: str = "auto",
        normalized_image: bool = True,
    ) -> None:
        n_input = image_shape(observation_space, normalized_image)[0]
        check_name("downsample", downsample, DOWNSAMPLES)
        check_name("pool", pool, POOLS)
        stages = []
        for filters in _stages(width, depths, channels):
            stages.append(_Stage(n_input, filters, strided=downsample == "strided"))
            n_input = filters[-1]
        cnn = nn.Sequential(*stages, nn.ReLU(), *POOLS[pool](), nn.Flatten())
        super().__init__(
            observation_space,
            cnn,
            {"features_dim": features_dim},
            precision=precision,
            normalized_image=normalized_image,
        )


class _Stage(nn.Sequential):
    """(B, C, H, W) -> (B, filters, ceil(H / 2), ceil(W / 2))."""

    def __init__(self, n_input: int, filters: Sequence[int], strided: bool) -> None:
        first, inner_1, out_1, inner_2, out_2 = filters
        layers: list[nn.Module] = [nn.Conv2d(n_input, first, 3, stride=2 if strided else 1, padding=1)]
        if not strided:
            layers.append(HalvingMaxPool())
        super().__init__(*layers, Residual(first, inner_1, out_1), Residual(out_1, inner_2, out_2))


class Residual(nn.Module):
    """x + conv(relu(conv(relu(x))))."""

    def __init__(self, n_input: int, inner: int, n_output: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(n_input, inner, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(inner, n_output, 3, padding=1),
        )

    def forward(self, x: th.Tensor) -> th.Tensor:
        return x + self.branch(x)


def _stages(width: float, depths: Sequence[int], channels: Sequence[int] | None) -> list[list[int]]:
    """Filters of the five convolutions of each stage."""
    if channels is None:
        number("width", width)
        return [[max(1, round(depth * width))] * CONVOLUTIONS_PER_STAGE for depth in positives("depths", depths)]
    if positives("depths", depths) != list(DEPTHS):
        raise ConflictError(f"channels names the filters of each convolution: leave out depths={depths!r}.")
    if width != 1:
        raise ConflictError(
            f"channels names the filters of each convolution: leave out width={width!r} "
            "(which shortcuts such as impala-x2 bring along; use impala)."
        )
    channels = positives("channels", channels)
    if len(channels) % CONVOLUTIONS_PER_STAGE:
        raise OptionError(f"channels needs {CONVOLUTIONS_PER_STAGE} numbers a stage, got {len(channels)}.")
    stages = [channels[i : i + CONVOLUTIONS_PER_STAGE] for i in range(0, len(channels), CONVOLUTIONS_PER_STAGE)]
    for stage, (first, _, out_1, _, out_2) in enumerate(stages, start=1):
        if not first == out_1 == out_2:
            raise OptionError(
                f"In stage {stage} the first, third and fifth of channels are added up and must agree, "
                f"got {first}, {out_1} and {out_2}."
            )
    return stages
