from __future__ import annotations

import copy
from typing import Any

import pytest
import torch as th
from helpers import parameters_match
from learners import ALGORITHMS, agent, images
from torch.nn.utils import prune

from sb3_efficient.compression.distillation import Distillation
from sb3_efficient.compression.layers import layers
from sb3_efficient.compression.magnitude import LnStructured, MagnitudePruning
from sb3_efficient.compression.masks import sparsity
from sb3_efficient.compression.networks import networks
from sb3_efficient.compression.recipe import make_method
from sb3_efficient.errors import OptionError, UnknownNameError


def pruned(model: Any, method: MagnitudePruning | LnStructured) -> Any:
    return method.apply(model, teacher=model, observations=None)


def with_large_heads(model: Any) -> Any:
    """SB3 starts the heads of actors small."""
    with th.no_grad():
        for head in networks(model).heads:
            head.weight.normal_(std=0.1)
    networks(model).synchronize_targets()
    return model


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_the_smallest_weights_become_zero(algo: str) -> None:
    model = with_large_heads(agent(algo))
    result = pruned(model, MagnitudePruning(0.25))
    assert sparsity(networks(result)) == pytest.approx(0.25, abs=1e-3)
    for before, after in zip(model.policy.parameters(), result.policy.parameters(), strict=True):
        assert th.equal(after[after != 0], before[after != 0])
    for name in networks(result).targets:
        assert parameters_match(getattr(result.policy, name), getattr(result.policy, name.removesuffix("_target")))
    assert sparsity(networks(model)) == 0


@pytest.mark.parametrize(("part", "zeros"), [("conv", (0.9, 0)), ("dense", (0, 0.9)), ("all", None)])
def test_parts(part: str, zeros: tuple[float, float] | None) -> None:
    model = with_large_heads(agent("ppo", "tiny-rl"))
    result = networks(pruned(model, MagnitudePruning(0.9, part)))
    assert sparsity(result, part) == pytest.approx(0.9, abs=1e-3)
    if zeros:
        assert (sparsity(result, "conv"), sparsity(result, "dense")) == pytest.approx(zeros, abs=1e-3)
    weights = th.cat([layer.weight.flatten() for group in layers(networks(model), part).values() for layer in group])
    kept = th.cat([layer.weight.flatten() for group in layers(result, part).values() for layer in group]) != 0
    assert weights[kept].abs().min() > weights[~kept].abs().max()


@pytest.mark.parametrize(("dim", "n"), [(0, 1), (1, 1), (1, 2)])
def test_ln_structured_is_that_of_torch(dim: int, n: int) -> None:
    model = agent()
    # Orthogonal columns would all have the same norm
    th.nn.init.normal_(model.policy.features_extractor.linear[0].weight)
    expected = copy.deepcopy(model.policy.features_extractor.linear[0])
    prune.ln_structured(expected, "weight", 0.25, n, dim)
    result = pruned(model, LnStructured(0.25, dim=dim, n=n)).policy.features_extractor
    assert th.equal(result.linear[0].weight, expected.weight)
    assert parameters_match(result.cnn, model.policy.features_extractor.cnn)


def test_ln_structured_of_convolutions() -> None:
    result = pruned(agent(), LnStructured(0.5, layers=("cnn.2",), dim=0)).policy.features_extractor.cnn[2].weight
    assert int((result == 0).all(dim=(1, 2, 3)).sum()) == 32


def test_zeros_stay_zero_in_distillation() -> None:
    model = with_large_heads(agent())
    sparse = pruned(model, MagnitudePruning(0.9))
    result = Distillation(steps=3, batch_size=16).apply(sparse, teacher=model, observations=images())
    for before, after in zip(sparse.policy.parameters(), result.policy.parameters(), strict=True):
        if before.ndim > 1:
            assert th.equal(before == 0, after == 0)
            assert not th.equal(before, after)


@pytest.mark.parametrize(
    ("step", "error", "text"),
    [
        ("magnitude-pruning(ratio=1)", OptionError, r"ratio must be a part, in \[0, 1\), as 0.5 for one half, got 1"),
        ("magnitude-pruning(part='cnov')", UnknownNameError, "Unknown part 'cnov'. Did you mean 'conv'"),
        ("ln-structured(dim=2)", OptionError, "dim must be 0 for rows of a layer .* got 2"),
        ("ln-structured(dim=True)", OptionError, "dim must be a whole number of at least 0, got True"),
        ("ln-structured(n=0)", OptionError, "n must be a whole number of at least 1, got 0"),
    ],
)
def test_options_that_make_no_sense(step: str, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        make_method(step)


def test_layers_that_do_not_exist() -> None:
    with pytest.raises(
        OptionError, match=r"There is no layer 'linear.1'. Did you mean 'linear.0'. Found: cnn.0, cnn.2"
    ):
        pruned(agent(), LnStructured(layers=("linear.1",)))
    with pytest.raises(OptionError, match="layers must be a list of names, as .*got {'linear.0': 0.9}"):
        pruned(agent(), LnStructured(layers={"linear.0": 0.9}))  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="layers must be a list of names, as .*got 'linear.0'"):
        pruned(agent(), LnStructured(layers="linear.0"))  # type: ignore[arg-type]


def test_layer_that_would_vanish() -> None:
    with pytest.raises(OptionError, match="Nothing would be left of action_net, .* lower pruning ratio than 0.9"):
        pruned(agent(), MagnitudePruning(0.9))
    with pytest.raises(OptionError, match=r"left of Linear\(.*\), of which (\d+) of \1 columns .* ratio than 0.9999"):
        pruned(agent(), LnStructured(0.9999))


def test_config_round_trip() -> None:
    for method in (MagnitudePruning(0.9, "dense"), LnStructured(0.3, layers=("cnn.0",), dim=0, n=2)):
        assert make_method(method.to_config()) == make_method(str(method)) == method
