"""A student learns to act as its teacher does, from observations alone: no environment and no reward."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch as th
import torch.nn.functional as F
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from tqdm import tqdm

from sb3_efficient.compression.copying import copied, forget_moments
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
    loss = _loss(master, targets, training)
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


Loss = Callable[[Outputs, Outputs], th.Tensor]


def _loss(master: Networks, targets: Outputs, training: Training) -> Loss:
    """Errors of actor and critics; those of values in units of their spread over the observations."""
    space = master.policy.action_space
    sizes = space.nvec.tolist() if isinstance(space, spaces.MultiDiscrete) else [targets.action[0].shape[1]]
    spreads = [values.std() + 1e-6 for values in targets.values]
    divergences: dict[str, Loss] = {
        "categorical": lambda own, target: _categorical(own.action[0], target.action[0], sizes),
        "gaussian": _gaussian,
        "squashed": _squares,
        "deterministic": _squares,
        "q": lambda own, target: _softmax(own.action[0], target.action[0], training.temperature * spread_of_q),
    }
    # What tells actions apart is small beside what tells states apart
    spread_of_q = targets.action[0].std(dim=1).mean() + 1e-6

    def loss(own: Outputs, target: Outputs) -> th.Tensor:
        total = divergences[target.kind](own, target)
        for value, wanted, spread in zip(own.values, target.values, spreads, strict=True):
            total = total + training.value_weight * F.smooth_l1_loss(value / spread, wanted / spread)
        return total

    return loss


def _categorical(logits: th.Tensor, target: th.Tensor, sizes: list[int]) -> th.Tensor:
    pairs = zip(th.split(logits, sizes, dim=1), th.split(target, sizes, dim=1), strict=True)
    return th.stack([_softmax(own, wanted, th.ones(())) for own, wanted in pairs]).sum()


def _softmax(own: th.Tensor, target: th.Tensor, temperature: th.Tensor) -> th.Tensor:
    own, target = F.log_softmax(own / temperature, dim=1), F.log_softmax(target / temperature, dim=1)
    return F.kl_div(own, target, reduction="batchmean", log_target=True)


def _gaussian(own: Outputs, target: Outputs) -> th.Tensor:
    """KL of two diagonal Gaussians, (mean, log_std)."""
    (mean, log_std), (wanted, wanted_log_std) = own.action, target.action
    ratio = (2 * (wanted_log_std - log_std)).exp()
    distance = (wanted - mean).pow(2) / (2 * log_std).exp()
    return 0.5 * (ratio + distance - 1 - 2 * (wanted_log_std - log_std)).sum(dim=1).mean()


def _squares(own: Outputs, target: Outputs) -> th.Tensor:
    return th.stack([F.mse_loss(one, other) for one, other in zip(own.action, target.action, strict=True)]).sum()
