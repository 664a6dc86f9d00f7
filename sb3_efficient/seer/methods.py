"""Methods of SB3's actor-critic policies that prepare observations themselves, for policies that are given latents."""

from __future__ import annotations

from typing import Any

import torch as th

#: They go past the policy's own ``extract_features`` to that of its class
ON_THEIR_OWN = ("get_distribution", "predict_values")


class OnLatents:
    """
    The method of the class, which divides images by 255, and leaves latents as they are.

    :param policy: The policy whose attribute this is going to be
    :param name: Of :data:`ON_THEIR_OWN`
    """

    def __init__(self, policy: Any, name: str) -> None:
        self.policy, self.name = policy, name

    def __call__(self, obs: th.Tensor, *args: Any, **kwargs: Any) -> Any:
        """
        :param obs: Images, (B, C, H, W), or latents, (B, L)
        :return: As the method's
        """
        policy, method = self.policy, getattr(type(self.policy), self.name)
        if obs.ndim != 2:
            return method(policy, obs, *args, **kwargs)
        before, policy.normalize_images = policy.normalize_images, False
        try:
            return method(policy, obs, *args, **kwargs)
        finally:
            policy.normalize_images = before
