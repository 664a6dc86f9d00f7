"""Which weights are zero, and how they stay so while the others learn."""

from __future__ import annotations

from collections.abc import Collection

import torch as th
from torch import nn

from sb3_efficient.compression.layers import layers, layers_by_network
from sb3_efficient.compression.networks import Networks

#: Weights, and true where they stay zero
Masks = list[tuple[th.Tensor, th.Tensor]]


def magnitude_masks(networks: Networks, part: str, sparsity: float, dense: Collection[nn.Module] = ()) -> Masks:
    """
    Han et al., "Learning both Weights and Connections for Efficient Neural Networks" (2015).

    :param networks: Of any model
    :param part: See :data:`~sb3_efficient.compression.layers.PARTS`
    :param sparsity: Part of the weights to be zero: the smallest over all layers of the part, network by network.
        Biases stay.
    :param dense: Layers that stay as they are
    """
    masks: Masks = []
    for own in layers_by_network(networks, part):
        weights = [layer.weight for layer in own if layer not in dense]
        sizes = th.cat([weight.detach().abs().flatten() for weight in weights] or [th.empty(0)])
        n_zeros = round(sparsity * sizes.numel())
        threshold = sizes.kthvalue(n_zeros).values if n_zeros else -1
        masks += [(weight, weight.detach().abs() <= threshold) for weight in weights]
    return masks


def present_masks(networks: Networks) -> Masks:
    """
    :param networks: Of any model, pruned or not
    :return: Masks that keep the zeros that there are
    """
    weights = [layer.weight for group in layers(networks).values() for layer in group]
    return [(weight, weight.detach() == 0) for weight in weights if (weight == 0).any()]


@th.no_grad()
def apply_masks(masks: Masks) -> None:
    """Make the masked weights zero, in place."""
    for weight, mask in masks:
        weight.masked_fill_(mask, 0)


def sparsity(networks: Networks, part: str = "all") -> float:
    """
    :param networks: Of any model
    :param part: See :data:`~sb3_efficient.compression.layers.PARTS`
    :return: Part of the weights that are zero
    """
    weights = [layer.weight for group in layers(networks, part).values() for layer in group]
    return sum(int((weight == 0).sum()) for weight in weights) / sum(weight.numel() for weight in weights)
