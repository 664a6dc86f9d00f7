"""Replay buffers of latents: SB3's own, sample by sample, with every latent stored once."""

from __future__ import annotations

import copy
import pickle
import warnings
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch as th
from helpers import interrupted
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.buffers import ReplayBuffer
from trail import ACTIONS, IMAGES, Stub, Trail, assert_same, image_buffer, samples

from sb3_efficient.errors import ConflictError, EfficientError, ObservationError
from sb3_efficient.seer.replay import LatentNStepReplayBuffer, LatentReplayBuffer
from sb3_efficient.seer.rollout import latent_space

SEEDS = st.integers(0, 2**32 - 1)
FORMS = {"two arrays": LatentReplayBuffer, "n-step": LatentNStepReplayBuffer}


def latent_buffer(
    encoder: Any, slots: int = 6, n_envs: int = 1, form: type = LatentReplayBuffer, **options: Any
) -> Any:
    buffer = form(slots * n_envs, latent_space(encoder), ACTIONS, "cpu", n_envs, **options)
    buffer.attach(encoder)
    return buffer


def filled(encoder: Any, steps: int, seed: int = 0, **options: Any) -> Any:
    buffer = latent_buffer(encoder, **options)
    trail = Trail(buffer.n_envs, seed)
    for _ in range(steps):
        buffer.add(*trail.step())
    return buffer


@pytest.mark.parametrize("layout", FORMS)
@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, n_envs=st.sampled_from([1, 3]), slots=st.integers(1, 9), steps=st.integers(1, 30))
def test_samples_are_those_of_sb3(layout: str, seed: int, n_envs: int, slots: int, steps: int) -> None:
    """Same random numbers: the same transitions, and latents of the same images."""
    encoder, trail = Stub(), Trail(n_envs, seed)
    images = image_buffer(layout, slots, n_envs)
    options = {"n_steps": 3, "gamma": 0.9} if layout == "n-step" else {}
    latents = latent_buffer(encoder, slots, n_envs, FORMS[layout], **options)
    for _ in range(steps):
        transition = trail.step()
        images.add(*transition)
        latents.add(*transition)
        assert (latents.pos, latents.full) == (images.pos, images.full)
        all_slots = np.arange(images.size())
        assert_same(samples(latents, all_slots), samples(images, all_slots, encoder))
    np.random.seed(1)  # noqa: NPY002
    expected = images.sample(50)
    np.random.seed(1)  # noqa: NPY002
    ours = latents.sample(50)
    assert_same([ours.observations.numpy()], [encoder(expected.observations.numpy())])
    assert th.equal(ours.actions, expected.actions)
    assert th.equal(ours.dones, expected.dones)
    assert th.equal(ours.rewards, expected.rewards)


@pytest.mark.parametrize("steps", [4, 15])
def test_ctrl_c_in_the_middle_costs_no_latent(steps: int) -> None:
    """SB3 counts a transition last: what was interrupted is written again, to the same slot."""
    line, goes_on = 1, True
    while goes_on:
        encoder, trail = Stub(), Trail(3, seed=2)
        images, latents = image_buffer("two arrays", 6, 3), latent_buffer(encoder, 6, 3)
        for i in range(steps + 20):
            transition = trail.step()
            if i == steps:
                goes_on = interrupted(partial(latents.add, *transition), line, "sb3_efficient/seer")
            images.add(*transition)
            if latents.pos != images.pos:
                latents.add(*transition)
            every = np.arange(images.size())
            assert_same(samples(latents, every), samples(images, every, encoder))
        line += 1
    assert line > 20


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, n_envs=st.sampled_from([1, 3]), slots=st.integers(2, 9), steps=st.integers(1, 60))
def test_next_latents_are_kept_only_where_the_next_slot_has_another(
    seed: int, n_envs: int, slots: int, steps: int
) -> None:
    encoder = Stub()
    buffer, trail = latent_buffer(encoder, slots, n_envs), Trail(n_envs, seed)
    begun: list[np.ndarray] = []
    ended: list[np.ndarray] = []
    for _ in range(steps):
        obs, next_obs, *others = trail.step()
        buffer.add(obs, next_obs, *others)
        begun, ended = [*begun, obs][-slots:], [*ended, next_obs][-slots:]
    differ = sum(int((a != b).any(axis=(1, 2, 3)).sum()) for a, b in zip(begun[1:], ended[:-1], strict=True))
    successors = buffer.next_observations
    assert successors.n_kept == n_envs + differ
    in_use = successors.row[successors.row > 0]
    assert sorted([*in_use, *successors.free]) == list(range(1, len(successors.kept)))


def test_no_array_of_next_observations() -> None:
    images, latents = image_buffer("two arrays", 1000, 1), filled(Stub(), 1000, slots=1000)
    assert latents.bytes_per_transition == 4 * 4 + 8 + 3 * 4 + 4
    assert latents.bytes_used < 1000 * 40 + 0.5 * latents.observations.nbytes
    assert isinstance(latents, ReplayBuffer)
    assert not isinstance(latents.next_observations, np.ndarray)
    assert latents.next_observations[3].shape == (1, 4)
    assert latents.next_observations[3:5].shape == (2, 1, 4)
    assert images.next_observations[3, 0].shape == (1, 2, 2)
    assert latents.next_observations[3, 0].shape == (4,)


def test_samples_are_copies() -> None:
    buffer = filled(Stub(), 5)
    before = copy.deepcopy(buffer.observations), buffer.next_observations[np.arange(5)]
    for tensor in buffer.sample(8)[:5]:
        tensor.zero_()
    np.testing.assert_array_equal(buffer.observations, before[0])
    np.testing.assert_array_equal(buffer.next_observations[np.arange(5)], before[1])
    np.testing.assert_array_equal(buffer.rewards[:5] == 0, False)


def test_failed_encoding_leaves_the_buffer_as_it_was() -> None:
    class Broken(Stub):
        def __call__(self, images: np.ndarray) -> np.ndarray:
            if self.rows >= 7:
                raise RuntimeError("broken")
            return super().__call__(images)

    buffer, trail = latent_buffer(Broken()), Trail(1, 0)
    for _ in range(3):
        buffer.add(*trail.step())
    before = pickle.dumps(buffer)
    with pytest.raises(RuntimeError, match="broken"):
        buffer.add(*trail.step())
    assert pickle.dumps(buffer) == before


def test_reset() -> None:
    buffer, trail = filled(Stub(), 8, n_envs=3), Trail(3, 5)
    buffer.reset()
    assert buffer.size() == buffer.next_observations.n_kept == 0
    transition = trail.step()
    buffer.add(*transition)
    np.testing.assert_array_equal(buffer.next_observations[0], Stub()(transition[1]))


def test_space_of_images_is_refused() -> None:
    with pytest.raises(ObservationError, match="leave out replay_buffer_class, SEERCallback puts it"):
        LatentReplayBuffer(10, IMAGES, ACTIONS)


def test_sb3s_layout_option_changes_nothing() -> None:
    buffer = LatentReplayBuffer(10, latent_space(Stub()), ACTIONS, "cpu", 1, True, True)
    assert (buffer.optimize_memory_usage, buffer.handle_timeout_termination) == (False, True)


def test_memory_that_is_not_there_is_warned_of_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only latents that are going to be stored count, not the array that SB3 has beside them."""
    available = 10_000 * (4 * 4 + 8 + 4 + 4) + 1
    memory = type("Memory", (), {"available": available})
    monkeypatch.setattr("stable_baselines3.common.buffers.psutil.virtual_memory", lambda: memory)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        latent_buffer(Stub(), 10_000)
    with pytest.warns(UserWarning, match="not have apparently enough memory"):
        latent_buffer(Stub(), 10_001)


@pytest.mark.parametrize("form", FORMS.values())
@pytest.mark.parametrize("steps", [0, 4, 6, 9])
def test_pickle(form: type, steps: int) -> None:
    encoder, trail = Stub(), Trail(3, 2)
    buffer = latent_buffer(encoder, n_envs=3, form=form)
    for _ in range(steps):
        buffer.add(*trail.step())
    loaded = pickle.loads(pickle.dumps(buffer))
    for action in (lambda: loaded.sample(2), lambda: loaded.add(*trail.step())):
        with pytest.raises(EfficientError, match=r"depth 1, float32, weights a1\): resume the model with the SEERCall"):
            action()
    loaded.attach(encoder)
    assert type(loaded) is form
    for _ in range(9):
        transition = trail.step()
        buffer.add(*transition)
        loaded.add(*transition)
        slots = np.arange(buffer.size())
        assert_same(samples(loaded, slots), samples(buffer, slots))
    assert vars(loaded).keys() == vars(buffer).keys()


def test_pickle_has_what_is_stored_and_no_encoder() -> None:
    small, large = filled(Stub(), 3, slots=10), filled(Stub(), 3, slots=1_000_000)
    assert abs(len(pickle.dumps(large)) - len(pickle.dumps(small))) < 100
    assert b"Stub" not in pickle.dumps(small)


@pytest.mark.parametrize("other", [Stub(weights="b"), Stub(depth=2), Stub(dtype="float16")])
def test_latents_of_another_encoder_are_refused(other: Any) -> None:
    buffer = pickle.loads(pickle.dumps(filled(Stub(), 3)))
    with pytest.raises(
        ConflictError, match=r"a different encoder: .*weights a1, the model's depth .*weights .*\. Load"
    ):
        buffer.attach(other)
    assert buffer.encoder is None


def test_another_number_format_of_the_same_encoder_is_said() -> None:
    buffer = filled(Stub(), 3)
    other: Any = Stub()
    other.precision = "bf16"
    loaded = pickle.loads(pickle.dumps(buffer))
    with pytest.warns(UserWarning, match="were computed in fp32, and new ones are in bf16"):
        loaded.attach(other)
    # Of what is older it is not known
    state = {**buffer.__getstate__()}
    del state["precision"]
    old = LatentReplayBuffer.__new__(LatentReplayBuffer)
    old.__setstate__(state)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        old.attach(other)
        loaded.attach(other)


def test_space_of_other_latents_is_refused() -> None:
    buffer = LatentReplayBuffer(10, latent_space(Stub(depth=2)), ACTIONS)  # type: ignore[arg-type]
    with pytest.raises(
        ObservationError, match="for 2 numbers of float32 per latent, and the encoder makes 4 of float32"
    ):
        buffer.attach(Stub())  # type: ignore[arg-type]
