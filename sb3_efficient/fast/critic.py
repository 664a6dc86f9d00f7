"""SAC and its relatives without the gradients that they throw away."""

from __future__ import annotations

from typing import Any

import torch as th


class LeanForward:
    """
    ``forward`` of one critic with an image network of its own, without gradients where nobody uses them.

    SB3's critics turn gradients on for their features, whatever the caller said: the target network keeps its
    activations for nothing, and the loss of the actor is propagated back through the critic's convolutions, whose
    gradients ``critic.optimizer.zero_grad()`` then discards. The actor's loss is known by its actions, which have
    gradients; those of the replay buffer do not. The weights that training arrives at are the same.

    :param critic: The critic whose attribute this is going to be
    """

    def __init__(self, critic: Any) -> None:
        self.critic = critic

    def __call__(self, obs: Any, actions: th.Tensor) -> Any:
        """
        :param obs: Observations
        :param actions: (B, action dimension)
        :return: What the critic's class returns
        """
        critic = self.critic
        shared = critic.share_features_extractor
        # What the class asks before it turns gradients on
        critic.share_features_extractor = shared or actions.requires_grad or not th.is_grad_enabled()
        try:
            return type(critic).forward(critic, obs, actions)
        finally:
            critic.share_features_extractor = shared
