"""The methods of rl-zoo3's ``ExperimentManager`` that have to know our words."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from importlib.util import find_spec
from typing import Any

import gymnasium as gym
from rl_zoo3 import ALGOS
from stable_baselines3.common.vec_env import VecEnv

from sb3_efficient.envs.retro import import_retro
from sb3_efficient.errors import ConflictError, MissingExtraError, OptionError
from sb3_efficient.zoo.agents import (
    check_algorithm,
    check_same_extractor,
    check_same_policy,
    saved_entry,
    saved_policy_kwargs,
)
from sb3_efficient.zoo.entries import KEYS, to_stock
from sb3_efficient.zoo.entry_callbacks import check_frozen_agent, take_callbacks
from sb3_efficient.zoo.keys import check_keys, check_schedules
from sb3_efficient.zoo.lookup import one_entry, ours_instead
from sb3_efficient.zoo.replay_buffer import (
    check_n_steps,
    check_replay_buffer,
    import_replay_buffer,
    leave_saved_options,
)
from sb3_efficient.zoo.trials import check_search
from sb3_efficient.zoo.values import check_values
from sb3_efficient.zoo.vec_env import check_ale, take_vec_env

Method = Callable[..., Any]


def read_hyperparameters(original: Method) -> Method:
    """Prefer the entry made for the extractor; remember the extractor of an agent that is continued."""

    @wraps(original)
    def read(self: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        check_search(self)
        if self.continue_training:
            check_algorithm(self.trained_agent, self.algo)
            policies = getattr(ALGOS[self.algo], "policy_aliases", {})
            check_same_policy(self.trained_agent, self.custom_hyperparams or {}, policies)
        typed = {key: value for key, value in (self.custom_hyperparams or {}).items() if key in KEYS}
        own = saved_entry(self.trained_agent) if self.continue_training else {}
        name = {**own, **typed}.get("features_extractor")
        # What was typed can be judged before anything is read
        asked = {**typed, "features_extractor": name}
        if typed and self.continue_training and (name or "features_extractor" in typed):
            check_same_extractor(self.trained_agent, asked, ALGOS[self.algo])
        elif name is not None:
            to_stock(asked, ALGOS[self.algo])
        with one_entry(self, name) as entry:
            # What a trial is put beside
            self.entry = {**entry, **(self.custom_hyperparams or {})}
            hyperparams, saved = original(self)
        if isinstance(buffer_class := saved.get("replay_buffer_class"), type):
            # The zoo's enjoy looks for a word in it
            saved["replay_buffer_class"] = f"{buffer_class.__module__}.{buffer_class.__qualname__}"
        if self.continue_training:
            # The zip brings its own network, whatever the entry says; config.yml records that one
            for key in KEYS:
                saved.pop(key, None)
                if name is not None or key not in typed:
                    hyperparams.pop(key, None)
            saved.pop("policy_kwargs", None)
            kwargs = saved_policy_kwargs(self.trained_agent)
            saved.update({**own, "policy_kwargs": kwargs} if kwargs else own)
        return hyperparams, saved

    return read


def preprocess_hyperparams(original: Method) -> Method:
    """Put our words into those of SB3, after the zoo has evaluated its own."""

    @wraps(original)
    def preprocess(self: Any, hyperparams: dict[str, Any]) -> tuple[Any, ...]:
        hyperparams = dict(hyperparams)
        check_values(hyperparams, ours_instead(self))
        check_complete(self, hyperparams)
        if self.continue_training:
            check_frozen_agent(hyperparams, self.trained_agent)
        take_callbacks(hyperparams, continues=self.continue_training)
        import_replay_buffer(hyperparams)
        env_kwargs, env_id = hyperparams.get("env_kwargs") or self.env_kwargs or {}, self.env_name.gym_id
        # The zoo's own, which it has from --eval-env-kwargs; None if nothing was typed
        eval_kwargs = env_kwargs if self._eval_env_kwargs_args is None else self._eval_env_kwargs_args
        check_schedules(hyperparams)
        evaluates = self.eval_freq > 0 or self.optimize_hyperparameters
        if evaluates and eval_kwargs is not env_kwargs:
            self.ale_eval_env = take_vec_env(dict(hyperparams), eval_kwargs, env_id, "--eval-env-kwargs")
            self.ale_vec_env = take_vec_env(hyperparams, env_kwargs, env_id)
        else:
            self.ale_vec_env = self.ale_eval_env = take_vec_env(hyperparams, env_kwargs, env_id)
        check_extras(env_id)
        if self.ale_vec_env is not None:
            check_ale(self.vec_env_class, hyperparams)
        hyperparams, *rest = original(self, hyperparams)
        if self.continue_training:
            leave_saved_options(hyperparams, self.trained_agent)
            # The zoo takes it out
            hyperparams.setdefault("policy", None)
        check_keys(hyperparams, ALGOS[self.algo])
        check_n_steps(hyperparams)
        return (to_stock(hyperparams, ALGOS[self.algo]), *rest)

    return preprocess


def check_complete(manager: Any, hyperparams: dict[str, Any]) -> None:
    """
    Refuse an entry that does not say what, or for how long, to train.

    :param manager: rl-zoo3's ``ExperimentManager``
    :param hyperparams: Of one environment; timesteps are added from the command line, as the zoo takes them out
    """
    if manager.n_timesteps > 0:
        hyperparams.setdefault("n_timesteps", manager.n_timesteps)
    needed = {"n_timesteps": "1_000_000, or give -n", "policy": "CnnPolicy, or MlpPolicy for vectors"}
    for key, example in needed.items():
        if key not in hyperparams and not (key == "policy" and manager.continue_training):
            raise OptionError(f"The entry of {manager.env_name.gym_id} has no {key}: add {key}={example}.")


def check_extras(env_id: str) -> None:
    """
    Refuse an environment whose packages are not installed, before processes are started for it.

    :param env_id: As gymnasium has it
    """
    entry_point = str(gym.registry[env_id].entry_point)
    if entry_point == "sb3_efficient.envs.retro:make":
        import_retro()
    if entry_point.startswith("gymnasium.envs.box2d") and find_spec("Box2D") is None:
        raise MissingExtraError(
            f"{env_id} needs Box2D, which is not installed: pip install 'sb3-efficient[box2d]' (or 'gymnasium[box2d]')."
        )


def create_envs(original: Method) -> Method:
    """Make an ``AleVecEnv`` where the entry says so, for training and for evaluation."""

    @wraps(original)
    def create(self: Any, n_envs: int, eval_env: bool = False, no_log: bool = False) -> VecEnv:
        settings = self.ale_eval_env if eval_env else self.ale_vec_env
        if settings is None:
            return original(self, n_envs, eval_env, no_log)
        from sb3_efficient.envs import AleVecEnv

        folder = None if eval_env or no_log else self.save_path
        env: VecEnv = AleVecEnv(self.env_name.gym_id, n_envs, self.seed, monitor_dir=folder, **settings)
        if self.vec_env_wrapper is not None:
            env = self.vec_env_wrapper(env)
        return self._maybe_normalize(env, eval_env)

    return create


def load_pretrained_agent(original: Method) -> Method:
    """An agent of another game, or a replay buffer of another run: say so, in place of what SB3 says."""

    @wraps(original)
    def load(self: Any, hyperparams: dict[str, Any], env: VecEnv) -> Any:
        try:
            model = original(self, hyperparams, env)
        except ValueError as error:
            if "spaces do not match" not in str(error):
                raise
            raise ConflictError(
                f"{self.trained_agent} cannot be continued in {self.env_name.gym_id}: {error}. Name the environment "
                "that it was trained in, with its wrappers, or train from scratch without -i."
            ) from error
        check_replay_buffer(model, hyperparams, self.trained_agent, self.custom_hyperparams or {})
        return model

    return load
