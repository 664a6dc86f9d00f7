"""Which weights are zero, and how they stay so while the others learn."""

from __future__ import annotations

import torch as th

from sb3_efficient.compression.layers import layers, layers_by_network
from sb3_efficient.compression.networks import Networks
from sb3_efficient.errors import OptionError

#: Weights, and true where they stay zero
Masks = list[tuple[th.Tensor, th.Tensor]]


def global_masks(networks: Networks, part: str, ratio: float) -> Masks:
    """
    :param networks: Of any model
    :param part: See :data:`~sb3_efficient.compression.layers.PARTS`
    :param ratio: Part of the weights to be zero: the smallest over all layers of the part, network by network.
        Biases stay.
    """
    masks = [mask for own in layers_by_network(networks, part) for mask in _smallest([m.weight for m in own], ratio)]
    names = {id(layer.weight): name for name, group in layers(networks, part).items() for layer in group}
    for weight, mask in masks:
        if mask.all():
            raise OptionError(
                f"Nothing would be left of {names[id(weight)]}, whose weights are all among the smallest: choose a "
                f"lower pruning ratio than {ratio:g}, or prune another part than {part!r}."
            )
    return masks


def layer_masks(networks: Networks, part: str, ratio: float) -> Masks:
    """
    :param networks: Of any model
    :param part: See :data:`~sb3_efficient.compression.layers.PARTS`
    :param ratio: Part of the weights of each layer to be zero: the smallest. Heads and biases stay.
    """
    found = [layer for group in layers(networks, part).values() for layer in group if layer not in networks.heads]
    return [mask for layer in found for mask in _smallest([layer.weight], ratio)]


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


def masks_of_targets(networks: Networks, masks: Masks) -> Masks:
    """
    :param networks: Of any model
    :param masks: Of the networks that learn
    :return: The same for the targets that follow them
    """
    by_weight = {id(weight): mask for weight, mask in masks}
    found: Masks = []
    for name in networks.targets:
        followed, target = getattr(networks.policy, name.removesuffix("_target")), getattr(networks.policy, name)
        pairs = zip(followed.parameters(), target.parameters(), strict=True)
        found += [(its, by_weight[id(own)]) for own, its in pairs if id(own) in by_weight]
    return found


def _smallest(weights: list[th.Tensor], ratio: float) -> Masks:
    sizes = th.cat([weight.detach().abs().flatten() for weight in weights] or [th.empty(0)])
    n_zeros = int(ratio * sizes.numel())
    threshold = sizes.kthvalue(n_zeros).values if n_zeros else -1
    return [(weight, weight.detach().abs() <= threshold) for weight in weights]
