"""The complete policy of tiny_rl, as SB3 trains and this package compresses it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from agents import Images, images
from gymnasium import spaces
from stable_baselines3 import PPO
from torch import nn

import sb3_efficient
from sb3_efficient import policy_kwargs
from sb3_efficient.engines import ActingNetwork
from sb3_efficient.extractors import TinyRLActorCriticPolicy, TinyRLExtractor


class TinyRLPolicy(nn.Module):
    """
    The complete network of the source, which has a second value, for curiosity, as a plain module.

    :param observation_space: Image space, (C, H, W)
    :param n_actions: Number of actions
    """

    def __init__(self, observation_space: spaces.Space, n_actions: int = 18) -> None:
        super().__init__()
        self.features_extractor = TinyRLExtractor(observation_space)
        features_dim = self.features_extractor.features_dim
        self.extra_value = nn.Sequential(nn.Linear(features_dim, features_dim), nn.ReLU())
        self.extra_policy = nn.Sequential(nn.Linear(features_dim, features_dim), nn.ReLU())
        self.policy = nn.Linear(features_dim, n_actions)
        self.int_value = nn.Linear(features_dim, 1)
        self.ext_value = nn.Linear(features_dim, 1)

    def forward(self, observations: th.Tensor) -> tuple[th.Tensor, th.Tensor, th.Tensor]:
        """
        :param observations: Images, (B, C, H, W)
        :return: Logits of the actions (B, n_actions), intrinsic and extrinsic value (B, 1) each
        """
        features = self.features_extractor(observations)
        values = features + self.extra_value(features)
        return self.policy(features + self.extra_policy(features)), self.int_value(values), self.ext_value(values)


def agent(env: Any = None) -> PPO:
    kwargs = policy_kwargs("tiny-rl", PPO)
    return PPO(TinyRLActorCriticPolicy, env or Images(), n_steps=8, batch_size=8, policy_kwargs=kwargs, device="cpu")


def test_tiny_rl_policy(atari_space: spaces.Box) -> None:
    policy = TinyRLPolicy(atari_space)
    assert sum(p.numel() for p in policy.parameters()) == 1_407_476
    logits, int_value, ext_value = policy(th.zeros(2, 4, 84, 84, dtype=th.uint8))
    assert (logits.shape, int_value.shape, ext_value.shape) == ((2, 18), (2, 1), (2, 1))
    # both heads are residual: silence the extra layers and the features pass
    with th.no_grad():
        for parameter in [*policy.extra_policy.parameters(), *policy.extra_value.parameters()]:
            parameter.zero_()
    batch = th.randint(0, 256, (2, 4, 84, 84), dtype=th.uint8)
    features = policy.features_extractor(batch)
    assert th.equal(policy(batch)[0], policy.policy(features))
    assert th.equal(policy(batch)[2], policy.ext_value(features))


def test_same_function_as_the_network_of_the_source() -> None:
    model, source = agent(), TinyRLPolicy(Images().observation_space, 6)
    policy: Any = model.policy
    assert sum(p.numel() for p in policy.parameters()) == sum(p.numel() for p in source.parameters()) - 449
    source.features_extractor.load_state_dict(policy.features_extractor.state_dict())
    pairs = [
        (source.extra_policy[0], policy.mlp_extractor.policy_net.extra),
        (source.extra_value[0], policy.mlp_extractor.value_net.extra),
        (source.policy, policy.action_net),
        (source.ext_value, policy.value_net),
    ]
    for to, layer in pairs:
        to.load_state_dict(layer.state_dict())
    batch = th.as_tensor(images(4))
    logits, _, value = source(batch)
    th.testing.assert_close(policy.get_distribution(batch).distribution.logits, logits.log_softmax(1))
    th.testing.assert_close(policy.predict_values(batch), value)


def test_learns_and_loads(tmp_path: Path) -> None:
    model = agent()
    model.learn(8)
    model.save(tmp_path / "tiny.zip")
    loaded = PPO.load(tmp_path / "tiny.zip")
    assert isinstance(loaded.policy, TinyRLActorCriticPolicy)
    assert np.array_equal(*(m.predict(images(4), deterministic=True)[0] for m in (model, loaded)))


def test_has_its_own_network_if_nothing_is_said() -> None:
    plain = PPO(TinyRLActorCriticPolicy, Images(), n_steps=8, batch_size=8, device="cpu")
    assert repr(plain.policy) == repr(agent().policy)


def test_parameters_that_act() -> None:
    """1,407,476 without both values and the layer in front of them, for the 18 actions of Montezuma's Revenge."""

    class Atari(Images):
        def __init__(self) -> None:
            super().__init__(spaces.Discrete(18))
            self.observation_space = spaces.Box(0, 255, (4, 84, 84), np.uint8)

    network = ActingNetwork(agent(Atari()))
    assert sum(p.numel() for p in network.parameters()) == 1_407_476 - 2 * 449 - 448 * 449


@pytest.mark.parametrize(
    ("layers", "widths"),
    [
        ({"linear.0": 76 / 256}, (180, 448, 64)),
        ({"linear.0": 76 / 256, "linear.2": 134 / 448}, (180, 314, 64)),
        ({"cnn.4": 0.05}, (256, 448, 61)),
    ],
)
def test_structured_pruning_of_the_source(layers: dict[str, float], widths: tuple[int, ...], tmp_path: Path) -> None:
    model = agent()
    pruned: Any = sb3_efficient.prune(model, "channel-pruning", ratio=0, layers=layers)
    pruned.save(tmp_path / "pruned.zip")
    policy: Any = PPO.load(tmp_path / "pruned.zip").policy
    extractor, extra = policy.features_extractor, policy.mlp_extractor.policy_net.extra
    assert (extractor.linear[0].out_features, extractor.features_dim, extractor.cnn[4].out_channels) == widths
    assert (extra.in_features, extra.out_features) == (widths[1], widths[1])
    pruned.learn(8)


@pytest.mark.parametrize(
    "recipe",
    [
        "dynamic-int8",
        "dynamic-float16",
        "static-int8",
        "magnitude-pruning(ratio=0.5, part='dense')",
        "ln-structured(layers=['linear.0', 'linear.2', 'mlp_extractor.policy_net.extra'], ratio=0.1)",
        "binary(layers=['linear.0'], steps=2, batch_size=8)",
    ],
)
def test_rows_of_the_source(recipe: str) -> None:
    model = agent()
    with th.no_grad():
        # As after training
        model.policy.action_net.weight.mul_(50)
    policy = sb3_efficient.compress(model, recipe, calibration=images(40))
    assert policy.predict(images(3))[0].shape == (3,)
    float32 = sb3_efficient.compress(model, "").n_bytes
    assert policy.n_bytes < float32 if "ln-structured" not in recipe else policy.n_bytes < 1.01 * float32
