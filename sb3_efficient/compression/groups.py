"""
Which channels of which layers depend on each other, and which matter least: all that torch-pruning is used for.

Fang et al., "DepGraph: Towards Any Structural Pruning" (CVPR 2023).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch as th
from torch import nn

from sb3_efficient.compression.networks import Networks
from sb3_efficient.errors import OptionError
from sb3_efficient.modes import acting

#: Name -> class and arguments of torch-pruning
IMPORTANCES: dict[str, tuple[str, dict[str, Any]]] = {
    # Li et al., "Pruning Filters for Efficient ConvNets" (2017)
    "l1": ("GroupMagnitudeImportance", {"p": 1}),
    "l2": ("GroupMagnitudeImportance", {"p": 2}),
    # He et al., "Filter Pruning via Geometric Median" (2019)
    "fpgm": ("FPGMImportance", {}),
    # Molchanov et al., "Importance Estimation for Neural Network Pruning" (2019)
    "taylor": ("GroupTaylorImportance", {}),
    "random": ("RandomImportance", {}),
}
NEED_GRADIENTS = ("taylor",)


@dataclass(frozen=True)
class Group:
    """
    :param layers: Names of the layers whose output channels can only be left out together
    :param width: How many channels that is
    """

    layers: tuple[str, ...]
    width: int


def groups(networks: Networks, image_shape: tuple[int, ...]) -> list[Group]:
    """
    :param networks: What is going to be pruned
    :param image_shape: (C, H, W)
    :return: Everything that has a width of its own, except the heads, from the image up
    """
    graph = _graph(networks, image_shape)
    return [_described(graph, group, networks.policy) for group in _groups(graph, networks)]


def remove_channels(
    networks: Networks, image_shape: tuple[int, ...], widths: Mapping[tuple[str, ...], int], importance: str
) -> None:
    """
    Leave out the channels of least importance, in place. Optimizers and targets are not touched.

    :param networks: What is to be pruned
    :param image_shape: (C, H, W)
    :param widths: Number of channels to keep, by :attr:`Group.layers`
    :param importance: One of :data:`IMPORTANCES`; parameters have gradients if it needs them
    """
    import torch_pruning

    name, options = IMPORTANCES[importance]
    scorer = getattr(torch_pruning.importance, name)(**options)
    graph = _graph(networks, image_shape)
    for group in _groups(graph, networks):
        found = _described(graph, group, networks.policy)
        order = th.argsort(scorer(group), stable=True)
        channels = order[: found.width - widths[found.layers]].tolist()
        if channels:
            root = group[0].dep
            pruned = graph.get_pruning_group(root.target.module, root.handler, sorted(channels))
            pruned.prune()
            _remove_exploration(graph, pruned, networks)


def check_order(networks: Networks, image_shape: tuple[int, ...]) -> None:
    """
    Refuse layers that take channels at other places than torch-pruning believes, which knows neither maps that are
    flattened channel-last nor channels that change places: it would leave out the weights of others. A channel is made
    NaN, and looked for in what each layer takes.

    :param networks: What is going to be pruned; they stay as they are
    :param image_shape: (C, H, W)
    """
    graph = _graph(networks, image_shape)
    for group in _groups(graph, networks):
        root = group[0].dep
        if not isinstance(root.target.module, nn.Conv2d):
            continue
        expected = {
            dep.target.module: {*indexes}
            for dep, indexes in graph.get_pruning_group(root.target.module, root.handler, [0])
            if graph.is_in_channel_pruning_fn(dep.handler) and getattr(dep.target.module, "groups", 1) == 1
        }
        for layer, found in _reached(networks, image_shape, root.target.module, [*expected]).items():
            # Everywhere is also where a normalization has put it
            if found and len(found) < layer.weight.shape[1] and found != expected[layer]:
                raise OptionError(
                    f"channel-pruning knows maps that are flattened channel by channel, as by nn.Flatten, and {layer} "
                    "takes them in another order. Magnitude-pruning and ln-structured leave layers as wide as they are."
                )


@th.no_grad()
def _reached(
    networks: Networks, image_shape: tuple[int, ...], convolution: nn.Conv2d, layers: list[Any]
) -> dict[Any, set[int]]:
    """Input channels of layers in which the first channel of a convolution's result is met."""
    found: dict[Any, set[int]] = {}

    def look(layer: nn.Module, inputs: tuple[th.Tensor, ...]) -> None:
        channels = inputs[0].isnan().movedim(1 if isinstance(layer, nn.Conv2d) else -1, 0).flatten(1).any(dim=1)
        found[layer] = {*channels.nonzero().flatten().tolist()}

    before = convolution.weight[0].clone()
    hooks = [layer.register_forward_pre_hook(look) for layer in layers]
    convolution.weight[0] = th.nan
    try:
        with acting(networks.policy):
            networks.outputs(_images(networks, image_shape))
    finally:
        convolution.weight[0] = before
        for hook in hooks:
            hook.remove()
    return found


def _images(networks: Networks, image_shape: tuple[int, ...]) -> th.Tensor:
    return th.zeros(2, *image_shape, dtype=th.uint8, device=networks.policy.device)


@th.enable_grad()
def _graph(networks: Networks, image_shape: tuple[int, ...]) -> Any:
    from torch_pruning import DependencyGraph

    def forward(_: nn.Module, batch: th.Tensor) -> list[th.Tensor]:
        outputs = networks.outputs(batch)
        # Deviations that belong to no layer are none of the graph's
        action = outputs.action[:1] if networks.exploring else outputs.action
        return [tensor for tensor in (*action, *outputs.values) if tensor.grad_fn is not None]

    graph = DependencyGraph()
    with acting(networks.policy):
        # Not verbose: it would warn of log_std, which belongs to no layer
        graph.build_dependency(networks.policy, _images(networks, image_shape), forward_fn=forward, verbose=False)
    return graph


def _groups(graph: Any, networks: Networks) -> Iterator[Any]:
    heads = [layer for head in networks.heads for layer in head.modules()]
    yield from graph.get_all_groups(ignored_layers=heads, root_module_types=[nn.Conv2d, nn.Linear])


def _remove_exploration(graph: Any, pruned: Any, networks: Networks) -> None:
    """Of gSDE: what belongs to the units that are left out."""
    actor, mean = networks.exploring, networks.heads[0]
    if actor is None:
        return
    for dep, units in pruned:
        if dep.target.module is mean and graph.is_in_channel_pruning_fn(dep.handler):
            kept = sorted({*range(len(actor.log_std))} - {*units})
            actor.log_std.data = actor.log_std.data[kept]
            actor.action_dist.latent_sde_dim = len(kept)


def _described(graph: Any, group: Any, policy: nn.Module) -> Group:
    names = {module: name for name, module in policy.named_modules()}
    pruned = [dep.target.module for dep, _ in group if graph.is_out_channel_pruning_fn(dep.handler)]
    layers = [module for module in pruned if isinstance(module, (nn.Conv2d, nn.Linear))]
    return Group(tuple(sorted({names[layer] for layer in layers})), len(group[0].idxs))
