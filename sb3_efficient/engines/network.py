"""
What of an SB3 policy is needed to act, as one plain network.

Shapes: ``B`` batch, ``C`` channels, ``H W`` pixels, ``A`` numbers of the action space (logits, or dimensions).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch as th
from gymnasium import spaces
from sb3_contrib.common.maskable.distributions import MaskableBernoulliDistribution
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from sb3_contrib.qrdqn.policies import QRDQNPolicy
from sb3_contrib.tqc.policies import TQCPolicy
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.common.preprocessing import preprocess_obs
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, CombinedExtractor, FlattenExtractor
from stable_baselines3.dqn.policies import DQNPolicy
from stable_baselines3.sac.policies import SACPolicy
from stable_baselines3.td3.policies import TD3Policy
from torch import nn

from sb3_efficient.engines import deviation
from sb3_efficient.engines.head import Head
from sb3_efficient.engines.probe import check_alike
from sb3_efficient.errors import OptionError, briefly
from sb3_efficient.exploration import exploring
from sb3_efficient.extractors import DictExtractor, EncoderExtractor
from sb3_efficient.extractors.pooling import replace_adaptive_pools
from sb3_efficient.fast.forward import FastForward
from sb3_efficient.seer.stages import is_staged, layers

#: Features extractor, what is behind it, the output layers by name, and the kind of head
Parts = tuple[BaseFeaturesExtractor, nn.Module, dict[str, nn.Module], str]
#: Bounds that SB3 and sb3-contrib put on the logarithm of the standard deviation (sac/policies.py)
LOG_STD = (-20.0, 2.0)


class ActingNetwork(nn.Module):
    """
    From observations as the environment gives them to the raw outputs that actions are made of.

    A copy in float32 on the CPU, in evaluation mode, without critics and target networks, and without what
    ``accelerate`` and ``SEERCallback`` put into a model. The model stays as it is. A policy that does something else
    with its layers, in methods of its own, is refused.

    :param model: SB3 or sb3-contrib model, or its policy
    """

    def __init__(self, model: BaseAlgorithm | BasePolicy) -> None:
        super().__init__()
        policy: Any = getattr(model, "policy", None) if isinstance(model, BaseAlgorithm) else model
        _check(policy)
        self.observation_space: spaces.Space = policy.observation_space
        #: Where the model is; the copy is on the CPU
        self.device: th.device = policy.device
        extractor, latent, outputs, kind = _parts(policy)
        self.head = Head(kind, policy.action_space)
        self.outputs = tuple(outputs)
        self.inputs = input_spaces(self.observation_space)
        parts = _by_input(extractor, self.observation_space)
        #: Names of networks of other people, of which nothing is known
        self.others = tuple(type(part).__name__ for part in parts if _is_of_others(part))
        self.extractors = nn.ModuleList(
            nn.Sequential(_Prepare(space, policy.normalize_images, part), *_network(part))
            for space, part in zip(self.inputs.values(), parts, strict=True)
        )
        self.latent = _copied(latent)
        self.last = nn.ModuleList(_copied(layer) for layer in outputs.values())
        self.to("cpu", th.float32).eval().requires_grad_(False)
        check_alike(self, policy)

    def forward(self, *observations: th.Tensor) -> tuple[th.Tensor, ...]:
        """
        :param observations: (B, C, H, W) as the environment gives them; of a dictionary the entries in order
        :return: As ``outputs`` names them, (B, A) each, float32
        """
        parts = [extract(part) for extract, part in zip(self.extractors, observations, strict=True)]
        latent = self.latent(parts[0] if len(parts) == 1 else th.cat(parts, dim=1))
        return tuple(last(latent) for last in self.last)


def input_spaces(observation_space: spaces.Space) -> dict[str, spaces.Space]:
    """
    :return: What the network is fed with: ``"observation"``, or the entries of a dictionary
    """
    if isinstance(observation_space, spaces.Dict):
        return dict(observation_space.spaces)
    return {"observation": observation_space}


class _Prepare(nn.Module):
    """SB3's preprocessing, with the division by 255 that our extractors do themselves."""

    def __init__(self, space: spaces.Space, normalize_images: bool, extractor: nn.Module) -> None:
        super().__init__()
        self.space = space
        self.normalize_images = normalize_images
        # See EncoderExtractor.pixels: SB3 always hands over floats, which hold pixel values unless said otherwise
        self.divides = isinstance(extractor, EncoderExtractor) and not extractor.normalized_image
        # Others may depend on how images lie in memory
        self.channels_last = is_staged(extractor)

    def forward(self, observations: th.Tensor) -> th.Tensor:
        prepared: Any = preprocess_obs(observations, self.space, normalize_images=self.normalize_images)
        if self.channels_last:
            prepared = prepared.contiguous(memory_format=th.channels_last)
        return prepared / 255.0 if self.divides else prepared


def _check(policy: Any) -> None:
    if not isinstance(policy, BasePolicy):
        raise OptionError(
            f"An engine acts for a Stable-Baselines3 model, such as PPO.load(path), got {briefly(policy)}."
        )
    name = type(policy).__name__
    if broken := [key for key, values in policy.named_parameters() if not values.isfinite().all()]:
        raise OptionError(
            f"Weights of {name} are not finite numbers, {len(broken)} of its arrays, the first of them {broken[0]}: "
            "training diverged. Take an earlier checkpoint."
        )
    if isinstance(policy, RecurrentActorCriticPolicy):
        raise OptionError(
            f"Engines do not keep the state of recurrent policies yet, and the policy is {name}: let the model itself "
            "predict. 'sb3-efficient bench leaderboard' scores such agents."
        )
    if isinstance(getattr(policy, "action_dist", None), MaskableBernoulliDistribution):
        raise OptionError(f"Engines do not know MultiBinary actions of MaskablePPO, and {name} is one of these.")


def _parts(policy: BasePolicy) -> Parts:
    for classes, parts in PARTS.items():
        if isinstance(policy, classes):
            try:
                return parts(policy)
            except (AttributeError, TypeError) as error:
                raise OptionError(
                    f"Engines compute the layers of SB3's policies, and {type(policy).__name__} has others ({error}): "
                    "let the model itself predict."
                ) from error
    known = "PPO, A2C, TRPO, MaskablePPO, DQN, QRDQN, SAC, TQC, TD3 and DDPG"
    raise OptionError(f"Engines know the policies of {known}, and found {type(policy).__name__}.")


def _actor_critic(policy: Any) -> Parts:
    body = policy.pi_features_extractor, policy.mlp_extractor.policy_net
    if kind := DISCRETE.get(type(policy.action_space)):
        return *body, {"logits": policy.action_net}, kind
    log_std = deviation.StateDependent(policy) if exploring(policy) else deviation.Fixed(policy.log_std)
    # Squashed only with use_sde=True
    kind = "squashed-gaussian" if policy.squash_output else "gaussian"
    return *body, {"mean": policy.action_net, "log_std": log_std}, kind


def _dqn(policy: Any) -> Parts:
    network = policy.q_net
    return network.features_extractor, network.q_net[:-1], {"q_values": network.q_net[-1]}, "greedy"


def _qrdqn(policy: Any) -> Parts:
    network = policy.quantile_net
    return network.features_extractor, network.quantile_net[:-1], {"q_values": _mean_quantile(network)}, "greedy"


def _sac(policy: Any) -> Parts:
    actor = policy.actor
    if exploring(policy):
        log_std: nn.Module = deviation.StateDependent(actor)
    else:
        log_std = nn.Sequential(actor.log_std, nn.Hardtanh(*LOG_STD))
    return actor.features_extractor, actor.latent_pi, {"mean": actor.mu, "log_std": log_std}, "squashed-gaussian"


def _td3(policy: Any) -> Parts:
    actor = policy.actor
    # The last two are a linear layer and tanh
    return actor.features_extractor, actor.mu[:-2], {"action": actor.mu[-2:]}, "deterministic"


DISCRETE = {
    spaces.Discrete: "categorical",
    spaces.MultiDiscrete: "multi-categorical",
    spaces.MultiBinary: "bernoulli",
}
PARTS: dict[tuple[type, ...], Callable[[Any], Parts]] = {
    (ActorCriticPolicy, MaskableActorCriticPolicy): _actor_critic,
    (QRDQNPolicy,): _qrdqn,
    (DQNPolicy,): _dqn,
    (SACPolicy, TQCPolicy): _sac,
    (TD3Policy,): _td3,
}


def _mean_quantile(network: Any) -> nn.Linear:
    """The mean of linear outputs is linear: 200 times fewer weights than QR-DQN's last layer, and the same greedy."""
    every = network.quantile_net[-1]
    n_actions = every.out_features // network.n_quantiles
    # QuantileNetwork.forward: quantiles vary slowest
    # Without drawing random numbers, which training may go on with
    mean = nn.Linear(every.in_features, n_actions, device="meta").to_empty(device="cpu")
    with th.no_grad():
        mean.weight.copy_(every.weight.view(network.n_quantiles, n_actions, -1).mean(dim=0))
        mean.bias.copy_(every.bias.view(network.n_quantiles, n_actions).mean(dim=0))
    return mean


def _by_input(extractor: BaseFeaturesExtractor, space: spaces.Space) -> list[nn.Module]:
    if isinstance(extractor, (CombinedExtractor, DictExtractor)):
        return [extractor.extractors[key] for key in input_spaces(space)]
    if isinstance(space, spaces.Dict):
        raise OptionError(f"Engines know CombinedExtractor and this package's for dictionaries, found {extractor}.")
    return [extractor]


def _network(extractor: Any) -> list[nn.Module]:
    """The layers, without what the methods of the extractor do around them."""
    if is_staged(extractor):
        return list(replace_adaptive_pools(_copied(nn.Sequential(*layers(extractor)))))
    network = _copied(extractor)
    if isinstance(vars(network).get("forward"), FastForward):
        del network.forward
    return [replace_adaptive_pools(network)]


def _is_of_others(part: nn.Module) -> bool:
    return isinstance(part, BaseFeaturesExtractor) and not is_staged(part) and type(part) is not FlattenExtractor


def _copied(module: Any) -> Any:
    try:
        return copy.deepcopy(module)
    except Exception as error:
        # As where it keeps what it computed last, which torch refuses to copy
        raise OptionError(
            f"{type(module).__name__} cannot be copied ({error}): let the model itself predict, or keep nothing in it "
            "that has gradients."
        ) from error
