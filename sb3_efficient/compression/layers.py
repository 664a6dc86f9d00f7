"""The layers of a model by name and by part: those of the convolutions and the dense ones behind them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from torch import nn

from sb3_efficient.compression.networks import Networks
from sb3_efficient.errors import OptionError, suggestion
from sb3_efficient.options import check_name

Layer = nn.Conv2d | nn.Linear
#: Part -> the layers that it consists of. ``dense``: the projection behind the convolutions, hidden layers and heads
PARTS: dict[str, tuple[type[Layer], ...]] = {
    "conv": (nn.Conv2d,),
    "dense": (nn.Linear,),
    "all": (nn.Conv2d, nn.Linear),
}


def layer_name(path: str) -> str:
    """
    :param path: Of a layer in the policy
    :return: A name that it shares with the same layer of the other networks: ``cnn.0``; behind the extractor, its path
    """
    _, inside, name = path.partition("features_extractor.")
    return name if inside else path


def layers(networks: Networks, part: str = "all") -> dict[str, list[Layer]]:
    """
    :param networks: Of any model
    :param part: One of :data:`PARTS`
    :return: All layers with weights that learn, by name: several where networks have an extractor each
    """
    check_part(part)
    learning = {id(layer) for network in networks.modules() for layer in network.modules()}
    found: dict[str, list[Layer]] = {}
    for path, layer in networks.policy.named_modules():
        if isinstance(layer, PARTS[part]) and id(layer) in learning:
            found.setdefault(layer_name(path), []).append(layer)
    return found


def layers_by_network(networks: Networks, part: str = "all") -> Iterator[list[Layer]]:
    """
    :param networks: Of any model
    :param part: One of :data:`PARTS`
    :return: The layers of each network that learns; one that networks share comes with the first
    """
    seen: set[int] = set()
    for network in networks.modules():
        own = [m for m in network.modules() if isinstance(m, PARTS[part]) and id(m) not in seen]
        seen |= {id(layer) for layer in own}
        yield own


def chosen_layers(networks: Networks, names: Iterable[str]) -> list[Layer]:
    """
    :param networks: Of any model
    :param names: Of layers; none: the first dense layer, which in Nature has most of the weights
    :return: The layers of all networks
    """
    found = layers(networks)
    # A mapping is what channel-pruning takes, ratios by name
    if isinstance(names, (str, Mapping)) or not isinstance(names, Iterable):
        raise OptionError(f"layers must be a list of names, as ['linear.0'], got {names!r}.")
    names = list(names) or [next(iter(layers(networks, "dense")))]
    for name in names:
        if not isinstance(name, str) or name not in found:
            raise OptionError(f"There is no layer {name!r}.{suggestion(str(name), found)} Found: {', '.join(found)}.")
    return [layer for name in names for layer in found[name]]


def check_part(part: str) -> None:
    """Refuse a name that stands for no part of a network."""
    check_name("part", part, PARTS)
