"""From images to latents: every transition, once, in order, in little memory; or nothing happens."""

from __future__ import annotations

import pickle
from collections import deque
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from helpers import Run
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.buffers import ReplayBuffer
from trail import ACTIONS, CLASSES, IMAGES, Stub, Trail, assert_same, image_buffer, samples

from sb3_efficient.errors import ConversionError, EfficientError, ObservationError, OptionError
from sb3_efficient.seer import convert as convert_module
from sb3_efficient.seer.capacity import latent_bytes, new_capacity, stored_transitions
from sb3_efficient.seer.convert import convert, release

LAYOUTS = [*CLASSES]
SEEDS = st.integers(0, 2**32 - 1)
N_ENVS = st.sampled_from([1, 3])


def filled(layout: str = "two arrays", slots: int = 6, n_envs: int = 1, steps: int = 9, seed: int = 0) -> Any:
    buffer, trail = image_buffer(layout, slots, n_envs), Trail(n_envs, seed)
    for _ in range(steps):
        buffer.add(*trail.step())
    return buffer


def oldest_first(buffer: Any) -> np.ndarray:
    """Slots that can be sampled, from what SB3 says about them."""
    n, pos = buffer.buffer_size, buffer.pos
    if not buffer.full:
        return np.arange(pos)
    slots = [*range(pos, n), *range(pos)]
    return np.array(slots[1:] if buffer.optimize_memory_usage else slots)


@pytest.mark.parametrize("layout", LAYOUTS)
@settings(max_examples=50, deadline=None)
@given(seed=SEEDS, n_envs=N_ENVS, slots=st.integers(2, 9), steps=st.integers(0, 25), more=st.integers(0, 9))
def test_the_same_samples(layout: str, seed: int, n_envs: int, slots: int, steps: int, more: int) -> None:
    encoder = Stub()
    images = filled(layout, slots, n_envs, steps, seed)
    before = pickle.dumps(images)
    stored = stored_transitions(images)
    latents = convert(images, encoder, max(stored, 1) + more)  # type: ignore[arg-type]
    assert pickle.dumps(images) == before

    order = oldest_first(images)
    assert len(order) * n_envs == stored
    assert latents.size() == len(order)
    assert_same(samples(latents, np.arange(len(order))), samples(images, order, encoder))
    for name in ("n_steps", "gamma", "handle_timeout_termination", "device", "n_envs", "action_space"):
        assert getattr(latents, name, None) == getattr(images, name, None)
    assert latents.full == (latents.buffer_size == len(order))
    assert latents.pos == (0 if latents.full else len(order))


@pytest.mark.parametrize("layout", LAYOUTS)
@settings(max_examples=50, deadline=None)
@given(seed=SEEDS, n_envs=N_ENVS, slots=st.integers(2, 9), steps=st.integers(1, 25), more=st.integers(0, 9))
def test_no_transition_is_lost_or_doubled(
    layout: str, seed: int, n_envs: int, slots: int, steps: int, more: int
) -> None:
    """From the first step to long after the conversion, against a plain list."""
    encoder, trail, images = Stub(), Trail(n_envs, seed), image_buffer(layout, slots, n_envs)
    # In one array, what an episode ended with is overwritten: it is masked when sampled, and not compared
    has_ends = layout != "one array"
    expected: deque[tuple[Any, ...]] = deque()
    for _ in range(steps):
        expected.append(trail.step())
        images.add(*expected[-1])
    while len(expected) > slots - (not has_ends and images.full):
        expected.popleft()
    latents = convert(images, encoder, (len(expected) + more) * n_envs)  # type: ignore[arg-type]
    ends_from = 0 if has_ends else len(expected) - 1
    for _ in range(2 * (len(expected) + more)):
        in_order = oldest_first(latents)
        assert len(in_order) == len(expected)
        for slot, (obs, _, actions, rewards, dones, infos) in zip(in_order, expected, strict=True):
            np.testing.assert_array_equal(latents.observations[slot], encoder(obs))
            np.testing.assert_array_equal(latents.actions[slot, :, 0], actions)
            np.testing.assert_array_equal(latents.rewards[slot], rewards.astype(np.float32))
            np.testing.assert_array_equal(latents.dones[slot], dones)
            if has_ends:
                np.testing.assert_array_equal(latents.timeouts[slot], [i["TimeLimit.truncated"] for i in infos])
        for slot, (_, next_obs, *_) in [*zip(in_order, expected, strict=True)][max(0, ends_from) :]:
            np.testing.assert_array_equal(latents.next_observations[slot], encoder(next_obs))
        expected.append(trail.step())
        latents.add(*expected[-1])
        if len(expected) > latents.buffer_size:
            expected.popleft()
            ends_from -= 1


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, n_envs=N_ENVS, slots=st.integers(2, 9), steps=st.integers(1, 25), later=st.integers(0, 12))
def test_deeper_from_shallower_latents(seed: int, n_envs: int, slots: int, steps: int, later: int) -> None:
    """Images, latents, more of them, deeper latents: as if the latents had been deep from the start."""
    shallow, deep, trail = Stub(), Stub(depth=2), Trail(n_envs, seed)
    images = image_buffer("n-step", slots, n_envs)
    for _ in range(steps):
        images.add(*trail.step())
    latents = convert(images, shallow, (images.size() + 2) * n_envs)  # type: ignore[arg-type]
    reference = convert(images, deep, (images.size() + 2) * n_envs)  # type: ignore[arg-type]
    for _ in range(later):
        transition = trail.step()
        latents.add(*transition)
        reference.add(*transition)
    before = pickle.dumps(latents)
    deeper = convert(latents, deep, latents.buffer_size * n_envs)  # type: ignore[arg-type]
    assert pickle.dumps(latents) == before
    assert type(deeper) is type(latents)
    slots_now = np.arange(deeper.size())
    assert_same(samples(deeper, slots_now), samples(reference, oldest_first(reference)))


@pytest.mark.parametrize("n_envs", [1, 3, 300])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_image_is_encoded_once(layout: str, n_envs: int) -> None:
    images, encoder = filled(layout, 400, n_envs, 450), Stub()
    slots = oldest_first(images)
    begun = images.observations[slots]
    if layout == "one array":
        ends = images.observations[(slots + 1) % images.buffer_size]
    else:
        ends = images.next_observations[slots]
    distinct = begun[0].shape[0] * len(slots) + n_envs + int((ends[:-1] != begun[1:]).any(axis=(2, 3, 4)).sum())
    latents = convert(images, encoder, stored_transitions(images))  # type: ignore[arg-type]
    assert encoder.rows == distinct
    assert latents.next_observations.n_kept == distinct - len(slots) * n_envs


def test_chunks_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convert_module, "CHUNK", 12)
    encoder, largest = Stub(), []
    whole = encoder.reencode
    monkeypatch.setattr(encoder, "reencode", lambda rows, *args: largest.append(len(rows)) or whole(rows, *args))
    images = filled("two arrays", 50, 3, 60)
    latents = convert(images, encoder, 150)  # type: ignore[arg-type]
    assert max(largest) == 12
    assert_same(samples(latents, np.arange(50)), samples(images, oldest_first(images), Stub()))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ConversionError("too large"), "too large"),
        (RuntimeError("no memory"), r"9 transitions could not be made latents: RuntimeError\('no memory'\)."),
        (MemoryError(), r"9 transitions could not be made latents: MemoryError\(\)."),
    ],
)
def test_failure_leaves_the_images(error: Exception, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise error

    images, encoder = filled(slots=9), Stub()
    monkeypatch.setattr(encoder, "reencode", fail)
    before = pickle.dumps(images)
    with pytest.raises(ConversionError, match=message):
        convert(images, encoder, 9)  # type: ignore[arg-type]
    assert pickle.dumps(images) == before


@pytest.mark.filterwarnings("ignore:This system does not have apparently enough memory")
def test_more_than_there_is_memory_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where memory is taken as it is written, nothing raises MemoryError."""
    free = SimpleNamespace(available=100)
    monkeypatch.setattr(convert_module.psutil, "virtual_memory", lambda: free)
    images, encoder = filled(slots=9), Stub()
    message = r"^9 transitions need 0\.00 GB as latents of depth=1, beside what they were made of, and 0\.00 GB are"
    with pytest.raises(ConversionError, match=message):
        convert(images, encoder, 9)  # type: ignore[arg-type]
    assert encoder.rows == 0
    free.available = 9 * latent_bytes(images, encoder)  # type: ignore[arg-type]
    assert convert(images, encoder, 9).size() == 9  # type: ignore[arg-type]


def test_refused() -> None:
    class Own(ReplayBuffer):
        pass

    with pytest.raises(ObservationError, match=r"found Own: leave out replay_buffer_class"):
        convert(Own(9, IMAGES, ACTIONS), Stub(), 9)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="for 8 transitions was asked for, to hold the 9 stored"):
        convert(filled(slots=9), Stub(), 8)  # type: ignore[arg-type]
    shallow = convert(filled(), Stub(), 9)  # type: ignore[arg-type]
    with pytest.raises(EfficientError, match="was loaded or copied without their encoder"):
        convert(pickle.loads(pickle.dumps(shallow)), Stub(depth=2), 9)  # type: ignore[arg-type]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_released_while_others_hold_it(layout: str) -> None:
    images = filled(layout)
    held = images
    release(images)
    assert held.size() == 0
    assert len(pickle.dumps(held)) < 2000, "spaces and numbers are all that is left"
    assert b"ndarray" not in pickle.dumps({k: v for k, v in vars(held).items() if "space" not in k})


@pytest.mark.parametrize(
    ("rule", "layout", "slots", "steps", "left", "expected"),
    [
        # An image transition: 2 * 4 + 8 + 12 bytes, one of latents: 4 * 4 + 8 + 12 + 4
        ("same-length", "two arrays", 100, 10, 1000, 100),
        ("same-length", "two arrays", 100, 10, 5, 100),
        ("same-length", "one array", 100, 120, 1000, 100),
        ("same-memory", "two arrays", 100, 10, 1000, 100 * 28 // 40),
        ("same-memory", "two arrays", 100, 100, 1000, 100),
        ("same-memory", "one array", 100, 120, 1000, 99),
        (500, "two arrays", 100, 10, 1000, 500),
        (500, "two arrays", 100, 50, 300, 500),
        (10, "two arrays", 100, 10, 1000, 10),
        (60, "two arrays", 100, 10, 5, 60),
        (np.int64(60), "two arrays", 100, 10, 5, 60),
    ],
)
def test_capacity(rule: Any, layout: str, slots: int, steps: int, left: int, expected: int) -> None:
    assert new_capacity(rule, filled(layout, slots, 1, steps), Stub(), left) == expected  # type: ignore[arg-type]


@settings(max_examples=60, deadline=None)
@given(
    rule=st.one_of(st.sampled_from(["same-memory", "same-length"]), st.integers(1, 300)),
    layout=st.sampled_from(LAYOUTS),
    n_envs=N_ENVS,
    steps=st.integers(0, 25),
    left=st.integers(0, 100),
)
def test_what_is_stored_fits(rule: Any, layout: str, n_envs: int, steps: int, left: int) -> None:
    images, encoder = filled(layout, 9, n_envs, steps), Stub()
    stored = stored_transitions(images)
    capacity = new_capacity(rule, images, encoder, left)  # type: ignore[arg-type]
    most = max(stored + left, 9 * n_envs) if isinstance(rule, str) else max(stored, rule)
    assert stored <= capacity <= most
    assert convert(images, encoder, max(capacity, 1)).size() * n_envs == stored  # type: ignore[arg-type]


@pytest.mark.parametrize("rule", ["same-memori", 0, -1, True, 2.5, None])
def test_no_capacity(rule: Any) -> None:
    with pytest.raises(OptionError, match=r"'same-memory', 'same-length' or a number of transitions, got") as error:
        new_capacity(rule, filled(), Stub(), 5)  # type: ignore[arg-type]
    assert ("Did you mean 'same-memory'?" in str(error.value)) == (rule == "same-memori")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the memory of its process from /proc")
@pytest.mark.parametrize("kept", ["", "keep"])
def test_memory(python: Run, kept: str) -> None:
    """At most the images, the latents, and what a chunk takes; then no images, freed memory kept or not."""
    script = Path(__file__).with_name("convert_memory.py")
    figures = map(float, python(str(script), "3000", kept).stdout.split())
    before, encoding, converting, after, used, images, chunk = figures
    assert used < images / 50
    # What malloc keeps is cut into pieces: how many, is not for us to say
    assert converting < encoding + used + (6 if not kept else 20) * chunk
    assert after < before - images + used + 6 * chunk
