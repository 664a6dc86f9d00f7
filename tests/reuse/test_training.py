"""Features from distinct patches: gradients of a network with them are those of float64."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import pytest
import torch as th
import torch.nn.functional as F
from games import frames, network
from torch import nn

from sb3_efficient.errors import ObservationError
from sb3_efficient.reuse.patches import training
from sb3_efficient.reuse.patches.distinct import distinct
from sb3_efficient.reuse.patches.training import distinct_features

Gradients = Sequence[th.Tensor]


def outputs(net: nn.Sequential, images: th.Tensor) -> th.Tensor:
    *layers, _, linear = net
    return linear(distinct_features(images, layers))


def reinforce(values: th.Tensor) -> th.Tensor:
    """The source's loss, with made-up actions and returns."""
    generator = th.Generator().manual_seed(1)
    actions = th.randint(0, values.shape[1], (len(values),), generator=generator)
    returns = th.randn(len(values), generator=generator)
    return (F.cross_entropy(values, actions, reduction="none") * returns).mean()


def gradients(net: nn.Sequential, values: th.Tensor) -> Gradients:
    return th.autograd.grad(reinforce(values), list(net.parameters()))


def exact(net: nn.Sequential, images: th.Tensor) -> Gradients:
    """Of the dense network in float64."""
    precise = copy.deepcopy(net).double()
    return gradients(precise, precise(images.double() / 255))


def error(found: Gradients, expected: Gradients) -> float:
    """Largest difference, in parts of the largest gradient of each parameter."""
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("game", ["Pong", "MsPacman", "YarsRevenge"])
def test_gradients_of_a_segment_are_those_of_float64(game: str) -> None:
    images = th.as_tensor(frames(game, 120)[-48:])
    net = network(20, images.shape[1:])
    dense = net(images / 255)
    found = outputs(net, images)
    th.testing.assert_close(found, dense, atol=1e-6, rtol=1e-5)
    assert error(gradients(net, found), exact(net, images)) < 2e-5


def test_chunks_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    images = th.as_tensor(frames("MsPacman", 100)[-8:])
    net = network(8, images.shape[1:])
    whole = gradients(net, outputs(net, images))
    monkeypatch.setattr(training, "CHUNK", 100)
    assert error(gradients(net, outputs(net, images)), whole) < 1e-5


def test_features_are_those_of_the_dense_layers() -> None:
    images = th.as_tensor(frames("Seaquest", 60)[-10:])
    layers = nn.Sequential(
        nn.Conv2d(1, 6, 4, 2), nn.ReLU(), nn.Conv2d(6, 5, 3, bias=False), nn.ReLU(), nn.Conv2d(5, 7, 2), nn.ReLU()
    )
    found, expected = distinct_features(images, layers), layers(images / 255).flatten(1)
    th.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
    parameters = list(layers.parameters())
    weights = th.randn(expected.shape[1])
    one = th.autograd.grad((found.square() @ weights).sum(), parameters)
    other = th.autograd.grad((expected.square() @ weights).sum(), parameters)
    assert error(one, other) < 1e-4


def test_relus_at_zero_explain_all_of_the_difference() -> None:
    """
    With every filter's input zero, up to rounding, for the most frequent patch: float32 and float64 then disagree by
    far more than rounding, the dense network as much as ours, and agree once they decide alike at these ReLUs.
    """
    images = th.as_tensor(frames("Pong", 100)[-16:])
    net = network(20, images.shape[1:])
    numbers, patches = distinct(images.numpy(), 5, 1)
    often = th.as_tensor(patches[np.bincount(numbers.ravel()).argmax()][None])
    precise = copy.deepcopy(net).double()
    with th.no_grad():
        net[2].bias -= precise[:3](often.double() / 255).flatten().float()  # type: ignore[operator]
    expected = exact(net, images)
    ours, dense = gradients(net, outputs(net, images)), gradients(net, net(images / 255))
    assert error(ours, expected) > 1e-3
    assert error(dense, expected) > 1e-3

    # The signs of float32, in float64
    before = training._convolve(th.as_tensor(patches).movedim(1, -1), 1 / 255, [1, 1], *list(net.parameters())[:4])
    open_ = (before > 0)[numbers].permute(0, 2, 1).flatten(1)
    precise = copy.deepcopy(net).double()
    closed = precise[:3](images.double() / 255).flatten(1) * open_
    assert error(ours, gradients(precise, precise[5](closed))) < 2e-5


def test_second_derivatives_as_trpo_needs_them() -> None:
    images = th.as_tensor(frames("Pong", 60)[-4:])
    net = network(4, images.shape[1:], n_outputs=3)
    parameters = list(net.parameters())
    vectors = [th.randn(p.shape) for p in parameters]

    def curvature(values: th.Tensor) -> Gradients:
        """Product of the matrix of second derivatives with a vector."""
        first = th.autograd.grad(reinforce(values.square()), parameters, create_graph=True)
        product = sum((g * v).sum() for g, v in zip(first, vectors, strict=True))
        return th.autograd.grad(product, parameters)  # type: ignore[arg-type]

    assert error(curvature(outputs(net, images)), curvature(net(images / 255))) < 1e-3


def test_second_derivatives_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "CHUNK", 64)
    test_second_derivatives_as_trpo_needs_them()


def test_images_that_are_scaled_already() -> None:
    net = network(4, (1, 20, 20))
    images = th.full((2, 1, 20, 20), 0.5)
    with pytest.raises(
        ObservationError, match=r"hold whole numbers from 0 to 255 .*got torch.float32 from 0.5 to 0.5."
    ):
        outputs(net, images)


def test_warming_up_draws_no_random_numbers_that_training_goes_on_with() -> None:
    before = th.get_rng_state()
    training.warm_up()
    with th.inference_mode():
        training.warm_up()
    assert th.equal(before, th.get_rng_state())
