"""Agents where rl-zoo3 puts them: ``<folder>/<algo>/<env>_<id>/<env>.zip``, with their settings beside them."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import sys
import zipfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import gymnasium as gym
import yaml
from huggingface_sb3 import EnvironmentName
from rl_zoo3 import ALGOS
from rl_zoo3.exp_manager import ExperimentManager
from rl_zoo3.utils import create_test_env, get_model_path, get_saved_hyperparams, get_wrapper_class
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

import sb3_efficient.envs  # noqa: F401  (registers our environments with gymnasium)
from sb3_efficient.compression.policy import check_spaces
from sb3_efficient.envs import AleVecEnv
from sb3_efficient.errors import ArtifactError, EfficientError, MissingExtraError, UnknownNameError, suggestion
from sb3_efficient.policies import GREEDY, find_algorithm
from sb3_efficient.zoo.record import is_last
from sb3_efficient.zoo.vec_env import take_vec_env

#: Schedules may be pickled code of an older Python, and are for training only
_UNUSED = {"learning_rate": 0.0, "lr_schedule": lambda _: 0.0, "clip_range": lambda _: 0.0}


@dataclass(frozen=True)
class SavedAgent:
    """
    :param algo: rl-zoo3's name
    :param env_id: As gymnasium has it
    :param path: Zip of the agent
    """

    algo: str
    env_id: str
    path: Path

    @property
    def name(self) -> str:
        """How its files begin: ``PongNoFrameskip-v4``, ``ALE-Pong-v5``."""
        return str(EnvironmentName(self.env_id))

    @property
    def is_atari(self) -> bool:
        """Whether rl-zoo3 plays it as an Atari game."""
        return bool(ExperimentManager.is_atari(self.env_id))

    @property
    def is_deterministic(self) -> bool:
        """Whether it plays its best actions: what DQN does, and rl-zoo3's ``enjoy`` outside of Atari and MiniGrid."""
        sampled = self.is_atari or ExperimentManager.is_minigrid(self.env_id)
        return self.algo in GREEDY or not sampled

    def load(self) -> BaseAlgorithm:
        """
        :return: The model, on the CPU
        """
        return load_model(self.algo, self.path)

    def make_env(self, sticky: float = 0.25) -> VecEnv:
        """
        :param sticky: Chance in each frame that an Atari game repeats the last action instead
        :return: One environment, with the wrappers that the agent was trained in
        """
        try:
            return self._make_env(sticky)
        except EfficientError:
            raise
        except gym.error.DependencyNotInstalled as error:
            raise MissingExtraError(f"{self.env_id} needs a package that is not installed: {error}") from error
        except (ImportError, AttributeError, TypeError, ValueError, gym.error.Error, yaml.YAMLError) as error:
            # Whatever the zoo makes of files that are empty, or of a package that is gone
            raise ArtifactError(
                f"No environment can be made by the settings in {self._settings}, which {self.path.name} was trained "
                f"in ({type(error).__name__}: {error})."
            ) from error

    def check_fit(self, model: BaseAlgorithm) -> None:
        """
        Refuse a model that cannot play in the environment that its settings make.

        :param model: The agent's
        """
        with closing(self.make_env(sticky=0.0)) as env:
            try:
                check_spaces(self.path, model, env)
            except ArtifactError as error:
                if self._settings.is_dir():
                    raise
                gone = f"The settings that it was trained with, {self._settings}, are gone."
                raise ArtifactError(f"{error} {gone}") from None

    @property
    def digest(self) -> str:
        """Of the zip, and of what says where it plays."""
        sha = hashlib.sha256(self.path.read_bytes())
        for name in ("config.yml", "args.yml", "vecnormalize.pkl"):
            file = self._settings / name
            sha.update(file.read_bytes() if file.exists() else b"")
        return sha.hexdigest()[:16]

    @property
    def _settings(self) -> Path:
        """Folder of its settings, and of the statistics of its observations."""
        return self.path.parent / self.name

    def _make_env(self, sticky: float) -> VecEnv:
        folder = self._settings
        settings, statistics = get_saved_hyperparams(str(folder), test_mode=True)
        env_kwargs = {**(settings.pop("env_kwargs", None) or {}), **typed_env_kwargs(folder)}
        if not settings.get("normalize_kwargs", {}).get("norm_obs", True):
            # Only rewards, which are to be those of the game
            settings["normalize"] = False
        if self.is_atari:
            if (env := self._ale_env(settings, env_kwargs, sticky)) is not None:
                if make := get_wrapper_class(settings, "vec_env_wrapper"):
                    env = cast(Any, make)(env)
                return _normalized(env, folder) if settings.get("normalize") else env
            env_kwargs["repeat_action_probability"] = sticky
        return create_test_env(
            self.env_id,
            stats_path=statistics,
            should_render=False,
            hyperparams=copy.deepcopy(settings),
            env_kwargs=env_kwargs,
        )

    def _ale_env(self, settings: dict[str, Any], env_kwargs: dict[str, Any], sticky: float) -> VecEnv | None:
        """The faster environment, where it shows what the agent was trained on; None where it does not."""
        entry, was_trained_in = {**settings, "n_envs": 1, "vec_env": "ale"}, settings.get("vec_env") == "ale"
        if settings.get("normalize") and not was_trained_in:
            return None
        if settings.get("normalize"):
            _statistics(self._settings)
        # How often actions were repeated in training does not matter here
        typed = {key: value for key, value in env_kwargs.items() if key != "repeat_action_probability"}
        try:
            options = take_vec_env(entry, typed, None if was_trained_in else self.env_id) or {}
            return AleVecEnv(self.env_id, 1, **{**options, "action_repeat_probability": sticky})
        except EfficientError:
            # Also where it was trained there, but with actions that were repeated less often
            return None


def _statistics(folder: Path) -> Path:
    file = folder / "vecnormalize.pkl"
    if not file.is_file():
        raise EfficientError(f"The agent was trained with VecNormalize, and its statistics, {file}, are gone.")
    return file


def _normalized(env: VecEnv, folder: Path) -> VecEnv:
    """By the statistics of training, which stay what they are; rewards are those of the game."""
    env = VecNormalize.load(str(_statistics(folder)), env)
    env.training = env.norm_reward = False
    return env


def find_agent(algo: str, env_id: str, folder: str | Path, *, exp_id: int = 0, load_best: bool = False) -> SavedAgent:
    """
    :param algo: rl-zoo3's name
    :param env_id: As gymnasium has it
    :param folder: The zoo's folder of logs
    :param exp_id: Number of the run; 0 for the latest
    :param load_best: Whether to take the best model of the run in place of the last
    """
    find_algorithm(algo)
    if env_id not in gym.registry:
        raise UnknownNameError(f"No environment {env_id!r} is registered.{suggestion(env_id, gym.registry)}")
    try:
        # It says which run it takes
        with contextlib.redirect_stdout(sys.stderr):
            _, path, _ = get_model_path(exp_id, str(folder), algo, EnvironmentName(env_id), load_best)
    except (AssertionError, ValueError) as error:
        raise no_agent(str(error), folder) from error
    return SavedAgent(algo, env_id, Path(path))


def no_agent(message: str, folder: str | Path) -> EfficientError:
    """
    :param message: The zoo's
    :param folder: The zoo's folder of logs
    :return: The same with the agents that there are, and what to do
    """
    folder = Path(folder)
    found = sorted(str(file.parent.relative_to(folder)) for file in folder.glob("*/*_*/*.zip"))
    if not found and any(folder.glob("*_*/*.zip")):
        # Path(".") has no parent
        above = folder.parent if folder.name else folder / ".."
        hint = f"{folder} is the folder of one algorithm: name the one above it, -f {above}."
    else:
        hint = "Choose one with --algo, --env, --exp-id and -f, or train one with 'sb3-efficient train'."
    agents = ", ".join(dict.fromkeys(found)) or "none"
    return EfficientError(f"{message.rstrip('.')}. Agents in {folder}: {agents}. {hint}")


def all_agents(folder: str | Path) -> tuple[list[SavedAgent], list[Path]]:
    """
    :param folder: The zoo's folder of logs
    :return: The last model of every run in it, by path; and files that look like one, of environments that are not
        registered
    """
    ids = {str(EnvironmentName(env_id)): env_id for env_id in gym.registry}
    found, unknown = [], []
    for path in sorted(Path(folder).glob("*/*_*/*.zip")):
        algo, name = path.parents[1].name, path.stem
        if not is_last(path) or algo not in ALGOS:
            continue
        if name in ids:
            found.append(SavedAgent(algo, ids[name], path))
        else:
            unknown.append(path)
    return found, unknown


def load_model(algo: str, path: str | Path) -> BaseAlgorithm:
    """
    :param algo: rl-zoo3's name
    :param path: Zip of an SB3 model
    :return: The model, on the CPU, without room for replay
    """
    algo_class = find_algorithm(algo)
    replay: dict[str, Any] = {}
    if issubclass(algo_class, OffPolicyAlgorithm):
        # Beside handle_timeout_termination, SB3 refuses the first
        replay = {"buffer_size": 1, "optimize_memory_usage": False}
    if not zipfile.is_zipfile(path):
        raise ArtifactError(f"{path} is no zip of Stable-Baselines3, or a damaged one: choose another agent.")
    try:
        return algo_class.load(path, device="cpu", custom_objects=_UNUSED, **replay)
    except (ImportError, MemoryError, EfficientError):
        raise
    except Exception as error:
        # Whatever SB3, torch and zipfile make of bytes that they do not expect
        raise ArtifactError(
            f"{path} is no agent of {algo}, or a damaged one: choose another, or another --algo. ({error})"
        ) from error


def typed_env_kwargs(folder: Path) -> dict[str, Any]:
    """
    :param folder: Settings of a run
    :return: Those of the command line that trained the agent, which the zoo keeps apart
    """
    file = folder / "args.yml"
    if not file.is_file():
        return {}
    return yaml.load(file.read_text(), Loader=yaml.UnsafeLoader).get("env_kwargs") or {}
