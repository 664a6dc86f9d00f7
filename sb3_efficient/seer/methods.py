"""Methods of SB3's actor-critic policies that prepare observations themselves, for policies that are given latents."""

from __future__ import annotations

from typing import Any

import torch as th

from sb3_efficient.seer.frozen import FrozenForward

#: They go past the policy's own ``extract_features`` to that of its class
ON_THEIR_OWN = ("get_distribution", "predict_values")


class OnLatents:
    """
    The method of the class, given latents in place of images, and without its division by 255.

    Images are encoded first, by what encodes those that are acted on and stored: the method would hand them over in
    another number format, and rounding would give other latents.

    :param policy: The policy whose attribute this is going to be
    :param name: Of :data:`ON_THEIR_OWN`
    :param parts: Frozen extractors of the policy, in the order of their columns
    """

    def __init__(self, policy: Any, name: str, parts: list[FrozenForward]) -> None:
        self.policy, self.name, self.parts = policy, name, parts

    def __call__(self, obs: th.Tensor, *args: Any, **kwargs: Any) -> Any:
        """
        :param obs: Images, (B, C, H, W), or latents, (B, L)
        :return: As the method's
        """
        policy, method = self.policy, getattr(type(self.policy), self.name)
        latents = obs if obs.ndim == 2 else encoded(obs, self.parts, policy)
        before, policy.normalize_images = policy.normalize_images, False
        try:
            return method(policy, latents, *args, **kwargs)
        finally:
            policy.normalize_images = before


def encoded(images: th.Tensor, parts: list[FrozenForward], policy: Any) -> th.Tensor:
    """
    :param images: (B, C, H, W)
    :param parts: Frozen extractors of the policy, in the order of their columns
    :param policy: Knows how images are prepared
    :return: (B, L), latents of all parts side by side
    """
    return th.cat([part.encode(part.prepared(images, policy)) for part in parts], dim=1)
