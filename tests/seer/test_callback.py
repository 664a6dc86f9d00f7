"""SEERCallback as a user meets it: errors at the start, nothing lost, resumed as it was."""

from __future__ import annotations

import copy
import csv
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from sb3_contrib import ARS
from stable_baselines3 import A2C, DQN, PPO, HerReplayBuffer
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback, EvalCallback, EveryNTimesteps
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.envs import BitFlippingEnv, FakeImageEnv, IdentityEnv
from stable_baselines3.common.logger import configure
from stable_baselines3.common.torch_layers import NatureCNN
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from test_policies import DictEnv, env, model

from sb3_efficient import accelerate, policy_kwargs
from sb3_efficient.compression import PruningCallback, QATCallback
from sb3_efficient.errors import ConflictError, EfficientError, ObservationError, OptionError
from sb3_efficient.seer import SEERCallback, ThawCallback, buffers, callback
from sb3_efficient.seer.buffers import buffer_of, latent_buffer
from sb3_efficient.seer.encoder import LatentEncoder
from sb3_efficient.seer.frozen import FrozenForward
from sb3_efficient.seer.rollout import is_latent_rollout


def test_a_search_goes_on_where_sampled_rollouts_are_too_long() -> None:
    """rl-zoo3 discards a trial that raises ValueError, and ends with any other error."""
    with pytest.raises(ValueError, match="is not after the first update, which is at 64"):
        model("ppo", n_steps=64).learn(100, callback=SEERCallback(0.5))
    with pytest.raises(OptionError) as raised:
        model("ppo", n_steps=64).learn(100, callback=SEERCallback(5000))
    assert not isinstance(raised.value, ValueError), "no trial would do better"


def trained(algo: str = "ppo", **options: Any) -> Any:
    agent = model(algo, policy_kwargs={**policy_kwargs("nature", algo), **options})
    return agent.learn(20)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"freeze_at": 5000}, OptionError, "freeze_at: 5000 timesteps is beyond training, which ends at 100"),
        ({"freeze_at": 0}, OptionError, "is not after the first update, which is at 16"),
        ({"freeze_at": 16}, OptionError, "is not after the first update"),
        ({"freeze_at": 0.5, "depth": 7}, OptionError, "depth=7 is not one of NatureExtractor: 1, 2, 3"),
        ({"depth": [(50, 2), (40, "conv")]}, OptionError, "from early and shallow to late and deep"),
        ({"depth": [(50, "conv"), (60, 2)]}, OptionError, "from early and shallow to late and deep"),
        ({"earliest": 900}, OptionError, "earliest: 900 timesteps is beyond training, which ends at 100"),
        ({"latest": 100}, OptionError, "latest: 100 timesteps is beyond training, which ends at 100"),
        ({"earliest": 90, "latest": 50}, OptionError, "latest: 50 timesteps is before earliest: 90"),
        ({"latest": 16}, OptionError, "latest: 16 timesteps is not after the first update, which is at 16"),
    ],
)
def test_bad_options_are_refused_when_training_starts(options: dict, error: type[EfficientError], text: str) -> None:
    agent = model("ppo", policy_kwargs=policy_kwargs("nature", "ppo"))
    with pytest.raises(error) as raised:
        agent.learn(100, callback=SEERCallback(**options))
    assert text in str(raised.value)
    assert agent.num_timesteps == 0


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"latent_dtype": "flaot16"},
            "latent_dtype must be 'float16' or 'float32', got 'flaot16'. Did you mean 'float16'?",
        ),
        ({"freeze_at": "atuo"}, "Did you mean 'auto'?"),
        ({"freeze_at": 2.5}, "freeze_at=2.5 is neither"),
        ({"earliest": "soon"}, "earliest must be timesteps (300_000) or a fraction"),
        ({"encoder": "nowhere.zip"}, "encoder='nowhere.zip' is no file"),
        ({"capacity": "same-memroy"}, "Did you mean 'same-memory'?"),
        ({"freeze_at": 0.3, "latest": 0.5}, "latest=0.5 is for freeze_at='auto', and when to freeze is said"),
        ({"freeze_at": 0.3, "earliest": 0.5}, "earliest=0.5 is for freeze_at='auto', and when to freeze is said"),
        ({"depth": [(0.2, 1)], "threshold": 0.9}, "threshold=0.9 is for freeze_at='auto', and when to freeze is said"),
        ({"depth": "convs"}, "the number of a stage, from 1, got 'convs'. Did you mean 'conv'?"),
        ({"depth": 0}, "the number of a stage, from 1, got 0."),
        ({"depth": True}, "the number of a stage, from 1, got True."),
        ({"depth": [(0.2, 0), (0.4, "conv")]}, "the number of a stage, from 1, got 0."),
    ],
)
def test_bad_options_are_refused_at_once(options: dict, text: str) -> None:
    with pytest.raises((OptionError, ConflictError)) as raised:
        SEERCallback(**options)
    assert text in str(raised.value)


def refused(agent: Any, error: type[EfficientError], text: str) -> None:
    seer = SEERCallback(0.5)
    with pytest.raises(error) as raised:
        agent.learn(100, callback=seer)
    assert text in str(raised.value)
    # As the zoo does in any case
    seer.on_training_end()


def test_policies_without_images() -> None:
    refused(PPO("MlpPolicy", IdentityEnv(dim=3), n_steps=16, batch_size=16), ObservationError, "leave SEER out")
    refused(ARS("MlpPolicy", "CartPole-v1"), ObservationError, "leave SEER out")


def test_dictionaries() -> None:
    agent = model("ppo", DictEnv(discrete=True), "MultiInputPolicy")
    refused(agent, ObservationError, "dictionaries of observations are not supported")


@pytest.mark.parametrize("callback", [SEERCallback(20), PruningCallback(), QATCallback()])
def test_where_nothing_is_told_of_rollouts(callback: BaseCallback) -> None:
    name = type(callback).__name__
    with pytest.raises(
        ConflictError, match=f"{name} acts when rollouts begin or end, of which EveryNTimesteps tells it"
    ):
        model("ppo").learn(100, callback=EveryNTimesteps(50, callback))


@pytest.mark.parametrize("callback", [SEERCallback(20), PruningCallback(), QATCallback()])
def test_where_nothing_is_told_of_training(callback: BaseCallback) -> None:
    name = type(callback).__name__
    agent = model("ppo")
    evaluation = EvalCallback(agent.get_env(), callback_on_new_best=callback)  # type: ignore[arg-type]
    with pytest.raises(ConflictError, match=f"{name} acts when rollouts begin or end, of which EvalCallback tells it"):
        agent.learn(100, callback=evaluation)


def test_hindsight_replay() -> None:
    goals = BitFlippingEnv(image_obs_space=True, channel_first=True)
    agent = DQN("MultiInputPolicy", goals, replay_buffer_class=HerReplayBuffer, buffer_size=100)
    refused(agent, ConflictError, "HerReplayBuffer makes goals up from dictionaries of observations")


def test_networks_of_others() -> None:
    class Own(NatureCNN):
        pass

    agent = model("ppo", policy_kwargs={"features_extractor_class": Own})
    assert agent.policy.normalize_images  # type: ignore[union-attr]
    refused(agent, ObservationError, "and found Own: choose one with policy_kwargs=sb3_efficient.policy_kwargs(")


def test_rollouts_of_others() -> None:
    class Own(RolloutBuffer):
        pass

    refused(model("ppo", rollout_buffer_class=Own), ConflictError, "into buffers of latents, found Own.")


def test_images_that_change_with_their_statistics() -> None:
    images = FakeImageEnv(screen_height=40, screen_width=40, n_channels=2, channel_first=True)
    venv = VecNormalize(DummyVecEnv([lambda: images]))
    agent = A2C("CnnPolicy", venv, n_steps=8, policy_kwargs=policy_kwargs("nature", "a2c", normalized_image=True))
    refused(agent, ConflictError, "give it norm_obs=False for SEER")


@pytest.mark.parametrize("latent", [None, th.inf, -th.inf, th.nan, 20_000.0])
def test_a_freeze_that_fails_leaves_training_as_it_was(latent: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    def encode(self: FrozenForward, images: th.Tensor, remember: bool = True) -> th.Tensor:
        if latent is None:
            raise MemoryError("no room")
        return th.full((len(images), self.latent_dim), latent, dtype=self.dtype)

    monkeypatch.setattr(FrozenForward, "encode", encode)
    agent = trained()
    plain_buffer = type(agent.rollout_buffer)
    reason = "no room" if latent is None else "A latent is too large for torch.float16"
    with pytest.warns(UserWarning, match=f"could not freeze at 64, and trains on: {reason}"):
        agent.learn(100, callback=SEERCallback(50))
    assert type(agent.rollout_buffer) is plain_buffer
    assert "forward" not in vars(agent.policy.features_extractor)
    assert not hasattr(agent, "seer")


@pytest.mark.parametrize("after", ["freeze", "set_buffer", "give_back_memory"])
def test_ctrl_c_in_the_middle_of_a_freeze_leaves_a_model_that_is_frozen_or_soon_is(
    after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = LatentEncoder if after == "freeze" else callback if after == "set_buffer" else buffers
    done = getattr(owner, after)

    def then_interrupted(*arguments: Any) -> None:
        done(*arguments)
        raise KeyboardInterrupt

    agent = trained("dqn")
    with monkeypatch.context() as patch:
        patch.setattr(owner, after, then_interrupted)
        with pytest.raises(KeyboardInterrupt):
            agent.learn(100, callback=SEERCallback(64))
    assert agent.seer["depth"] == "lower"
    agent.learn(20, callback=SEERCallback(64), reset_num_timesteps=False)
    assert agent.replay_buffer.encoder is not None
    assert isinstance(vars(agent.q_net.features_extractor)["forward"], FrozenForward)


class Looking(BaseCallback):
    """Reads the replay buffer of ``locals`` at the end of every rollout, as it may."""

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        self.seen = self.locals["replay_buffer"], self.locals["replay_buffer"].rewards.shape


def test_callbacks_behind_it_can_look_at_the_replay_buffer_of_the_rollout() -> None:
    agent, looking = trained("dqn"), Looking()
    replaced = agent.replay_buffer
    agent.learn(70, callback=[SEERCallback(64), looking])
    assert looking.seen[0] is agent.replay_buffer
    assert not hasattr(replaced, "observations"), "its memory is given back"


def test_a_freeze_that_never_came_is_said() -> None:
    agent = model("dqn", train_freq=60, learning_starts=8)
    with pytest.warns(UserWarning, match="has not frozen up to 'lower', which was asked for at 20 timesteps: training"):
        agent.learn(60, callback=SEERCallback(20))
    assert not hasattr(agent, "seer")


def test_a_freeze_that_fails_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []

    def fail(agent: Any, *_: Any) -> None:
        tried.append(agent.num_timesteps)
        raise MemoryError

    monkeypatch.setattr("sb3_efficient.seer.callback.latent_buffer", fail)
    with pytest.warns(UserWarning, match="could not freeze at 48"):
        model("ppo").learn(100, callback=SEERCallback(earliest=0.1, latest=40))
    assert tried == [48]


def test_the_time_of_an_update_is_not_that_between_two_trainings() -> None:
    agent, callback = trained(), SEERCallback(1)
    agent.learn(40, callback=callback)
    agent.logger.name_to_value.clear()
    callback.init_callback(agent)
    callback.on_training_start({}, {})
    callback.on_rollout_start()
    assert "seer/update_seconds" not in agent.logger.name_to_value


def test_zip_and_resume(tmp_path: Path) -> None:
    agent = trained()
    agent.save(tmp_path / "before")
    agent.learn(60, callback=SEERCallback(1, 2))
    agent.save(tmp_path / "after")
    sizes = [(tmp_path / f"{name}.zip").stat().st_size for name in ("before", "after")]
    assert sizes[1] < sizes[0] + 2000
    loaded: Any = PPO.load(tmp_path / "after", env=env(), device="cpu")
    observation = np.random.default_rng(0).integers(0, 256, (3, 2, 40, 40), dtype=np.uint8)
    with th.no_grad():
        assert th.allclose(
            loaded.policy.predict_values(th.as_tensor(observation)),
            agent.policy.predict_values(th.as_tensor(observation)),
            atol=1e-3,
        )
    assert loaded.seer == {"depth": 2, "latent_dtype": "float16", "timesteps": 16}
    loaded.learn(20, callback=SEERCallback(1, 2, latent_dtype="float32"))
    assert loaded.seer == agent.seer, "when and how it was frozen, not when it was continued"
    before = [p.clone() for p in loaded.policy.features_extractor.cnn[:4].parameters()]
    loaded.learn(60, callback=SEERCallback(0.5, "conv"))
    assert is_latent_rollout(loaded.rollout_buffer)
    assert loaded.seer["depth"] == "conv"
    assert all(
        th.equal(p, q) for p, q in zip(loaded.policy.features_extractor.cnn[:4].parameters(), before, strict=True)
    )


def test_continued_with_more_environments_or_after_training_from_images(tmp_path: Path) -> None:
    agent = trained()
    agent.learn(60, callback=SEERCallback(1, 2))
    agent.save(tmp_path / "agent")
    wider: Any = PPO.load(tmp_path / "agent", env=make_vec_env(env, 4), device="cpu")
    accelerate(wider, keep_memory=False)
    wider.learn(100, callback=SEERCallback(1, 2))
    assert is_latent_rollout(wider.rollout_buffer)
    assert wider.rollout_buffer.n_envs == 4
    thawed: Any = PPO.load(tmp_path / "agent", env=env(), device="cpu")
    thawed.learn(20, callback=ThawCallback())
    assert not is_latent_rollout(thawed.rollout_buffer)
    thawed.learn(40, callback=SEERCallback(1, 2))
    assert is_latent_rollout(thawed.rollout_buffer)


def test_an_empty_rollout_is_not_encoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = trained()
    agent.learn(60, callback=SEERCallback(1, 2))
    agent.save(tmp_path / "agent")
    loaded: Any = PPO.load(tmp_path / "agent", env=env(), device="cpu")
    loaded._setup_learn(20)
    encoder = LatentEncoder(loaded, 2)
    monkeypatch.setattr(encoder, "reencode", None)
    assert latent_buffer(loaded, encoder, "same-memory").observations.shape == (16, 1, encoder.latent_dim)


def test_a_frozen_policy_can_be_copied() -> None:
    agent = trained()
    agent.learn(60, callback=SEERCallback(1, 2))
    images = th.as_tensor(agent.env.reset())
    agent.predict(images.numpy())
    copies = [copy.deepcopy(agent.policy), pickle.loads(pickle.dumps(agent.policy))]
    with th.no_grad():
        expected = agent.policy.predict_values(images)
        agent.policy.features_extractor.cnn[0].weight.zero_()
        assert all(th.equal(other.predict_values(images), expected) for other in copies)
        assert not th.equal(agent.policy.predict_values(images), expected)


@pytest.mark.parametrize(("depth", "frozen"), [({}, [0, 2]), ({"depth": "conv"}, [0, 2, 4])])
def test_frozen_from_another_agent_from_the_start(depth: dict[str, str], frozen: list[int], tmp_path: Path) -> None:
    source = trained()
    source.save(tmp_path / "agent")
    agent: Any = model("a2c")
    agent.learn(40, callback=SEERCallback(0, encoder=tmp_path / "agent.zip", **depth))
    assert agent.seer["timesteps"] == 0
    ours, theirs = agent.policy.features_extractor.cnn, source.policy.features_extractor.cnn
    assert [i for i in (0, 2, 4) if th.equal(ours[i].weight, theirs[i].weight)] == frozen
    moved = (ours[4].weight - theirs[4].weight).norm() / theirs[4].weight.norm()
    assert moved < 0.5, "trained on from the weights of the other"


def test_another_agents_encoder_to_train_on(tmp_path: Path) -> None:
    trained().save(tmp_path / "agent")
    agent: Any = model("a2c")
    agent.learn(40, callback=SEERCallback(None, encoder=tmp_path / "agent.zip"))
    assert not hasattr(agent, "seer")


def test_weights_put_into_a_frozen_model_are_those_it_acts_with() -> None:
    agent, other = trained(), trained()
    agent.learn(40, callback=SEERCallback(1))
    images = th.as_tensor(agent.env.reset())
    with th.no_grad():
        other.policy.features_extractor.cnn[0].weight.mul_(3)
        agent.policy.predict_values(images)
        agent.set_parameters(other.get_parameters())
        assert th.allclose(agent.policy.predict_values(images), other.policy.predict_values(images), atol=1e-2)


def other_memory(policy: Any) -> None:
    """SB3's load_from_vector does not write into what parameters had."""
    policy.load_from_vector(policy.parameters_to_vector() * 1.3)


def past_autograd(policy: Any) -> None:
    """As SB3's polyak_update does; no version of a tensor says so."""
    for parameter in policy.parameters():
        parameter.data.mul_(1.3)


@pytest.mark.parametrize("put", [other_memory, past_autograd])
@pytest.mark.parametrize("algo", ["ppo", "dqn"])
def test_weights_put_in_the_place_of_others_are_noticed(algo: str, put: Callable[[Any], None]) -> None:
    agent = trained(algo)
    agent.learn(60, callback=SEERCallback(1))
    images = agent.env.reset()
    agent.predict(images, deterministic=True)
    put(agent.policy)
    encoder = buffer_of(agent).encoder
    found = encoder(images)
    encoder(agent.env.reset())
    np.testing.assert_array_equal(encoder(images), found)
    if algo == "dqn":
        with pytest.raises(ConflictError, match="made by a different encoder"):
            agent.learn(20)


def test_the_latest_may_be_the_earliest() -> None:
    agent = trained()
    agent.learn(100, callback=SEERCallback(earliest=0.5, latest=0.5))
    assert agent.seer["timesteps"] == 64


def test_an_encoder_that_was_trained_on_is_not_replaced_again(tmp_path: Path) -> None:
    trained().save(tmp_path / "agent")
    agent: Any = model("a2c")
    callback = SEERCallback(None, encoder=tmp_path / "agent.zip")
    agent.learn(40, callback=callback)
    own = [p.clone() for p in agent.policy.features_extractor.parameters()]
    agent.learning_rate = 0.0
    agent._setup_lr_schedule()
    agent.learn(40, callback=callback, reset_num_timesteps=False)
    assert all(th.equal(p, q) for p, q in zip(agent.policy.features_extractor.parameters(), own, strict=True))


@pytest.mark.parametrize("anew", [True, False])
@pytest.mark.parametrize("freeze_at", [0, 10])
def test_a_trained_agent_may_be_frozen_before_it_is_trained_on(freeze_at: int, anew: bool) -> None:
    agent = trained()
    agent.learn(40, callback=SEERCallback(freeze_at), reset_num_timesteps=anew)
    assert is_latent_rollout(agent.rollout_buffer)


def test_auto_in_training_that_is_continued() -> None:
    agent, callback = trained(), SEERCallback(latest=50)
    agent.learn(70, callback=callback)
    agent.learn(70, callback=callback, reset_num_timesteps=False)
    assert agent.seer["timesteps"] == 64
    late = trained().learn(60)
    late.learn(40, callback=SEERCallback(latest=50), reset_num_timesteps=False)
    assert is_latent_rollout(late.rollout_buffer), "overdue"


def test_steps_without_an_update_are_no_training() -> None:
    agent: Any = model("dqn", learning_starts=100)
    agent.learn(50)
    with pytest.raises(OptionError, match="60 timesteps is not after the first update, which is at 100"):
        agent.learn(100, callback=SEERCallback(60), reset_num_timesteps=False)


def test_what_it_logs_and_prints(capsys: pytest.CaptureFixture[str]) -> None:
    agent = trained()
    seen: dict[str, Any] = {}
    callback = SEERCallback(1, "conv", verbose=1)
    callback._on_step = lambda: seen.update(agent.logger.name_to_value) or True  # type: ignore[method-assign, func-returns-value]
    agent.learn(60, callback=callback)
    assert (
        "frozen up to 'conv' at 16 timesteps, latents of 64 x float16, in LatentRolloutBuffer"
        in capsys.readouterr().out
    )
    assert seen["seer/update_seconds"] > 0


@pytest.mark.parametrize(("algo", "latent"), [("ppo", 64 * 2), ("dqn", 64 * 2 + 8 + 3 * 4 + 4)])
def test_what_a_log_has(algo: str, latent: int, tmp_path: Path) -> None:
    agent = model(algo, policy_kwargs=policy_kwargs("nature", algo))
    agent.set_logger(configure(str(tmp_path), ["csv"]))
    agent.learn(200, callback=SEERCallback(0.5, "conv"), log_interval=1)
    agent.logger.close()
    with (tmp_path / "progress.csv").open() as file:
        rows = [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]
    frozen = [row for row in rows if "seer/frozen_at" in row]
    assert [row["seer/frozen_at"] for row in frozen] == [agent.seer["timesteps"]]  # type: ignore[attr-defined]
    assert frozen[0]["seer/bytes_per_transition"] == latent
    assert latent * 16 <= frozen[0]["seer/buffer_bytes"] < latent * 200
    assert all(row["seer/update_seconds"] > 0 for row in rows[1:])
