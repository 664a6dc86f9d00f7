"""Weights that are written, by whatever means, are noticed once."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch as th
from torch import nn

from sb3_efficient.weights import Weights, places


class Network:
    """As those who watch weights; a copy has its own."""

    def __init__(self) -> None:
        self.module = nn.Sequential(nn.Conv2d(4, 8, 3), nn.BatchNorm2d(8), nn.Linear(8, 2))
        self.weights = Weights(places(self.module.modules(), statistics=True))


def step(module: nn.Module) -> None:
    with th.no_grad():
        module[2].bias.add_(1)  # type: ignore[index, operator]


def past_autograd(module: nn.Module) -> None:
    module[0].weight.data.mul_(1.1)  # type: ignore[index, union-attr]


def other_memory(module: nn.Module) -> None:
    module[0].weight.data = module[0].weight.data.clone()  # type: ignore[index, union-attr]


def other_parameter(module: nn.Module) -> None:
    module[0].weight = nn.Parameter(module[0].weight.detach().clone())  # type: ignore[index, union-attr, assignment]


def assigned(module: nn.Module) -> None:
    module.load_state_dict({k: v.clone() for k, v in module.state_dict().items()}, assign=True)


def parametrized(module: nn.Module) -> None:
    nn.utils.parametrizations.weight_norm(module[0])  # type: ignore[index]


def statistics(module: nn.Module) -> None:
    module[1](th.rand(2, 8, 3, 3))  # type: ignore[index, operator]


def not_a_number(module: nn.Module) -> None:
    module[2].weight.data.fill_(th.nan)  # type: ignore[index, union-attr]


TENSORS = (step, past_autograd, other_memory, statistics, not_a_number)
PLACES = (other_parameter, assigned, parametrized)


@pytest.mark.parametrize("change", [*TENSORS, *PLACES])
@pytest.mark.parametrize("memory_format", [th.contiguous_format, th.channels_last])
def test_changes(change: Callable[[nn.Module], None], memory_format: th.memory_format) -> None:
    network = Network()
    network.module.to(memory_format=memory_format)  # type: ignore[call-overload]
    assert network.weights.changed()
    assert not network.weights.changed()
    change(network.module)
    assert network.weights.changed()
    assert not network.weights.changed()


def test_a_copy_watches_its_own() -> None:
    network = Network()
    network.weights.changed()
    other = copy.deepcopy(network)
    assert other.weights.changed()
    past_autograd(network.module)
    assert not other.weights.changed()
    past_autograd(other.module)
    assert other.weights.changed()


def test_weights_that_are_not_contiguous() -> None:
    network = Network()
    layer = next(module for module in network.module.modules() if isinstance(module, nn.Conv2d))
    layer.weight = nn.Parameter(layer.weight.detach().permute(1, 0, 3, 2).contiguous().permute(1, 0, 3, 2))
    assert network.weights.changed()
    assert not network.weights.changed()
    layer.weight.data.mul_(-1)
    assert network.weights.changed()


def test_weights_that_were_made_in_inference_mode() -> None:
    with th.inference_mode():
        network = Network()
    assert network.weights.changed()
    assert not network.weights.changed()
