"""Dictionaries of observations: the chosen network for every image, flattening for everything else."""

from __future__ import annotations

from typing import Any

import torch as th
from gymnasium import spaces
from stable_baselines3.common.preprocessing import get_flattened_obs_dim, is_image_space
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

from sb3_efficient.errors import ObservationError


class DictExtractor(BaseFeaturesExtractor):
    """
    What SB3's ``CombinedExtractor`` does, with a network of choice where SB3 has NatureCNN.

    Not a subclass of it: SB3 hands such a subclass ``normalized_image=True`` together with
    ``normalize_images=False``, upon which any 3-D box would count as an image.

    :param observation_space: Dictionary with at least one image: uint8, or, with ``normalized_image=True``, any 3-D box
    :param extractor_class: Network for each image
    :param args: Arguments of ``extractor_class`` behind the space
    :param kwargs: Keyword arguments of ``extractor_class``
    """

    def __init__(
        self,
        observation_space: spaces.Dict,
        extractor_class: type[BaseFeaturesExtractor],
        *args: Any,
        **kwargs: Any,
    ) -> None:
        extractors: dict[str, nn.Module] = {}
        features_dim = 0
        has_image = False
        is_scaled = bool(kwargs.get("normalized_image", False))
        for key, space in observation_space.items():
            if is_image_space(space, normalized_image=is_scaled):
                extractor = extractor_class(space, *args, **kwargs)
                extractors[key] = extractor
                features_dim += extractor.features_dim
                has_image = True
            else:
                extractors[key] = nn.Flatten()
                features_dim += get_flattened_obs_dim(space)
        if not has_image:
            raise ObservationError(
                f"{extractor_class.__name__} needs at least one uint8 image of shape (channels, height, width) "
                f"in the dictionary, found {observation_space}. Float images need normalized_image=True; without "
                "images use MultiInputPolicy as it is."
            )
        super().__init__(observation_space, features_dim)
        self.extractors = nn.ModuleDict(extractors)

    def forward(self, observations: dict[str, th.Tensor]) -> th.Tensor:
        """
        :param observations: One batch a key
        :return: Features of all keys side by side, (B, F), float32
        """
        return th.cat([extract(observations[key]) for key, extract in self.extractors.items()], dim=1)
