"""Single weights, or whole rows of them, set to zero: smaller once they are stored as sparse, but not faster."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_efficient.compression.copying import copied
from sb3_efficient.compression.layers import check_part, chosen_layers
from sb3_efficient.compression.masks import apply_masks, global_masks
from sb3_efficient.compression.networks import networks
from sb3_efficient.compression.recipe import ModelMethod, register_method
from sb3_efficient.errors import OptionError
from sb3_efficient.options import fraction, whole_number


@register_method("magnitude-pruning")
@dataclass(frozen=True)
class MagnitudePruning(ModelMethod):
    """
    Set the smallest weights to zero (Han et al. 2015, "Learning both Weights and Connections for Efficient Neural
    Networks"), over all layers of a part at once.

    :param ratio: Part of the weights that becomes zero, in [0, 1)
    :param part: ``"conv"``, ``"dense"`` (the projection behind the convolutions, hidden layers and heads: what
        tiny_rl calls the RL part) or ``"all"``
    """

    ratio: float = 0.5
    part: str = "all"

    def __post_init__(self) -> None:
        fraction("ratio", self.ratio)
        check_part(self.part)

    def check(self, model: BaseAlgorithm) -> None:
        global_masks(networks(model), self.part, self.ratio)

    def apply(self, model: BaseAlgorithm, *, teacher: BaseAlgorithm, observations: np.ndarray | None) -> BaseAlgorithm:
        pruned = copied(model)
        found = networks(pruned)
        apply_masks(global_masks(found, self.part, self.ratio))
        found.synchronize_targets()
        return pruned


@register_method("ln-structured")
@dataclass(frozen=True)
class LnStructured(ModelMethod):
    """
    Set the rows or columns of a layer's weights with the smallest norm to zero, as ``torch.nn.utils.prune`` does.
    The shape stays, and so does the time; to leave them out, use ``channel-pruning``.

    :param ratio: Part of the rows or columns that becomes zero, in [0, 1)
    :param layers: Names as ``("linear.0",)``; none: the first dense layer
    :param dim: 0: rows, the outputs of a layer; 1: columns, its inputs
    :param n: Which norm: 1 for L1, 2 for L2
    """

    ratio: float = 0.5
    layers: tuple[str, ...] = ()
    dim: int = 1
    n: int = 1

    def __post_init__(self) -> None:
        fraction("ratio", self.ratio)
        whole_number("n", self.n)
        if whole_number("dim", self.dim, least=0) > 1:
            raise OptionError(f"dim must be 0 for rows of a layer (its outputs), 1 for columns, got {self.dim!r}.")

    def check(self, model: BaseAlgorithm) -> None:
        for layer in chosen_layers(networks(model), self.layers):
            n = layer.weight.shape[self.dim]
            if round(self.ratio * n) == n:
                raise OptionError(
                    f"Nothing would be left of {layer}, of which {n} of {n} {('rows', 'columns')[self.dim]} would be "
                    f"zero: choose a lower pruning ratio than {self.ratio:g}."
                )

    def apply(self, model: BaseAlgorithm, *, teacher: BaseAlgorithm, observations: np.ndarray | None) -> BaseAlgorithm:
        self.check(model)
        pruned = copied(model)
        found = networks(pruned)
        for layer in chosen_layers(found, self.layers):
            slices = layer.weight.data.transpose(0, self.dim)
            norms = slices.flatten(1).norm(self.n, dim=1)
            slices[norms.argsort()[: round(self.ratio * len(norms))]] = 0
        found.synchronize_targets()
        return pruned
