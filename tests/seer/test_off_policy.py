"""Off-policy training from latents, from the freeze on, in every algorithm that takes images."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from stable_baselines3.common.callbacks import BaseCallback, EvalCallback
from stable_baselines3.common.utils import set_random_seed
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize, VecTransposeImage
from test_policies import OFF_POLICY, Noise, env, model
from torch import nn

from sb3_efficient import accelerate, policy_kwargs
from sb3_efficient.errors import ConflictError, EfficientError, OptionError
from sb3_efficient.frames import FrameReplayBuffer
from sb3_efficient.optimizers import optimizers
from sb3_efficient.seer import SEERCallback
from sb3_efficient.seer.convert import convert
from sb3_efficient.seer.encoder import LatentEncoder
from sb3_efficient.seer.replay import LatentNStepReplayBuffer, LatentReplayBuffer


def tiny() -> dict[str, Any]:
    """``policy_kwargs`` of a small network. SB3 writes into them."""
    return {"net_arch": [16], "features_extractor_kwargs": {"features_dim": 32}}


def impoola(algo: str) -> dict[str, Any]:
    return policy_kwargs("impoola", algo, depths=(4, 8), features_dim=16) | {"net_arch": [16]}


class Short(Noise):
    """Episodes of six steps, some of which end by themselves."""

    def step(self, action: Any) -> Any:
        obs, reward, _, _, info = super().step(action)
        over = self.current_step >= 6
        return obs, reward, over and bool(self.current_step % 2), over, info


def seer(at: int, depth: Any = "conv", dtype: str = "float32", capacity: Any = "same-length") -> SEERCallback:
    return SEERCallback(at, depth, latent_dtype=dtype, capacity=capacity)


class Rows:
    """Counts what passes the frozen layers."""

    def __init__(self, encoder: LatentEncoder) -> None:
        self.n = [0] * len(encoder.parts)
        for i, part in enumerate(encoder.parts):
            part.frozen.register_forward_pre_hook(lambda _, x, i=i: self._count(i, len(x[0])))

    def _count(self, part: int, rows: int) -> None:
        self.n[part] += rows


def frozen_numbers(encoder: LatentEncoder) -> list[th.Tensor]:
    """Weights and statistics of the frozen layers of every copy, targets too."""
    copies = [e.forward for group in encoder.copies for e in group]
    return [v.clone() for part in copies for v in part.frozen.state_dict().values()]


def short(algo: str, n_envs: int = 1) -> Any:
    discrete = env(algo).action_space.__class__.__name__ == "Discrete"
    make = lambda: Short(screen_height=40, screen_width=40, n_channels=2, discrete=discrete)  # noqa: E731
    return DummyVecEnv([make] * n_envs)


def small(algo: str, n_envs: int = 1, **kwargs: Any) -> Any:
    return model(algo, short(algo, n_envs), policy_kwargs=tiny(), **kwargs)


@pytest.fixture(params=OFF_POLICY)
def algo(request: pytest.FixtureRequest) -> str:
    return request.param  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("algo", "extractor", "depth", "n_envs"),
    [
        *[(algo, None, "conv", 1) for algo in OFF_POLICY],
        *[(algo, None, "features", 4) for algo in OFF_POLICY],
        ("dqn", "impoola", 1, 1),
        ("sac", "impoola", 1, 1),
    ],
)
def test_frozen_means_frozen(algo: str, extractor: str | None, depth: Any, n_envs: int) -> None:
    kwargs = impoola(algo) if extractor else tiny()
    options: dict[str, Any] = {"tau": 0.1} if algo in ("dqn", "qrdqn") else {}
    agent: Any = model(algo, short(algo, n_envs), policy_kwargs=kwargs, gradient_steps=2, train_freq=4, **options)
    callback = seer(at=16, depth=depth)
    agent.learn(32, callback=callback)
    assert isinstance(agent.replay_buffer, LatentReplayBuffer)
    assert agent.replay_buffer.size() * n_envs == 32
    encoder = callback.encoder
    assert encoder is not None
    encoder.pin_targets()
    numbers, rest = frozen_numbers(encoder), copy.deepcopy(agent.policy.state_dict())
    moments = {o: len(o.state) for o in optimizers(agent.policy)}

    agent.learn(96, callback=callback, reset_num_timesteps=False)
    encoder.pin_targets()
    assert all(map(th.equal, frozen_numbers(encoder), numbers))
    assert any(not th.equal(v, rest[k]) for k, v in agent.policy.state_dict().items())
    for part, group in zip(encoder.parts, encoder.copies, strict=True):
        twins = [e.forward.frozen.state_dict().values() for e in group]
        assert all(
            th.equal(a, b) for twin in twins for a, b in zip(twin, part.frozen.state_dict().values(), strict=True)
        )
        assert all(p.grad is None for p in part.frozen.parameters())
    assert {o: len(o.state) for o in optimizers(agent.policy)} == moments


@pytest.mark.parametrize("algo", ["sac", "td3", "tqc"])
def test_an_encoder_shared_by_actor_and_critic(algo: str) -> None:
    kwargs = {**tiny(), "share_features_extractor": True}
    agent: Any = model(algo, short(algo), policy_kwargs=kwargs, gradient_steps=2, train_freq=4, tau=0.1)
    callback = seer(at=16)
    agent.learn(96, callback=callback)
    assert callback.encoder is not None
    assert len(callback.encoder.parts) == 1, "one latent for both"
    shared, target = agent.actor.features_extractor, agent.critic_target.features_extractor
    assert shared is agent.critic.features_extractor
    assert all(th.equal(p, q) for p, q in zip(shared.cnn.parameters(), target.cnn.parameters(), strict=True))


def test_capacity_for_what_a_rollout_brings_beyond_the_time_of_the_freeze() -> None:
    agent: Any = small("dqn", 4, train_freq=4, buffer_size=500)
    agent.learn(60, callback=seer(at=41, capacity=41))
    assert isinstance(agent.replay_buffer, LatentReplayBuffer)


def test_capacity_is_asked_about_where_something_is_going_to_be_frozen_only() -> None:
    agent: Any = small("dqn", 4, train_freq=4, buffer_size=500)
    for _ in range(2):
        # The second time there is nothing left to freeze, and more stored than at the time that was given
        agent.learn(60, callback=seer(at=41, capacity=41), reset_num_timesteps=False)
    auto = {"depth": "conv", "latest": 40}
    small("dqn", buffer_size=500).learn(60, callback=SEERCallback(capacity=60, **auto))
    with pytest.raises(OptionError, match="capacity=60 does not hold the 100 transitions"):
        small("dqn", buffer_size=500).learn(100, callback=SEERCallback(capacity=60, depth="conv"))


def test_capacity_grows_to_what_the_model_was_made_for() -> None:
    agent: Any = small("dqn", buffer_size=500, replay_buffer_class=FrameReplayBuffer)
    agent.learn(60, callback=SEERCallback(40, 1))
    assert agent.replay_buffer.buffer_size < 500
    agent.learn(20, callback=SEERCallback(70, "features"), reset_num_timesteps=False)
    assert agent.replay_buffer.buffer_size == 500


def test_capacity_below_what_is_stored_is_refused_when_training_starts() -> None:
    agent: Any = small("dqn", buffer_size=500).learn(100)
    with pytest.raises(OptionError, match="capacity=50 does not hold the 110 transitions"):
        agent.learn(60, callback=seer(at=10, capacity=50))


@pytest.mark.parametrize("n_envs", [1, 4])
def test_every_screen_passes_the_encoder_once(algo: str, n_envs: int) -> None:
    """Acting on it, storing it and storing it as what came before: one pass, in each of the model's encoders."""
    agent: Any = small(algo, n_envs)
    callback = seer(at=12)
    agent.learn(40, callback=callback)
    assert callback.encoder is not None
    rows = Rows(callback.encoder)
    agent.learn(n_envs * 52, callback=callback)
    # learn() begins with a reset; an episode shows what it ends with, and what the next begins with
    assert rows.n == [n_envs * 53 + agent._episode_num] * len(rows.n)


@pytest.mark.parametrize(("algo", "n_steps"), [("dqn", 1), ("dqn", 3), ("sac", 1)])
def test_updates_are_those_from_images(algo: str, n_steps: int) -> None:
    """A hundred updates, the same minibatches: from latents, and from images through the frozen encoder."""
    trained = []
    for latents in (False, True):
        agent: Any = small(algo, 2, n_steps=n_steps, learning_rate=1e-4)
        agent.learn(20)
        encoder = LatentEncoder(agent, "conv", "float32")
        if latents:
            agent.replay_buffer = convert(agent.replay_buffer, encoder, 200)
            assert isinstance(agent.replay_buffer, LatentNStepReplayBuffer) == (n_steps > 1)
        encoder.freeze()
        start = nn.utils.parameters_to_vector(agent.policy.parameters()).detach().clone()
        set_random_seed(8)
        agent.train(gradient_steps=100, batch_size=8)
        trained.append(nn.utils.parameters_to_vector(agent.policy.parameters()).detach())
    assert (trained[0] - start).abs().max() > 1e-3
    th.testing.assert_close(trained[1], trained[0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("normalize_images", [True, False])
@pytest.mark.parametrize("extractor", [None, "impoola"])
def test_stored_latents_are_of_the_images(extractor: str | None, normalize_images: bool) -> None:
    """As stored by conversion and by add, against the encoder as the policy uses it."""
    kwargs = impoola("dqn") if extractor else tiny()
    agent: Any = model("dqn", short("dqn", 3), policy_kwargs=kwargs | {"normalize_images": normalize_images})
    agent.learn(30)
    images = copy.deepcopy(agent.replay_buffer)
    encoder = LatentEncoder(agent, "conv", "float32")
    latents: Any = convert(agent.replay_buffer, encoder, 100)
    encoder.freeze()
    rng = np.random.default_rng(0)
    for _ in range(4):
        obs, following = rng.integers(256, size=(2, 3, *images.obs_shape), dtype=np.uint8)
        for buffer in (images, latents):
            buffer.add(obs, following, np.zeros(3), np.zeros(3), np.zeros(3), [{}] * 3)
    for seen, stored in ((images.observations, latents.observations), (images.next_observations, None)):
        flat = seen[:14].reshape(-1, *images.obs_shape)
        ours = (latents.next_observations[np.arange(14)] if stored is None else stored[:14]).reshape(len(flat), -1)
        with th.no_grad():
            from_images, from_latents = (agent.q_net(th.as_tensor(x)) for x in (flat, ours))
        th.testing.assert_close(from_latents, from_images)


@pytest.mark.parametrize("algo", ["dqn", "sac"])
def test_evaluation_in_between(algo: str) -> None:
    """Other images through the encoder, between acting and storing, change nothing about what is stored."""
    trained = []
    for evaluates in (False, True):
        agent: Any = small(algo)
        callback = seer(at=12)
        evaluation = EvalCallback(VecTransposeImage(short(algo)), eval_freq=5, n_eval_episodes=1, verbose=0, warn=False)
        set_random_seed(5)
        agent.action_space.seed(5)
        agent.learn(40, callback=[callback, evaluation][: 1 + evaluates])
        trained.append(agent.replay_buffer)
    plain, evaluated = trained
    every = np.arange(40)
    np.testing.assert_allclose(evaluated.observations[:40], plain.observations[:40], atol=1e-5)
    np.testing.assert_allclose(evaluated.next_observations[every], plain.next_observations[every], atol=1e-5)


def test_rewards_normalized(algo: str) -> None:
    agent: Any = model(algo, VecNormalize(VecTransposeImage(short(algo, 2)), norm_obs=False), policy_kwargs=tiny())
    agent.learn(64, callback=seer(at=20))
    assert agent.replay_buffer.size() == 32
    sample = agent.replay_buffer.sample(16, env=agent._vec_normalize_env)
    assert sample.observations.shape[1] == agent.replay_buffer.obs_shape[0]


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("algo", ["qrdqn", "td3"])
def test_deeper_later(algo: str, dtype: str) -> None:
    agent: Any = small(algo)
    agent.learn(20, callback=seer(at=12, depth=1, dtype=dtype))
    shallow = agent.replay_buffer
    size = shallow.size()
    agent.learn(20, callback=seer(at=24, depth="features", dtype=dtype), reset_num_timesteps=False)
    assert agent.replay_buffer.size() == size + 20
    networks = 1 if algo in ("dqn", "qrdqn") else 2
    latent = networks * 32 * np.dtype(dtype).itemsize
    assert 0 < agent.replay_buffer.bytes_per_transition - latent < 50


class Targets(BaseCallback):
    """Whether whole target networks are those that are trained, at the end of each rollout behind the first update."""

    def __init__(self) -> None:
        super().__init__()
        self.equal: list[bool] = []

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        if not self.model._n_updates:
            return
        state = self.model.policy.state_dict()
        targets = [name for name in state if "_target." in name]
        assert targets
        self.equal.append(all(th.equal(state[name], state[name.replace("_target.", ".")]) for name in targets))


def test_targets_are_updated_as_a_whole_by_the_freeze(algo: str, tmp_path: Path) -> None:
    """And not once more where a frozen agent is continued."""
    agent: Any = small(algo, **({"target_update_interval": 10**6} if "dqn" in algo else {}))
    agent.learn(30, callback=[freeze := seer(at=20), seen := Targets()])
    assert freeze.encoder is not None
    assert len(seen.equal) > 2
    assert sum(seen.equal) == 1
    agent.save(tmp_path / "agent")
    loaded: Any = type(agent).load(tmp_path / "agent", env=short(algo))
    loaded.learn(8, callback=[seer(at=20), again := Targets()], reset_num_timesteps=False)
    assert not any(again.equal)


def test_accelerated(algo: str) -> None:
    agent: Any = small(algo)
    accelerate(agent, precision="fp32", keep_memory=False)
    agent.learn(40, callback=seer(at=12))
    assert agent.replay_buffer.size() == 40


def test_saved_and_loaded(algo: str, tmp_path: Path) -> None:
    """The ordinary means of SB3; without the encoder, a loaded buffer says what is missing."""
    agent: Any = small(algo)
    agent.learn(30, callback=seer(at=12))
    agent.save(tmp_path / "agent")
    agent.save_replay_buffer(tmp_path / "buffer")
    loaded: Any = type(agent).load(tmp_path / "agent", env=short(algo))
    loaded.load_replay_buffer(tmp_path / "buffer")
    with pytest.raises(EfficientError, match="resume the model with the SEERCallback"):
        loaded.learn(20, reset_num_timesteps=False)
    loaded.learn(20, callback=seer(at=12), reset_num_timesteps=False)
    assert loaded.replay_buffer.size() == agent.replay_buffer.size() + 20


def test_latents_in_a_model_that_is_not_frozen_are_refused(tmp_path: Path) -> None:
    agent: Any = small("dqn").learn(20)
    agent.save(tmp_path / "before")
    agent.learn(20, callback=seer(at=0), reset_num_timesteps=False)
    agent.save_replay_buffer(tmp_path / "buffer")
    loaded: Any = type(agent).load(tmp_path / "before", env=short("dqn"))
    loaded.load_replay_buffer(tmp_path / "buffer")
    with pytest.raises(ConflictError, match=r"holds latents \(depth 'conv'.* this model is not frozen"):
        loaded.learn(20, callback=seer(at=0.5), reset_num_timesteps=False)


def test_weights_that_latents_are_not_of_are_refused() -> None:
    agent: Any = small("dqn").learn(20)
    agent.learn(20, callback=seer(at=0))
    with th.no_grad():
        agent.q_net.features_extractor.cnn[0].weight.mul_(3)
    with pytest.raises(ConflictError, match="made by a different encoder"):
        agent.learn(20, callback=seer(at=0))


def test_weights_put_into_the_model_are_not_mixed_with_those_that_latents_are_of() -> None:
    agent: Any = small("dqn").learn(20)
    agent.learn(20, callback=seer(at=0))
    weights = agent.get_parameters()
    agent.set_parameters(weights)
    agent.learn(20, reset_num_timesteps=False)
    other = small("dqn")
    with th.no_grad():
        other.q_net.features_extractor.cnn[0].weight.mul_(3)
    agent.set_parameters(other.get_parameters())
    with pytest.raises(ConflictError, match="made by a different encoder"):
        agent.learn(20, reset_num_timesteps=False)


def test_images_saved_before_the_freeze_are_those_of_the_frozen_agent(tmp_path: Path) -> None:
    agent: Any = small("dqn").learn(20)
    agent.save_replay_buffer(tmp_path / "images")
    agent.learn(20, callback=seer(at=0), reset_num_timesteps=False)
    agent.save(tmp_path / "agent")
    loaded: Any = type(agent).load(tmp_path / "agent", env=short("dqn"))
    loaded.load_replay_buffer(tmp_path / "images")
    loaded.learn(20, callback=seer(at=0), reset_num_timesteps=False)
    assert loaded.replay_buffer.size() == 40
    np.testing.assert_allclose(loaded.replay_buffer.observations[:20], agent.replay_buffer.observations[:20], atol=1e-5)


def test_latents_of_another_number_of_environments_are_refused(tmp_path: Path) -> None:
    agent: Any = small("dqn").learn(20)
    agent.learn(20, callback=seer(at=0))
    agent.save(tmp_path / "agent")
    agent.save_replay_buffer(tmp_path / "buffer")
    loaded: Any = type(agent).load(tmp_path / "agent", env=short("dqn", 4))
    loaded.load_replay_buffer(tmp_path / "buffer")
    with pytest.raises(ConflictError, match="replay buffer is of 1 environments, and this model has 4: continue with"):
        loaded.learn(20, callback=seer(at=0), reset_num_timesteps=False)
    type(agent).load(tmp_path / "agent", env=short("dqn", 4)).learn(20, callback=seer(at=0), reset_num_timesteps=False)


def test_one_array_of_images() -> None:
    agent: Any = model(
        "dqn",
        short("dqn"),
        buffer_size=20,
        optimize_memory_usage=True,
        replay_buffer_kwargs={"handle_timeout_termination": False},
    )
    agent.learn(32, callback=seer(at=28, capacity=200))
    assert agent.replay_buffer.size() == 19 + 4


def test_a_deeper_freeze_may_take_the_memory_of_the_images(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Latents of the convolutions are smaller here than the features."""
    wide = policy_kwargs("nature", "dqn", channels=(4, 4, 4), features_dim=64)
    agent: Any = model("dqn", policy_kwargs=wide)
    agent.learn(40, callback=SEERCallback(20, "conv"))
    agent.save_replay_buffer(tmp_path / "buffer")
    agent.load_replay_buffer(tmp_path / "buffer")
    agent.learn(40, callback=SEERCallback(50, "features"), reset_num_timesteps=False)
    assert agent.replay_buffer.obs_shape == (64,)
    assert agent.replay_buffer.buffer_size == 200
    assert not caplog.messages


@pytest.mark.parametrize(("depth", "smaller"), [(1, "'conv' and 'features'"), ("features", "'conv'")])
def test_latents_larger_than_what_was_stored(depth: Any, smaller: str, caplog: pytest.LogCaptureFixture) -> None:
    wide = policy_kwargs("nature", "dqn", channels=(64, 4, 4), features_dim=8 if depth == 1 else 4000)
    agent: Any = model("dqn", policy_kwargs=wide, buffer_size=100)
    with caplog.at_level("WARNING", "sb3_efficient"):
        agent.learn(40, callback=SEERCallback(20, depth))
    held = agent.replay_buffer.buffer_size
    assert held < 100
    assert f"depth={depth!r} are larger than what was stored before: the replay buffer holds {held} " in caplog.text
    assert caplog.messages[-1].endswith(f"and held 100 in 0.642 MB. Those of {smaller} are smaller.")
