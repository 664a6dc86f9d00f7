"""
The policy that tiny_rl compresses: its features extractor, and the whole of it for the compression tables.

tinyRL (2024), on the PPO-RND agent of Kazemipour.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch as th
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import MlpExtractor
from torch import nn

from sb3_efficient.extractors.base import EncoderExtractor, image_shape
from sb3_efficient.extractors.nature import CHANNELS, KERNELS, STRIDES, convolutions


class TinyRLExtractor(EncoderExtractor):
    """
    Nature's convolutions, then linear layers of 256 (the source's fc1) and 448 (fc2).

    :param observation_space: Image space, (C, H, W), at least 36x36 pixels
    :param features_dim: ``F``, width of fc2
    :param hidden_dim: Width of fc1
    :param channels: Filters of each convolution
    :param precision: ``"fp32"``, ``"bf16"`` or ``"auto"``
    :param normalized_image: See :class:`EncoderExtractor`
    """

    def __init__(
        self,
        observation_space: spaces.Space,
        features_dim: int = 448,
        *,
        hidden_dim: int = 256,
        channels: Sequence[int] = CHANNELS,
        precision: str = "auto",
        normalized_image: bool = True,
    ) -> None:
        n_input = image_shape(observation_space, normalized_image)[0]
        cnn = convolutions(n_input, channels, KERNELS, STRIDES)
        super().__init__(
            observation_space,
            cnn,
            {"hidden_dim": hidden_dim, "features_dim": features_dim},
            precision=precision,
            normalized_image=normalized_image,
        )


class TinyRLActorCriticPolicy(ActorCriticPolicy):
    """
    The complete network as a policy of PPO or A2C, so that everything that works on SB3's models works on it::

        PPO(TinyRLActorCriticPolicy, env)

    The parts have SB3's names: fc1 is ``linear.0`` of the extractor and fc2 ``linear.2``, ``extra_policy`` is
    ``mlp_extractor.policy_net`` and ``extra_value`` is ``mlp_extractor.value_net``. There is one value, the extrinsic
    one. The residual layers have the width of the features, so that ``net_arch`` says nothing here.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("features_extractor_class", TinyRLExtractor)
        super().__init__(*args, **kwargs)

    def _build_mlp_extractor(self) -> None:
        self.mlp_extractor = _ResidualLayers(self.features_dim).to(self.device)


class _ResidualLayers(MlpExtractor):
    """
    SB3's, with residual layers in place of its own.

    :param features_dim: ``F``
    """

    def __init__(self, features_dim: int) -> None:
        super().__init__(features_dim, [], nn.ReLU)
        self.policy_net = _Residual(features_dim)  # type: ignore[assignment]
        self.value_net = _Residual(features_dim)  # type: ignore[assignment]


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.extra = nn.Linear(width, width)
        self.relu = nn.ReLU()

    def forward(self, x: th.Tensor) -> th.Tensor:
        return x + self.relu(self.extra(x))
