"""policy_kwargs in every algorithm that takes images: the same agent as stock, with another network inside."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from helpers import Run, count, parameters_match
from stable_baselines3 import A2C, DQN, PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.envs import FakeImageEnv
from stable_baselines3.common.torch_layers import NatureCNN
from stable_baselines3.common.utils import set_random_seed
from stable_baselines3.common.vec_env import SubprocVecEnv
from torch import nn

from sb3_efficient import extractors, list_extractors, policy_kwargs, register_extractor
from sb3_efficient.errors import EfficientError, ObservationError, OptionError, UnknownNameError
from sb3_efficient.extractors import DictExtractor, ImpalaExtractor, find_extractor
from sb3_efficient.policies import ALGORITHMS, find_algorithm

CONTINUOUS = ("sac", "td3", "ddpg", "tqc")
OFF_POLICY = (*CONTINUOUS, "dqn", "qrdqn")
IMAGE_ALGORITHMS = [name for name in ALGORITHMS if name not in ("ars", "crossq")]


class Noise(FakeImageEnv):
    """SB3's fake image environment, with noise that the seed decides, and every action allowed."""

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        if seed is not None:
            self.observation_space.seed(seed)
        return super().reset(seed=seed, options=options)

    def action_masks(self) -> np.ndarray:
        return np.ones(self.action_space.n, bool)


def env(algo: str = "ppo", side: int = 40) -> gym.Env:
    return Noise(screen_height=side, screen_width=side, n_channels=2, discrete=algo not in CONTINUOUS)


def model(algo: str, environment: Any = None, policy: str | None = None, **kwargs: Any) -> BaseAlgorithm:
    policy = policy or ("CnnLstmPolicy" if algo == "ppo_lstm" else "CnnPolicy")
    if algo in OFF_POLICY:
        kwargs = {"buffer_size": 200, "learning_starts": 8, "batch_size": 8, **kwargs}
    elif algo == "a2c":
        kwargs = {"n_steps": 8, **kwargs}
    else:
        passes = "n_critic_updates" if algo == "trpo" else "n_epochs"
        kwargs = {"n_steps": 16, "batch_size": 16, passes: 2, **kwargs}
    return find_algorithm(algo)(policy, environment or env(algo), seed=3, device="cpu", **kwargs)


@pytest.fixture(params=IMAGE_ALGORITHMS)
def algo(request: pytest.FixtureRequest) -> str:
    return request.param  # type: ignore[no-any-return]


def layers_outside_extractors(module: nn.Module) -> list[tuple[str, tuple[int, ...]]]:
    return [(n, tuple(p.shape)) for n, p in module.named_parameters() if "features_extractor" not in n]


def test_nature_is_the_stock_agent(algo: str) -> None:
    """Same seed: same weights under the same names, the extractor's and those behind it, and the same actions."""
    stock, mine = model(algo), model(algo, policy_kwargs=policy_kwargs("nature", algo))
    assert list(mine.policy.state_dict()) == list(stock.policy.state_dict())
    assert parameters_match(mine.policy, stock.policy)
    observations = np.random.default_rng(0).integers(0, 256, (5, 2, 40, 40), dtype=np.uint8)
    mine_actions, _ = mine.predict(observations, deterministic=True)
    stock_actions, _ = stock.predict(observations, deterministic=True)
    np.testing.assert_allclose(mine_actions, stock_actions, rtol=1e-4, atol=1e-5)


def test_training_with_nature_is_stock_training(algo: str) -> None:
    if algo == "trpo":
        pytest.skip("rounding decides where TRPO's line search stops")
    stock, mine = model(algo), model(algo, policy_kwargs=policy_kwargs("nature", algo))
    for agent in (stock, mine):
        set_random_seed(5)
        agent.action_space.seed(5)
        agent.learn(32)
    for p, q in zip(mine.policy.parameters(), stock.policy.parameters(), strict=True):
        th.testing.assert_close(p, q, rtol=1e-3, atol=2e-4)


def test_head_does_not_depend_on_the_extractor(algo: str) -> None:
    stock = layers_outside_extractors(model(algo).policy)
    mine = layers_outside_extractors(model(algo, policy_kwargs=policy_kwargs("nature", algo)).policy)
    impala = layers_outside_extractors(
        model(algo, policy_kwargs=policy_kwargs("impala", algo, features_dim=512)).policy
    )
    assert mine == stock
    assert impala == stock


def test_agents_learn_save_load_copy_and_continue(algo: str, tmp_path: Path) -> None:
    kwargs = policy_kwargs("impoola", algo, depths=(4, 8), features_dim=16)
    agent = model(algo, policy_kwargs=kwargs)
    before = copy.deepcopy(agent.policy)
    agent.learn(40)
    assert not parameters_match(agent.policy, before)
    agent.save(tmp_path / "agent")
    loaded = type(agent).load(tmp_path / "agent", env=env(algo))
    assert parameters_match(loaded.policy, agent.policy)
    observation = env(algo).observation_space.sample()
    observation = np.moveaxis(observation, -1, 0) if observation.shape[-1] == 2 else observation
    expected, _ = agent.predict(observation, deterministic=True)
    for other in (loaded, copy.deepcopy(agent.policy), pickle.loads(pickle.dumps(agent.policy))):
        found, _ = other.predict(observation, deterministic=True)
        np.testing.assert_array_equal(found, expected)
    loaded.learn(16)


def assert_encoder_learns(agent: Any) -> None:
    before = [parameter.clone() for parameter in agent.policy.features_extractor.parameters()]
    agent.learn(16)
    after = list(agent.policy.features_extractor.parameters())
    assert all(th.isfinite(parameter).all() for parameter in after)
    assert any(not th.equal(*pair) for pair in zip(before, after, strict=True))


@pytest.mark.parametrize("name", [*list_extractors(), *list_extractors(papers=True)])
def test_every_extractor_trains_in_ppo(name: str) -> None:
    agent = model("ppo", policy_kwargs=policy_kwargs(name, PPO, precision="bf16"))
    assert_encoder_learns(agent)


def test_bf16_trains_where_gradients_of_gradients_are_taken() -> None:
    agent = model("trpo", policy_kwargs=policy_kwargs("impoola", "trpo", depths=(4,), precision="bf16"))
    assert_encoder_learns(agent)


def test_small_image_env_is_told_the_smallest_size() -> None:
    with pytest.raises(EfficientError, match="Images of 24x24 pixels are too small for NatureExtractor: .* 36x36"):
        model("dqn", env("dqn", side=24), policy_kwargs=policy_kwargs("nature", DQN))


class DictEnv(gym.Env):
    observation_space = spaces.Dict(
        {"camera": spaces.Box(0, 255, (40, 40, 3), np.uint8), "speed": spaces.Box(-1, 1, (2,), np.float32)}
    )

    def __init__(self, discrete: bool) -> None:
        self.action_space = spaces.Discrete(3) if discrete else spaces.Box(-1, 1, (2,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[dict, dict]:
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action: object) -> tuple[dict, float, bool, bool, dict]:
        return self.observation_space.sample(), 0.0, False, bool(self.np_random.random() < 0.1), {}

    def action_masks(self) -> np.ndarray:
        return np.ones(self.action_space.n, bool)


def test_dictionary_observations(algo: str, tmp_path: Path) -> None:
    policy = "MultiInputLstmPolicy" if algo == "ppo_lstm" else "MultiInputPolicy"
    kwargs = policy_kwargs("impoola", algo, depths=(4, 8), features_dim=16)
    agent = model(algo, DictEnv(algo not in CONTINUOUS), policy, policy_kwargs=kwargs)
    agent.learn(24)
    extractors = [m for m in agent.policy.modules() if isinstance(m, DictExtractor)]
    assert extractors
    assert {e.features_dim for e in extractors} == {18}
    assert any(isinstance(m, ImpalaExtractor) for m in agent.policy.modules())
    agent.save(tmp_path / "agent.zip")
    loaded = type(agent).load(tmp_path / "agent.zip")
    assert parameters_match(loaded.policy, agent.policy)


def test_subprocess_environments() -> None:
    venv = SubprocVecEnv([env, env])
    agent = model("ppo", venv, policy_kwargs=policy_kwargs("impala", "ppo", depths=(4,)))
    agent.learn(32)
    venv.close()


def test_agent_is_loaded_where_nothing_of_ours_was_imported(tmp_path: Path, python: Run) -> None:
    agent = model("a2c", policy_kwargs=policy_kwargs("impala-x2", A2C, depths=(4,)))
    agent.save(tmp_path / "agent.zip")
    code = "from stable_baselines3 import A2C; print(type(A2C.load('agent.zip').policy.features_extractor).__name__)"
    assert python("-c", code).stdout.strip() == "ImpalaExtractor"


def test_kwargs_are_plain_data_and_not_shared() -> None:
    one, other = policy_kwargs("impala-x2", PPO), policy_kwargs("impala-x2", PPO)
    assert one == {
        "features_extractor_class": ImpalaExtractor,
        "features_extractor_kwargs": {"width": 2, "normalized_image": False},
        "net_arch": [],
        "normalize_images": False,
    }
    one["net_arch"].append(3)
    one["features_extractor_kwargs"]["width"] = 3
    assert other == policy_kwargs("impala-x2", PPO)


def test_options_that_cannot_be_built() -> None:
    with pytest.raises(OptionError, match="normalized_image must be true or false, got 'false'"):
        policy_kwargs("nature", "ppo", normalized_image="false")
    with pytest.raises(OptionError, match="ImpalaExtractor cannot be built with"):
        policy_kwargs("impala", "ppo", width=1e9)


@pytest.mark.parametrize("normalized_image", [False, True])
def test_uint8_is_divided_once_whatever_floats_hold(normalized_image: bool) -> None:
    kwargs = policy_kwargs("nature", "ppo", normalized_image=normalized_image)
    agent = model("ppo", policy_kwargs=kwargs)
    seen: list[float] = []
    agent.policy.features_extractor.cnn.register_forward_pre_hook(lambda _, args: seen.append(float(args[0].max())))
    agent.predict(np.full(agent.observation_space.shape, 255, np.uint8))
    assert seen == [1.0]


def test_float_images_of_vec_normalize_are_taken_as_they_are() -> None:
    space = spaces.Box(-10, 10, (4, 84, 84), np.float32)
    with pytest.raises(ObservationError, match="pass normalized_image=True to have them taken as they are"):
        find_extractor("nature").extractor_class(space, **policy_kwargs("nature", PPO)["features_extractor_kwargs"])
    find_extractor("nature").extractor_class(
        space, **policy_kwargs("nature", PPO, normalized_image=True)["features_extractor_kwargs"]
    )


def test_options_that_need_a_larger_image_than_the_trial() -> None:
    assert policy_kwargs("conv2", PPO, layers=8, stride=2)["features_extractor_kwargs"]["layers"] == 8


def test_registered_classes_of_others_get_images_as_sb3_hands_them_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extractors._REGISTRY, "_items", dict(extractors._REGISTRY._items))
    register_extractor("stock-nature", NatureCNN)
    agent = model("ppo", policy_kwargs=policy_kwargs("stock-nature", PPO))
    assert parameters_match(agent.policy, model("ppo").policy)
    assert agent.policy.normalize_images is True


def test_class_and_zoo_name_are_the_same() -> None:
    assert policy_kwargs("impala", SAC) == policy_kwargs("impala", "sac")
    assert policy_kwargs("impala", SAC)["net_arch"] == [256, 256]

    class MyPPO(PPO):
        pass

    assert policy_kwargs("impala", MyPPO) == policy_kwargs("impala", "ppo")


@pytest.mark.parametrize(
    ("arguments", "options", "error", "text"),
    [
        (("imapla", "ppo"), {}, UnknownNameError, "Unknown extractor 'imapla'. Did you mean 'impala'"),
        (("impala", "pppo"), {}, UnknownNameError, "Unknown algorithm 'pppo'. Did you mean 'ppo'"),
        (("impala", "PPO"), {}, UnknownNameError, "Unknown algorithm 'PPO'. Did you mean 'ppo'"),
        (("IMPALA", "ppo"), {}, UnknownNameError, "Unknown extractor 'IMPALA'. Did you mean 'impala'"),
        (("impala", "ars"), {}, EfficientError, "ARS has no policy for images .it offers MlpPolicy, LinearPolicy"),
        (("impala", "crossq"), {}, EfficientError, "CrossQ has no policy for images"),
        (("impala", nn.Linear), {}, OptionError, "algo must be an SB3 algorithm class or its rl-zoo3 name"),
        (("impala", "ppo"), {"widht": 2}, OptionError, "Did you mean 'width'. Accepted: features_dim, width, depths"),
        (("impala", "ppo"), {"width": 0}, OptionError, "width must be a positive number, got 0"),
        (("nature", "ppo"), {"precision": "fp16"}, OptionError, "Unknown precision 'fp16'"),
        (("nature", "ppo"), {"channels": [1, 2]}, OptionError, "channels must name the filters of all 3"),
    ],
)
def test_bad_input_is_found_without_an_environment(
    arguments: tuple, options: dict, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        policy_kwargs(*arguments, **options)


def test_trying_out_costs_no_random_numbers() -> None:
    th.manual_seed(0)
    expected = th.rand(3)
    th.manual_seed(0)
    policy_kwargs("impala-x4", PPO)
    assert th.equal(th.rand(3), expected)


def test_impala_is_smaller_than_nature_behind_the_same_head() -> None:
    sizes = [
        count(model("ppo", env(side=84), policy_kwargs=policy_kwargs(n, PPO)).policy) for n in ("nature", "impala")
    ]
    assert sizes[1] < sizes[0]
