"""
The seam of this package: images -> ``encode`` -> latents -> ``project`` -> features.

Shapes: ``B`` batch, ``C`` channels (stacked frames), ``H W`` pixels, ``D`` latent, ``F`` features.
"""

from __future__ import annotations

import copy
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

from sb3_efficient.errors import ObservationError, OptionError
from sb3_efficient.extractors.computing import Computing
from sb3_efficient.extractors.precision import resolve_precision
from sb3_efficient.options import check_switches, whole_number


class EncoderExtractor(Computing, BaseFeaturesExtractor):
    """
    Features extractor in two halves: ``encode`` (the convolutions) and ``project`` (the layers behind them).

    ``forward(x) = project(encode(x))``. The halves are the attributes ``cnn`` and ``linear``, named and
    ordered as in SB3's ``NatureCNN``. Weights are float32 and contiguous; activations are channels-last,
    which is what makes the same network faster than its plain NCHW form.

    Subclasses build ``cnn`` and call this constructor; they override nothing else.

    :param observation_space: Image space of shape (C, H, W). Given a ``Dict`` space instead, the result is a
        :class:`~sb3_efficient.extractors.dict.DictExtractor` with one network of this class per image
    :param cnn: Module from (B, C, H, W) in [0, 1] to (B, D)
    :param hidden: Option of the subclass and width of each linear layer behind the latent, the last one is ``F``;
        empty: ``F = D``
    :param precision: ``"fp32"``, ``"bf16"`` or ``"auto"``, see :func:`resolve_precision`
    :param normalized_image: What a *float* image holds: values in [0, 1] (True, SB3's preprocessing with
        ``normalize_images=True``) or raw pixel values (False, with ``normalize_images=False``).
        uint8 images are always divided by 255 here.
    """

    #: Options that the option ``channels`` stands in place of
    replaced_by_channels: ClassVar[tuple[str, ...]] = ()

    def __new__(cls, observation_space: spaces.Space | None = None, *args: Any, **kwargs: Any) -> Any:
        # One set of policy_kwargs serves CnnPolicy and MultiInputPolicy, whose spaces only SB3 knows.
        # Unpickling and deepcopy come here without a space.
        if isinstance(observation_space, spaces.Dict):
            from sb3_efficient.extractors.dict import DictExtractor

            return DictExtractor(observation_space, cls, *args, **kwargs)
        return super().__new__(cls)

    def __init__(
        self,
        observation_space: spaces.Space,
        cnn: nn.Sequential,
        hidden: Mapping[str, int],
        *,
        precision: str = "auto",
        normalized_image: bool = True,
    ) -> None:
        shape = image_shape(observation_space, normalized_image)
        latent_dim = _latent_dim(cnn, shape, type(self).__name__)
        self.hidden = tuple(hidden)
        widths = [latent_dim, *(whole_number(option, width) for option, width in hidden.items())]
        super().__init__(observation_space, features_dim=widths[-1])
        self.latent_dim = latent_dim
        self.normalized_image = normalized_image
        self.precision = resolve_precision(precision)
        self.cnn = cnn
        self.linear = nn.Sequential()
        for n_in, n_out in pairwise(widths):
            self.linear.extend([nn.Linear(n_in, n_out), nn.ReLU()])

    def forward(self, observations: th.Tensor) -> th.Tensor:
        """
        :param observations: Images, (B, C, H, W)
        :return: Features, (B, F), float32
        """
        return self.project(self.encode(observations))

    def encode(self, images: th.Tensor) -> th.Tensor:
        """
        :param images: (B, C, H, W), uint8 or float
        :return: Latents, (B, D), in the number format of ``precision``
        """
        if images.shape[1:] != self._observation_space.shape:
            raise ObservationError(
                f"{type(self).__name__} was built for images of shape {self._observation_space.shape}, "
                f"and got a batch of shape {tuple(images.shape)}."
            )
        return self.through(self.cnn, images)

    def project(self, latents: th.Tensor) -> th.Tensor:
        """
        :param latents: (B, D)
        :return: Features, (B, F), float32
        """
        with self.computing(latents):
            return self.linear(latents).float()

    def pixels(self, images: th.Tensor) -> th.Tensor:
        """
        :param images: (B, C, H, W), uint8 or float
        :return: The same in [0, 1], channels-last, in the number format of ``precision``
        """
        dtype = self.dtype(images)
        holds_pixel_values = not (images.is_floating_point() and self.normalized_image)
        if images.is_floating_point():
            images = images.to(dtype)
        # Reordered in the narrower of the two formats: a third less time than the other way round
        pixels = images.contiguous(memory_format=th.channels_last).to(dtype)
        return pixels / 255.0 if holds_pixel_values else pixels

    def takes_uint8(self, normalize_images: bool) -> bool:
        """See :class:`Computing`."""
        return self.normalized_image == normalize_images


def image_shape(observation_space: spaces.Space, normalized_image: bool = True) -> tuple[int, int, int]:
    """
    Check that a space holds channel-first images.

    :return: (C, H, W)
    """
    found = f"found {observation_space}"
    check_switches(normalized_image=normalized_image)
    if not isinstance(observation_space, spaces.Box) or len(observation_space.shape) != 3:
        is_grey = isinstance(observation_space, spaces.Box) and len(observation_space.shape) == 2
        raise ObservationError(
            f"An image extractor needs a Box of shape (channels, height, width), {found}. "
            + (
                "Grey images need their axis of channels, too: GrayscaleObservation(env, keep_dim=True)."
                if is_grey
                else "For observations that are no images use SB3's MlpPolicy without features_extractor."
            )
        )
    channels, height, width = observation_space.shape
    if 0 in observation_space.shape:
        raise ObservationError(f"Images must have channels and pixels, {found}.")
    if width < min(channels, height):
        way = (
            "Wrap the environment in stable_baselines3's VecTransposeImage (SB3 does so by itself)."
            if observation_space.dtype == np.uint8
            # SB3 does not take them for images
            else "Transpose them in the environment, as by gymnasium.wrappers.TransformObservation."
        )
        raise ObservationError(f"Images must be channel-first, {found}, which looks channel-last. {way}")
    low, high = observation_space.low.min(), observation_space.high.max()
    if observation_space.dtype == np.uint8:
        if (low, high) != (0, 255):
            raise ObservationError(f"uint8 images must span [0, 255], {found} with bounds [{low}, {high}].")
    elif not np.issubdtype(observation_space.dtype, np.floating):
        raise ObservationError(f"Images must be uint8 or floating point, {found}.")
    elif not normalized_image and (low, high) != (0, 255):
        raise ObservationError(
            f"These float images do not span [0, 255], {found} with bounds [{low}, {high}], and would be divided by "
            "255: pass normalized_image=True to have them taken as they are."
        )
    return channels, height, width


def positives(option: str, values: Any) -> list[int]:
    """
    :return: ``values`` as plain ints, if they are a list of whole numbers of at least 1
    """
    if isinstance(values, str) or not isinstance(values, (Sequence, np.ndarray)) or len(values) == 0:
        raise OptionError(f"{option} must be a list of whole numbers, as (16, 32, 32), got {values!r}.")
    return [whole_number(option, value) for value in values]


def _latent_dim(cnn: nn.Module, shape: tuple[int, int, int], name: str) -> int:
    """Length of the latent; tried on the meta device, so it costs neither memory nor random numbers."""
    # Statistics of one image are refused in training
    probe = copy.deepcopy(cnn).to("meta").eval()

    def length(height: int, width: int) -> int:
        found: int = probe(th.empty(1, shape[0], height, width, device="meta")).shape[1]
        if found == 0:
            # Torch 2.8 does not refuse a kernel that is larger than its image
            raise RuntimeError("nothing is left of it")
        return found

    def fits(side: int) -> bool:
        with suppress(RuntimeError):
            length(side, side)
            return True
        return False

    try:
        return length(*shape[1:])
    except RuntimeError as error:
        sides = range(1, 4097)
        smallest = bisect_left(sides, True, key=fits) + 1
        if smallest not in sides:
            raise ObservationError(f"{name} cannot compute on images of shape {shape}: {error}") from error
        raise ObservationError(
            f"Images of {shape[1]}x{shape[2]} pixels are too small for {name}: the smallest possible size is "
            f"{smallest}x{smallest}. Resize them, or choose an extractor that pads, such as 'impala'."
        ) from error
