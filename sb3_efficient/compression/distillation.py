"""A student learns to act as its teacher does, from observations alone: no environment and no reward."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_efficient.compression.copying import copied, forget_moments
from sb3_efficient.compression.divergence import make_loss
from sb3_efficient.compression.masks import apply_masks, present_masks
from sb3_efficient.compression.networks import Networks, Outputs, networks
from sb3_efficient.compression.recipe import ModelMethod, register_method
from sb3_efficient.errors import ConflictError, OptionError
from sb3_efficient.generators import kept_generators
from sb3_efficient.modes import acting
from sb3_efficient.options import number, whole_number
from sb3_efficient.progress import progress_bar

#: How often in the course of a training a student is judged by observations that it is not trained on
LOOKS = 10
#: So many, or a tenth of what there is
HELD_OUT, LEAST_HELD_OUT = 512, 32


@dataclass(frozen=True)
class Training:
    """
    How a student is trained: by Adam, its learning rate falling linearly to zero. What it ends with are the weights
    that did best on observations held out, those that it began with among them.

    :param steps: Number of minibatches
    :param batch_size: Observations in each
    :param learning_rate: At the start
    :param temperature: Of the action distribution over Q values, in units of their spread
    :param value_weight: What errors of the critics count beside those of the actor
    :param seed: Of the order of the observations
    """

    steps: int = 1000
    batch_size: int = 256
    learning_rate: float = 1e-3
    temperature: float = 0.1
    value_weight: float = 0.5
    seed: int = 0
    trains: ClassVar[bool] = True

    def __post_init__(self) -> None:
        whole_number("steps", self.steps)
        whole_number("batch_size", self.batch_size)
        whole_number("seed", self.seed, least=0)
        number("learning_rate", self.learning_rate)
        number("temperature", self.temperature)
        number("value_weight", self.value_weight, least=0)


@register_method("distillation")
@dataclass(frozen=True)
class Distillation(Training, ModelMethod):
    """
    Policy distillation, Rusu et al. (2016): the Kullback-Leibler divergence of the student's action distribution from
    the teacher's (for Q values, of the softmax over them), and the critics beside it, so that training can go on.
    Weights that are zero stay zero.
    """

    needs_observations = True

    def check(self, model: BaseAlgorithm) -> None:
        networks(model)

    def apply(self, model: BaseAlgorithm, *, teacher: BaseAlgorithm, observations: np.ndarray | None) -> BaseAlgorithm:
        self.check(model)
        student: Any = copied(model)
        distil(student, teacher, observations, self)
        return student


def distil(student: BaseAlgorithm, teacher: BaseAlgorithm, observations: np.ndarray | None, training: Training) -> None:
    """
    :param student: Trained in place; weights that are zero stay zero
    :param teacher: The model that it is to act like; it stays as it is
    :param observations: uint8, (N, C, H, W)
    :param training: How long, and with what
    """
    if observations is None:
        raise OptionError("Training a student needs observations.")
    learning, teaching = networks(student), networks(teacher)
    check_same_spaces(student, teacher)
    masks = present_masks(learning)
    generator = np.random.default_rng(training.seed)
    with kept_generators(), acting(teacher.policy):
        # Many, from everywhere: layers in 8 bits take the range of their inputs from what they see first
        check_same_outputs(learning, teaching, observations[:: max(1, len(observations) // training.batch_size)])
        th.manual_seed(training.seed)
        targets = _targets(teaching, observations, training.batch_size)
    loss = make_loss(teaching, targets, training.temperature, training.value_weight)
    parameters = [p for network in learning.modules() for p in network.parameters()]
    optimizer = th.optim.Adam({id(p): p for p in parameters}.values(), training.learning_rate)
    schedule = th.optim.lr_scheduler.LinearLR(optimizer, 1, 0, total_iters=training.steps)
    seen, held_out = _split(len(observations), generator)

    def error(rows: np.ndarray) -> th.Tensor:
        target = _rows(targets, np.sort(rows))
        images = th.as_tensor(observations[np.sort(rows)], device=student.device)
        return loss(learning.outputs(images, target.actions), target)

    best = _Best(student.policy, lambda: error(held_out))
    with progress_bar("distillation", training.steps) as advance:
        for step in range(training.steps):
            if step * LOOKS % training.steps < LOOKS:
                best.look()
            optimizer.zero_grad()
            th.autograd.backward([error(seen[generator.integers(len(seen), size=training.batch_size)])])
            optimizer.step()
            schedule.step()
            apply_masks(masks)
            advance()
    best.look()
    best.restore()
    learning.synchronize_targets()
    forget_moments(student.policy)


class _Best:
    """
    The weights with the least error so far.

    :param policy: Trained meanwhile
    :param error: On observations that it is not trained on
    """

    def __init__(self, policy: Any, error: Callable[[], th.Tensor]) -> None:
        self.policy, self.error = policy, error
        self.least = np.inf
        self.weights: dict[str, th.Tensor] = {}

    @th.no_grad()
    def look(self) -> None:
        """Between training steps; leaves the policy in training mode."""
        self.policy.set_training_mode(False)
        found = self.error().item()
        if found < self.least:
            self.least = found
            self.weights = {name: tensor.clone() for name, tensor in self.policy.state_dict().items()}
        self.policy.set_training_mode(True)

    def restore(self) -> None:
        """At the end of training."""
        self.policy.set_training_mode(False)
        if self.weights:
            self.policy.load_state_dict(self.weights)


def _split(n: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train on, and others to judge by; of few observations all are both."""
    rows = generator.permutation(n)
    n_held_out = min(HELD_OUT, n // 10)
    return (rows, rows) if n_held_out < LEAST_HELD_OUT else (rows[n_held_out:], rows[:n_held_out])


def check_same_spaces(student: BaseAlgorithm, teacher: BaseAlgorithm) -> None:
    """Refuse a teacher that sees or does something else."""
    for name in ("observation_space", "action_space"):
        own, others = getattr(student, name), getattr(teacher, name)
        if own != others:
            raise ConflictError(
                f"Student and teacher have different {name}s, {own} and {others}: take another teacher."
            )


@th.no_grad()
def check_same_outputs(learning: Networks, teaching: Networks, observations: np.ndarray) -> None:
    """Refuse a teacher whose outputs mean something else, or whose critics are others."""
    own, others = (
        _described(found.outputs(th.as_tensor(observations, device=found.policy.device)))
        for found in (learning, teaching)
    )
    if own != others:
        raise ConflictError(
            f"A student learns the outputs of its teacher. Its own are {own}, the teacher's are {others}: take a "
            "teacher of the same algorithm, with critics like the student's."
        )


def _described(outputs: Outputs) -> str:
    shapes = [tuple(value.shape[1:]) for value in outputs.values]
    return f"{outputs.kind!r} {tuple(outputs.action[0].shape[1:])} with values {', '.join(map(str, shapes))}"


@th.no_grad()
def _targets(teaching: Networks, observations: np.ndarray, batch_size: int) -> Outputs:
    batches = range(0, len(observations), batch_size)
    device = teaching.policy.device
    parts = [teaching.outputs(th.as_tensor(observations[i : i + batch_size], device=device)) for i in batches]
    return parts[0].map(lambda *tensors: th.cat(tensors), *parts[1:])


def _rows(outputs: Outputs, rows: np.ndarray) -> Outputs:
    chosen = th.as_tensor(rows, device=outputs.action[0].device)
    return outputs.map(lambda tensor: tensor[chosen])
