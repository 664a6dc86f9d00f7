"""A student learns to act as its teacher does, from observations alone: no environment and no reward."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm
from tqdm import tqdm

from sb3_efficient.compression.copying import copied, forget_moments
from sb3_efficient.compression.divergence import make_loss
from sb3_efficient.compression.masks import apply_masks, present_masks
from sb3_efficient.compression.networks import Networks, Outputs, networks
from sb3_efficient.compression.recipe import ModelMethod, register_method
from sb3_efficient.errors import ConflictError, OptionError
from sb3_efficient.options import whole_number


@dataclass(frozen=True)
class Training:
    """
    How a student is trained: by Adam, its learning rate falling linearly to zero.

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

    def __post_init__(self) -> None:
        whole_number("steps", self.steps)
        whole_number("batch_size", self.batch_size)
        whole_number("seed", self.seed, least=0)
        for name in ("learning_rate", "temperature"):
            if not getattr(self, name) > 0:
                raise OptionError(f"{name} must be a positive number, got {getattr(self, name)!r}.")
        if not self.value_weight >= 0:
            raise OptionError(f"value_weight must not be negative, got {self.value_weight!r}.")


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
    learner, master = networks(student), networks(teacher)
    check_same_spaces(student, teacher)
    masks = present_masks(learner)
    generator = np.random.default_rng(training.seed)
    with th.random.fork_rng(devices=[]):
        th.manual_seed(training.seed)
        targets = _targets(master, observations, training.batch_size)
    loss = make_loss(master, targets, training.temperature, training.value_weight)
    parameters = [p for network in learner.modules() for p in network.parameters()]
    optimizer = th.optim.Adam({id(p): p for p in parameters}.values(), training.learning_rate)
    schedule = th.optim.lr_scheduler.LinearLR(optimizer, 1, 0, total_iters=training.steps)
    student.policy.set_training_mode(True)
    for _ in tqdm(range(training.steps), "distillation", disable=None, leave=False):
        batch = np.sort(generator.integers(len(observations), size=training.batch_size))
        target = _rows(targets, batch)
        images = th.as_tensor(observations[batch], device=student.device)
        optimizer.zero_grad()
        th.autograd.backward([loss(learner.outputs(images, target.actions), target)])
        optimizer.step()
        schedule.step()
        apply_masks(masks)
    student.policy.set_training_mode(False)
    learner.synchronize_targets()
    forget_moments(student.policy)


def check_same_spaces(student: BaseAlgorithm, teacher: BaseAlgorithm) -> None:
    """Refuse a teacher that sees or does something else."""
    for name in ("observation_space", "action_space"):
        own, others = getattr(student, name), getattr(teacher, name)
        if own != others:
            raise ConflictError(
                f"Student and teacher have different {name}s, {own} and {others}: take another teacher."
            )


@th.no_grad()
def _targets(master: Networks, observations: np.ndarray, batch_size: int) -> Outputs:
    batches = range(0, len(observations), batch_size)
    device = master.policy.device
    parts = [master.outputs(th.as_tensor(observations[i : i + batch_size], device=device)) for i in batches]

    def joined(tensors: tuple[th.Tensor, ...]) -> th.Tensor:
        return th.cat(tensors)

    return Outputs(
        parts[0].kind,
        tuple(map(joined, zip(*(part.action for part in parts), strict=True))),
        tuple(map(joined, zip(*(part.values for part in parts), strict=True))),
        None if parts[0].actions is None else th.cat([p.actions for p in parts if p.actions is not None]),
    )


def _rows(outputs: Outputs, rows: np.ndarray) -> Outputs:
    chosen = th.as_tensor(rows, device=outputs.action[0].device)

    def of(tensors: tuple[th.Tensor, ...]) -> tuple[th.Tensor, ...]:
        return tuple(tensor[chosen] for tensor in tensors)

    return Outputs(
        outputs.kind,
        of(outputs.action),
        of(outputs.values),
        None if outputs.actions is None else outputs.actions[chosen],
    )
