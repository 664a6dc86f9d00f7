from __future__ import annotations

import copy
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from agents import AGENTS, Images, agent, dict_agent, images
from gymnasium import spaces
from helpers import Run
from stable_baselines3 import DQN, PPO, SAC, TD3
from stable_baselines3.common.envs import FakeImageEnv
from torch import nn

from sb3_efficient import make_engine, policy_kwargs
from sb3_efficient.compression.straight_through import coarsen
from sb3_efficient.engines.network import ActingNetwork
from sb3_efficient.engines.reuse import ReuseEngine
from sb3_efficient.errors import ObservationError, OptionError
from sb3_efficient.extractors import EncoderExtractor
from sb3_efficient.reuse.watch import plain


@pytest.mark.parametrize("algorithm", AGENTS)
def test_gives_the_outputs_of_the_network(algorithm: str) -> None:
    model = agent(algorithm)
    engine, reference = make_engine(model, "reuse"), make_engine(model, "eager")
    for n in (1, 7, 3, 1):
        batch = images(n, seed=n)
        found, expected = engine.outputs(batch), reference.outputs(batch)
        assert list(found) == list(expected)
        for name, values in expected.items():
            assert found[name].dtype == np.float32
            np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-4)
        actions, state = engine.predict(batch, deterministic=True)
        np.testing.assert_allclose(actions, model.predict(batch, deterministic=True)[0], rtol=1e-4, atol=1e-4)
        assert state is None
    single, _ = engine.predict(images(1)[0], deterministic=True)
    assert single.shape == model.predict(images(1)[0], deterministic=True)[0].shape


@pytest.mark.parametrize("kwargs", [{}, {"features_dim": 32}])
@pytest.mark.parametrize("algorithm", [PPO, DQN])
def test_network_without_a_linear_layer(algorithm: Any, kwargs: dict[str, int]) -> None:
    options = {"buffer_size": 8} if algorithm is DQN else {}
    policy = policy_kwargs("conv2", algorithm, filters=4, **kwargs)
    model = algorithm("CnnPolicy", Images(), policy_kwargs=policy, device="cpu", seed=0, **options)
    engine, reference = make_engine(model, "reuse"), make_engine(model, "eager")
    for n in (2, 4):
        found, expected = engine.outputs(images(n)), reference.outputs(images(n))
        for name, values in expected.items():
            np.testing.assert_allclose(found[name], values, atol=1e-4)


def test_gaussian_head_right_behind_the_image() -> None:
    box = spaces.Box(-1, 1, (3,), np.float32)
    model = PPO("CnnPolicy", Images(box), policy_kwargs=policy_kwargs("conv2", PPO, filters=4), device="cpu")
    found, expected = (make_engine(model, name).outputs(images(2)) for name in ("reuse", "eager"))
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-4)


@pytest.mark.parametrize("algorithm", [SAC, TD3])
def test_no_layer_between_the_image_and_continuous_actions(algorithm: Any) -> None:
    kwargs = policy_kwargs("conv2", algorithm, filters=4) | {"net_arch": []}
    box = spaces.Box(-1, 1, (2,), np.float32)
    model = algorithm("CnnPolicy", Images(box), policy_kwargs=kwargs, buffer_size=8, device="cpu", seed=0)
    found, expected = (make_engine(model, name).outputs(images(2)) for name in ("reuse", "eager"))
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-4)


class Skip(nn.Sequential):
    def forward(self, x: th.Tensor) -> th.Tensor:
        return x + super().forward(x)


class Standardized(nn.Conv2d):
    def forward(self, x: th.Tensor) -> th.Tensor:
        return self._conv_forward(x, self.weight - self.weight.mean(), self.bias)


class Own(EncoderExtractor):
    def __init__(self, observation_space: spaces.Box, layer: Any) -> None:
        cnn = nn.Sequential(nn.Conv2d(2, 8, 4, 4), layer, nn.ReLU(), nn.Flatten())
        super().__init__(observation_space, cnn, {"features_dim": 16})


def test_keeps_its_weights_until_told() -> None:
    model = agent()
    engine = make_engine(model, "reuse")
    assert isinstance(engine, ReuseEngine)
    before = engine.outputs(images(2))["logits"]
    with th.no_grad():
        for parameter in model.policy.parameters():
            parameter.mul_(1.2)
    np.testing.assert_array_equal(engine.outputs(images(2))["logits"], before)
    engine.refresh(model)
    after = make_engine(model, "eager").outputs(images(2))["logits"]
    np.testing.assert_allclose(engine.outputs(images(2))["logits"], after, atol=1e-4)
    with pytest.raises(OptionError, match="refresh takes a model with the network that the engine was made of"):
        engine.refresh(agent("dqn"))


def test_weights_of_other_layers_are_refused() -> None:
    """Tensors of the same shapes, between which something else happens."""
    small = {"net_arch": [16]}
    model, other = (
        PPO("CnnPolicy", Images(), policy_kwargs={**small, "activation_fn": f}, device="cpu")
        for f in (nn.Tanh, nn.ReLU)
    )
    engine = make_engine(model, "reuse")
    assert isinstance(engine, ReuseEngine)
    with pytest.raises(OptionError, match="refresh takes a model with the network that the engine was made of"):
        engine.refresh(other)
    coarsen(model.policy.features_extractor.cnn[2], th.round)
    with pytest.raises(OptionError, match="a parametrization or a forward of its"):
        engine.refresh(model)


def test_pixels_are_scaled_as_the_model_does_it() -> None:
    for normalize in (True, False):
        kwargs = {**agent("ppo nature").policy_kwargs, "normalize_images": normalize}
        for normalized in (True, False):
            kwargs["features_extractor_kwargs"] = {"features_dim": 64, "normalized_image": normalized}
            model = PPO("CnnPolicy", Images(), policy_kwargs=kwargs, device="cpu", seed=0)
            found, expected = (make_engine(model, name).outputs(images(2))["logits"] for name in ("reuse", "eager"))
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_bytes_that_sb3_does_not_take_for_an_image_are_not_scaled() -> None:
    env = Images()
    env.observation_space = spaces.Box(0, 254, env.observation_space.shape, np.uint8)
    kwargs = {"features_extractor_kwargs": {"normalized_image": True}}
    model = PPO("CnnPolicy", env, policy_kwargs=kwargs, device="cpu", seed=0)
    for parameter in model.policy.parameters():
        # New biases are all zero, behind which scaling changes no action
        parameter.data.add_(0.02)
    found, expected = (make_engine(model, name).outputs(images(2))["logits"] for name in ("reuse", "eager"))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_a_copy_has_weights_and_states_of_its_own() -> None:
    model = agent("ppo nature")
    engine = make_engine(model, "reuse")
    expected = engine.outputs(images(2))["logits"]
    other = copy.deepcopy(engine)
    with th.no_grad():
        for parameter in model.policy.parameters():
            parameter.mul_(1.5)
    engine.refresh(model)  # type: ignore[attr-defined]
    assert np.abs(engine.outputs(images(2))["logits"] - expected).max() > 1e-3
    np.testing.assert_array_equal(other.outputs(images(2))["logits"], expected)
    other.refresh(model)  # type: ignore[attr-defined]
    np.testing.assert_allclose(other.outputs(images(2))["logits"], engine.outputs(images(2))["logits"], atol=1e-5)


def test_layers_that_something_else_is_done_to_are_refused() -> None:
    model = agent("ppo nature")
    coarsen(model.policy.features_extractor.cnn[2], th.round)
    with pytest.raises(OptionError, match=r"extractors.0.* \(Conv2d.*has hooks, a parametrization or a forward of its"):
        make_engine(model, "reuse")


@pytest.mark.parametrize("hook", ["register_full_backward_hook", "register_full_backward_pre_hook"])
def test_layers_with_hooks_are_not_plain(hook: str) -> None:
    layer = nn.Linear(2, 2)
    assert plain(layer)
    handle = getattr(layer, hook)(lambda *_: None)
    assert not plain(layer)
    handle.remove()
    assert plain(layer)


@pytest.mark.parametrize("layer", [Skip(nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1)), Standardized(8, 8, 3)])
def test_layers_that_are_others_than_their_class_says_are_refused(layer: nn.Module) -> None:
    kwargs = {"features_extractor_class": Own, "features_extractor_kwargs": {"layer": layer}}
    model = PPO("CnnPolicy", Images(), policy_kwargs=kwargs, device="cpu")
    with pytest.raises(OptionError, match="or a forward of its own"):
        make_engine(model, "reuse")


def test_plan_and_memory() -> None:
    engine = make_engine(agent("ppo impala"), "reuse", memory=2**30)
    assert isinstance(engine, ReuseEngine)
    assert "max-pool" in str(engine.plan)
    with pytest.raises(OptionError, match="memory allows 10: allow more"):
        make_engine(agent(), "reuse", memory=10)
    with pytest.raises(OptionError, match="memory must be a whole number of at least 1, got 'much'"):
        make_engine(agent(), "reuse", memory="much")
    with pytest.raises(OptionError, match=r"Engine 'reuse' has no option 'memry'\. Did you mean 'memory'\? Accepted"):
        make_engine(agent(), "reuse", memry=10)
    with pytest.raises(OptionError, match="Engine 'eager' has no option 'memory'"):
        make_engine(agent(), "eager", memory=10)


def test_wrong_observations_are_refused() -> None:
    engine = make_engine(agent(), "reuse")
    with pytest.raises(ObservationError, match=r"has shape \(36, 36\), and the policy takes \(2, 36, 36\)"):
        engine.predict(images(2)[0, 0])
    with pytest.raises(ObservationError, match="has dtype float64, and the policy takes uint8"):
        engine.predict(images(2) / 255)


class _Floats(FakeImageEnv):
    def __init__(self) -> None:
        super().__init__(screen_height=36, screen_width=36, n_channels=2, channel_first=True)
        self.observation_space = spaces.Box(0, 255, (2, 36, 36), np.float32)


def test_models_that_it_does_not_know_are_refused() -> None:
    with pytest.raises(OptionError, match="takes one image, and the observations are dictionaries: take the engine 'e"):
        make_engine(dict_agent(), "reuse")
    model = PPO("CnnPolicy", _Floats(), policy_kwargs=policy_kwargs("nature", PPO))
    with pytest.raises(OptionError, match=r"takes uint8 images \(C, H, W\), and the space is Box\(0.0, 255.0"):
        make_engine(model, "reuse")
    flat: gym.Env = gym.make("CartPole-v1")
    with pytest.raises(OptionError, match="takes uint8 images"):
        make_engine(PPO("MlpPolicy", flat), "reuse")
    source = ActingNetwork(agent())
    source.device = th.device("cuda")
    with pytest.raises(OptionError, match="computes on the CPU, and the model is on cuda: load it with device='cpu'"):
        ReuseEngine(source, 1)


def test_listing_engines_and_extractors_imports_no_compiler(python: Run) -> None:
    code = """
import sys
from sb3_efficient import list_extractors
from sb3_efficient.engines import list_engines
assert "reuse" in list_engines() and "reuse-conv" in list_extractors()
print([name for name in ("numba", "sb3_efficient.compiled.jit") if name in sys.modules])
"""
    assert python("-c", code).stdout.strip() == "[]"
