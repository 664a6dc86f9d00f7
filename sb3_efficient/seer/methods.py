"""Methods of policies that prepare observations themselves, for policies that are given latents."""

from __future__ import annotations

from typing import Any

import torch as th
import torch.nn.functional as F
from torch import nn

from sb3_efficient.seer.frozen import FrozenForward

#: SB3's that go past the policy's own ``extract_features`` to that of its class: with which extractor
ON_THEIR_OWN = {"get_distribution": "pi_features_extractor", "predict_values": "vf_features_extractor"}
#: SB3's that do not; those of others may. Algorithms learn from stored observations through all of these
_MAY_BE = ("evaluate_actions", "forward")


def on_their_own(network: nn.Module) -> list[str]:
    """
    :param network: A policy, or a part of one
    :return: Its methods that prepare observations themselves, or may do so
    """
    found = [name for name in ON_THEIR_OWN if hasattr(network, name)]
    own = (name for name in _MAY_BE if hasattr(network, name))
    return found + [name for name in own if not _is_known(getattr(type(network), name))]


def _is_known(method: Any) -> bool:
    return getattr(method, "__module__", "").partition(".")[0] in ("stable_baselines3", "sb3_contrib", "torch")


class OnLatents:
    """
    The method of the class, given latents in place of images, and without its division by 255.

    SB3's are given no images: they are encoded first, by what encodes those that are acted on and stored. The method
    would hand them over in another number format, and rounding would give other latents.

    :param policy: The policy whose attribute this is going to be
    :param name: Of :func:`on_their_own`
    """

    def __init__(self, policy: Any, name: str) -> None:
        self.policy, self.name = policy, name

    def __call__(self, obs: th.Tensor, *args: Any, **kwargs: Any) -> Any:
        """
        :param obs: Images, (B, C, H, W), or latents, (B, L)
        :return: As the method's
        """
        policy, method = self.policy, getattr(type(self.policy), self.name)
        is_latent = obs.ndim == 2
        if not is_latent and self.name not in ON_THEIR_OWN:
            return method(policy, obs, *args, **kwargs)
        latents = obs if is_latent else self._latents(obs)
        before, policy.normalize_images = policy.normalize_images, False
        try:
            return method(policy, latents, *args, **kwargs)
        finally:
            policy.normalize_images = before

    def _latents(self, images: th.Tensor) -> th.Tensor:
        """Of the extractor that the method asks, in its columns; what precedes them is not looked at."""
        # A compiled one has the frozen one inside
        modules = getattr(self.policy, ON_THEIR_OWN[self.name]).modules()
        forwards = (vars(module).get("forward") for module in modules)
        part = next(found for found in forwards if isinstance(found, FrozenForward))
        return F.pad(part.encode(part.prepared(images, self.policy)), (part.columns.start, 0))
