"""What Optuna samples, beside what the entry has: in a search, and where one of its trials is trained."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import wraps
from typing import Any

from rl_zoo3 import hyperparams_opt

from sb3_efficient.errors import ConflictError, EfficientError, OptionError, UnknownNameError
from sb3_efficient.zoo.entries import Entry
from sb3_efficient.zoo.values import evaluated

Method = Callable[..., Any]
#: What a trial has in part, and the entry in part
_JOINED = ("policy_kwargs", "replay_buffer_kwargs")


def beside(sampled: Entry, entry: Entry) -> Entry:
    """
    The zoo lets sampled ``policy_kwargs`` replace the configured ones, and so drops the extractor without a word
    (DLR-RM/rl-baselines3-zoo#431); and an n-step replay buffer keeps the ``gamma`` that it was configured with.

    :param sampled: What a trial has
    :param entry: Hyper-parameters of the environment; layers that are searched for stay as sampled
    :return: What a trial has, with what belongs to it
    """
    found = dict(sampled)
    configured, buffer = (evaluated(entry, key) or {} for key in _JOINED)
    if "features_extractor" in entry or "features_extractor_class" in configured:
        found["policy_kwargs"] = {**copy.deepcopy(configured), **sampled.get("policy_kwargs", {})}
    if "gamma" in buffer and "gamma" in sampled:
        found["replay_buffer_kwargs"] = {**buffer, "gamma": sampled["gamma"]}
    return found


def hyperparameters_optimization(original: Method) -> Method:
    """Trials of a search."""

    @wraps(original)
    def optimize(self: Any) -> None:
        samplers: dict[str, Any] = hyperparams_opt.HYPERPARAMS_SAMPLER
        sampler = samplers[self.algo]
        samplers[self.algo] = lambda *args: beside(sampler(*args), self._hyperparams)
        try:
            original(self)
        except ValueError as error:
            if "No trials are completed" not in str(error):
                raise
            raise EfficientError(
                "No trial of this search was completed: it was interrupted before, or each failed for a reason that "
                "stands above. One that is the same each time is not in what was sampled, but in the settings that "
                "all trials have."
            ) from error
        finally:
            samplers[self.algo] = sampler

    return optimize


def load_trial(original: Method) -> Method:
    """A trial of a search that is over."""

    @wraps(original)
    def load(self: Any, storage: str, study_name: str, trial_id: int | None = None, convert: bool = True) -> Entry:
        try:
            sampled = original(self, storage, study_name, trial_id, convert)
        except KeyError as error:
            raise UnknownNameError(f"--study-name {study_name}: there is no such study in {storage}.") from error
        except IndexError as error:
            raise OptionError(f"--trial-id {trial_id}: the study {study_name!r} has no such trial.") from error
        found = beside(sampled, self.entry)
        # What is in it already, the zoo would put in the place of it
        joined = [key for key in _JOINED if found.get(key) is not sampled.get(key)]
        self.custom_hyperparams = {k: v for k, v in (self.custom_hyperparams or {}).items() if k not in joined}
        return found

    return load


def check_search(manager: Any) -> None:
    """
    Refuse options, of a search most of them, that the zoo would not heed.

    :param manager: rl-zoo3's ``ExperimentManager``
    """
    if manager.continue_training and manager.optimize_hyperparameters:
        raise ConflictError("With -i an agent is continued, and nothing is searched for: leave out -i or -optimize.")
    if manager.n_timesteps == 0:
        raise OptionError(
            "-n 0: rl-zoo3 takes 0 for what the configuration says. Give a number of timesteps, or no -n."
        )
    if manager.trial_id is not None and not (manager.storage and manager.study_name):
        raise OptionError(
            f"--trial-id {manager.trial_id} is of a study: say which, by --storage and --study-name, as in the search."
        )
    if manager.trial_id == 0:
        raise OptionError(
            "--trial-id 0: rl-zoo3 takes 0 for no trial at all. Give what that trial has, as the search printed it, "
            "behind -params."
        )
