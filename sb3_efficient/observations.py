"""
Observations of an agent at play, recorded: what compression is calibrated on, and networks are compared and timed on.

A file of them is an array of safetensors with facts beside it; what is damaged, or of other images, is refused.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from stable_baselines3.common.preprocessing import is_image_space, is_image_space_channels_first
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecTransposeImage

from sb3_efficient.atomic import replace_file
from sb3_efficient.errors import ArtifactError, ObservationError, OptionError, briefly
from sb3_efficient.evaluation.episodes import Policy, act, masks_of
from sb3_efficient.generators import seeded
from sb3_efficient.options import whole_number
from sb3_efficient.progress import progress_bar
from sb3_efficient.space_config import space_from_config, space_to_config

_FORMAT, _VERSION = "sb3-efficient observations", 1


def collect(
    policy: Policy,
    env: VecEnv | gym.Env,
    n: int,
    *,
    spacing: int = 10,
    deterministic: bool = False,
    seed: int = 0,
    title: str | None = None,
) -> np.ndarray:
    """
    Let a policy play, and keep some of what it sees.

    :param policy: SB3 model, engine or compressed policy; one that takes action masks gets those of the environment
    :param env: One environment with images, or any number; several bring more different episodes
    :param n: How many observations
    :param spacing: Steps of an environment from one that is kept to the next, since neighbours differ little
    :param deterministic: Whether the policy takes its most probable actions, and sees less of the game
    :param seed: Of environments and actions
    :param title: Of a progress bar; None for no bar
    :return: (n, C, H, W), uint8, shuffled, so that the first few are as good a sample as any
    """
    whole_number("n", n)
    seed = whole_number("seed", seed, least=0)
    env = _channels_first(_vectorized(env))
    rng = np.random.default_rng(seed)
    # Not in step, so that what is kept comes from all parts of the first episodes
    wait = np.arange(env.num_envs) * whole_number("spacing", spacing) // env.num_envs
    kept: list[np.ndarray] = []
    state, starts, masks = None, np.ones(env.num_envs, bool), masks_of(policy, [env])
    with seeded(policy, seed), progress_bar(title, n) as advance:
        env.seed(seed)
        seen: Any = env.reset()
        while len(kept) < n:
            for i in np.flatnonzero(wait == 0)[: n - len(kept)]:
                kept.append(seen[i].copy())
                advance()
            wait = np.where(wait == 0, spacing, wait) - 1
            actions, state = act(policy, seen, state, starts, deterministic, masks)
            seen, _, starts, _ = env.step(actions)
    return np.stack(kept)[rng.permutation(n)]


def save_observations(path: str | Path, observations: np.ndarray) -> Path:
    """
    :param path: Where the file shall lie, replaced in one step
    :param observations: (N, C, H, W), uint8
    :return: The path
    """
    if not isinstance(observations, np.ndarray):
        raise ObservationError(f"Recorded observations are an array (N, C, H, W), got {briefly(observations)}.")
    if observations.dtype != np.uint8 or observations.ndim != 4 or not len(observations):
        raise ObservationError(
            f"Recorded observations are uint8 images (N, C, H, W), got {observations.dtype} of {observations.shape}."
        )
    facts = {
        "format": _FORMAT,
        "version": str(_VERSION),
        "space": json.dumps(space_to_config(spaces.Box(0, 255, observations.shape[1:], np.uint8))),
    }
    observations = np.ascontiguousarray(observations)
    facts["sha256"] = _digest(observations, facts)
    return replace_file(path, save({"observations": observations}, facts))


def load_observations(path: str | Path, space: spaces.Space | None = None) -> np.ndarray:
    """
    :param path: A file of :func:`save_observations`
    :param space: Observation space of the policy that they are meant for; None to take any
    :return: (N, C, H, W), uint8
    """
    if not Path(path).is_file():
        raise ArtifactError(f"There is no file {path}. 'sb3-efficient collect' records observations.")
    try:
        with safe_open(path, framework="np") as file:
            facts = file.metadata() or {}
            _check_format(path, facts)
            observations = file.get_tensor("observations")
    except SafetensorError as error:
        raise ArtifactError(
            f"{path} is not a file of recorded observations, or not all of one ({error}). Record them again with "
            "'sb3-efficient collect'."
        ) from error
    if facts.pop("sha256", None) != _digest(observations, facts):
        raise ArtifactError(f"{path} is damaged: its digest is not that of its content. Record the observations again.")
    found = space_from_config(json.loads(facts["space"]))
    if space is not None and space.shape != found.shape:
        raise ObservationError(f"{path} has images of shape {found.shape}, and the policy takes {space.shape}.")
    return observations


def _check_format(path: str | Path, facts: dict[str, str]) -> None:
    if facts.get("format") != _FORMAT:
        raise ArtifactError(f"{path} holds no recorded observations. Record some with 'sb3-efficient collect'.")
    if facts.get("version") != str(_VERSION):
        raise ArtifactError(
            f"{path} has version {facts.get('version')} of the format, and this sb3-efficient reads {_VERSION}: "
            "install the one that wrote it, or record the observations again."
        )


def _digest(observations: np.ndarray, facts: dict[str, str]) -> str:
    header = json.dumps([facts, observations.shape, str(observations.dtype)], sort_keys=True)
    return hashlib.sha256(header.encode() + observations.tobytes()).hexdigest()


def _vectorized(env: VecEnv | gym.Env) -> VecEnv:
    """As SB3's ``evaluate_policy`` does."""
    if isinstance(env, gym.Env):
        return DummyVecEnv([lambda: env])
    if not isinstance(env, VecEnv):
        raise OptionError(f"Observations are recorded in an environment of SB3 or Gymnasium, got {briefly(env)}.")
    return env


def _channels_first(env: VecEnv) -> VecEnv:
    """As SB3's algorithms do."""
    space = env.observation_space
    if not is_image_space(space):
        raise ObservationError(f"Observations of uint8 images are recorded, and the environment gives {space}.")
    return env if is_image_space_channels_first(space) else VecTransposeImage(env)  # type: ignore[arg-type]
