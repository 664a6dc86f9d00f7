"""A policy that only acts: small, in one file, and without code inside."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.vec_env import VecTransposeImage

from sb3_efficient.artifacts import pack, unpack
from sb3_efficient.atomic import replace_file
from sb3_efficient.compression.recipe import Method, make_recipe
from sb3_efficient.engines import ActingGraph, Engine, Head, make_engine
from sb3_efficient.engines.base import Observation
from sb3_efficient.errors import ArtifactError, EfficientError, OptionError, briefly
from sb3_efficient.space_config import space_from_config, space_to_config


@dataclass(frozen=True, eq=False)
class CompressedPolicy(ActingGraph):
    """
    What :func:`sb3_efficient.compress` makes. ``evaluate_policy`` and loops around ``model.predict`` take it.

    :param proto: See :class:`ActingGraph`
    :param head: How outputs become actions
    :param observation_space: Of the policy
    :param recipe: What was done to the model
    """

    recipe: tuple[Method, ...] = ()

    def engine(self, name: str = "onnxruntime", *, threads: int = 1) -> Engine:
        """
        :param name: ``"onnxruntime"``, ``"openvino"`` or, for ``static-int8``, ``"reuse"``
        :param threads: That it may compute on
        """
        return make_engine(self, name, threads=threads)

    def predict(
        self,
        observation: Observation,
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
        action_masks: np.ndarray | None = None,
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...] | None]:
        """
        SB3's ``predict``, on ONNX Runtime and one thread; see :meth:`Engine.predict`.
        """
        return self._engine.predict(observation, state, episode_start, deterministic, action_masks)

    def set_random_seed(self, seed: int | None = None) -> None:
        """
        :param seed: The same one gives the same actions to the same observations
        """
        self._engine.set_random_seed(seed)

    def __getstate__(self) -> dict[str, Any]:
        # Engines are made of a policy: of it only what actions are drawn by
        state = {name: value for name, value in vars(self).items() if name != "_engine"}
        return state | ({"_rng": self._engine._rng} if "_engine" in vars(self) else {})

    @property
    def action_space(self) -> spaces.Space:
        """Of the policy."""
        return self.head.action_space

    @cached_property
    def n_bytes(self) -> int:
        """Size of its file."""
        return len(self._packed)

    def save(self, path: str | Path) -> Path:
        """
        Write the policy to one file, which is replaced in one step.

        :param path: Exactly where the file shall lie
        """
        return replace_file(path, self._packed)

    @cached_property
    def _engine(self) -> Engine:
        engine = self.engine()
        engine._rng = vars(self).get("_rng", engine._rng)
        return engine

    @cached_property
    def _packed(self) -> bytes:
        manifest = {
            "observation_space": space_to_config(self.observation_space),
            "preprocessing": "inside the network, which takes observations as the environment gives them",
            "head": self.head.to_config(),
            "recipe": [method.to_config() for method in self.recipe],
        }
        return pack(manifest, self.proto)


def load_policy(path: str | Path, env: Any = None) -> CompressedPolicy:
    """
    Read what :meth:`CompressedPolicy.save` wrote. Nothing in the file is executed.

    :param path: The file
    :param env: Environment that the policy is to act in, whose spaces must be its own
    """
    if not isinstance(path, (str, Path)):
        raise OptionError(f"load_policy reads a file: its path must be text or a Path, got {briefly(path)}.")
    path = Path(path)
    manifest, proto = unpack(path)
    try:
        policy = CompressedPolicy(
            proto,
            Head.from_config(manifest["head"]),
            space_from_config(manifest["observation_space"]),
            make_recipe(manifest["recipe"]),
        )
    except (EfficientError, KeyError, TypeError, ValueError) as error:
        written_by = (manifest.get("versions") or {}).get("sb3-efficient")
        raise ArtifactError(
            f"{path}, written by sb3-efficient {written_by}, holds what this version does not know: "
            f"pip install --upgrade sb3-efficient ({error})."
        ) from error
    if env is not None:
        check_spaces(path, policy, env)
    return policy


def check_spaces(path: Path, policy: Any, env: Any) -> None:
    """
    Refuse a policy that another game is played by.

    :param path: Of the policy
    :param policy: Model or compressed policy
    :param env: Environment, or anything with its spaces, as a model that plays in it
    """
    own, found = policy.observation_space, env.observation_space
    if _form(own) != _form(found) and _form(own) != _form(_channel_first(found)):
        _refuse(path, "observations", own, found)
    if policy.action_space != env.action_space:
        _refuse(path, "actions", policy.action_space, env.action_space)


def _channel_first(space: spaces.Space) -> spaces.Space:
    if isinstance(space, spaces.Dict):
        return spaces.Dict({key: _channel_first(part) for key, part in space.spaces.items()})
    if isinstance(space, spaces.Box) and is_image_space(space) and space.shape[-1] < space.shape[0]:
        return VecTransposeImage.transpose_space(space)
    return space


def _form(space: spaces.Space) -> spaces.Space:
    """Without bounds, which change from release to release of an environment, and on which no network depends."""
    if isinstance(space, spaces.Dict):
        return spaces.Dict({key: _form(part) for key, part in space.spaces.items()})
    return spaces.Box(0, 1, space.shape, space.dtype) if isinstance(space, spaces.Box) else space


def _refuse(path: Path, what: str, own: spaces.Space, found: spaces.Space) -> NoReturn:
    raise ArtifactError(
        f"{path} is a policy for {what} of {own}, and this environment has {found}: take the policy of this "
        "environment, or the environment of this policy."
    )
