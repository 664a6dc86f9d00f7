from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch as th
from helpers import parameters_match
from learners import ALGORITHMS, actions, agent, images, tensors

from sb3_efficient.compression.binary import Binary, binarized
from sb3_efficient.compression.layers import layers
from sb3_efficient.compression.networks import networks
from sb3_efficient.compression.recipe import make_method, make_recipe
from sb3_efficient.errors import OptionError


def binary(model: Any, **options: Any) -> Any:
    options = {"steps": 30, "batch_size": 32, **options}
    return Binary(**options).apply(model, teacher=model, observations=images())


def distance(model: Any, teacher: Any) -> float:
    judged = actions(teacher)
    pairs = zip(tensors(model, judged), tensors(teacher, judged), strict=True)
    return sum(float((one - other).pow(2).mean() / other.var()) for one, other in pairs)


def has_two_values(weight: th.Tensor) -> bool:
    return all(len(row.unique()) == 2 and row.unique().sum() == 0 for row in weight.flatten(1))


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_first_dense_layer_has_two_values_an_output(algo: str, tmp_path: Path) -> None:
    model = agent(algo)
    result = binary(model, steps=2)
    for layer in layers(networks(result))["linear.0"]:
        assert has_two_values(layer.weight)
    for layer in layers(networks(result))["cnn.0"]:
        assert not has_two_values(layer.weight)
    for name in networks(result).targets:
        assert parameters_match(getattr(result.policy, name), getattr(result.policy, name.removesuffix("_target")))
    result.save(tmp_path / "binary.zip")
    assert parameters_match(type(model).load(tmp_path / "binary.zip").policy, result.policy)


def test_training_makes_up_for_the_bits() -> None:
    teacher = agent()
    at_once = binary(teacher, steps=1, learning_rate=1e-9)
    assert distance(binary(teacher, steps=100), teacher) < 0.5 * distance(at_once, teacher)


def test_chosen_layers() -> None:
    result = binary(agent(), layers=("cnn.4", "linear.0"), steps=1).policy.features_extractor
    assert has_two_values(result.cnn[4].weight)
    assert has_two_values(result.linear[0].weight)
    assert not has_two_values(result.cnn[2].weight)


def test_scale_and_signs_are_those_of_xnor_net() -> None:
    weight = th.randn(3, 4, 2, 2, requires_grad=True)
    result = binarized(weight)
    centred = weight - weight.mean(dim=1, keepdim=True)
    th.testing.assert_close(result.abs(), centred.abs().mean(dim=(1, 2, 3), keepdim=True).expand_as(weight))
    assert th.equal(result > 0, centred >= 0)
    result.sum().backward()
    assert weight.grad is not None
    assert weight.grad.isfinite().all()


@pytest.mark.parametrize("shape", [(3, 1, 2, 2), (3, 1)])
def test_a_single_input_is_not_its_own_mean(shape: tuple[int, ...]) -> None:
    weight = th.randn(shape)
    result = binarized(weight)
    assert result.all()
    # Of a single number its size is the scale
    assert th.equal(result, weight) if shape == (3, 1) else has_two_values(result)


def test_gradients_stop_where_weights_are_large() -> None:
    weight = th.tensor([[3.0, -3.0, 0.5, -0.5]], requires_grad=True)
    # Only the signs: the scale has a gradient of its own
    signs = binarized(weight) / binarized(weight).abs().detach()
    scale = weight.detach().abs().mean()
    (gradient,) = th.autograd.grad((signs * th.tensor([1.0, 1.0, 2.0, 2.0])).sum(), weight)
    assert gradient[0, 2] - gradient[0, 0] > 1 / scale
    assert gradient.isfinite().all()


def test_bad_input() -> None:
    with pytest.raises(OptionError, match=r"There is no layer 'linaer.0'. Did you mean 'linear.0'"):
        binary(agent(), layers=("linaer.0",))
    method = Binary(layers=("cnn.0",), steps=3)
    assert make_method(method.to_config()) == make_method(str(method)) == method


@pytest.mark.parametrize("later", ["distillation", "qat", "binary"])
def test_what_training_would_undo_comes_behind_it(later: str) -> None:
    make_recipe("distillation binary static-int8")
    with pytest.raises(OptionError, match=f"'{later}' trains, and would undo 'binary': put it before"):
        make_recipe(f"binary {later}")
