"""auto: which stage has settled, and whether anything is being learnt yet."""

from __future__ import annotations

import warnings
from collections import deque
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock, patch

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from gymnasium.wrappers import RecordEpisodeStatistics
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.torch_layers import NatureCNN
from stable_baselines3.common.utils import set_random_seed
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack, VecMonitor
from test_off_policy import Short
from test_policies import env, model

from sb3_efficient.errors import OptionError
from sb3_efficient.seer import SEERCallback
from sb3_efficient.seer.criterion import Convergence, activations, linear_cka

CHANNELS = 2


def test_cka_knows_rotations_and_scales() -> None:
    x = th.randn(50, 6)
    rotation, _ = th.linalg.qr(th.randn(6, 6))
    assert linear_cka(x, x) == pytest.approx(1)
    assert linear_cka(x, 3 * x @ rotation + 2) == pytest.approx(1, abs=1e-5)
    assert linear_cka(x, th.randn(50, 6)) < 0.5
    assert linear_cka(th.zeros(4, 2), th.zeros(4, 2)) == 1, "nothing changed"


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> PPO:
    ppo: Any = model("ppo", make_vec_env(env, 8))
    monkeypatch.setattr("sb3_efficient.seer.criterion.N_PROBES", 8)
    ppo._last_obs = np.random.default_rng(0).integers(0, 256, (8, 2, 40, 40), dtype=np.uint8)
    ppo._setup_learn(16, reset_num_timesteps=False)
    return ppo  # type: ignore[no-any-return]


def at(agent: PPO, criterion: Convergence, timesteps: int, mean: float, n: int = 50, updates: int = 1) -> Any:
    agent.num_timesteps = timesteps
    agent._n_updates += updates
    agent.ep_info_buffer.clear()  # type: ignore[union-attr]
    agent.ep_info_buffer.extend({"r": mean + spread} for spread in np.tile([-1.0, 1.0], n // 2))  # type: ignore[union-attr]
    for _ in range(CHANNELS):
        criterion.see(agent, agent._last_obs, np.zeros(8, bool))  # type: ignore[arg-type]
    return criterion.due(agent)


def change(agent: PPO, convolution: int) -> None:
    agent.policy.features_extractor.cnn[2 * convolution].weight.data.normal_()  # type: ignore[union-attr]


def test_stages_are_frozen_as_they_settle(agent: PPO) -> None:
    criterion = Convergence("conv", earliest=1000, latest=None, length=4000, threshold=0.999)
    for k, mean in enumerate([0, 5, 6, 7], 1):
        assert at(agent, criterion, 200 * k, mean) is None, "before the earliest point"
        change(agent, 2)
    assert at(agent, criterion, 1000, mean=8) == 2, "the third convolution still moves"
    assert at(agent, criterion, 1100, mean=8) is None, "no look between looks"
    assert at(agent, criterion, 1200, mean=8) == 2
    assert at(agent, criterion, 1400, mean=8) == 2, "returns have not risen since the third stands still"
    assert at(agent, criterion, 1600, mean=10) == "conv"
    similarity = agent.logger.name_to_value
    assert similarity["seer/cka_stage_1"] == pytest.approx(1)


def test_nothing_is_frozen_before_returns_move(agent: PPO) -> None:
    criterion = Convergence("conv", earliest=0, latest=None, length=4000, threshold=0.9)
    assert [at(agent, criterion, 200 * k, mean=0.5) for k in range(1, 5)] == [None] * 4
    assert at(agent, criterion, 1000, mean=9, n=10) is None, "too few games"
    assert at(agent, criterion, 1200, mean=9) is None, "that it stood still before does not count"
    assert at(agent, criterion, 1400, mean=11) is None
    assert at(agent, criterion, 1600, mean=12) == "conv"


def test_a_small_window_of_games_is_full_with_what_it_holds(agent: PPO) -> None:
    agent.ep_info_buffer = deque(maxlen=10)
    criterion = Convergence("conv", earliest=0, latest=None, length=4000, threshold=0.9)
    found = [at(agent, criterion, 200 * k, mean) for k, mean in enumerate([0, 0, 5, 9, 11, 12, 14], 1)]
    assert found[-1] == "conv"


def test_nothing_is_frozen_while_returns_stand(agent: PPO) -> None:
    """As in Qbert: an early rise, a long plateau, and the rise that matters."""
    criterion = Convergence("lower", earliest=0, latest=None, length=4000, threshold=0.9)
    means = [1.2, 2.9, 3.1, 2.9, 3.5, 3.9, 4.5]
    found = [at(agent, criterion, 200 * k, mean) for k, mean in enumerate(means, 1)]
    assert found == [None] * 6 + ["lower"]


def test_layers_that_change_begin_anew(agent: PPO) -> None:
    criterion = Convergence("conv", earliest=0, latest=None, length=4000, threshold=0.999)
    for k, mean in enumerate([0, 3, 6], 1):
        change(agent, 0)
        assert at(agent, criterion, 200 * k, mean) is None
    found = [at(agent, criterion, 200 * k, mean) for k, mean in enumerate([6.5, 6.9, 7.1], 4)]
    assert found == [None, None, "conv"], "more than one above the return of the last change"


def test_standing_still_without_updates_says_nothing(agent: PPO) -> None:
    criterion = Convergence("conv", earliest=0, latest=None, length=4000, threshold=0.9)
    assert at(agent, criterion, 100, mean=0) is None
    assert [at(agent, criterion, 200 * k, mean=9 + k, updates=0) for k in range(2, 6)] == [None] * 4


@settings(max_examples=60, deadline=None)
@given(looks=st.lists(st.tuples(st.integers(0, 6), st.tuples(*[st.booleans()] * 3)), min_size=1, max_size=12))
def test_a_frozen_stage_stood_still_while_returns_rose(looks: list[tuple[int, tuple[bool, ...]]]) -> None:
    """Whatever happens: it and all below changed little for two looks, over which returns, above the first, rose."""
    criterion = Convergence("conv", earliest=0, latest=None, length=4000, threshold=0.9)
    model = SimpleNamespace(n_envs=1, num_timesteps=0, _n_updates=0, logger=Mock())
    levels = np.cumsum([[1.0] * 3, *[np.where(still, 0.0, 1.0) for _, still in looks]], axis=0)
    means = [0, *[mean for mean, _ in looks]]
    with patch.multiple(
        "sb3_efficient.seer.criterion",
        activations=lambda *_: [th.tensor(level) for level in levels[model._n_updates - 1]],
        linear_cka=lambda x, y: float(x == y),
        _extractor=lambda _: NatureCNN(spaces.Box(0, 255, (1, 36, 36), np.uint8), 1),
    ):
        for k, mean in enumerate(means):
            model.num_timesteps, model._n_updates = 200 * (k + 1), k + 1
            model.ep_info_buffer = [{"r": mean + spread} for spread in [-1.0, 1.0] * 10]
            criterion.see(model, np.ones((256, 1, 2, 2)), np.zeros(256, bool))
            depth = criterion.due(model)
            stages = {None: 0, "conv": 3}.get(depth, depth)
            assert not stages or any(
                (levels[j : k + 1] == levels[k])[:, :stages].all()
                and min(means[j : k + 1]) > means[0] + 1
                and mean > means[j] + 1
                for j in range(k - 1)
            )


def test_images_are_what_the_policy_sees() -> None:
    images = np.full((2, 2, 40, 40), 200, np.uint8)
    images[0, 0] = 90
    first = {
        normalize: activations(model("ppo", policy_kwargs={"normalize_images": normalize}), images)[0]
        for normalize in (True, False)
    }
    assert first[False].norm() > 20 * first[True].norm()


def test_a_depth_is_the_limit(agent: PPO) -> None:
    criterion = Convergence(2, earliest=0, latest=None, length=4000, threshold=0.9)
    assert [at(agent, criterion, 200 * k, mean) for k, mean in enumerate([0, 9, 9, 11], 1)] == [None, None, None, 2]


@pytest.mark.parametrize("threshold", [0, 1, 3, -0.5, True, "high", float("nan")])
def test_no_threshold(threshold: Any) -> None:
    with pytest.raises(OptionError, match=r"threshold is a similarity \(CKA\) between 0 and 1, as 0.99, got"):
        SEERCallback(threshold=threshold)


def test_what_is_in_the_way(agent: PPO) -> None:
    criterion = Convergence("conv", earliest=0, latest=None, length=4000, threshold=0.9)
    assert "fewer than 20 games have ended" in criterion.obstacle(agent)
    at(agent, criterion, 200, mean=0)
    assert criterion.obstacle(agent) == "returns are not yet above those of the first games"
    at(agent, criterion, 400, mean=5)
    assert "still changing" in criterion.obstacle(agent)
    change(agent, 0)
    for k in range(3, 6):
        at(agent, criterion, 200 * k, mean=5)
    assert criterion.obstacle(agent) == "returns have not risen since the first layers stand still"


@pytest.mark.parametrize(("length", "interval"), [(4000, 200), (2_000_000, 100_000), (10_000_000, 100_000)])
def test_looks_are_as_far_apart_as_the_threshold_is_meant_for(length: int, interval: int) -> None:
    assert Convergence("conv", 0, None, length, 0.99).interval == interval


def test_latest(agent: PPO) -> None:
    criterion = Convergence("conv", earliest=0, latest=900, length=4000, threshold=0.9)
    assert [at(agent, criterion, steps, mean=0) for steps in (800, 900)] == [None, "conv"]


def test_sb3s_random_numbers_are_not_touched(agent: PPO) -> None:
    set_random_seed(1)
    expected = np.random.rand(), th.rand(())  # noqa: NPY002
    set_random_seed(1)
    at(agent, Convergence("conv", 0, None, 4000, 0.9), 100, mean=0)
    assert (np.random.rand(), th.rand(())) == expected  # noqa: NPY002


def test_images_are_collected_between_looks(agent: PPO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sb3_efficient.seer.criterion.N_PROBES", 32)
    criterion = Convergence("conv", 0, None, 4000, 0.9)
    taken: list[int] = []
    for timesteps in range(0, 200, 5):
        at(agent, criterion, timesteps, mean=0)
        taken += [timesteps] * (len(criterion.images) - len(taken))
    assert taken == [0, 50, 100, 150]
    assert [len(images) for images in criterion.images] == [8] * 4
    assert len(criterion.before) == 3


def test_the_black_images_that_pad_a_stack_of_frames_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few of them, and two encoders look alike whatever else they make of the others."""
    monkeypatch.setattr("sb3_efficient.seer.criterion.N_PROBES", 64)
    stacked: Any = VecFrameStack(make_vec_env(Short, 2, env_kwargs={"n_channels": 1}), 4, channels_order="first")
    agent, callback = model("ppo", stacked, n_epochs=1), SEERCallback()
    with pytest.warns(UserWarning, match="SEER froze nothing"):
        agent.learn(200, callback=callback)
    assert isinstance(callback.trigger, Convergence)
    images = np.concatenate(callback.trigger.images)
    assert len(images) >= 64
    assert images.any(axis=(2, 3)).all()


def test_images_are_collected_within_a_rollout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sb3_efficient.seer.criterion.N_PROBES", 12)
    agent, callback = model("ppo"), SEERCallback()
    with pytest.warns(UserWarning, match="SEER froze nothing"):
        agent.learn(32, callback=callback)
    assert isinstance(callback.trigger, Convergence)
    assert len(callback.trigger.before) == 3, "a look at the end of each of two rollouts"


def test_environments_that_say_no_returns() -> None:
    """At the start, and not when hours have passed."""
    bare, noted = DummyVecEnv([env]), DummyVecEnv([lambda: RecordEpisodeStatistics(env())])
    with pytest.warns(UserWarning, match="SEER") as found:
        model("ppo", bare).learn(40, callback=SEERCallback())
    assert "are not wrapped in a Monitor, without which SB3 knows no returns: add one" in str(found[0].message)
    for known, callback in (
        (VecMonitor(bare), SEERCallback()),
        (noted, SEERCallback()),
        (bare, SEERCallback(latest=30)),
    ):
        agent = model("ppo", known)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "SEER froze nothing")
            agent.learn(40, callback=callback)


class Rising(Short):
    """Returns that rise from episode to episode."""

    steps = 0

    def step(self, action: Any) -> Any:
        self.steps += 1
        observation, _, *rest = super().step(action)
        return observation, float(self.steps), *rest


def test_the_default_freezes_in_the_second_half_what_no_longer_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sb3_efficient.seer.criterion.N_PROBES", 16)
    # Without a step, features stand still from the beginning
    agent, callback = model("ppo", make_vec_env(Rising, 2), learning_rate=0.0), SEERCallback()
    agent.learn(800, callback=callback)
    assert isinstance(callback.trigger, Convergence)
    assert (callback.trigger.earliest, callback.trigger.threshold) == (400, 0.99)
    assert agent.seer["depth"] == "lower"  # type: ignore[attr-defined]
    assert 400 <= agent.seer["timesteps"] < 600  # type: ignore[attr-defined]


def test_what_is_asked_for_in_place_of_the_defaults() -> None:
    agent, callback = model("ppo"), SEERCallback(earliest=30, threshold=0.7)
    with pytest.warns(UserWarning, match="SEER froze nothing"):
        agent.learn(60, callback=callback)
    assert isinstance(callback.trigger, Convergence)
    assert (callback.trigger.earliest, callback.trigger.threshold) == (30, 0.7)


@pytest.mark.parametrize(("steps", "helps"), [(40, True), (20, False)])
def test_no_advice_that_would_be_refused(steps: int, helps: bool) -> None:
    """The first update is at 16."""
    with pytest.warns(UserWarning, match="SEER froze nothing") as found:
        model("ppo").learn(steps, callback=SEERCallback())
    assert ("latest=0.75 would freeze" in str(found[0].message)) == helps
