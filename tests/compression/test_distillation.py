from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from helpers import parameters_match
from learners import ALGORITHMS, actions, agent, images, tensors
from stable_baselines3 import PPO
from stable_baselines3.common.envs import FakeImageEnv
from stable_baselines3.common.torch_layers import NatureCNN

from sb3_efficient import compress, prune
from sb3_efficient.compression.channels import ChannelPruning
from sb3_efficient.compression.distillation import Distillation
from sb3_efficient.compression.networks import networks
from sb3_efficient.compression.recipe import make_method
from sb3_efficient.errors import ConflictError, OptionError


def distilled(student: Any, teacher: Any, observations: np.ndarray | None, **options: Any) -> Any:
    options = {"steps": 60, "batch_size": 32, **options}
    return Distillation(**options).apply(student, teacher=teacher, observations=observations)


def teacher_of(algo: str, **kwargs: Any) -> Any:
    """An agent that sees differences between images."""
    model = agent(algo, **kwargs)
    with th.no_grad():
        for head in networks(model).heads:
            for p in head.parameters():
                p.mul_(20)
    return model


def distance(model: Any, teacher: Any) -> float:
    judged = actions(teacher)
    pairs = zip(tensors(model, judged), tensors(teacher, judged), strict=True)
    return sum(float((one - other).pow(2).mean() / other.var()) for one, other in pairs)


def test_statistics_of_the_teacher_stay() -> None:
    """Also where it has just been trained, and would learn them from every batch."""

    class Normalized(NatureCNN):
        def __init__(self, observation_space: spaces.Box) -> None:
            super().__init__(observation_space, features_dim=16)
            self.cnn.insert(1, th.nn.BatchNorm2d(32))

    teacher = agent("ppo", policy_kwargs={"features_extractor_class": Normalized})
    teacher.policy.set_training_mode(True)
    before = {name: tensor.clone() for name, tensor in teacher.policy.state_dict().items()}
    student = prune(teacher, "distillation", observations=images(), steps=2, batch_size=16)
    after = teacher.policy.state_dict()
    assert all(th.equal(tensor, after[name]) for name, tensor in before.items())
    assert teacher.policy.training
    assert not student.policy.training


# How far PPO's gSDE is spread hardly depends on what is seen: see below
@pytest.mark.parametrize("algo", [name for name in ALGORITHMS if name != "ppo gsde"])
def test_student_comes_close_to_its_teacher(algo: str) -> None:
    teacher = teacher_of(algo)
    before = [p.clone() for p in teacher.policy.parameters()]
    student = ChannelPruning(0.5).apply(teacher, teacher=teacher, observations=None)
    result = distilled(student, teacher, images())
    assert distance(result, teacher) < 0.5 * distance(student, teacher)
    assert all(th.equal(p, q) for p, q in zip(before, teacher.policy.parameters(), strict=True))
    for name in networks(result).targets:
        assert parameters_match(getattr(result.policy, name), getattr(result.policy, name.removesuffix("_target")))
    result.learn(16)


def test_continuous_actions_of_ppo() -> None:
    teacher = teacher_of("ppo", discrete=False)
    with th.no_grad():
        teacher.policy.log_std.fill_(-1)
    student = ChannelPruning(0.5).apply(teacher, teacher=teacher, observations=None)
    with th.no_grad():
        student.policy.log_std.fill_(0)
    result = distilled(student, teacher, images(), steps=200, learning_rate=1e-2)
    assert result.policy.log_std.max() < -0.5


def test_state_dependent_exploration_of_ppo() -> None:
    teacher = teacher_of("ppo gsde")
    student = ChannelPruning(0.5).apply(teacher, teacher=teacher, observations=None)
    result = distilled(student, teacher, images(), steps=400, learning_rate=1e-2)
    for one, before, wanted in zip(*map(tensors, (result, student, teacher)), strict=True):
        assert (one - wanted).abs().mean() < 0.5 * (before - wanted).abs().mean()


def test_several_discrete_actions() -> None:
    env = FakeImageEnv(screen_height=36, screen_width=36, n_channels=2)
    env.action_space = spaces.MultiDiscrete([3, 2])
    teacher = PPO("CnnPolicy", env, n_steps=16, batch_size=16, device="cpu")
    student = ChannelPruning(0.5).apply(teacher, teacher=teacher, observations=None)
    assert distance(distilled(student, teacher, images()), teacher) < distance(student, teacher)


def test_same_seed_same_student() -> None:
    teacher = teacher_of("sac")
    student = ChannelPruning(0.5).apply(teacher, teacher=teacher, observations=None)
    results = [distilled(student, teacher, images(), steps=3, seed=seed).policy for seed in (1, 1, 2)]
    assert parameters_match(results[0], results[1])
    assert not parameters_match(results[0], results[2])


def test_without_observations() -> None:
    with pytest.raises(OptionError, match="Training a student needs observations"):
        distilled(agent(), agent(), None)


def test_teacher_of_other_spaces() -> None:
    env = FakeImageEnv(screen_height=36, screen_width=36, n_channels=2)
    env.action_space = spaces.Discrete(3)
    with pytest.raises(ConflictError, match=r"different action_spaces, Discrete\(6\) and Discrete\(3\): take another"):
        distilled(agent(), PPO("CnnPolicy", env), images())


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"steps": 0}, "steps must be a whole number of at least 1, got 0"),
        ({"batch_size": 1.5}, "batch_size must be a whole number of at least 1, got 1.5"),
        ({"learning_rate": 0}, "learning_rate must be a positive number, got 0"),
        ({"value_weight": -1}, "value_weight must be a number of at least 0, got -1"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], text: str) -> None:
    with pytest.raises(OptionError, match=text):
        Distillation(**options)


def test_config_round_trip() -> None:
    method = Distillation(steps=10, learning_rate=1e-4)
    assert make_method(method.to_config()) == make_method(str(method)) == method
    assert method.needs_observations


@pytest.mark.parametrize(
    ("student", "teacher", "text"),
    [
        (("ppo", {"discrete": False}), ("sac", {}), r"own are 'gaussian' \(5,\) .* teacher's are 'squashed' \(5,\)"),
        (("ppo", {}), ("dqn", {}), r"'categorical' \(6,\) with values \(1,\), the teacher's are 'q' .* \(6,\): take"),
        (
            ("dqn", {}),
            ("qrdqn", {}),
            r"with values \(6,\), the teacher's are 'q' \(6,\) with values \(200, 6",
        ),
        (("td3", {}), ("ddpg", {}), r"with values \(1,\), \(1,\), the teacher's are .* with values \(1,\): take"),
    ],
)
def test_teacher_of_another_kind(student: Any, teacher: Any, text: str) -> None:
    with pytest.raises(ConflictError, match=text):
        distilled(agent(student[0], **student[1]), agent(teacher[0], **teacher[1]), images())


@pytest.mark.parametrize("space", [spaces.MultiBinary(3), spaces.MultiDiscrete([2, 3])])
def test_several_actions_at_a_time(space: spaces.Space) -> None:
    """The student's distribution comes close to its teacher's, as SB3 has it."""
    env = FakeImageEnv(screen_height=36, screen_width=36, n_channels=2)
    env.action_space = space
    teacher, student = (PPO("CnnPolicy", env, seed=seed, device="cpu") for seed in (0, 1))
    with th.no_grad():
        # More or less of all of them, which a softmax over all would not notice
        teacher.policy.action_net.bias.copy_(th.linspace(1, 3, len(teacher.policy.action_net.bias)))

    @th.no_grad()
    def disagreement(model: Any) -> float:
        seen = th.as_tensor(images())
        own, expected = (m.policy.get_distribution(seen) for m in (model, teacher))
        drawn = [expected.sample() for _ in range(20)]
        return sum(float((expected.log_prob(a) - own.log_prob(a)).mean()) for a in drawn)

    assert disagreement(distilled(student, teacher, images())) < 0.5 * disagreement(student)


def test_prune_teaches_by_the_teacher_that_is_given() -> None:
    teacher, taught = teacher_of("ppo"), Distillation(steps=60, batch_size=32)
    student = prune(teacher, "channel-pruning")
    found = prune(student, taught, teacher=teacher, observations=images())
    assert distance(found, teacher) < 0.5 * distance(student, teacher)


def test_recipes_teach_by_the_model_that_they_begin_with() -> None:
    teacher, taught = teacher_of("ppo"), Distillation(steps=60, batch_size=32)
    wanted, before, after = (
        compress(teacher, steps, calibration=images()).engine().outputs(images())["logits"]
        for steps in ([], ["channel-pruning"], ["channel-pruning", taught])
    )
    assert np.square(after - wanted).mean() < 0.5 * np.square(before - wanted).mean()


def test_the_learning_rate_falls(monkeypatch: pytest.MonkeyPatch) -> None:
    rates, step = [], th.optim.Adam.step

    def noted(optimizer: th.optim.Adam, *arguments: Any) -> Any:
        rates.append(optimizer.param_groups[0]["lr"])
        return step(optimizer, *arguments)

    monkeypatch.setattr(th.optim.Adam, "step", noted)
    prune(teacher_of("ppo"), "distillation", observations=images(), steps=4, batch_size=8)
    np.testing.assert_allclose(rates, 1e-3 * np.array([1, 0.75, 0.5, 0.25]))
