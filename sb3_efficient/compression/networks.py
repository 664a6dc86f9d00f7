"""
What compression has to know of the networks inside an SB3 policy: their outputs, heads, and hidden layers.

Shapes: ``B`` batch, ``A`` actions or their dimensions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch as th
from gymnasium import spaces
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from sb3_contrib.qrdqn.policies import QRDQNPolicy
from sb3_contrib.tqc.policies import TQCPolicy
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.dqn.policies import DQNPolicy
from stable_baselines3.sac.policies import SACPolicy
from stable_baselines3.td3.policies import TD3Policy
from torch import nn

from sb3_efficient.errors import ObservationError, OptionError
from sb3_efficient.exploration import exploring, log_deviation, variances


@dataclass(frozen=True)
class Outputs:
    """
    :param kind: What ``action`` holds: ``"categorical"`` (logits, (B, A)), ``"bernoulli"`` (those of ``A`` switches),
        ``"gaussian"`` (mean and log_std, (B, A)), ``"squashed"`` (the same before tanh), ``"deterministic"`` ((B, A))
        or ``"q"`` (values, (B, A))
    :param action: What actions are chosen by
    :param values: What the critics say, of any shape; the value of each action for algorithms without an actor
    :param actions: Where there is an actor for continuous actions: those that the critics judged
    """

    kind: str
    action: tuple[th.Tensor, ...]
    values: tuple[th.Tensor, ...] = ()
    actions: th.Tensor | None = None

    def map(self, function: Callable[..., th.Tensor], *others: Outputs) -> Outputs:
        """
        :param function: Of a tensor, and of those that others have in its place
        :param others: Of the same kind
        """
        alike = (self, *others)
        action, values = (
            tuple(map(function, *(getattr(outputs, name) for outputs in alike))) for name in ("action", "values")
        )
        judged = None if self.actions is None else function(*(outputs.actions for outputs in alike))
        return Outputs(self.kind, action, values, judged)


class Networks(ABC):
    """
    The networks of one policy. They are called as SB3 calls them, and gradients flow.

    :param policy: Policy of an SB3 or contrib model
    """

    #: Attributes of the policy: networks that learn, and the targets that follow them
    online: tuple[str, ...]
    targets: tuple[str, ...] = ()

    def __init__(self, policy: Any) -> None:
        self.policy = policy

    @property
    @abstractmethod
    def heads(self) -> list[nn.Module]:
        """Layers whose outputs mean something, so that none of them can be left out."""

    @abstractmethod
    def net_arch(self) -> Any:
        """
        :return: The widths of the hidden layers behind the features, as SB3's ``net_arch``
        """

    @abstractmethod
    def outputs(self, images: th.Tensor, actions: th.Tensor | None = None, critics: bool = True) -> Outputs:
        """
        :param images: uint8, (B, C, H, W)
        :param actions: What critics of continuous actions shall judge; None: what the actor says
        :param critics: Whether ``values`` are wanted
        """

    @property
    def exploring(self) -> Any:
        """The actor, if it has ``use_sde=True``: an input of ``heads[0]`` for each row of its ``log_std``."""
        return exploring(self.policy)

    def _log_deviation(self, latent: th.Tensor) -> th.Tensor:
        """(B, F) to (B, A); gradients flow as in SB3's own distribution, which stays as it is."""
        actor = self.exploring
        given = latent if actor.action_dist.learn_features else latent.detach()
        wide = variances(actor)
        return log_deviation(given, wide, wide.new_full(wide.shape[:1], actor.action_dist.epsilon))

    def modules(self) -> list[nn.Module]:
        """
        :return: The networks that learn
        """
        return [getattr(self.policy, name) for name in self.online] or [self.policy]

    @property
    def foreign(self) -> list[nn.Module]:
        """Networks that SB3 did not build, so that ``net_arch`` says nothing about their widths."""
        return [n for n in self._shaped() if not type(n).__module__.startswith(("stable_baselines3.", "sb3_contrib."))]

    def _shaped(self) -> list[nn.Module]:
        return self.modules()

    def synchronize_targets(self) -> None:
        """Give the targets the weights of the networks that they follow."""
        for name in self.targets:
            followed = getattr(self.policy, name.removesuffix("_target"))
            getattr(self.policy, name).load_state_dict(followed.state_dict())


class _OnPolicy(Networks):
    online = ()

    def _shaped(self) -> list[nn.Module]:
        return [self.policy.mlp_extractor]

    @property
    def heads(self) -> list[nn.Module]:
        return [self.policy.action_net, self.policy.value_net]

    def net_arch(self) -> Any:
        extractor = self.policy.mlp_extractor
        return {"pi": _widths(extractor.policy_net), "vf": _widths(extractor.value_net)}

    def outputs(self, images: th.Tensor, actions: th.Tensor | None = None, critics: bool = True) -> Outputs:
        policy = self.policy
        features = policy.extract_features(images)
        for_actor, for_critic = features if isinstance(features, tuple) else (features, features)
        latent = policy.mlp_extractor.forward_actor(for_actor)
        action = policy.action_net(latent)
        values = (policy.value_net(policy.mlp_extractor.forward_critic(for_critic)),) if critics else ()
        if isinstance(policy.action_space, spaces.Box):
            kind = "squashed" if policy.squash_output else "gaussian"
            log_std = self._log_deviation(latent) if self.exploring else policy.log_std.expand_as(action)
            return Outputs(kind, (action, log_std), values)
        kind = "bernoulli" if isinstance(policy.action_space, spaces.MultiBinary) else "categorical"
        return Outputs(kind, (action,), values)


class _DQN(Networks):
    online, targets = ("q_net",), ("q_net_target",)

    @property
    def heads(self) -> list[nn.Module]:
        return [self.policy.q_net.q_net[-1]]

    def net_arch(self) -> Any:
        return _widths(self.policy.q_net.q_net)[:-1]

    def outputs(self, images: th.Tensor, actions: th.Tensor | None = None, critics: bool = True) -> Outputs:
        q = self.policy.q_net(images)
        return Outputs("q", (q,), (q,))


class _QRDQN(Networks):
    online, targets = ("quantile_net",), ("quantile_net_target",)

    @property
    def heads(self) -> list[nn.Module]:
        return [self.policy.quantile_net.quantile_net[-1]]

    def net_arch(self) -> Any:
        return _widths(self.policy.quantile_net.quantile_net)[:-1]

    def outputs(self, images: th.Tensor, actions: th.Tensor | None = None, critics: bool = True) -> Outputs:
        quantiles = self.policy.quantile_net(images)
        return Outputs("q", (quantiles.mean(dim=1),), (quantiles,))


class _ActorCritic(Networks):
    online = ("actor", "critic")

    @property
    def heads(self) -> list[nn.Module]:
        return [*self._actor_heads(), *(q[-1] for q in self.policy.critic.q_networks)]

    def _judged(self, kind: str, action: tuple[th.Tensor, ...], images: th.Tensor, actions: th.Tensor) -> Outputs:
        critic = self.policy.critic
        # Its own forward cuts off a features extractor that it shares with the actor
        features = critic.extract_features(images, critic.features_extractor)
        judged = th.cat([features, actions], dim=1)
        return Outputs(kind, action, tuple(q(judged) for q in critic.q_networks), actions)

    @abstractmethod
    def _actor_heads(self) -> list[nn.Module]: ...


class _SAC(_ActorCritic):
    targets = ("critic_target",)

    def _actor_heads(self) -> list[nn.Module]:
        actor = self.policy.actor
        # With use_sde=True clipping follows, and log_std is no layer
        mean = next(layer for layer in actor.mu.modules() if isinstance(layer, nn.Linear))
        return [mean] if self.exploring else [mean, actor.log_std]

    def net_arch(self) -> Any:
        policy = self.policy
        return {"pi": _widths(policy.actor.latent_pi), "qf": _widths(policy.critic.q_networks[0])[:-1]}

    def outputs(self, images: th.Tensor, actions: th.Tensor | None = None, critics: bool = True) -> Outputs:
        mean, log_std, latent = self.policy.actor.get_action_dist_params(images)
        if self.exploring:
            log_std = self._log_deviation(latent["latent_sde"])
        if not critics:
            return Outputs("squashed", (mean, log_std))
        if actions is None:
            actions = th.tanh(mean + log_std.exp() * th.randn_like(mean)).detach()
        return self._judged("squashed", (mean, log_std), images, actions)


class _TD3(_ActorCritic):
    targets = ("actor_target", "critic_target")
    #: Standard deviation of TD3's exploration noise (Fujimoto et al. 2018, section 6.1)
    noise = 0.1

    def _actor_heads(self) -> list[nn.Module]:
        return [next(layer for layer in reversed(self.policy.actor.mu) if isinstance(layer, nn.Linear))]

    def net_arch(self) -> Any:
        policy = self.policy
        return {"pi": _widths(policy.actor.mu)[:-1], "qf": _widths(policy.critic.q_networks[0])[:-1]}

    def outputs(self, images: th.Tensor, actions: th.Tensor | None = None, critics: bool = True) -> Outputs:
        action = self.policy.actor(images)
        if not critics:
            return Outputs("deterministic", (action,))
        if actions is None:
            actions = (action + self.noise * th.randn_like(action)).clamp(-1, 1).detach()
        return self._judged("deterministic", (action,), images, actions)


_FAMILIES: dict[type, type[Networks]] = {
    ActorCriticPolicy: _OnPolicy,
    MaskableActorCriticPolicy: _OnPolicy,
    DQNPolicy: _DQN,
    QRDQNPolicy: _QRDQN,
    SACPolicy: _SAC,
    TQCPolicy: _SAC,
    TD3Policy: _TD3,
}


def networks(model: BaseAlgorithm) -> Networks:
    """
    :param model: Any SB3 or contrib model that acts on images and remembers nothing between them
    :return: Its networks
    """
    policy = model.policy
    name = type(model).__name__
    if isinstance(policy, RecurrentActorCriticPolicy):
        raise OptionError(f"{name} acts on what it remembers too: compress a model without a recurrent network.")
    if not isinstance(model.observation_space, spaces.Box) or len(model.observation_space.shape) != 3:
        raise ObservationError(
            f"Pruning and training take models that act on one image, and this {name} acts on "
            f"{model.observation_space}. 'dynamic-int8', 'dynamic-float16' and 'static-float16' take dictionaries, too."
        )
    for policy_class, family in _FAMILIES.items():
        if isinstance(policy, policy_class):
            return family(policy)
    raise OptionError(f"Compression does not know the networks of {type(policy).__name__}, the policy of this {name}.")


def _widths(layers: nn.Module) -> list[int]:
    return [layer.out_features for layer in layers.modules() if isinstance(layer, nn.Linear)]
