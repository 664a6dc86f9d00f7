"""Recording: spaced, shuffled, from all environments; and files that prove what they are."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from gymnasium import spaces
from safetensors.numpy import save_file
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env

from sb3_efficient.envs import CatchEnv
from sb3_efficient.errors import ArtifactError, EfficientError, ObservationError, OptionError
from sb3_efficient.evaluation.episodes import RandomPlay
from sb3_efficient.observations import collect, load_observations, save_observations

PLAYER = RandomPlay(spaces.Discrete(3))
IMAGES = np.random.default_rng(0).integers(0, 256, (5, 1, 6, 6), dtype=np.uint8)


def rows(observations: np.ndarray) -> np.ndarray:
    """Where the ball is."""
    return (observations == 255).any(axis=(1, 3)).argmax(axis=1) // CatchEnv.CELL


def test_observations_are_those_of_play() -> None:
    found = collect(PLAYER, make_vec_env(CatchEnv, 3), 100, spacing=5)
    assert found.shape == (100, 1, 84, 84)
    assert found.dtype == np.uint8
    assert set(rows(found)) == set(range(11))
    np.testing.assert_array_equal(found, collect(PLAYER, make_vec_env(CatchEnv, 3), 100, spacing=5))
    assert not np.array_equal(found, collect(PLAYER, make_vec_env(CatchEnv, 3), 100, spacing=5, seed=1))


def test_spacing() -> None:
    """A ball falls one row a step, and the next one begins after 11 steps: always the same row, or every one."""
    assert len(set(rows(collect(PLAYER, make_vec_env(CatchEnv, 1), 8, spacing=11)))) == 1
    assert len(set(rows(collect(PLAYER, make_vec_env(CatchEnv, 1), 11, spacing=1)))) == 11
    # Two environments take turns
    assert len(set(rows(collect(PLAYER, make_vec_env(CatchEnv, 2), 8, spacing=11)))) == 2


def test_a_single_environment_will_do() -> None:
    np.testing.assert_array_equal(collect(PLAYER, CatchEnv(), 8), collect(PLAYER, make_vec_env(CatchEnv, 1), 8))
    with pytest.raises(OptionError, match="environment of SB3 or Gymnasium, got 'Catch-v0'"):
        collect(PLAYER, "Catch-v0", 8)  # type: ignore[arg-type]


def test_models_play() -> None:
    env = make_vec_env(CatchEnv, 2)
    model = PPO("CnnPolicy", env, n_steps=8, batch_size=8)
    assert collect(model, env, 3).shape[1:] == model.observation_space.shape


def test_round_trip(tmp_path: Path) -> None:
    path = save_observations(tmp_path / "observations.safetensors", IMAGES[::-1])
    space = spaces.Box(0, 255, (1, 6, 6), np.uint8)
    np.testing.assert_array_equal(load_observations(path, space), IMAGES[::-1])
    assert path.stat().st_size < IMAGES.nbytes + 1000


@pytest.mark.parametrize(
    "wrong", [IMAGES.astype(np.float32), IMAGES[0], IMAGES[:0]], ids=["floats", "a single one", "none"]
)
def test_what_is_not_recorded(wrong: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(ObservationError, match=r"are uint8 images \(N, C, H, W\), got"):
        save_observations(tmp_path / "x", wrong)
    assert not (tmp_path / "x").exists()


def test_environments_without_images_are_refused() -> None:
    with pytest.raises(ObservationError, match="Observations of uint8 images are recorded"):
        collect(PLAYER, make_vec_env("CartPole-v1", 1), 3)
    with pytest.raises(OptionError, match="spacing must be a whole number of at least 1, got 0"):
        collect(PLAYER, make_vec_env(CatchEnv, 1), 3, spacing=0)


def test_a_flipped_byte_is_found_wherever_it_is(tmp_path: Path) -> None:
    path = save_observations(tmp_path / "x", IMAGES)
    whole = path.read_bytes()
    for i in range(len(whole)):
        path.write_bytes(whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :])
        with pytest.raises(EfficientError):
            load_observations(path)


def test_other_files(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with pytest.raises(ArtifactError, match="There is no file"):
        load_observations(path)
    save_observations(path, IMAGES)
    with pytest.raises(ObservationError, match=r"has images of shape \(1, 6, 6\), and the policy takes \(4, 84, 84\)"):
        load_observations(path, spaces.Box(0, 255, (4, 84, 84), np.uint8))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ArtifactError, match="or not all of one"):
        load_observations(path)
    path.write_bytes(pickle.dumps(IMAGES))
    with pytest.raises(ArtifactError, match="is not a file of recorded observations"):
        load_observations(path)
    save_file({"observations": IMAGES}, path)
    with pytest.raises(ArtifactError, match="holds no recorded observations"):
        load_observations(path)
    facts = {"format": "sb3-efficient observations", "version": "2", "space": json.dumps({}), "sha256": ""}
    save_file({"observations": IMAGES}, path, facts)
    with pytest.raises(ArtifactError, match="has version 2 of the format, and this sb3-efficient reads 1"):
        load_observations(path)
