"""SEER beside other callbacks, and with what others do to a model."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.callbacks import BaseCallback
from test_policies import model

from sb3_efficient import SEERCallback, accelerate, policy_kwargs
from sb3_efficient.compression import QATCallback
from sb3_efficient.errors import ConflictError
from sb3_efficient.fast import AccelerateCallback
from sb3_efficient.frames import FrameReplayBuffer
from sb3_efficient.seer.frozen import frozen_layers


@pytest.mark.parametrize("algo", ["ppo", "dqn", "sac"])
@pytest.mark.parametrize("depths", [("conv", "lower"), ("lower", "conv")])
def test_two_callbacks_freeze_in_turn(algo: str, depths: tuple[str, str]) -> None:
    """As of ``seer: true`` and another one in a list of callbacks."""
    agent = model(algo)
    agent.learn(120, callback=[SEERCallback(40, depths[0]), SEERCallback(70, depths[1])])
    assert agent.seer["depth"] == "conv"  # type: ignore[attr-defined]
    assert agent.num_timesteps >= 120


@pytest.mark.parametrize(
    ("algo", "options"),
    [("dqn", {"train_freq": 64}), ("dqn", {"train_freq": (8, "episode")}), ("sac", {"train_freq": (8, "episode")})],
)
def test_what_was_never_updated_is_not_frozen(algo: str, options: dict[str, Any]) -> None:
    """Algorithms may collect for long before their first update."""
    agent = model(algo, learning_starts=8, **options)
    before = [parameter.clone() for parameter in agent.policy.parameters()]
    agent.learn(300, callback=SEERCallback(20))
    assert agent.seer["timesteps"] > 64  # type: ignore[attr-defined]
    convolutions = [p for layer in frozen_layers(agent) for p in layer.parameters(recurse=False)]
    initial = {tuple(p.shape): [q for q in before if q.shape == p.shape] for p in convolutions}
    assert all(not any(th.equal(p, q) for q in initial[tuple(p.shape)]) for p in convolutions if p.ndim == 4)


@pytest.mark.parametrize("algo", ["ppo", "ppo_lstm", "ppo_mask", "trpo"])
@pytest.mark.parametrize(
    ("dtype", "precision"), [("float16", "plain"), ("float32", "plain"), ("float32", "fp32"), ("float16", "bf16")]
)
def test_every_method_of_the_policy_takes_latents(algo: str, dtype: str, precision: str) -> None:
    """
    SB3's own network divides images by 255, and must not divide latents. Images are encoded the same way whatever
    method they are given to, so that nothing is rounded otherwise.
    """
    agent: Any = model(algo)
    if precision != "plain":
        accelerate(agent, precision=precision)
    agent.learn(48, callback=SEERCallback(30, latent_dtype=dtype))
    policy, encoder = agent.policy, agent.rollout_buffer.encoder
    images = np.stack([agent.observation_space.sample() for _ in range(4)])
    latents = th.as_tensor(encoder(images))
    recurrent = {}
    if algo == "ppo_lstm":
        state = agent._last_lstm_states
        recurrent = {"episode_starts": th.ones(4)}
        states = {"pi": state.pi, "vf": state.vf}
    for name, part in (("predict_values", "vf"), ("get_distribution", "pi")):
        extra = {"lstm_states": states[part], **recurrent} if recurrent else {}
        found, expected = (getattr(policy, name)(x, **extra) for x in (latents, th.as_tensor(images)))
        if name == "get_distribution":
            found, expected = ((d[0] if isinstance(d, tuple) else d).distribution.logits for d in (found, expected))
        th.testing.assert_close(found, expected, rtol=0, atol=0)
    assert policy.normalize_images


def test_actor_and_critic_with_encoders_of_their_own_ask_only_theirs() -> None:
    agent: Any = model("ppo", policy_kwargs={"share_features_extractor": False})
    # In float16 a sum in another order may be rounded the other way, which can be seen in the values
    agent.learn(48, callback=SEERCallback(30, latent_dtype="float32"))
    images = th.as_tensor(np.stack([agent.observation_space.sample() for _ in range(4)]))
    encoder, seen = agent.rollout_buffer.encoder, []
    latents = th.as_tensor(encoder(images.numpy()))
    for i, part in enumerate(encoder.parts):
        part.frozen.register_forward_pre_hook(lambda *_, i=i: seen.append(i))
        part._remembered = -1, th.empty(0), th.empty(0)
    values, actions = agent.policy.predict_values(images), agent.policy.get_distribution(images)
    assert sorted(seen) == [0, 1]
    # The same latents, beside others or not: sums in another order
    th.testing.assert_close(values, agent.policy.predict_values(latents))
    expected = agent.policy.get_distribution(latents)
    th.testing.assert_close(actions.distribution.logits, expected.distribution.logits)


@pytest.mark.parametrize("name", [None, "nature"])
@pytest.mark.parametrize("with_seer", [True, False])
def test_compiled_extractors(with_seer: bool, name: str | None) -> None:
    agent: Any = model("dqn", policy_kwargs=None if name is None else policy_kwargs(name, "dqn"))
    for network in (agent.q_net, agent.q_net_target):
        network.features_extractor = th.compile(network.features_extractor, backend="eager")
    images = th.as_tensor(np.stack([agent.observation_space.sample() for _ in range(4)]))
    if not with_seer:
        before = agent.q_net(images)
        accelerate(agent, precision="fp32")
        th.testing.assert_close(agent.q_net(images), before)
    agent.learn(40, callback=SEERCallback(20) if with_seer else None)
    assert agent.num_timesteps == 40
    if with_seer:
        latents = th.as_tensor(agent.replay_buffer.encoder(images.numpy()))
        assert latents.ndim == 2
        th.testing.assert_close(agent.q_net(latents), agent.q_net(images))


def test_callbacks_see_the_replay_buffer_grow_through_a_freeze() -> None:
    class Reads(BaseCallback):
        sizes: list[int] = []  # noqa: RUF012

        def _on_step(self) -> bool:
            return True

        def _on_rollout_end(self) -> None:
            self.sizes.append(self.locals["replay_buffer"].size())

    model("dqn").learn(60, callback=[SEERCallback(30), Reads()])
    assert Reads.sizes == sorted({*Reads.sizes})
    assert Reads.sizes[-1] > 40


def test_other_weights_and_an_emptied_buffer() -> None:
    agent, other = (model("dqn") for _ in range(2))
    agent.learn(60, callback=SEERCallback(30))
    other.learn(60)
    agent.set_parameters({"policy": other.policy.state_dict()}, exact_match=False)
    with pytest.raises(ConflictError, match=r"or empty this one, reset\(\)"):
        agent.learn(10, callback=SEERCallback(), reset_num_timesteps=False)
    agent.replay_buffer.reset()  # type: ignore[attr-defined]
    agent.learn(10, callback=SEERCallback(), reset_num_timesteps=False)
    assert 10 <= agent.replay_buffer.size() < 20  # type: ignore[attr-defined]


def test_less_capacity_is_said(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    kwargs = policy_kwargs("impala", DQN)
    agent = model("dqn", policy_kwargs=kwargs, replay_buffer_class=FrameReplayBuffer, buffer_size=400)
    with caplog.at_level(logging.WARNING, "sb3_efficient"):
        agent.learn(40, callback=SEERCallback(20, 1, verbose=1))
    capacity = agent.replay_buffer.buffer_size  # type: ignore[attr-defined]
    assert capacity < 400
    assert f"the replay buffer holds {capacity} transitions in" in caplog.text
    assert "and held 400 in" in caplog.text
    assert f"in LatentReplayBuffer for {capacity} transitions" in capsys.readouterr().out


def test_capacity_of_a_rollout_is_refused() -> None:
    with pytest.raises(ConflictError, match="capacity=100 is for replay buffers"):
        model("ppo").learn(100, callback=SEERCallback(0.5, capacity=100))


def test_layers_that_round_are_not_frozen() -> None:
    agent = model("ppo")
    with pytest.warns(UserWarning, match="SEER could not freeze .* as in quantization-aware training"):
        agent.learn(96, callback=[QATCallback(0.2), SEERCallback(0.6)])
    assert not hasattr(agent, "seer")


def test_frozen_layers_do_not_round() -> None:
    agent = model("dqn")
    agent.learn(96, callback=[SEERCallback(0.3), QATCallback(0.5)])
    agent.learn(32, callback=SEERCallback(), reset_num_timesteps=False)
    assert agent.seer["timesteps"] < 40  # type: ignore[attr-defined]


@pytest.mark.parametrize("stock", [True, False])
def test_continued_in_the_number_format_of_accelerate(stock: bool, tmp_path: Path) -> None:
    """Whatever the order of the callbacks."""

    def callbacks() -> list[BaseCallback]:
        return [SEERCallback(20, depth="conv"), AccelerateCallback(precision="bf16")]

    kwargs = {} if stock else policy_kwargs("nature", "ppo")
    agent = model("ppo", policy_kwargs=kwargs)
    agent.learn(60, callback=callbacks())
    agent.save(tmp_path / "agent")
    loaded: Any = PPO.load(tmp_path / "agent", env=agent.get_env(), device="cpu")
    loaded.learn(40, callback=callbacks(), reset_num_timesteps=False)
    assert loaded.rollout_buffer.encoder.precision == agent.rollout_buffer.encoder.precision == "bf16"  # type: ignore[attr-defined]


def test_capacity_of_loaded_latents_is_kept_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    agent: Any = model("dqn", train_freq=4)
    agent.learn(60, callback=SEERCallback(40, depth=1))
    slots = agent.replay_buffer.buffer_size
    agent.save(tmp_path / "agent")
    agent.save_replay_buffer(tmp_path / "latents")
    loaded: Any = DQN.load(tmp_path / "agent", env=agent.get_env(), device="cpu")
    loaded.load_replay_buffer(tmp_path / "latents")
    with caplog.at_level(logging.WARNING, "sb3_efficient"):
        loaded.learn(20, callback=SEERCallback(40, depth=1, capacity=slots + 1), reset_num_timesteps=False)
    assert loaded.replay_buffer.buffer_size == slots
    assert f"loaded with room for {slots} transitions, and keeps it" in caplog.text


def test_compressed_frames_that_are_few_do_not_decide_on_the_capacity() -> None:
    kwargs = {"replay_buffer_class": FrameReplayBuffer, "replay_buffer_kwargs": {"compress": True}}
    agent: Any = model("dqn", buffer_size=5000, train_freq=4, **kwargs)
    agent.learn(60, callback=SEERCallback(40, depth="conv"))
    assert agent.replay_buffer.buffer_size == 5000


def test_networks_that_are_called_targets_and_follow_none() -> None:
    agent: Any = model("dqn", train_freq=4)
    agent.policy.probe_target = th.nn.Linear(2, 2)
    agent.learn(60, callback=SEERCallback(40, depth=1))
    assert agent.seer["depth"] == 1


# torch's compiler looks at the gradients of what it is given
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
def test_only_the_network_that_is_trained_is_compiled() -> None:
    """Not its target, so that the two have other names for their layers."""
    agents: list[Any] = []
    for is_compiled in (False, True):
        agents.append(agent := model("dqn"))
        if is_compiled:
            agent.policy.q_net = agent.q_net = th.compile(agent.q_net, backend="eager")
        agent.learn(60, callback=SEERCallback(20, latent_dtype="float32"))
    plain, compiled = agents
    assert plain.replay_buffer.observations.shape == compiled.replay_buffer.observations.shape
    for one, other in zip(plain.policy.parameters(), compiled.policy.parameters(), strict=True):
        th.testing.assert_close(one, other, rtol=0, atol=1e-6)


class Values(th.nn.Module):
    """As SB3's documentation exports policies."""

    def __init__(self, policy: Any) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, images: th.Tensor) -> th.Tensor:
        return self.policy(images, deterministic=True)[1]


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:.*torch.jit.trace:DeprecationWarning")
@pytest.mark.parametrize("algo", ["ppo", "dqn"])
def test_a_trace_takes_nothing_remembered_for_a_constant(algo: str) -> None:
    agent: Any = model(algo)
    agent.learn(40, callback=SEERCallback(20))
    agent.policy.set_training_mode(False)
    function = Values(agent.policy) if algo == "ppo" else agent.q_net
    images = th.as_tensor(np.stack([agent.observation_space.sample() for _ in range(3)]))
    with th.no_grad():
        function(images[:1])
        traced = th.jit.trace(function, images[:1], check_trace=False)
        th.testing.assert_close(traced(images[1:]), function(images[1:]))


def test_training_of_ones_own_is_told_what_it_gets() -> None:
    class Own(PPO):
        def train(self) -> None:
            super().train()

    env = model("ppo").get_env()
    agent = Own("CnnPolicy", env, n_steps=16, batch_size=8, n_epochs=1)  # type: ignore[arg-type]
    with pytest.warns(UserWarning, match=r"Own has a train\(\) of its own .* in its minibatches are latents"):
        agent.learn(64, callback=SEERCallback(40))
    assert agent.seer["timesteps"] >= 40  # type: ignore[attr-defined]
