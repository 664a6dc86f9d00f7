from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch as th
from helpers import parameters_match
from learners import agent, images
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.utils import set_random_seed

import sb3_efficient
from sb3_efficient.compression import ChannelPruning, Distillation, MagnitudePruning, list_methods
from sb3_efficient.compression.recipe import METHODS, ModelMethod
from sb3_efficient.envs import CatchEnv
from sb3_efficient.errors import ConflictError, ObservationError, OptionError, UnknownNameError
from sb3_efficient.seer import SEERCallback

MODEL_METHODS = [name for name in list_methods() if issubclass(METHODS[name], ModelMethod)]


def test_methods() -> None:
    assert MODEL_METHODS == [
        "binary",
        "channel-pruning",
        "distillation",
        "ln-structured",
        "magnitude-pruning",
        "qat",
    ]


@pytest.mark.parametrize("name", MODEL_METHODS)
def test_every_method_gives_a_model_and_leaves_the_original(name: str) -> None:
    model = agent()
    before = model.policy.state_dict()
    before = {key: tensor.clone() for key, tensor in before.items()}
    options: dict[str, Any] = {"steps": 2} if name in ("binary", "distillation", "qat") else {}
    options |= {"ratio": 0.1, "part": "conv"} if name == "magnitude-pruning" else {}
    result = sb3_efficient.prune(model, name, observations=images(), **options)
    assert type(result) is PPO
    assert result is not model
    assert all((tensor == before[key]).all() for key, tensor in model.policy.state_dict().items())
    result.learn(16)


@pytest.mark.parametrize("name", [None, "impala"])
def test_recipe_of_all(name: str | None, tmp_path: Any) -> None:
    recipe = ["channel-pruning(ratio=0.25)", "magnitude-pruning(part='conv')", "distillation(steps=2)", "qat(steps=2)"]
    model = agent("ppo", name)
    policy = sb3_efficient.compress(model, [*recipe, "binary(steps=2)", "static-int8"], calibration=images())
    loaded = sb3_efficient.load_policy(policy.save(tmp_path / "small.policy"))
    actions = policy.predict(images(8), deterministic=True)[0]
    np.testing.assert_array_equal(loaded.predict(images(8), deterministic=True)[0], actions)


def test_forms_of_a_method() -> None:
    model = agent()
    for method, options in (
        ("channel-pruning", {"ratio": 0.25}),
        ("channel-pruning(ratio=0.25)", {}),
        (ChannelPruning(0.25), {}),
        ({"method": "channel-pruning", "ratio": 0.25}, {}),
    ):
        result = sb3_efficient.prune(model, method, **options)
        assert result.policy_kwargs["features_extractor_kwargs"]["channels"] == [24, 48, 48]


def test_another_teacher() -> None:
    teacher = agent()
    student = sb3_efficient.prune(teacher)
    result = sb3_efficient.prune(student, "distillation", teacher=teacher, observations=images(), steps=1)
    assert result.policy.features_extractor.features_dim == 256


@pytest.mark.parametrize(
    ("arguments", "options", "error", "text"),
    [
        (("channel-prunning",), {}, UnknownNameError, "Unknown compression method .*Did you mean 'channel-pruning'"),
        (("channel-pruning",), {"ration": 0.5}, OptionError, "has no option 'ration'. Did you mean 'ratio'"),
        (("static-int8",), {}, OptionError, r"only acts, not a model: use compress\(model, 'static-int8'\)"),
        (("distillation",), {}, OptionError, r"'distillation' needs observations: prune\(model, 'distillation'"),
        (("channel-pruning",), {"importance": "taylor"}, OptionError, "'channel-pruning' needs observations"),
        ((MagnitudePruning(0.5),), {"ratio": 0.9}, ConflictError, "has its options already: leave out ratio"),
        (("distillation",), {"teacher": "x"}, OptionError, r"A teacher is a Stable-Baselines3 model, .* got 'x'"),
        (("ln-structured",), {"layers": ["linear.0", 5]}, OptionError, "There is no layer 5. Found: "),
        (("channel-pruning(layers={[1]: 0.2})",), {}, OptionError, r"layers=\{\[1\]: 0.2\} is no value"),
        (("distillation",), {"observations": images()[:, :1]}, ObservationError, r"must be an array \(N, 2, 36, 36\)"),
    ],
)
def test_bad_input(arguments: tuple, options: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        sb3_efficient.prune(agent(), *arguments, **options)


def test_something_else_than_a_model() -> None:
    with pytest.raises(OptionError, match=r"prune takes a Stable-Baselines3 model, such as PPO.load\(path\), got 3"):
        sb3_efficient.prune(3)  # type: ignore[type-var]


def test_a_policy_is_named_briefly() -> None:
    with pytest.raises(OptionError, match=r"got an object of ActorCriticCnnPolicy\.$"):
        sb3_efficient.prune(agent().policy)
    with pytest.raises(OptionError, match=r"got an object of ActorCriticCnnPolicy\.$"):
        sb3_efficient.compress(agent().policy, "dynamic-int8")
    with pytest.raises(OptionError, match=r"got an object of NatureCNN\.$"):
        sb3_efficient.make_engine(agent().policy.features_extractor)


@pytest.mark.parametrize(
    "step", ["channel-pruning(ratio=0.99)", "magnitude-pruning(ratio=0.999)", "ln-structured(ratio=0.9999)"]
)
def test_what_would_vanish_is_said_before_anything_is_trained(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Distillation, "apply", lambda *_, **__: pytest.fail("trained"))
    with pytest.raises(OptionError, match="Nothing would be left of"):
        sb3_efficient.compress(agent(), ["distillation", step], calibration=images())


def test_generators_and_the_environment_stay_as_they_are() -> None:
    """SB3 seeds everything anew when it loads a model that was made with a seed."""
    model = PPO("CnnPolicy", make_vec_env(CatchEnv, 1), seed=7, device="cpu")
    set_random_seed(3)
    model.env.seed(5)

    def numbers() -> tuple[float, ...]:
        return random.random(), float(np.random.rand()), float(th.rand(1))  # noqa: NPY002

    expected = numbers()
    set_random_seed(3)
    pruned = sb3_efficient.prune(model, "magnitude-pruning", ratio=0.5, part="conv")
    assert numbers() == expected
    assert model.env.venv._seeds == [5]
    assert pruned.get_env() is model.get_env()
    assert pruned.seed == 7


@pytest.mark.parametrize("context", [th.inference_mode, th.no_grad])
@pytest.mark.parametrize("step", ["channel-pruning", "distillation(steps=2, batch_size=8)"])
def test_where_torch_computes_no_gradients(context: Any, step: str) -> None:
    """As in a function that plays."""
    model = agent("ppo")
    expected = sb3_efficient.prune(model, step, observations=images())
    with context():
        found = sb3_efficient.prune(model, step, observations=images())
        policy = sb3_efficient.compress(model, [step, "static-int8"], calibration=images())
    assert parameters_match(found.policy, expected.policy)
    assert policy.n_bytes == sb3_efficient.compress(model, [step, "static-int8"], calibration=images()).n_bytes


def test_of_a_frozen_model_it_makes_one_that_learns_from_images() -> None:
    model = agent()
    model.learn(2 * model.n_steps, callback=SEERCallback(model.n_steps + 1, "conv"))
    pruned: Any = sb3_efficient.prune(model, "channel-pruning", ratio=0.5)
    assert not hasattr(pruned, "seer")
    first = pruned.policy.features_extractor.cnn[0].weight
    before = first.detach().clone()
    pruned.learn(model.n_steps)
    assert not th.equal(first, before)
    assert model.seer["depth"] == "conv", "the original is as it was"
