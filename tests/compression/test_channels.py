"""Channels that are zero can be left out without a difference; everything else follows from that."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from helpers import count, parameters_match
from learners import ALGORITHMS, actions, agent, images, tensors
from sb3_contrib import RecurrentPPO
from stable_baselines3 import DQN, PPO, HerReplayBuffer
from stable_baselines3.common.envs import BitFlippingEnv, FakeImageEnv
from stable_baselines3.common.policies import ActorCriticCnnPolicy
from stable_baselines3.common.torch_layers import MlpExtractor, NatureCNN
from torch import nn

from sb3_efficient import list_extractors
from sb3_efficient.compression.channels import ChannelPruning
from sb3_efficient.compression.groups import groups
from sb3_efficient.compression.networks import networks
from sb3_efficient.compression.recipe import make_method
from sb3_efficient.compression.size import acting_bytes, acting_macs
from sb3_efficient.errors import ConflictError, ObservationError, OptionError, UnknownNameError
from sb3_efficient.extractors import EncoderExtractor, NatureExtractor

SHAPE = (2, 36, 36)


def pruned(model: Any, observations: np.ndarray | None = None, **options: Any) -> Any:
    return ChannelPruning(**options).apply(model, teacher=model, observations=observations)


def silence_half(model: Any) -> None:
    """Half of all channels become zero, at random."""
    found = networks(model)
    layers = dict(model.policy.named_modules())
    with th.no_grad():
        for group in groups(found, SHAPE):
            silent = th.randperm(group.width)[group.width // 2 :]
            for name in group.layers:
                layers[name].weight[silent] = 0
                layers[name].bias[silent] = 0


@pytest.fixture(params=ALGORITHMS)
def algo(request: pytest.FixtureRequest) -> str:
    return request.param


def test_silent_channels_are_left_out_without_a_difference(algo: str, tmp_path: Path) -> None:
    model = agent(algo)
    silence_half(model)
    result = pruned(model, ratio=0.5)
    assert type(result) is type(model)
    assert count(result.policy) < 0.5 * count(model.policy)
    result.save(tmp_path / "pruned.zip")
    loaded = type(model).load(tmp_path / "pruned.zip", env=model.get_env())
    judged = actions(model)
    for one, other, again in zip(tensors(model, judged), tensors(result, judged), tensors(loaded, judged), strict=True):
        th.testing.assert_close(other, one, rtol=1e-4, atol=1e-5)
        assert th.equal(other, again)
    found, expected = (one.predict(images(8), deterministic=True)[0] for one in (loaded, model))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7 if "gsde" in algo else 0)


def test_result_learns_on(algo: str) -> None:
    model = agent(algo).learn(32)
    result = pruned(model, ratio=0.5)
    for name in networks(result).targets:
        assert parameters_match(getattr(result.policy, name), getattr(result.policy, name.removesuffix("_target")))
    before = [p.clone() for p in result.policy.parameters()]
    timesteps = result.num_timesteps
    result.learn(32, reset_num_timesteps=False)
    assert result.num_timesteps > timesteps
    assert any(not th.equal(p, q) for p, q in zip(before, result.policy.parameters(), strict=True))


def test_original_stays_as_it_was() -> None:
    model = agent("sac").learn(16)
    before = {name: tensor.clone() for name, tensor in model.policy.state_dict().items()}
    kwargs, moments = dict(model.policy_kwargs), len(model.actor.optimizer.state)
    model.policy.train()
    pruned(model, images(), importance="taylor")
    assert model.policy.training
    assert model.policy_kwargs == kwargs
    assert len(model.actor.optimizer.state) == moments > 0
    assert all(th.equal(tensor, before[name]) for name, tensor in model.policy.state_dict().items())
    assert all(p.grad is None or not p.grad.isnan().any() for p in model.policy.parameters())


NETWORKS = [
    name
    for name in [*list_extractors(), *list_extractors(papers=True)]
    if name not in ("impala-x4", "conv2", "reuse-conv2")
]


@pytest.mark.parametrize("algo", ["ppo", "sac"])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_extractor(name: str, algo: str) -> None:
    model = agent(algo, name)
    silence_half(model)
    result = pruned(model, ratio=0.5)
    assert result.policy_kwargs["features_extractor_class"] is model.policy_kwargs["features_extractor_class"]
    judged = actions(model)
    for one, other in zip(tensors(model, judged), tensors(result, judged), strict=True):
        th.testing.assert_close(other, one, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("impala", {"downsample": "strided"}),
        ("impala", {"pool": "adaptive-max-6", "depths": (8, 8)}),
        ("impala", {"channels": (4, 2, 4, 6, 4)}),
        ("conv2", {"filters": 2, "stride": 4, "features_dim": 16}),
        ("conv2", {"channels": (4, 6, 4), "stride": 2}),
    ],
)
def test_options_of_extractors(name: str, options: dict[str, Any]) -> None:
    model = agent("ppo", name, options=options)
    silence_half(model)
    for one, other in zip(tensors(model), tensors(pruned(model, ratio=0.5)), strict=True):
        th.testing.assert_close(other, one, rtol=1e-3, atol=1e-5)


class Foreign(EncoderExtractor):
    """As somebody else writes it, with option names of their own."""

    def __init__(self, observation_space: Any, channels: Any = (8, 6), units: int = 12, more: int = 10, size: int = 8):
        first, second = channels
        layers = [nn.Conv2d(SHAPE[0], first, 8, 4), nn.ReLU(), nn.Conv2d(first, second, 4, 2), nn.ReLU(), nn.Flatten()]
        hidden = {"units": units, "more": more, "size": size}
        super().__init__(observation_space, nn.Sequential(*layers), hidden)


class ChannelsLast(Foreign):
    def forward(self, images: th.Tensor) -> th.Tensor:
        maps = self.cnn[:-1](images.float() / 255)
        return self.linear(maps.permute(0, 2, 3, 1).flatten(1))


def test_maps_that_are_flattened_in_another_order() -> None:
    model = agent("ppo", policy_kwargs={"features_extractor_class": ChannelsLast, "net_arch": []})
    with pytest.raises(
        OptionError, match=r"flattened channel by channel, .* and Linear\(in_features=54, .* takes them"
    ):
        pruned(model, ratio=0.5)
    assert all(parameter.isfinite().all() for parameter in model.policy.parameters())


def test_extractor_of_other_people() -> None:
    model = agent("ppo", policy_kwargs={"features_extractor_class": Foreign, "net_arch": []})
    silence_half(model)
    result = pruned(model, ratio=0.5)
    assert result.policy_kwargs["features_extractor_kwargs"] == {"channels": [4, 3], "units": 6, "more": 5, "size": 4}
    for one, other in zip(tensors(model), tensors(result), strict=True):
        th.testing.assert_close(other, one, rtol=1e-3, atol=1e-5)


class Silent(Foreign):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.hidden = ("size",)

    __init__.__signature__ = inspect.signature(Foreign.__init__)  # type: ignore[attr-defined]


def test_layers_without_an_option_are_refused_before_the_work() -> None:
    model = agent("ppo", policy_kwargs={"features_extractor_class": Silent})
    with pytest.raises(OptionError, match=r"Silent has 3 of them and the options \['size'\]. Name the option of each"):
        ChannelPruning().check(model)


@pytest.mark.parametrize(
    ("algo", "kwargs", "net_arch"),
    [
        ("ppo", {"share_features_extractor": False}, {"pi": [], "vf": []}),
        ("ppo", {"net_arch": {"pi": [8], "vf": [6, 4]}}, {"pi": [4], "vf": [3, 2]}),
        ("sac", {"share_features_extractor": True}, {"pi": [128, 128], "qf": [128, 128]}),
        ("ppo gsde", {"net_arch": [8], "full_std": False, "squash_output": True}, {"pi": [4], "vf": [4]}),
        ("td3", {"net_arch": [10]}, {"pi": [5], "qf": [5]}),
        ("dqn", {"net_arch": [10]}, [5]),
        ("qrdqn", {"net_arch": [10]}, [5]),
    ],
)
def test_hidden_layers_and_shared_extractors(algo: str, kwargs: dict[str, Any], net_arch: Any) -> None:
    model = agent(algo, policy_kwargs=kwargs)
    silence_half(model)
    result = pruned(model, ratio=0.5)
    assert result.policy_kwargs["net_arch"] == net_arch
    judged = actions(model)
    for one, other in zip(tensors(model, judged), tensors(result, judged), strict=True):
        th.testing.assert_close(other, one, rtol=1e-3, atol=1e-5)


def test_continuous_actions_of_ppo() -> None:
    model = agent("ppo", discrete=False)
    silence_half(model)
    for one, other in zip(tensors(model), tensors(pruned(model)), strict=True):
        th.testing.assert_close(other, one, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("extractor", [None, "nature"])
def test_widths_are_written_into_policy_kwargs(extractor: str | None) -> None:
    result = pruned(agent("ppo", extractor), ratio=0.25)
    assert result.policy_kwargs["features_extractor_class"] is NatureExtractor
    options = result.policy_kwargs["features_extractor_kwargs"]
    assert options["channels"] == [24, 48, 48]
    assert options["features_dim"] == 384
    assert result.policy.normalize_images == (extractor is None)


def test_width_of_a_shortcut_gives_way_to_channels() -> None:
    options = pruned(agent("ppo", "impala-x2")).policy_kwargs["features_extractor_kwargs"]
    assert "width" not in options
    assert options["channels"][:5] == [16] * 5


def test_float_images_that_are_scaled_already() -> None:
    model = agent(policy_kwargs={"normalize_images": False})
    silence_half(model)
    for one, other in zip(tensors(model), tensors(pruned(model)), strict=True):
        th.testing.assert_close(other, one, rtol=1e-4, atol=1e-4)


def test_ratios_of_single_layers() -> None:
    result = pruned(agent("ppo", policy_kwargs={"net_arch": [10]}), ratio=0, layers={"linear.0": 0.75, "net_arch": 0.5})
    options = result.policy_kwargs["features_extractor_kwargs"]
    assert options == {"channels": [32, 64, 64], "features_dim": 128}
    assert result.policy_kwargs["net_arch"] == {"pi": [5], "vf": [5]}
    stage = pruned(agent("ppo", "impala"), ratio=0, layers={"cnn.1.0": 0.5}).policy_kwargs["features_extractor_kwargs"]
    assert stage["channels"][5:10] == [16, 32, 16, 32, 16]


def test_speedup_and_bytes_are_reached_and_not_by_far() -> None:
    model = agent()
    found = networks(model)
    faster = networks(pruned(model, speedup=3))
    assert 0.3 < acting_macs(faster, SHAPE) / acting_macs(found, SHAPE) <= 1 / 3
    smaller = networks(pruned(model, bytes=200_000))
    assert 190_000 < acting_bytes(smaller, SHAPE) <= 200_000
    fixed = pruned(model, speedup=2, layers={"cnn.0": 0}).policy_kwargs["features_extractor_kwargs"]
    assert fixed["channels"][0] == 32


@pytest.mark.parametrize("name", ["reuse-conv", "reuse-conv2"])
def test_work_that_is_reused_counts(name: str) -> None:
    found = networks(agent("ppo", name))
    base = networks(agent("ppo", {"reuse-conv": "nature", "reuse-conv2": "conv2"}[name]))
    assert acting_macs(found, SHAPE) == acting_macs(base, SHAPE)


def test_bytes_are_those_of_the_weights_that_act() -> None:
    model = agent()
    acting = [*model.policy.features_extractor.parameters(), *model.policy.action_net.parameters()]
    assert acting_bytes(networks(model), SHAPE) == 4 * sum(p.numel() for p in acting)


@pytest.mark.parametrize("importance", ["l1", "l2", "fpgm", "taylor", "random"])
def test_importances(importance: str) -> None:
    result = pruned(agent(), images(), importance=importance)
    assert result.policy_kwargs["features_extractor_kwargs"]["channels"] == [16, 32, 32]
    kept = result.policy.features_extractor.cnn[0].weight
    others = pruned(agent(), importance="l1").policy.features_extractor.cnn[0].weight
    assert th.equal(kept, others) == (importance == "l1")


def test_taylor_keeps_what_the_outputs_depend_on() -> None:
    model = agent()
    with th.no_grad():
        # Large weights that nothing comes of, except through the biases
        model.policy.features_extractor.linear[0].weight[:256] = 0
        model.policy.features_extractor.linear[0].bias[:256] = -100
        model.policy.action_net.weight[:, :256] = 100
        model.policy.value_net.weight[:, :256] = 100
    by_size = pruned(model, layers={"linear.0": 0.5}, ratio=0)
    by_effect = pruned(model, images(), layers={"linear.0": 0.5}, ratio=0, importance="taylor")
    assert (by_size.policy.action_net.weight == 100).any()
    assert not (by_effect.policy.action_net.weight == 100).any()


def test_config_round_trip() -> None:
    method = ChannelPruning(layers={"linear.0": 0.9}, speedup=2.0)
    assert make_method(method.to_config()) == make_method(str(method)) == method
    assert make_method("channel-pruning") == ChannelPruning()
    assert not method.needs_observations
    assert ChannelPruning(importance="taylor").needs_observations


class Unknown(NatureCNN):
    """An extractor of somebody else."""

    def __init__(self, observation_space: Any, features_dim: int = 8, normalized_image: bool = False) -> None:
        super().__init__(observation_space, features_dim)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"ratio": 1}, OptionError, r"ratio must be a part, in \[0, 1\), as 0.5 for one half, got 1"),
        ({"ratio": -0.1}, OptionError, "ratio must be .* got -0.1"),
        ({"ratio": float("nan")}, OptionError, "ratio must be .* got nan"),
        ({"layers": {"linear.0": "0.5"}}, OptionError, "linear.0 must be a part, .* got '0.5'"),
        ({"ratio": 0.5, "speedup": 2}, ConflictError, "ratio and speedup both say how much to prune"),
        ({"importance": "tailor"}, UnknownNameError, "Unknown importance 'tailor'. Did you mean 'taylor'"),
        ({"speedup": 0.5}, OptionError, "speedup must be a number of at least 1, got 0.5"),
        ({"speedup": "2"}, OptionError, "speedup must be a number of at least 1, got '2'"),
        ({"layers": ("linear.0",)}, OptionError, "layers must be ratios by name, as .*, got .'linear.0',."),
        ({"bytes": 0}, OptionError, "bytes must be a whole number of at least 1, got 0"),
        ({"seed": -1}, OptionError, "seed must be a whole number of at least 0, got -1"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        ChannelPruning(**options)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"ratio": 0.99}, OptionError, r"Nothing would be left of cnn.0, which has 32 channels: choose a lower"),
        (
            {"layers": {"linaer.0": 0.5}},
            OptionError,
            "no layer 'linaer.0' to prune. Did you mean 'linear.0'. Found: cn",
        ),
        ({"speedup": 1e9}, OptionError, r"speedup=1e\+09 cannot be reached: with one channel left in the narrowest"),
        ({"bytes": 10}, OptionError, "bytes=10 cannot be reached: .* acting takes .* bytes of"),
    ],
)
def test_options_that_do_not_fit_the_model(options: dict[str, Any], error: type[Exception], text: str) -> None:
    """Before anything is recorded for it."""
    with pytest.raises(error, match=text):
        ChannelPruning(**options).check(agent())


def test_layers_that_are_added_up_have_one_ratio() -> None:
    with pytest.raises(ConflictError, match=r"cnn.0.0, cnn.0.2.branch.3, .* give one ratio for them, got 0.25, 0.5"):
        pruned(agent("ppo", "impala"), layers={"cnn.0.0": 0.5, "cnn.0.2.branch.3": 0.25})


@pytest.mark.parametrize("algo", ["ppo gsde", "sac gsde"])
def test_targets_of_models_that_explore_by_state(algo: str) -> None:
    model = agent(algo)
    before = acting_macs(networks(model), SHAPE)
    assert acting_macs(networks(pruned(model, speedup=2)), SHAPE) <= before / 2
    assert acting_bytes(networks(pruned(model, bytes=400_000)), SHAPE) <= 400_000


def test_layers_that_are_frozen_are_pruned_too() -> None:
    model = agent("ppo", "nature")
    for parameter in model.policy.features_extractor.cnn.parameters():
        parameter.requires_grad_(False)
    assert pruned(model, layers={"cnn.0": 0.25}).policy.features_extractor.cnn[0].out_channels == 24


def test_models_that_cannot_be_pruned() -> None:
    with pytest.raises(OptionError, match="'channels', which Unknown does not have"):
        pruned(agent(policy_kwargs={"features_extractor_class": Unknown}))
    env = FakeImageEnv(screen_height=36, screen_width=36, discrete=False)
    with pytest.raises(OptionError, match="RecurrentPPO acts on what it remembers too"):
        pruned(RecurrentPPO("CnnLstmPolicy", env))
    with pytest.raises(ObservationError, match="this PPO acts on Box"):
        pruned(PPO("MlpPolicy", "CartPole-v1"))


class Own(MlpExtractor):
    """Of widths that net_arch says nothing about."""


class WithOwn(ActorCriticCnnPolicy):
    def _build_mlp_extractor(self) -> None:
        self.mlp_extractor = Own(self.features_dim, [16], self.activation_fn, self.device)


def test_networks_that_net_arch_does_not_shape_keep_their_widths() -> None:
    env = FakeImageEnv(screen_height=36, screen_width=36, n_channels=2)
    model = PPO(WithOwn, env, seed=0)
    for options in ({}, {"speedup": 2}):
        with pytest.raises(OptionError, match=r"WithOwn has Own: leave its widths as they are with layers={'net_arch'"):
            ChannelPruning(**options).check(model)
    result = pruned(model, ratio=0.5, layers={"net_arch": 0})
    assert result.policy.features_extractor.cnn[0].out_channels == 16
    assert [layer.out_features for layer in result.policy.mlp_extractor.policy_net[::2]] == [16]


def test_chance_is_that_of_the_seed() -> None:
    model = agent("sac")
    before = th.get_rng_state()
    one, same, other = (pruned(model, importance="random", seed=seed) for seed in (1, 1, 2))
    assert th.equal(th.get_rng_state(), before)
    assert parameters_match(one.policy, same.policy)
    assert not parameters_match(one.policy, other.policy)


def test_hindsight_is_refused_for_its_dictionaries() -> None:
    """SB3 cannot copy such a model without its environment."""
    model = DQN("MultiInputPolicy", BitFlippingEnv(), replay_buffer_class=HerReplayBuffer, buffer_size=100)
    with pytest.raises(ObservationError, match="take models that act on one image, and this DQN acts on Dict"):
        ChannelPruning().check(model)
