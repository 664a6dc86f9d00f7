"""The seam of SEER: one extractor whose lower layers are frozen, and which takes latents in place of images."""

from __future__ import annotations

from typing import Any

import torch as th
from stable_baselines3.common.preprocessing import preprocess_obs
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

from sb3_efficient.errors import ObservationError
from sb3_efficient.extractors import EncoderExtractor
from sb3_efficient.extractors.computing import Computing
from sb3_efficient.extractors.recording import is_exported
from sb3_efficient.seer.stages import Depth, layers, n_layers
from sb3_efficient.weights import Weights, places


class FrozenForward:
    """
    ``forward`` of one features extractor whose first layers are frozen.

    Images (B, C, H, W) pass the frozen layers without gradients, and are rounded as they would be stored, so that
    acting and learning see the same numbers. Latents (B, L) pass only the rest. Two and four dimensions cannot be
    confused, whatever their sizes. ``requires_grad`` and the optimizer stay as they are: parameters that get no
    gradient are skipped by every optimizer of torch.

    :param extractor: The extractor whose attribute this is going to be
    :param numbers: Knows the number format, and how pixels are prepared: the extractor if it is ours
    :param takes_uint8: Whether images are to be handed over without SB3's preprocessing
    :param depth: See :mod:`sb3_efficient.seer.stages`
    :param dtype: What latents are stored in
    :param offset: First column of this extractor's latent, where several lie side by side
    :param encoding: What frozen layers compute in, whatever the size of the batch: latents of images that were
        converted many at a time, and of those that came one by one, are stored together; None: ``numbers``
    """

    def __init__(
        self,
        extractor: BaseFeaturesExtractor,
        numbers: Computing,
        takes_uint8: bool,
        depth: Depth,
        dtype: th.dtype,
        offset: int = 0,
        encoding: Computing | None = None,
    ) -> None:
        self.extractor = extractor
        self.numbers = numbers
        self.encoding = numbers if encoding is None else encoding
        self.takes_uint8 = takes_uint8
        self.n_layers = n_layers(extractor, depth)
        self.frozen = nn.Sequential(*layers(extractor)[: self.n_layers])
        self.rest = nn.Sequential(*layers(extractor)[self.n_layers :])
        # A method of its own for all convolutions may know a shorter way
        own = isinstance(extractor, EncoderExtractor) and type(extractor).encode is not EncoderExtractor.encode
        self.whole_encoder = n_layers(extractor, "conv") if own else -1
        self.dtype = dtype
        self.image_shape = tuple(extractor._observation_space.shape or ())
        self.latent_shape = self._latent_shape()
        size = int(th.Size(self.latent_shape).numel())
        self.columns = slice(offset, offset + size)
        #: Version of the weights, images, and their latents
        self._remembered = -1, th.empty(0), th.empty(0)
        self._weights = Weights(places(self.frozen.modules(), statistics=True))
        self._version = 0

    @property
    def latent_dim(self) -> int:
        """``D``, numbers in one latent."""
        return self.columns.stop - self.columns.start

    def __call__(self, observations: th.Tensor) -> th.Tensor:
        """
        :param observations: Images, (B, C, H, W), or latents of all extractors of the model, (B, L)
        :return: Features, (B, F), float32
        """
        is_latent = observations.ndim == 2
        return self.project(observations[:, self.columns] if is_latent else self.encode(observations))

    @th.no_grad()
    def encode(self, images: th.Tensor, remember: bool = True) -> th.Tensor:
        """
        Images that were encoded last time are recognised by their pixels: acting and storing cost one pass.

        :param images: (B, C, H, W)
        :param remember: Whether they may come again
        :return: (B, D) in the number format of storage
        """
        if images.shape[1:] != self.image_shape:
            raise ObservationError(
                f"The frozen encoder takes images of shape {self.image_shape}, got a batch of {tuple(images.shape)}."
            )
        if not remember or is_exported():
            # A trace would take what is remembered for a constant
            return self._encode(images)
        # Other weights may be put into a model, by set_parameters()
        version = self.version
        # Read once and written once: threads that act at the same time may come in between
        known, seen, latents = self._remembered
        if known != version or images.shape != seen.shape or images.dtype != seen.dtype:
            latents = self._encode(images)
        else:
            new = (images != seen).flatten(1).any(dim=1)
            if not new.any():
                return latents
            latents = latents.clone()
            latents[new] = self._encode(images[new])
        self._remembered = version, images.clone(), latents
        return latents

    def project(self, latents: th.Tensor) -> th.Tensor:
        """
        :param latents: (B, D)
        :return: Features, (B, F), float32
        """
        with self.numbers.computing(latents):
            return self.rest(self._unpacked(latents)).float()

    @th.no_grad()
    def lift(self, latents: th.Tensor, deeper: FrozenForward) -> th.Tensor:
        """
        :param latents: (B, D) of this depth
        :param deeper: The same extractor, frozen deeper
        :return: (B, D) of that depth
        """
        between = deeper.frozen[self.n_layers :].eval()
        with self.encoding.computing(latents):
            return deeper._packed(between(self._unpacked(latents)))

    @property
    def version(self) -> int:
        """Another number once these weights have been written, or others put in their place."""
        self._version += self._weights.changed()
        return self._version

    def accepts(self, observations: th.Tensor) -> bool:
        """
        :param observations: Any batch
        :return: Whether it is to be handed over without SB3's preprocessing
        """
        return observations.ndim == 2 or (self.takes_uint8 and observations.dtype == th.uint8)

    def prepared(self, images: th.Tensor, policy: Any) -> th.Tensor:
        """
        :param images: (B, C, H, W)
        :param policy: The one that this extractor belongs to
        :return: What the policy hands to this extractor
        """
        if self.accepts(images):
            return images
        prepared: Any = preprocess_obs(images, policy.observation_space, normalize_images=policy.normalize_images)
        return prepared

    def _encode(self, images: th.Tensor) -> th.Tensor:
        # SB3 switches the whole policy to training mode, in which running statistics would move
        self.frozen.eval()
        if self.n_layers == self.whole_encoder:
            return self._packed(self.extractor.encode(images))  # type: ignore[operator]
        return self._packed(self.encoding.through(self.frozen, images))

    def _packed(self, maps: th.Tensor) -> th.Tensor:
        # Channels last, as they lie in memory
        rows = (maps.permute(0, 2, 3, 1) if maps.ndim == 4 else maps).flatten(1).to(self.dtype)
        # Later images may exceed what those at the freeze were checked for
        most = th.finfo(self.dtype).max
        return rows.clamp_(-most, most) if self.dtype == th.float16 else rows

    def _unpacked(self, latents: th.Tensor) -> th.Tensor:
        wide = latents.float()
        return wide.reshape(-1, *self.latent_shape).permute(0, 3, 1, 2) if len(self.latent_shape) == 3 else wide

    def _latent_shape(self) -> tuple[int, ...]:
        device = next(self.frozen.parameters()).device
        with th.no_grad():
            shape = self.frozen.eval()(th.zeros(1, *self.image_shape, device=device)).shape[1:]
        return (*shape[1:], shape[0]) if len(shape) == 3 else tuple(shape)


def frozen_layers(model: Any) -> set[nn.Module]:
    """
    :param model: Any SB3 model
    :return: Its layers, those of target networks too, whose latents are stored: their weights must stay as they are
    """
    forwards = (vars(module).get("forward") for module in model.policy.modules())
    return {layer for found in forwards if isinstance(found, FrozenForward) for layer in found.frozen.modules()}
