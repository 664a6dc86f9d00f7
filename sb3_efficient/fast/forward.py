"""
Any image network of SB3 run channels-last and in bfloat16, and fed with uint8.

Both classes are attributes of *one object*, over the method of its class. Nothing about them reaches a zip:
SB3 saves a policy as its state dict and the arguments of its constructor.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch as th
from gymnasium import spaces
from stable_baselines3.common.policies import BaseModel
from stable_baselines3.common.preprocessing import preprocess_obs
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, CombinedExtractor, NatureCNN

from sb3_efficient.extractors import EncoderExtractor
from sb3_efficient.extractors.computing import Computing
from sb3_efficient.extractors.dict import DictExtractor
from sb3_efficient.extractors.precision import Precision


class FastForward(Computing):
    """
    ``forward`` of one features extractor: the one of its class, on channels-last activations, under autocast.

    Only the extractor computes in bfloat16; what comes out, and so every head behind it, is float32.

    :param extractor: The extractor whose attribute this is going to be
    :param precision: ``"fp32"`` or ``"bf16"``
    :param fp32_below: Smaller batches without gradients stay in float32. Acting on one image is faster so, which
        off-policy algorithms may use; PPO must act in the format that it is updated in.
    :param scales_pixels: Whether uint8 images are to be divided by 255, as SB3 does before its own extractors
    """

    def __init__(
        self,
        extractor: BaseFeaturesExtractor,
        precision: Precision = "fp32",
        fp32_below: int = 0,
        scales_pixels: bool = False,
    ) -> None:
        self.extractor = extractor
        self.precision = precision
        self.fp32_below = fp32_below
        self.scales_pixels = scales_pixels

    def __call__(self, observations: th.Tensor, *arguments: Any, **options: Any) -> th.Tensor:
        """
        :param observations: Images, (B, C, H, W): uint8, or as SB3's preprocessing leaves them
        :param arguments: What else the extractor takes
        :param options: The same by name
        :return: Features, (B, F), float32
        """
        extractor: Any = self.extractor
        with self.computing(observations):
            if type(extractor).forward is NatureCNN.forward:
                return extractor.linear(self.through(extractor.cnn, observations)).float()
            return type(extractor).forward(extractor, self.pixels(observations), *arguments, **options).float()

    def pixels(self, images: th.Tensor) -> th.Tensor:
        """
        :param images: (B, C, H, W), uint8, or as SB3's preprocessing leaves them
        :return: What the network is to be given: channels-last, and in [0, 1] if these are images
        """
        # Reordered before it is made wider: fewer bytes to move
        pixels = images.contiguous(memory_format=th.channels_last)
        if pixels.is_floating_point():
            return pixels
        return pixels.to(self.dtype(images)).div_(255.0)

    def takes_uint8(self, normalize_images: bool) -> bool:
        """See :class:`Computing`; the setting of the policy is in ``scales_pixels`` already."""
        return self.scales_pixels

    def as_for(self, n: int) -> FastForward:
        """See :class:`Computing`."""
        precision: Precision = "bf16" if self.precision == "bf16" and n >= self.fp32_below else "fp32"
        return FastForward(self.extractor, precision, scales_pixels=self.scales_pixels)

    def accepts(self, observations: th.Tensor) -> bool:
        """
        :param observations: Any batch
        :return: Whether it is to be handed over without SB3's preprocessing
        """
        return self.scales_pixels and observations.dtype == th.uint8


class FastFeatures:
    """
    ``extract_features`` of one policy (or Q-network, actor, critic), without the float32 copy of all images.

    ``preprocess_obs`` of SB3 makes four bytes of every pixel, and eight with its division. Extractors that take
    uint8 get it; everything else is prepared as ever. ``predict_values`` and ``get_distribution`` reach past this
    attribute to the method of the class, which gives the same features, in bfloat16 up to its rounding.

    :param policy: The policy whose attribute this is going to be
    """

    def __init__(self, policy: BaseModel) -> None:
        self.policy = policy

    def __call__(self, obs: Any, features_extractor: BaseFeaturesExtractor | None = None) -> Any:
        """
        :param obs: Observations
        :param features_extractor: Default: the policy's
        :return: Features; for actor and critic if an actor-critic policy does not share its extractor
        """
        policy: Any = self.policy
        if hasattr(policy, "pi_features_extractor") and not policy.share_features_extractor:
            if features_extractor is not None:
                warnings.warn("features_extractor is ignored: actor and critic have one each.", stacklevel=2)
            return tuple(self._features(obs, e) for e in (policy.pi_features_extractor, policy.vf_features_extractor))
        # A compiled one has no truth value
        return self._features(obs, policy.features_extractor if features_extractor is None else features_extractor)

    def _features(self, obs: Any, extractor: BaseFeaturesExtractor) -> th.Tensor:
        space, normalize = self.policy.observation_space, self.policy.normalize_images
        if not isinstance(space, spaces.Dict):
            return extractor(_prepared(obs, space, extractor, normalize))
        # Others may compute with the pixels before they hand them on
        known = type(extractor).forward in (CombinedExtractor.forward, DictExtractor.forward)
        parts = dict(extractor.extractors.items()) if known else {}  # type: ignore[operator, union-attr]
        return extractor({k: _prepared(v, space[k], parts.get(k), normalize) for k, v in obs.items()})


def _prepared(obs: th.Tensor, space: spaces.Space, extractor: object, normalize: bool) -> Any:
    return obs if accepts(extractor, obs, normalize) else preprocess_obs(obs, space, normalize_images=normalize)


def accepts(extractor: object, observations: th.Tensor, normalize_images: bool) -> bool:
    """
    :param extractor: Features extractor
    :param observations: Any batch
    :param normalize_images: Setting of its policy
    :return: Whether the extractor makes the same of these observations as of those that SB3 has prepared
    """
    # A compiled one calls the forward of what it was made of, and has another itself
    extractor = getattr(extractor, "_orig_mod", extractor)
    own = getattr(getattr(extractor, "forward", None), "accepts", None)
    if own is not None:
        return bool(own(observations))
    is_uint8 = observations.dtype == th.uint8
    return is_uint8 and isinstance(extractor, EncoderExtractor) and extractor.takes_uint8(normalize_images)
