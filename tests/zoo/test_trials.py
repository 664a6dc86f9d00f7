"""What Optuna samples, and what belongs to it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from rl_zoo3 import hyperparams_opt

from sb3_efficient import policy_kwargs
from sb3_efficient.errors import ConflictError, EfficientError, OptionError, UnknownNameError
from sb3_efficient.extractors import ImpalaExtractor
from sb3_efficient.zoo.trials import beside, check_search, hyperparameters_optimization, load_trial

SAMPLERS: dict[str, Any] = hyperparams_opt.HYPERPARAMS_SAMPLER


def test_every_trial_has_the_extractor_and_the_samplers_are_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def sampler(*_: object) -> dict[str, Any]:
        return {"gamma": 0.9, "policy_kwargs": {"net_arch": [64]}}

    trials: list[dict[str, Any]] = []

    def interrupted(self: Any) -> None:
        trials.extend(SAMPLERS["dqn"](None, 1, 1, {}) for _ in range(2))
        trials[0]["policy_kwargs"]["features_extractor_kwargs"]["width"] = 9
        raise KeyboardInterrupt

    monkeypatch.setitem(SAMPLERS, "dqn", sampler)
    configured = policy_kwargs("impala", "dqn", width=2)
    with pytest.raises(KeyboardInterrupt):
        hyperparameters_optimization(interrupted)(
            SimpleNamespace(algo="dqn", _hyperparams={"policy_kwargs": configured})
        )
    assert SAMPLERS["dqn"] is sampler
    for trial in trials:
        assert trial["gamma"] == 0.9
        assert trial["policy_kwargs"]["features_extractor_class"] is ImpalaExtractor
        assert trial["policy_kwargs"]["net_arch"] == [64], "as sampled"
    assert trials[1]["policy_kwargs"]["features_extractor_kwargs"]["width"] == 2, "each has options of its own"
    assert configured == policy_kwargs("impala", "dqn", width=2)


@pytest.mark.parametrize("policy_kwargs", [{}, {"features_extractor_class": ImpalaExtractor}])
def test_a_search_without_a_trial_says_so(policy_kwargs: dict[str, Any]) -> None:
    def search(_: Any) -> None:
        raise ValueError("No trials are completed yet.")

    manager = SimpleNamespace(algo="dqn", _hyperparams={"policy_kwargs": policy_kwargs})
    with pytest.raises(EfficientError, match="No trial of this search was completed: it was interrupted before, or"):
        hyperparameters_optimization(search)(manager)


N_STEP = {"n_steps": 3, "gamma": 0.95}


@pytest.mark.parametrize("options", [N_STEP, "dict(n_steps=3, gamma=0.95)"])
def test_returns_of_several_steps_are_discounted_as_sampled(options: Any) -> None:
    found = beside({"gamma": 0.9, "batch_size": 8}, {"gamma": 0.95, "replay_buffer_kwargs": options})
    assert found == {"gamma": 0.9, "batch_size": 8, "replay_buffer_kwargs": {"n_steps": 3, "gamma": 0.9}}
    assert N_STEP["gamma"] == 0.95
    hindsight = {"gamma": 0.9, "replay_buffer_kwargs": {"n_sampled_goal": 4}}
    assert beside(hindsight, {}) == hindsight


@pytest.mark.parametrize("own", [{"optimizer_class": "torch.optim.SGD"}, "dict(optimizer_class='torch.optim.SGD')"])
def test_a_trial_is_trained_as_it_was_searched_for(own: Any) -> None:
    entry = {"features_extractor": "impala", "policy_kwargs": own}
    typed = {"policy_kwargs": own, "n_envs": 2}
    manager = SimpleNamespace(entry=entry, custom_hyperparams=typed)
    load = load_trial(lambda *_: {"policy_kwargs": {"net_arch": [64]}})
    found = load(manager, "a.log", "study", 1)
    assert found == {"policy_kwargs": {"optimizer_class": "torch.optim.SGD", "net_arch": [64]}}
    assert manager.custom_hyperparams == {"n_envs": 2}, "what the trial has, too, is not put in its place"
    manager.entry, manager.custom_hyperparams = {"policy_kwargs": own}, typed
    assert load(manager, "a.log", "study", 1) == {"policy_kwargs": {"net_arch": [64]}}, "as the zoo's own"
    assert manager.custom_hyperparams == typed


@pytest.mark.parametrize(
    ("error", "found", "text"),
    [
        (KeyError("Record does not exist."), UnknownNameError, "--study-name mine: there is no such study in a.log."),
        (IndexError(), OptionError, "--trial-id 9: the study 'mine' has no such trial."),
    ],
)
def test_studies_and_trials_that_there_are_not(error: Exception, found: type[EfficientError], text: str) -> None:
    def failing(*_: Any) -> Any:
        raise error

    with pytest.raises(found) as raised:
        load_trial(failing)(SimpleNamespace(), "a.log", "mine", 9)
    assert str(raised.value) == text


def test_what_the_zoo_would_not_heed() -> None:
    manager = SimpleNamespace(
        continue_training=False, optimize_hyperparameters=True, storage=None, study_name=None, trial_id=None
    )
    manager.n_timesteps = -1
    check_search(manager)
    manager.trial_id, manager.storage = 3, "a.log"
    with pytest.raises(OptionError, match="--trial-id 3 is of a study: say which, by --storage and --study-name"):
        check_search(manager)
    manager.study_name = "mine"
    check_search(manager)
    manager.trial_id = 0
    with pytest.raises(OptionError, match="--trial-id 0: rl-zoo3 takes 0 for no trial at all."):
        check_search(manager)
    manager.n_timesteps = 0
    with pytest.raises(OptionError, match="-n 0: rl-zoo3 takes 0 for what the configuration says"):
        check_search(manager)
    manager.continue_training = True
    with pytest.raises(ConflictError, match="leave out -i or -optimize"):
        check_search(manager)
