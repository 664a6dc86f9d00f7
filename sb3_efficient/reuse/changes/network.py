"""
A network as a list of steps that reuse knows: convolutions, poolings, and the first linear layer behind them.

Shapes: ``C H W`` map, ``D`` flattened map, ``F`` outputs of the linear layer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from sb3_efficient.errors import OptionError
from sb3_efficient.extractors.impala import Residual
from sb3_efficient.extractors.pooling import AdaptiveMax, GlobalAverage
from sb3_efficient.reuse.changes.quantized import QuantizedLinear
from sb3_efficient.reuse.changes.window import adaptive_size, sizes, unknown


@dataclass(eq=False)
class Map:
    """
    :param channels: C
    :param height: H
    :param width: W
    :param raw: Whether anybody reads it as it is
    :param relu: Whether anybody reads its positive part
    :param zero: What stands for zero, in int8
    """

    channels: int
    height: int
    width: int
    raw: bool = False
    relu: bool = False
    zero: int = 0


@dataclass(eq=False)
class Step:
    """
    :param kind: ``"conv"``, ``"max-pool"``, ``"average"`` or ``"adaptive-max"``
    :param source: That is read
    :param positive: Whether its positive part is
    :param result: That is written
    :param module: Layer of torch, with the weights
    :param residual: Map that is added
    """

    kind: str
    source: Map
    positive: bool
    result: Map
    module: Any
    residual: tuple[Map, bool] | None = None

    @property
    def name(self) -> str:
        """As the plan says it."""
        module = self.module
        if self.kind == "conv":
            text = f"conv {module.kernel_size[0]}x{module.kernel_size[0]} /{module.stride[0]}"
            return f"{text}, {self.source.channels} -> {self.result.channels}"
        return self.kind

    @property
    def work(self) -> int:
        """Multiplications of all positions; nothing else counts."""
        if self.kind != "conv":
            return 0
        size = self.result.height * self.result.width * self.result.channels
        return size * self.source.channels * self.module.kernel_size[0] ** 2


@dataclass(eq=False)
class Network:
    """
    :param image: Map of the observation
    :param steps: In order
    :param last: Map and form that are flattened
    :param linear: Layers behind, which all take the flattened map; their outputs stand side by side. Empty: the map
        itself is what comes out
    :param activation: Whether a ReLU follows
    """

    image: Map
    steps: list[Step] = field(default_factory=list)
    last: tuple[Map, bool] = field(init=False)
    linear: list[nn.Linear] = field(default_factory=list)
    activation: bool = False

    @property
    def outputs(self) -> int:
        """``F``, or ``D`` without a linear layer."""
        return sum(layer.out_features for layer in self.linear) or self.flat

    @property
    def is_quantized(self) -> bool:
        """Whether its layers are those of ``static-int8``."""
        layers = (*(step.module for step in self.steps), *self.linear)
        return any(isinstance(layer, QuantizedLinear) for layer in layers)

    @property
    def flat(self) -> int:
        """``D``."""
        last = self.last[0]
        return last.channels * last.height * last.width


def read_layers(layers: Iterable[nn.Module], shape: tuple[int, int, int]) -> tuple[Network, list[nn.Module]]:
    """
    :param layers: Of a features extractor and what is behind it, from the image up
    :param shape: Of an image, (C, H, W)
    :return: The steps up to the flattening, and the layers that follow it
    """
    network = Network(Map(*shape))
    todo = list(layers)
    value = (network.image, False)
    while todo and not isinstance(todo[0], nn.Flatten):
        value = _read(network, todo.pop(0), value)
    if not todo:
        raise OptionError(unknown("a network that is not flattened at the end"))
    network.last = use(value)
    return network, todo[1:]


def _read(network: Network, module: Any, value: tuple[Map, bool]) -> tuple[Map, bool]:
    if isinstance(module, nn.Sequential):
        for part in module:
            value = _read(network, part, value)
        return value
    if isinstance(module, Residual):
        return _read_residual(network, module, value)
    if isinstance(module, nn.ReLU):
        # There are no negative pixels
        return value[0], value[0] is not network.image
    if isinstance(module, nn.Identity):
        return value
    kind, size = _pooled(module, value[0])
    channels = module.out_channels if kind == "conv" else value[0].channels
    result = Map(channels, *size)
    network.steps.append(Step(kind, *use(value), result, module))
    return result, False


def _read_residual(network: Network, module: Residual, value: tuple[Map, bool]) -> tuple[Map, bool]:
    """Added where its branch ends: in a convolution of this branch, whose result nobody has read before that."""
    before, source = len(network.steps), value[0]
    found = _read(network, module.branch, value)
    step, result = network.steps[-1] if len(network.steps) > before else None, found[0]
    ends = step is not None and step.kind == "conv" and step.residual is None and found == (step.result, False)
    same_size = (result.channels, result.height, result.width) == (source.channels, source.height, source.width)
    # Pixels lie closer together than the numbers of other maps
    if step is None or not ends or not same_size or source is network.image:
        raise OptionError(
            "The engine 'reuse' knows residuals that add the result of a convolution to a map of the same size, which "
            f"is not the image, and found {module}: take the engine 'eager' or 'onnxruntime'."
        )
    step.residual = use(value)
    return found


def _pooled(module: Any, source: Map) -> tuple[str, tuple[int, int]]:
    """Kind and size of a layer's result."""
    if isinstance(module, (nn.Conv2d, nn.MaxPool2d)):
        return "conv" if isinstance(module, nn.Conv2d) else "max-pool", sizes(module, source.height, source.width)
    if isinstance(module, GlobalAverage) or (isinstance(module, nn.AdaptiveAvgPool2d) and module.output_size == 1):
        return "average", (1, 1)
    if isinstance(module, (AdaptiveMax, nn.AdaptiveMaxPool2d)):
        return "adaptive-max", adaptive_size(module, source.height, source.width)
    raise OptionError(unknown(str(module)))


def use(value: tuple[Map, bool]) -> tuple[Map, bool]:
    """Note that somebody reads a map, or its positive part."""
    source, positive = value
    if positive:
        source.relu = True
    else:
        source.raw = True
    return value
