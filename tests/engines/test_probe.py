"""Policies that make something of their own of SB3's layers are refused, wherever they do it."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch as th
from agents import BOX, Images, agent
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.policies import ActorCriticCnnPolicy
from stable_baselines3.common.torch_layers import MlpExtractor
from stable_baselines3.dqn.policies import CnnPolicy
from torch import nn

from sb3_efficient import compress, export, make_engine
from sb3_efficient.errors import OptionError

OTHER = "makes something else of the same observations, by a method or a network of its own: let the model itself"


class Doubling(MlpExtractor):
    """Has the layers, and does more than call them."""

    def forward_actor(self, features: th.Tensor) -> th.Tensor:
        return super().forward_actor(features).flip(1)


class Custom(nn.Module):
    """As in SB3's documentation."""

    def __init__(self, features_dim: int) -> None:
        super().__init__()
        self.latent_dim_pi = self.latent_dim_vf = 16
        self.policy_net = nn.Sequential(nn.Linear(features_dim, 16), nn.ReLU())
        self.value_net = nn.Sequential(nn.Linear(features_dim, 16), nn.ReLU())

    def forward(self, features: th.Tensor) -> tuple[th.Tensor, th.Tensor]:
        return self.forward_actor(features), self.forward_critic(features)

    def forward_actor(self, features: th.Tensor) -> th.Tensor:
        return self.policy_net(features)

    def forward_critic(self, features: th.Tensor) -> th.Tensor:
        return self.value_net(features)


class Shared(Custom):
    """Without the layers that engines look for."""

    def __init__(self, features_dim: int) -> None:
        super().__init__(features_dim)
        self.both = self.policy_net
        del self.policy_net

    def forward_actor(self, features: th.Tensor) -> th.Tensor:
        return self.both(features)


class WithDoubling(ActorCriticCnnPolicy):
    def _build_mlp_extractor(self) -> None:
        self.mlp_extractor = Doubling(self.features_dim, [16], self.activation_fn, self.device)


class WithCustom(ActorCriticCnnPolicy):
    def _build_mlp_extractor(self) -> None:
        self.mlp_extractor = Custom(self.features_dim)  # type: ignore[assignment]


class WithShared(ActorCriticCnnPolicy):
    def _build_mlp_extractor(self) -> None:
        self.mlp_extractor = Shared(self.features_dim)  # type: ignore[assignment]


class Tempered(ActorCriticCnnPolicy):
    """The same greedy actions, and another distribution."""

    def get_distribution(self, obs: Any) -> Any:
        found: Any = super().get_distribution(obs)
        return found.proba_distribution(0.9 * found.distribution.logits)


class Contrary(ActorCriticCnnPolicy):
    def _predict(self, observation: Any, deterministic: bool = False) -> th.Tensor:
        return -super()._predict(observation, deterministic)


class Least(CnnPolicy):
    def _predict(self, obs: Any, deterministic: bool = True) -> th.Tensor:
        return self.q_net(obs).argmin(dim=1)


def model(policy: type, action_space: Any = None) -> PPO:
    return PPO(policy, Images(action_space), device="cpu", seed=0)


@pytest.mark.parametrize("policy", [WithDoubling, Tempered])
def test_policies_with_methods_of_their_own_are_refused(policy: type) -> None:
    for use in (make_engine, lambda m: export(m, "never.onnx"), lambda m: compress(m, [])):
        with pytest.raises(OptionError, match=f"{policy.__name__} {OTHER}"):
            use(model(policy))


def test_other_actions_are_noticed() -> None:
    with pytest.raises(OptionError, match=f"Contrary {OTHER}"):
        make_engine(model(Contrary, BOX))
    with pytest.raises(OptionError, match=f"Least {OTHER}"):
        make_engine(DQN(Least, Images(), device="cpu", buffer_size=8))


def test_custom_networks_act_if_their_layers_are_all_there_is() -> None:
    custom = model(WithCustom)
    batch = np.random.default_rng(0).integers(0, 256, (5, 2, 36, 36), np.uint8)
    found, _ = make_engine(custom, "eager").predict(batch, deterministic=True)
    np.testing.assert_array_equal(found, custom.predict(batch, deterministic=True)[0])
    with pytest.raises(OptionError, match=r"WithShared has others \(.*policy_net.*\): let the model itself predict"):
        make_engine(model(WithShared))


def test_the_policy_stays_as_it_is() -> None:
    """A policy that draws, in the middle of training, whose network is compiled."""

    class Drawing(ActorCriticCnnPolicy):
        def _predict(self, observation: Any, deterministic: bool = False) -> th.Tensor:
            th.rand(1), random.random(), np.random.rand()  # noqa: NPY002
            return super()._predict(observation, deterministic)

    drawing = model(Drawing)
    drawing.policy.set_training_mode(True)
    drawing.policy.features_extractor.cnn[0].eval()
    compiled = drawing.policy.features_extractor._compiled_call_impl = lambda *_: pytest.fail("would be compiled")
    modes = [m.training for m in drawing.policy.modules()]
    before = th.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index] # noqa: NPY002
    make_engine(drawing, "eager")
    after = th.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index] # noqa: NPY002
    assert th.equal(before[0], after[0])
    assert before[1:] == after[1:]
    assert modes == [m.training for m in drawing.policy.modules()]
    assert drawing.policy.features_extractor._compiled_call_impl is compiled


def test_constant_networks_are_taken() -> None:
    zero = agent("ppo multi-discrete")
    with th.no_grad():
        zero.policy.action_net.weight.zero_()
        zero.policy.action_net.bias.zero_()
    make_engine(zero, "eager")
