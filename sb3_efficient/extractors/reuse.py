"""
Extractors that compute only what changed between frames, while the agent acts.

The same networks with the same parameters as those they are named after; saved agents can be loaded into either by
name of their parameters. Updates compute everything, but for what is faster from distinct patches:
``sb3_efficient.reuse.updating``.

After Khachatourian, "Reusing Convolutional Activations from Frame to Frame to Speed up Training and
Inference" (2019), arXiv 1909.05632.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import torch as th
from gymnasium import spaces

from sb3_efficient.errors import ConflictError, OptionError
from sb3_efficient.extractors import conv2, nature, nn_bench
from sb3_efficient.extractors.base import EncoderExtractor, image_shape, positives
from sb3_efficient.extractors.conv2 import Conv2Extractor
from sb3_efficient.extractors.impala import ImpalaExtractor
from sb3_efficient.extractors.nature import convolutions
from sb3_efficient.extractors.recording import is_recorded
from sb3_efficient.options import check_name, whole_number

#: Filters, kernels and strides of the rows of convolutions that can be named, and width of the linear layer
BASES: dict[str, tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], int | None]] = {
    "nature": (nature.CHANNELS, nature.KERNELS, nature.STRIDES, 512),
    "nn-bench-small": (nn_bench.CHANNELS, nn_bench.KERNELS, nn_bench.STRIDES, 512),
    "conv2": (
        tuple(conv2.FILTERS * 2**i for i in range(conv2.LAYERS)),
        (conv2.KERNEL,) * conv2.LAYERS,
        (conv2.STRIDE,) * conv2.LAYERS,
        None,
    ),
}
#: Largest batch that is taken for environments, each of which has a state
ROWS = 16


class Reusing(EncoderExtractor):
    """
    In float32. Without gradients, what changed since the last batch is computed, row by row. With them, what is faster
    so is computed once per distinct patch of the batch: all of ``conv2``, and the first layers of ``impala``.
    """

    _acting: Any = None
    _rows: int = ROWS

    def forward(self, observations: th.Tensor) -> th.Tensor:
        """
        :param observations: Images, (B, C, H, W)
        :return: Features, (B, F), float32
        """
        features = self._reused("features", observations)
        return super().forward(observations) if features is None else features

    def encode(self, images: th.Tensor) -> th.Tensor:
        """
        :param images: (B, C, H, W), uint8 or float
        :return: Latents, (B, D), in the number format of ``precision``
        """
        latents = self._reused("latents", images)
        return super().encode(images) if latents is None else latents

    @property
    def plans(self) -> dict[str, Any]:
        """Which layer is computed how, and how much of it so far: can be printed, empty before the first frame."""
        return {} if self._acting is None else self._acting.plans

    def _reused(self, what: str, images: th.Tensor) -> th.Tensor | None:
        """None where everything is to be computed."""
        # Gradients of the pixels are not computed here
        if images.requires_grad or is_recorded() or images.shape[1:] != self._observation_space.shape:
            return None
        if th.is_grad_enabled():
            return None if what == "features" else self._distinct(images)
        if self.precision != "fp32":
            return None
        if self._acting is None and not th.is_autocast_enabled("cpu"):
            # By its name, so that a list of names imports no compiler
            self._acting = import_module("sb3_efficient.reuse.acting").Acting(self, self._rows)
            import_module("sb3_efficient.reuse.updating").prepare(self)
        found: th.Tensor | None = getattr(self._acting, what)(images) if self._acting is not None else None
        return found

    def _distinct(self, images: th.Tensor) -> th.Tensor | None:
        """With gradients."""
        found: th.Tensor | None = import_module("sb3_efficient.reuse.updating").distinct_latents(self, images)
        return found

    def __getstate__(self) -> dict[str, Any]:
        # What was seen is nobody else's business
        return {**super().__getstate__(), "_acting": None}  # type: ignore[no-untyped-call]


class ReuseExtractor(Reusing):
    """
    A row of convolutions, each followed by a ReLU, and a linear layer.

    :param observation_space: Image space, (C, H, W)
    :param features_dim: ``F``; None: that of the base, which for ``"conv2"`` is the latent itself
    :param base: Network whose settings hold where nothing else is said: ``"nature"``, ``"nn-bench-small"`` or
        ``"conv2"``
    :param filters: Filters of the first convolution; the others in the proportions of the base
    :param channels: Filters of each convolution one by one, in place of ``filters``
    :param kernel: Side of each kernel, pixels; one number for all, or one for each convolution
    :param stride: Stride of each convolution, pixels; one number for all, or one for each convolution
    :param rows: Largest batch that is taken for environments; each has a state
    :param precision: ``"fp32"``; in ``"bf16"`` nothing is reused
    :param normalized_image: See :class:`EncoderExtractor`
    """

    replaced_by_channels = ("filters",)

    def __init__(
        self,
        observation_space: spaces.Space,
        features_dim: int | None = None,
        *,
        base: str = "nature",
        filters: int | None = None,
        channels: Sequence[int] | None = None,
        kernel: int | Sequence[int] | None = None,
        stride: int | Sequence[int] | None = None,
        rows: int = ROWS,
        precision: str = "auto",
        normalized_image: bool = True,
    ) -> None:
        n_input = image_shape(observation_space, normalized_image)[0]
        if base == "impala":
            raise OptionError("base='impala' has an extractor of its own: take 'reuse-impala'.")
        check_name("base", base, BASES)
        if channels is not None and filters is not None:
            raise ConflictError("channels names the filters of each convolution: leave out filters.")
        usual, kernels, strides, width = BASES[base]
        if channels is None:
            first = usual[0] if filters is None else whole_number("filters", filters)
            channels = [max(1, round(n * first / usual[0])) for n in usual]
        channels = positives("channels", channels)
        kernels = _one_for_each("kernel", kernel, kernels, len(channels))
        strides = _one_for_each("stride", stride, strides, len(channels))
        cnn = convolutions(n_input, channels, kernels, strides)
        width = width if features_dim is None else features_dim
        hidden = {} if width is None else {"features_dim": width}
        super().__init__(observation_space, cnn, hidden, precision=precision, normalized_image=normalized_image)
        self._rows = whole_number("rows", rows)


class ReuseImpalaExtractor(Reusing, ImpalaExtractor):
    """``impala`` with all its options."""


class ReuseConv2Extractor(Reusing, Conv2Extractor):
    """``conv2`` with all its options."""


def _one_for_each(option: str, given: Any, default: tuple[int, ...], n: int) -> tuple[int, ...]:
    if given is None:
        given = default
    numbers = tuple(given) if isinstance(given, Sequence) and not isinstance(given, str) else (given,) * n
    if len(numbers) != n:
        raise OptionError(f"{option} must be one number, or one for each of the {n} convolutions, got {given!r}.")
    return tuple(whole_number(option, number) for number in numbers)
