"""accelerate: the same model, the same files, in less time."""

from __future__ import annotations

import copy
import io
import json
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from helpers import Run, parameters_match
from sb3_contrib import TQC
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import ConvertCallback
from stable_baselines3.common.envs import FakeImageEnv
from stable_baselines3.common.policies import ActorCriticCnnPolicy
from stable_baselines3.common.preprocessing import preprocess_obs
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, CombinedExtractor, NatureCNN
from stable_baselines3.common.utils import set_random_seed
from test_policies import CONTINUOUS, IMAGE_ALGORITHMS, DictEnv, env, model
from torch import nn

from sb3_efficient import accelerate, policy_kwargs
from sb3_efficient.errors import OptionError
from sb3_efficient.fast import AccelerateCallback, Report
from sb3_efficient.fast import memory as memory_module
from sb3_efficient.fast import networks as networks_module
from sb3_efficient.fast.compiled import compile_extractor
from sb3_efficient.fast.forward import FastForward
from sb3_efficient.profiler import ProfileCallback

IMAGES = np.random.default_rng(0).integers(0, 256, (8, 2, 40, 40), dtype=np.uint8)
FP32: dict[str, Any] = {"precision": "fp32", "keep_memory": False}
BF16: dict[str, Any] = {"precision": "bf16", "keep_memory": False}


@pytest.fixture(params=IMAGE_ALGORITHMS)
def algo(request: pytest.FixtureRequest) -> str:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def memory_as_it_was() -> Iterator[None]:
    """What one test does to the process is not for the others, and what others did not for this one."""
    memory_module._as_it_was()
    yield
    memory_module._as_it_was()


def learnt(agent: BaseAlgorithm, steps: int = 32) -> BaseAlgorithm:
    set_random_seed(5)
    agent.action_space.seed(5)
    return agent.learn(steps)


def weights(agent: BaseAlgorithm) -> th.Tensor:
    return nn.utils.parameters_to_vector(agent.policy.parameters()).detach()


def assert_same_way(start: th.Tensor, plain: BaseAlgorithm, fast: BaseAlgorithm) -> None:
    """Both moved, and ended at nearly the same place; Adam makes whole steps of single rounding errors."""
    moved = (weights(plain) - start).norm()
    assert moved > 0
    assert (weights(fast) - weights(plain)).norm() < 0.05 * moved


def heads(agent: Any, images: np.ndarray = IMAGES) -> list[th.Tensor]:
    """What every network of the agent makes of the images."""
    x, policy = th.as_tensor(images), agent.policy
    if hasattr(policy, "evaluate_actions"):
        n = th.zeros(len(x), dtype=th.long)
        if hasattr(policy, "lstm_actor"):
            state = tuple(th.zeros(policy.lstm_actor.num_layers, 1, policy.lstm_actor.hidden_size) for _ in "hc")
            both = type(agent._last_lstm_states)(state, state)
            return [t for t in policy.evaluate_actions(x, n, both, th.zeros(len(x))) if t is not None]
        return [*policy.evaluate_actions(x, n), policy.predict_values(x)]
    if hasattr(policy, "critic"):
        actions = th.zeros(len(x), agent.action_space.shape[0])
        values = policy.critic(x, actions)
        return [policy._predict(x, deterministic=True), *(values if isinstance(values, tuple) else [values])]
    return [(policy.q_net if hasattr(policy, "q_net") else policy.quantile_net)(x)]


def test_same_results_and_gradients_in_fp32(algo: str) -> None:
    plain, fast = model(algo), model(algo)
    accelerate(fast, **FP32)
    for found, expected in zip(heads(fast), heads(plain), strict=True):
        th.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    for agent in (plain, fast):
        sum(out.square().mean() for out in heads(agent)).backward()
    for (name, p), q in zip(fast.policy.named_parameters(), plain.policy.parameters(), strict=True):
        assert (p.grad is None) == (q.grad is None), name
        if p.grad is not None:
            th.testing.assert_close(p.grad, q.grad, rtol=1e-3, atol=1e-5, msg=name)
    actions = [agent.predict(IMAGES, deterministic=True)[0] for agent in (fast, plain)]
    np.testing.assert_allclose(*actions, rtol=1e-4, atol=1e-5)


def test_bf16_is_close(algo: str) -> None:
    plain, fast = model(algo), model(algo)
    accelerate(fast, **BF16)
    for found, expected in zip(heads(fast), heads(plain), strict=True):
        assert found.dtype == th.float32
        th.testing.assert_close(found, expected, rtol=0.05, atol=0.03)


def test_small_batches_are_in_float32_only_where_nothing_is_learnt() -> None:
    extractor = NatureCNN(model("ppo").observation_space)
    bf16, fp32 = (FastForward(extractor, p, fp32_below=8, scales_pixels=True) for p in ("bf16", "fp32"))  # type: ignore[arg-type]
    for n, learns, is_exact in ((7, False, True), (8, False, False), (7, True, False)):
        images = th.as_tensor(IMAGES[:n])
        with th.set_grad_enabled(learns):
            assert th.equal(bf16(images), fp32(images)) == is_exact


def test_training_arrives_at_the_same_weights(algo: str) -> None:
    """Fused optimizer, lean buffer and lean critic included."""
    if algo == "trpo":
        pytest.skip("rounding decides where TRPO's line search stops")
    plain, fast = model(algo), model(algo)
    start = weights(plain)
    accelerate(fast, **FP32)
    for agent in (plain, fast):
        learnt(agent)
    assert_same_way(start, plain, fast)


NETWORKS = [*((algo, "stock") for algo in IMAGE_ALGORITHMS), ("ppo", "ours"), ("dqn", "ours"), ("sac", "ours")]


@pytest.mark.parametrize(("algo", "network"), NETWORKS)
def test_learn_save_load_copy_and_continue(algo: str, network: str, tmp_path: Path) -> None:
    ours = policy_kwargs("impoola", algo, depths=(4, 8), features_dim=16)
    agent = model(algo, policy_kwargs=ours if network == "ours" else {})
    before = {k: v.clone() for k, v in agent.policy.state_dict().items()}
    accelerate(agent, **BF16)
    after = agent.policy.state_dict()
    assert list(after) == list(before)
    assert all(th.equal(after[k], before[k]) for k in before)
    learnt(agent, 40)
    assert all(p.is_contiguous() for p in agent.policy.parameters())
    agent.save(tmp_path / "agent.zip")
    loaded = type(agent).load(tmp_path / "agent.zip", env=env(algo))
    assert parameters_match(loaded.policy, agent.policy)
    accelerate(loaded, **BF16)
    expected, _ = agent.predict(IMAGES, deterministic=True)
    copies = [copy.deepcopy(agent.policy), pickle.loads(pickle.dumps(agent.policy))]
    for other in (loaded, *copies):
        np.testing.assert_array_equal(other.predict(IMAGES, deterministic=True)[0], expected)
    loaded.learn(16)
    # A copy runs its own weights, not those of the model it was copied from
    with th.no_grad():
        for p in copies[0].parameters():
            p.zero_()
    np.testing.assert_array_equal(agent.predict(IMAGES, deterministic=True)[0], expected)
    if hasattr(copies[0], "predict_values") and algo != "ppo_lstm":
        assert not copies[0].predict_values(th.as_tensor(IMAGES)).any()


@pytest.mark.parametrize("algo", ["ppo", "dqn", "sac", "ppo_mask", "ppo_lstm"])
def test_file_is_the_one_of_a_plain_model(algo: str, tmp_path: Path) -> None:
    plain, fast = model(algo), model(algo)
    accelerate(fast, **BF16)
    contents = []
    for agent in (plain, fast):
        file = io.BytesIO()
        learnt(agent).save(file)
        with zipfile.ZipFile(file) as archive:
            data = json.loads(archive.read("data"))
            names = [name for name in archive.namelist() if name.endswith("optimizer.pth")]
            groups = [th.load(io.BytesIO(archive.read(name)))["param_groups"] for name in names]
            assert b"sb3_efficient" not in archive.read("data")
        contents.append((sorted(data), groups))
    assert contents[0] == contents[1]


STOCK = """
import sys, numpy as np
from stable_baselines3 import {algo}
from stable_baselines3.common.envs import FakeImageEnv
env = FakeImageEnv(screen_height=40, screen_width=40, n_channels=2, discrete={discrete})
agent = {algo}.load("agent.zip", env=env, device="cpu")
before = [p.detach().clone() for p in agent.policy.parameters()]
print([float(p.sum()) for p in before])
if agent.replay_buffer if hasattr(agent, "replay_buffer") else False:
    agent.load_replay_buffer("buffer.pkl")
agent.learn(32, reset_num_timesteps=False)
assert any(not p.equal(q) for p, q in zip(before, agent.policy.parameters()))
assert "sb3_efficient" not in sys.modules
"""


@pytest.mark.parametrize("algo", ["ppo", "dqn", "sac"])
def test_file_loads_where_this_package_is_not(algo: str, python: Run, tmp_path: Path) -> None:
    agent = model(algo)
    accelerate(agent, **BF16)
    learnt(agent)
    agent.save(tmp_path / "agent.zip")
    if hasattr(agent, "save_replay_buffer"):
        agent.save_replay_buffer(tmp_path / "buffer.pkl")
    code = STOCK.format(algo=algo.upper(), discrete=algo not in CONTINUOUS)
    done = python("-c", code, SB3_EFFICIENT_AUTOLOAD="0", TORCH_DEVICE_BACKEND_AUTOLOAD="0")
    assert json.loads(done.stdout) == [float(p.detach().sum()) for p in agent.policy.parameters()]


def test_moments_from_a_zip_are_kept(tmp_path: Path) -> None:
    learnt(model("ppo")).save(tmp_path / "agent.zip")
    plain, fast = (PPO.load(tmp_path / "agent.zip", env=env()) for _ in range(2))
    start = weights(plain)
    accelerate(fast, **FP32)
    assert fast.policy.optimizer.param_groups[0]["fused"] is True
    moments = [agent.policy.optimizer.state_dict()["state"] for agent in (plain, fast)]
    assert moments[0].keys() == moments[1].keys() != set()
    assert all(th.equal(moments[0][i][k], moments[1][i][k]) for i in moments[0] for k in moments[0][i])
    for agent in (plain, fast):
        learnt(agent)
    assert_same_way(start, plain, fast)
    # Parameters loaded into the accelerated model do not turn it off
    fast.set_parameters(tmp_path / "agent.zip")
    assert fast.policy.optimizer.param_groups[0]["fused"] is True


@pytest.mark.parametrize("algo", ["ppo", "a2c", "ppo_mask"])
def test_policy_is_updated_in_the_format_it_acted_in(algo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first minibatch's ratio is 1 and its approx_kl is 0, in bf16 as in fp32."""
    agent: Any = model(algo)
    accelerate(agent, **BF16)
    seen = []

    def first_minibatch(self: Any) -> None:
        data = next(self.rollout_buffer.get(16 if algo != "a2c" else 8))
        _, log_prob, _ = self.policy.evaluate_actions(data.observations, data.actions.long().flatten())
        log_ratio = log_prob.detach() - data.old_log_prob
        seen.append(float((log_ratio.exp() - 1 - log_ratio).mean()))

    monkeypatch.setattr(type(agent), "train", first_minibatch)
    agent.learn(16)
    assert seen
    assert max(map(abs, seen)) < 1e-5


def test_dictionaries_of_observations(algo: str) -> None:
    policy = "MultiInputLstmPolicy" if algo == "ppo_lstm" else "MultiInputPolicy"
    for kwargs in ({}, policy_kwargs("impoola", algo, depths=(4,), features_dim=16)):
        agent = model(algo, DictEnv(algo not in CONTINUOUS), policy, policy_kwargs=kwargs)
        observations = agent.env.reset()
        expected, _ = agent.predict(observations, deterministic=True)
        report = accelerate(agent, **FP32)
        assert "images: reach the network as uint8, not as a float32 copy" in report.changes
        np.testing.assert_allclose(agent.predict(observations, deterministic=True)[0], expected, rtol=1e-4, atol=1e-5)
        agent.learn(24)


@pytest.mark.parametrize("algo", ["ppo", "ppo_mask", "sac", "tqc", "td3"])
@pytest.mark.parametrize("share", [True, False])
def test_shared_and_separate_extractors(algo: str, share: bool) -> None:
    plain, fast = (model(algo, policy_kwargs={"share_features_extractor": share}) for _ in range(2))
    start = weights(plain)
    accelerate(fast, **FP32)
    for agent in (plain, fast):
        learnt(agent, 24)
    assert_same_way(start, plain, fast)


@pytest.mark.parametrize("algo_class", [SAC, TQC])
def test_critic_keeps_the_gradients_that_are_used(algo_class: type[BaseAlgorithm]) -> None:
    agent: Any = model(algo_class.__name__.lower())
    accelerate(agent, **FP32)
    images, actions = th.as_tensor(IMAGES), th.zeros(8, agent.action_space.shape[0])
    convolution = next(agent.critic.features_extractor.parameters())

    def reaches(actions: th.Tensor) -> bool:
        values = agent.critic(images, actions)
        values = values[0] if isinstance(values, tuple) else values
        return th.autograd.grad(values.sum(), convolution, allow_unused=True)[0] is not None

    assert reaches(actions)
    learns_actor = actions.clone().requires_grad_()
    values = agent.critic(images, learns_actor)
    (values[0] if isinstance(values, tuple) else values).sum().backward()
    assert learns_actor.grad is not None
    assert convolution.grad is None
    assert agent.critic.share_features_extractor is False


class Conservative(SAC):
    """Its critic's loss has actions with gradients, too (CQL)."""

    def train(self, gradient_steps: int, batch_size: int = 64) -> None:
        super().train(gradient_steps, batch_size)


def test_critics_of_other_losses_keep_all_gradients() -> None:
    options = {"buffer_size": 20, "policy_kwargs": {"features_extractor_kwargs": {"features_dim": 16}}}
    agent = Conservative("CnnPolicy", env("sac"), **options)
    report = accelerate(agent, **FP32)
    text = "critic: the losses of Conservative may use gradients that those of SB3 throw away"
    assert text in report.left_alone
    assert "forward" not in vars(agent.critic)


def test_methods_that_are_still_timed_are_known() -> None:
    """Nothing says so when a training is interrupted."""
    agent, profile = model("sac"), ProfileCallback(verbose=0)

    def interrupt(*_: object) -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        agent.learn(8, callback=[profile, ConvertCallback(interrupt)])
    assert "critic: no gradients that are thrown away" in accelerate(agent, **FP32).changes
    profile._patches.put_back()


def test_uint8_reaches_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    agent: Any = model("ppo")
    accelerate(agent, **BF16)
    seen = []
    inner = FastForward.__call__
    monkeypatch.setattr(FastForward, "__call__", lambda self, x: (seen.append(x.dtype), inner(self, x))[1])
    agent.learn(16)
    # predict_values, at the end of a rollout or an episode, goes past it
    assert 0 < len(seen) - seen.count(th.uint8) <= 2 < seen.count(th.uint8)
    assert agent.predict(IMAGES)[0].shape == (8,)


def test_images_that_are_not_to_be_scaled_are_not() -> None:
    """Float images and normalize_images=False: the user's own scale."""
    plain, fast = (model("dqn", policy_kwargs={"normalize_images": False}) for _ in range(2))
    accelerate(fast, **FP32)
    assert accelerate(fast, **FP32).changes == ()
    for found, expected in zip(heads(fast), heads(plain), strict=True):
        th.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)


class ViewNetwork(BaseFeaturesExtractor):
    """A network that depends on how its activations lie in memory."""

    def __init__(self, observation_space: Any) -> None:
        super().__init__(observation_space, 4 * 9 * 9)
        self.convolution = nn.Conv2d(observation_space.shape[0], 4, 8, 4)

    def forward(self, observations: th.Tensor) -> th.Tensor:
        return self.convolution(observations).view(len(observations), -1)


class FlattenNetwork(ViewNetwork):
    """The same, written in a way that does not."""

    def forward(self, observations: th.Tensor) -> th.Tensor:
        return self.convolution(observations).flatten(1)


def test_networks_of_others_are_tried_first() -> None:
    report = accelerate(model("ppo", policy_kwargs={"features_extractor_class": ViewNetwork}), **FP32)
    assert "network: ViewNetwork gives other results when it is run channels-last, or none" in report.left_alone
    plain, fast = (model("ppo", policy_kwargs={"features_extractor_class": FlattenNetwork}) for _ in range(2))
    report = accelerate(fast, **FP32)
    assert "network: FlattenNetwork channels-last, in fp32" in report.changes
    for found, expected in zip(heads(fast), heads(plain), strict=True):
        th.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


class Scattered(ViewNetwork):
    """A network that adds pixels up, which autocast does not widen."""

    def forward(self, observations: th.Tensor) -> th.Tensor:
        summed = th.zeros(observations.shape, dtype=th.float32)
        order = th.arange(len(observations))
        return self.convolution(summed.index_add_(0, order, observations)).flatten(1)


def test_networks_of_others_are_tried_on_what_updates_give_them() -> None:
    agent = model("ppo", policy_kwargs={"features_extractor_class": Scattered})
    report = accelerate(agent, precision="bf16")
    assert "network: Scattered gives other results when it is run channels-last, or none" in report.left_alone
    agent.learn(16)


class Jitter(ViewNetwork):
    """Depends on how its pixels lie in memory, in training only."""

    def forward(self, observations: th.Tensor) -> th.Tensor:
        if self.training:
            noise = 0.01 * th.randn(len(observations), 1)
            observations = (observations.view(len(observations), -1) + noise).view(observations.shape)
        return self.convolution(observations).flatten(1)


def test_networks_of_others_are_tried_in_training_too() -> None:
    agent = model("ppo", policy_kwargs={"features_extractor_class": Jitter})
    assert "network: Jitter gives other results when it is run channels-last, or none" in accelerate(agent).left_alone
    agent.learn(16)


class Scaled(NatureCNN):
    def forward(self, observations: th.Tensor, scale: float = 1.0) -> th.Tensor:
        return super().forward(observations) * scale


class Scales(ActorCriticCnnPolicy):
    def extract_features(self, obs: Any, features_extractor: Any = None) -> th.Tensor:
        prepared = preprocess_obs(obs, self.observation_space)
        return (features_extractor or self.features_extractor)(prepared, scale=2.0)


def test_further_arguments_reach_the_network() -> None:
    plain, fast = (model("ppo", policy=Scales, policy_kwargs={"features_extractor_class": Scaled}) for _ in range(2))
    accelerate(fast, **FP32)
    for found, expected in zip(heads(fast), heads(plain), strict=True):
        th.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


class View(nn.Module):
    def forward(self, maps: th.Tensor) -> th.Tensor:
        return maps.view(len(maps), -1)


class ViewNature(NatureCNN):
    """SB3's ``forward`` on layers of its own, whose results lie otherwise where images are many."""

    def __init__(self, observation_space: Any) -> None:
        super().__init__(observation_space, 16)
        self.cnn = nn.Sequential(nn.Conv2d(observation_space.shape[0], 4, 8, 4), nn.ReLU(), View())
        self.linear = nn.Sequential(nn.Linear(4 * 9 * 9, 16), nn.ReLU())


def test_networks_derived_from_nature_are_tried_too() -> None:
    # Others would be transposed, and lie as channels-last ones do
    images = FakeImageEnv(screen_height=40, screen_width=40, n_channels=2, channel_first=True)
    agent = learnt(model("ppo", images, policy_kwargs={"features_extractor_class": ViewNature}), 16)
    report = accelerate(agent, **FP32)
    assert "network: ViewNature gives other results when it is run channels-last, or none" in report.left_alone
    assert not any(line.startswith("images:") for line in report.changes), "it gets float32, as ever"
    agent.learn(16)


class Differences(CombinedExtractor):
    """Computes with the pixels before it hands them on: with uint8 it would wrap around."""

    def forward(self, observations: Any) -> th.Tensor:
        camera = observations["camera"]
        changes = th.cat([camera[:, :1], camera[:, 1:] - camera[:, :-1]], dim=1)
        return super().forward({**observations, "camera": changes})


class OwnConvolutions(BaseFeaturesExtractor):
    """Convolutions of a dictionary's image that are in no extractor of their own."""

    def __init__(self, observation_space: Any) -> None:
        super().__init__(observation_space, 2 + 4 * 9 * 9)
        camera = nn.Sequential(nn.Conv2d(3, 4, 8, 4), nn.ReLU(), nn.Flatten())
        self.extractors = nn.ModuleDict({"camera": camera, "speed": nn.Flatten()})

    def forward(self, observations: Any) -> th.Tensor:
        return th.cat([part(observations[key]) for key, part in self.extractors.items()], dim=1)


class Listed(BaseFeaturesExtractor):
    """A name that SB3 has, and something else behind it."""

    def __init__(self, observation_space: Any) -> None:
        super().__init__(observation_space, 2 + 16)
        self.extractors = nn.ModuleList([NatureCNN(observation_space["camera"], 16), nn.Flatten()])

    def forward(self, observations: Any) -> th.Tensor:
        return th.cat(
            [part(observations[key]) for key, part in zip(("camera", "speed"), self.extractors, strict=True)], 1
        )


@pytest.mark.parametrize("network", [Differences, OwnConvolutions, Listed])
def test_dictionaries_of_others_compute_what_they_did(network: type[BaseFeaturesExtractor]) -> None:
    agent: Any = model("ppo", DictEnv(True), "MultiInputPolicy", policy_kwargs={"features_extractor_class": network})
    agent.learn(16)
    space = agent.observation_space
    space.seed(0)
    observations = {key: th.as_tensor(np.stack([part.sample() for _ in range(4)])) for key, part in space.items()}
    with th.no_grad():
        before = agent.policy.extract_features(observations)
        accelerate(agent, **FP32)
        assert th.allclose(agent.policy.extract_features(observations), before, rtol=1e-4, atol=1e-4)
    agent.learn(16)


class Normalized(FlattenNetwork):
    """Once it has been trained, what torch keeps in it cannot be copied."""

    def __init__(self, observation_space: Any) -> None:
        super().__init__(observation_space)
        nn.utils.weight_norm(self.convolution)


class Noisy(NatureCNN):
    """Draws when it computes."""

    def forward(self, images: th.Tensor) -> th.Tensor:
        return super().forward(images) * (1 + 0.1 * th.rand(1))


def test_to_try_a_network_draws_nothing() -> None:
    agent = model("ppo", policy_kwargs={"features_extractor_class": Noisy})
    th.manual_seed(0)
    before = th.get_rng_state()
    assert "Noisy gives other results" in str(accelerate(agent, **FP32))
    assert th.equal(th.get_rng_state(), before)


def test_optimizers_with_other_options_are_left_alone() -> None:
    agent = model("ppo", policy_kwargs={"optimizer_class": th.optim.Adafactor})
    accelerate(agent, **FP32)
    agent.learn(16)
    agent = model("ppo", policy_kwargs={"optimizer_kwargs": {"fused": False}})
    assert "optimizer: Adam was set up explicitly" in str(accelerate(agent, **FP32))


def test_groups_of_weights_that_are_added_later_are_saved(tmp_path: Path) -> None:
    agent = model("ppo")
    accelerate(agent, **FP32)
    agent.policy.optimizer.add_param_group({"params": [th.nn.Parameter(th.zeros(3))]})
    agent.save(tmp_path / "agent")
    for _ in range(2):
        state = agent.policy.optimizer.state_dict()
        assert [group["fused"] for group in state["param_groups"]] == [None, None]
        agent.policy.optimizer.load_state_dict(state)
        assert [group["fused"] for group in agent.policy.optimizer.param_groups] == [True, True]


def test_a_copy_saves_what_the_original_does() -> None:
    agent = model("dqn")
    accelerate(agent, **FP32)
    # A copy of the whole model would be one of its environments, too
    copied = copy.copy(agent)
    copied.policy = copy.deepcopy(agent.policy)
    # Of which torch copies the groups, and not what else was done to it
    assert "optimizer: fused Adam, its state kept" in accelerate(copied, **FP32).changes
    assert "fused" not in str(accelerate(copied, **FP32))
    for one in (agent, copied):
        assert one.policy.optimizer.state_dict()["param_groups"][0]["fused"] is None
        assert one.policy.optimizer.param_groups[0]["fused"] is True


def test_what_an_older_torch_saved_is_fused_all_the_same(tmp_path: Path) -> None:
    agent = model("ppo")
    for group in agent.policy.optimizer.param_groups:
        group["fused"] = False
    agent.save(tmp_path / "agent")
    agent = type(agent).load(tmp_path / "agent", env=agent.get_env())
    assert "optimizer: fused Adam" in str(accelerate(agent, **FP32))


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated")
def test_networks_that_cannot_be_copied_are_left_alone() -> None:
    agent = learnt(model("ppo", policy_kwargs={"features_extractor_class": Normalized}))
    assert "Normalized gives other results" in str(accelerate(agent, **FP32))
    learnt(agent)


def test_precision_given_to_our_extractor_is_kept() -> None:
    agent: Any = model("ppo", policy_kwargs=policy_kwargs("nature", PPO, precision="fp32"))
    report = accelerate(agent, **BF16)
    assert agent.policy.features_extractor.precision == "fp32"
    assert "network: NatureExtractor keeps precision='fp32', which was given to it" in report.left_alone
    agent = model("ppo", policy_kwargs=policy_kwargs("nature", PPO))
    assert "network: NatureExtractor in bf16" in accelerate(agent, **BF16).changes
    assert agent.policy.features_extractor.precision == "bf16"


@pytest.mark.parametrize("in_hardware", [True, False])
def test_auto_is_bf16_where_it_runs_in_hardware(in_hardware: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sb3_efficient.extractors.precision.cpu_has_bf16", lambda: in_hardware)
    assert accelerate(model("ppo"), keep_memory=False).precision == ("bf16" if in_hardware else "fp32")
    assert accelerate(model("trpo"), keep_memory=False).precision == "fp32"


def test_auto_knows_what_is_derived_from_trpo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sb3_efficient.extractors.precision.cpu_has_bf16", lambda: True)
    agent: Any = model("trpo")
    agent.__class__ = type("MyTRPO", (type(agent),), {})
    assert accelerate(agent, keep_memory=False).precision == "fp32"


def test_off_policy_models_act_on_single_images_in_fp32() -> None:
    plain, fast = model("dqn"), model("dqn")
    accelerate(fast, **BF16)
    with th.no_grad():
        one = [agent.policy.q_net(th.as_tensor(IMAGES[:1])) for agent in (plain, fast)]
        eight = [agent.policy.q_net(th.as_tensor(IMAGES)) for agent in (plain, fast)]
    th.testing.assert_close(*one, rtol=1e-5, atol=1e-6)
    assert (eight[0] - eight[1]).abs().max() > 1e-5


def test_second_call_changes_nothing_more(memory_as_it_was: None, algo: str) -> None:
    agent = model(algo)
    assert accelerate(agent).changes
    second = accelerate(agent)
    assert second.changes == ()
    assert "nothing was changed" in str(second)


def test_precision_can_be_changed_later() -> None:
    agent = model("ppo")
    accelerate(agent, **BF16)
    assert accelerate(agent, **FP32).changes == ("network: NatureCNN in fp32",)
    th.testing.assert_close(heads(agent)[0], heads(model("ppo"))[0], rtol=1e-4, atol=1e-5)


def test_report(memory_as_it_was: None, capsys: pytest.CaptureFixture[str]) -> None:
    report = accelerate(model("a2c", verbose=1), precision="fp32")
    assert isinstance(report, Report)
    assert str(report).startswith("accelerate: A2C on cpu\n  changed     network: NatureCNN channels-last, in fp32")
    assert "  left alone  optimizer: RMSprop has no fused form" in str(report)
    assert str(report) in capsys.readouterr().out


def test_parts_can_be_left_out() -> None:
    report = accelerate(model("ppo"), **FP32, fused_optimizer=False, lean_buffer=False)
    assert {line.split(":")[0] for line in report.changes} == {"network", "images", "moments"}


def test_memory_is_kept_once(memory_as_it_was: None) -> None:
    if memory_module.platform.libc_ver()[0] != "glibc":
        pytest.skip("another libc")
    assert any(line.startswith("memory: freed blocks") for line in accelerate(model("ppo")).changes)
    assert not any(line.startswith("memory") for line in accelerate(model("dqn")).changes)


@pytest.mark.parametrize("way", ["made", "loaded"])
def test_replay_buffers_of_further_models_take_memory_where_they_are_written(
    python: Run, tmp_path: Path, way: str
) -> None:
    if memory_module.platform.libc_ver()[0] != "glibc":
        pytest.skip("another libc")
    python("-c", {"made": ONE_AFTER_THE_OTHER, "loaded": LOADED}[way], str(tmp_path / "buffer.pkl"))


ONE_AFTER_THE_OTHER = """
import gc
import psutil
from stable_baselines3 import DQN
from sb3_efficient import accelerate, envs, prune

def taken():
    gc.collect()
    return psutil.Process().memory_info().rss

for attempt in range(4):
    agent = DQN("CnnPolicy", "Catch-v0", buffer_size=100_000)
    assert agent.replay_buffer.observations.nbytes > 500e6
    accelerate(agent)
    agent.learn(100)
    if attempt == 0:
        first = taken()
prune(agent, "channel-pruning")
assert taken() - first < 200e6
"""


LOADED = """
import gc
import sys
import psutil
from stable_baselines3 import DQN
from sb3_efficient import accelerate, envs

def taken():
    gc.collect()
    return psutil.Process().memory_info().rss

agent = DQN("CnnPolicy", "Catch-v0", buffer_size=20_000)
agent.replay_buffer.observations[:] = agent.replay_buffer.next_observations[:] = 1
agent.save_replay_buffer(sys.argv[1])
agent.replay_buffer = None
accelerate(agent)
before = taken()
for _ in range(3):
    agent.load_replay_buffer(sys.argv[1])
    agent.replay_buffer = None
assert taken() - before < 100e6
"""


def test_memory_on_other_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_module.platform, "libc_ver", lambda: ("", ""))
    assert "memory: freed blocks can be kept with glibc on Linux only" in accelerate(model("ppo")).left_alone


def test_threads() -> None:
    report = accelerate(model("ppo"), **FP32, num_threads=2)
    assert th.get_num_threads() == 2
    assert "threads: 2, before 1 (whole process)" in report.changes


def test_compiled_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    agent: Any = model("ppo")
    keys = list(agent.policy.state_dict())
    monkeypatch.setattr(th, "compile", lambda function, **_: function)
    assert "network: compiled when it is first used" in accelerate(agent, **FP32, compile=True).changes
    assert accelerate(agent, **FP32, compile=True).changes == ()
    assert list(agent.policy.state_dict()) == keys
    agent.learn(16)


def test_outputs_of_cuda_graphs_are_cloned(monkeypatch: pytest.MonkeyPatch) -> None:
    """A replay writes its output over the one before. Simulated: the same lines run without a GPU."""
    modes = []

    def replays(function: Any, mode: str = "default") -> Any:
        modes.append(mode)
        memory = th.zeros(8, 512)
        return lambda images: memory.copy_(function(images))

    monkeypatch.setattr(th, "compile", replays)
    extractor: Any = model("ppo").policy.features_extractor
    expected = [extractor(x) for x in (th.as_tensor(IMAGES) / 255, th.zeros(IMAGES.shape))]
    compile_extractor(extractor, "cpu")
    compile_extractor(extractor, "cuda")
    with th.no_grad():
        found = [extractor(x) for x in (th.as_tensor(IMAGES) / 255, th.zeros(IMAGES.shape))]
    assert modes == ["default", "reduce-overhead"]
    assert all(th.equal(f, e) for f, e in zip(found, expected, strict=True))


def test_gradients_of_gradients_are_not_compiled() -> None:
    report = accelerate(model("trpo"), **FP32, compile=True)
    assert "network: TRPO takes gradients of gradients, which compiled networks do not have" in report.left_alone


def test_without_images_nothing_is_changed(memory_as_it_was: None) -> None:
    agent: Any = PPO("MlpPolicy", "CartPole-v1", device="cpu")
    report = accelerate(agent)
    assert str(report) == (
        "accelerate: PPO on cpu, nothing was changed\n  left alone  the policy is ActorCriticPolicy without an image "
        "network: only those get faster"
    )
    assert agent.policy.optimizer.param_groups[0]["fused"] is None
    assert accelerate(agent, num_threads=2).changes == ("threads: 2, before 1 (whole process)",)
    assert th.get_num_threads() == 2


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"precision": "fp16"}, "Unknown precision 'fp16'. fp16 overflows"),
        ({"precision": "bf61"}, "Unknown precision 'bf61'. Did you mean 'bf16'"),
        ({"precision": "fp8"}, "Unknown precision 'fp8'. Accepted: fp32, bf16, auto"),
        ({"num_threads": 0}, "num_threads must be a whole number of at least 1, got 0"),
        ({"num_threads": "2"}, "num_threads must be a whole number of at least 1, got '2'"),
        ({"fused_optimizer": "no"}, "fused_optimizer must be true or false, got 'no'"),
    ],
)
def test_bad_options_change_nothing(options: dict[str, Any], text: str) -> None:
    agent: Any = model("ppo")
    with pytest.raises(OptionError, match=text):
        accelerate(agent, **options)
    with pytest.raises(OptionError, match=text):
        AccelerateCallback(**options)
    assert not {"forward", "extract_features"} & {*vars(agent.policy), *vars(agent.policy.features_extractor)}


def test_misspelt_option_of_the_callback() -> None:
    text = "^accelerate has no option 'precison'. Did you mean 'precision'. Accepted: precision, fused_optimizer, "
    with pytest.raises(OptionError, match=text):
        AccelerateCallback(precison="fp32")
    with pytest.raises(OptionError, match="^accelerate has no option 'model'"):
        AccelerateCallback(model=model("ppo"))


def test_unsupported_device_and_model(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = model("ppo")
    agent.device = th.device("mps")
    with pytest.raises(OptionError, match="works on the CPU and on CUDA, and this model is on 'mps'"):
        accelerate(agent)
    with pytest.raises(OptionError, match="accelerate takes a Stable-Baselines3 model, .* got 'ppo.zip'"):
        accelerate("ppo.zip")  # type: ignore[arg-type]


def test_failure_midway_leaves_everything_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    agent: Any = model("dqn")

    def broken(*_: object) -> None:
        raise RuntimeError("no more threads")

    monkeypatch.setattr(th, "set_num_threads", broken)
    with pytest.raises(RuntimeError, match="no more threads"):
        accelerate(agent, **BF16, num_threads=2)
    monkeypatch.undo()
    for module in agent.policy.modules():
        assert not {"forward", "extract_features"} & set(vars(module))
    assert "to_torch" not in vars(agent.replay_buffer)
    assert agent.policy.optimizer.param_groups[0]["fused"] is None
    assert agent.policy.optimizer.state_dict()["param_groups"][0]["fused"] is None
    assert accelerate(agent, **BF16).changes


def test_policies_that_prepare_observations_themselves_are_left_alone() -> None:
    class Own(DQN.policy_aliases["CnnPolicy"]):  # type: ignore[misc]
        def extract_features(self, *args: Any) -> Any:
            return super().extract_features(*args)

    agent: Any = DQN(Own, env("dqn"), buffer_size=100, device="cpu")
    report = accelerate(agent, **FP32)
    assert "images: Own prepares its observations itself" in report.left_alone
    assert networks_module.image_extractors(agent)


def test_only_deliberate_weights_are_left_alone() -> None:
    agent: Any = model("ppo")
    agent.policy.to(memory_format=th.channels_last)
    assert "optimizer: Adam holds weights that are not contiguous" in accelerate(agent, **FP32).left_alone


def test_what_reuses_says_that_it_does_not() -> None:
    agent = model("ppo", policy_kwargs=policy_kwargs("reuse-conv", "ppo"))
    assert "reuses nothing while it acts" in str(accelerate(agent, precision="bf16"))
    assert "reuses nothing" not in str(accelerate(agent, precision="fp32"))


class Acting(nn.Module):
    """As Stable-Baselines3's documentation exports policies."""

    def __init__(self, policy: Any) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, images: th.Tensor) -> Any:
        return self.policy(images, deterministic=True)


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("network", [None, "nature"])
def test_exported_by_torch_it_is_in_float32(network: str | None) -> None:
    """No runtime has convolutions in bfloat16."""
    options = {} if network is None else {"policy_kwargs": policy_kwargs(network, PPO)}
    agent: Any = model("ppo", **options)
    with th.no_grad():
        expected = agent.policy(th.as_tensor(IMAGES), deterministic=True)
    accelerate(agent, **BF16)
    traced = th.jit.trace(Acting(agent.policy), th.as_tensor(IMAGES), check_trace=False)  # type: ignore[no-untyped-call]
    assert "BFloat16" not in str(traced.inlined_graph)
    for ours, theirs in zip(traced(th.as_tensor(IMAGES)), expected, strict=True):
        th.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
