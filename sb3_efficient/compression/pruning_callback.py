"""Pruning while the agent learns."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer

from sb3_efficient.callbacks import RolloutCallback
from sb3_efficient.compression.layers import check_part
from sb3_efficient.compression.masks import (
    Masks,
    apply_masks,
    layer_masks,
    masks_of_targets,
    present_masks,
    sparsity,
)
from sb3_efficient.compression.networks import networks
from sb3_efficient.errors import OptionError
from sb3_efficient.optimizers import optimizers
from sb3_efficient.options import check_name, fraction, number, whole_number
from sb3_efficient.seer.frozen import frozen_layers

#: (sparsity at the start, final sparsity, progress in [0, 1]) -> sparsity
SCHEDULES: dict[str, Callable[[float, float, float], float]] = {
    # Zhu and Gupta, "To prune, or not to prune" (2017), equation 1
    "cubic": lambda first, last, progress: last + (first - last) * (1 - progress) ** 3,
    # Han et al., "Learning both Weights and Connections" (2015): the same part of what is left, each time
    "iterative": lambda first, last, progress: 1 - (1 - first) * ((1 - last) / (1 - first)) ** progress,
}


class PruningCallback(RolloutCallback):
    """
    Set more and more of the smallest weights to zero during training, and keep them there.

    Gradual magnitude pruning, of every layer by the same part, as in Graesser et al., "The State of Sparse Training
    in Deep Reinforcement Learning" (ICML 2022). For the algorithms that ``compress`` takes::

        model.learn(1_000_000, callback=PruningCallback(0.9))
        model.learn(1_000_000, callback=PruningCallback(0.9, schedule="iterative", times=5))

    In rl-zoo3: ``callback: [{sb3_efficient.compression.PruningCallback: {sparsity: 0.9}}]``. Saved models
    are ordinary ones with zeros; the heads are not pruned. Weights that are zero at the start stay zero. TensorBoard
    shows ``pruning/sparsity``.

    SB3 does not tell callbacks of a training that was interrupted (Ctrl-C in a script; the zoo does): call
    ``on_training_end()`` before the model is trained on, or saved.

    :param sparsity: Final part of the weights that is zero, in [0, 1)
    :param part: ``"conv"``, ``"dense"`` or ``"all"``
    :param start: Part of this training after which the first weights are pruned
    :param end: Part of this training after which the last ones are
    :param schedule: ``"cubic"`` (many at first, few at last) or ``"iterative"`` (the same part of the weights that are
        left each time; with few ``times``: prune, train, prune)
    :param times: How many times between ``start`` and ``end`` weights are pruned
    """

    def __init__(
        self,
        sparsity: float = 0.9,
        part: str = "all",
        *,
        start: float = 0.2,
        end: float = 0.8,
        schedule: str = "cubic",
        times: int = 100,
        verbose: int = 0,
    ) -> None:
        super().__init__(verbose)
        fraction("sparsity", sparsity)
        check_part(part)
        if not fraction("start", start) < number("end", end) <= 1:
            raise OptionError(f"start and end are parts of training, 0 <= start < end <= 1, got {start!r} and {end!r}.")
        check_name("schedule", schedule, SCHEDULES)
        self.sparsity, self.part, self.start, self.end = sparsity, part, start, end
        self.schedule, self.times = schedule, whole_number("times", times)
        self.masks: Masks = []
        #: Of the zeros at the start, in layers of other parts and heads, too
        self._present: Masks = []
        self._hooks: list[Any] = []
        self._said = False
        self._seer: dict[str, Any] | None = None

    def _on_training_start(self) -> None:
        found = networks(self.model)
        self._began, self._done = self.num_timesteps, 0
        self._first = min(sparsity(found, self.part), self.sparsity)
        self._present = present_masks(found)
        self._set_masks(self._of_learning(self._present))
        for optimizer in optimizers(self.model.policy):
            self._hooks.append(optimizer.register_step_post_hook(self._after_step))

    def _on_rollout_end(self) -> None:
        if getattr(self.model, "seer", None) is not self._seer:
            # Frozen zeros stay zero, and even writing them anew would tell SEER of other weights
            self._seer = getattr(self.model, "seer", None)
            self.masks = self._of_learning(self.masks)
        progress = (self.num_timesteps - self._began) / (self.model._total_timesteps - self._began)
        due = min(self.times, int(self.times * (progress - self.start) / (self.end - self.start)))
        if due > self._done:
            found = networks(self.model)
            self._done = due
            wanted = SCHEDULES[self.schedule](self._first, self.sparsity, due / self.times)
            masks = [*self._present, *layer_masks(found, self.part, wanted)]
            learning = self._of_learning(masks)
            self._say_if_fewer(learning, masks)
            self._set_masks(learning)
            self.logger.record("pruning/sparsity", sparsity(found, self.part))

    def _on_training_end(self) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()

    def _of_learning(self, masks: Masks) -> Masks:
        """Without the layers that SEER has frozen: latents are stored that these made, as they are."""
        frozen = {id(parameter) for layer in frozen_layers(self.model) for parameter in layer.parameters()}
        return [(weight, mask) for weight, mask in masks if id(weight) not in frozen]

    def _say_if_fewer(self, learning: Masks, masks: Masks) -> None:
        if len(learning) < len(masks) and not self._said:
            warnings.warn(
                "SEER has frozen layers of this model: from now on the others are pruned. Let pruning end before the "
                "freeze to prune all.",
                stacklevel=2,
            )
            self._said = True

    def _after_step(self, optimizer: Optimizer, *_: Any) -> None:
        # SAC updates its critics between forward and backward of its actor, which must not change meanwhile
        own = {id(p) for group in optimizer.param_groups for p in group["params"]}
        apply_masks([(weight, mask) for weight, mask in self.masks if id(weight) in own])

    def _set_masks(self, masks: Masks) -> None:
        self.masks = masks
        apply_masks([*masks, *masks_of_targets(networks(self.model), masks)])
