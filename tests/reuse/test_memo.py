from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch as th
from games import dense, frames, network
from torch import nn

from sb3_efficient.errors import ObservationError, OptionError
from sb3_efficient.reuse.patches.memo import Memo
from sb3_efficient.reuse.patches.stack import Stack


def memo(net: nn.Sequential, shape: tuple[int, ...], **options: Any) -> Memo:
    *convolutions, _, linear = net
    assert isinstance(linear, nn.Linear)
    weight, bias = linear.weight.detach().numpy(), linear.bias.detach().numpy()
    return Memo(Stack(convolutions, shape, 255), weight, bias, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("game", ["Pong", "Seaquest", "YarsRevenge"])
def test_equals_the_dense_network_and_goes_on_to(game: str) -> None:
    images = frames(game, 400)
    net = network(20, images.shape[1:])
    found = memo(net, images.shape[1:])
    outputs = np.concatenate([found.outputs(images[i : i + 1]) for i in range(len(images))])
    errors = np.abs(outputs - dense(net, images)).max(axis=1)
    assert errors.max() < 1e-5
    # Not growing with time
    assert errors[-100:].max() < 3 * errors[:100].max() + 1e-7


@pytest.mark.parametrize("filters", [1, 3, 8])
def test_any_number_of_filters_channels_kernels_and_strides(filters: int) -> None:
    images = np.random.default_rng(0).integers(0, 3, (5, 3, 25, 21), np.uint8)
    net = nn.Sequential(
        nn.Conv2d(3, filters, 4, 2), nn.ReLU(), nn.Conv2d(filters, 5, 3), nn.ReLU(), nn.Conv2d(5, 9, 2), nn.ReLU()
    )
    size = net(th.zeros(1, 3, 25, 21)).numel()
    net = nn.Sequential(*net, nn.Flatten(), nn.Linear(size, 2))
    found = memo(net, images.shape[1:])
    np.testing.assert_allclose(found.outputs(images), dense(net, images), atol=1e-6)


def test_each_row_of_the_batch_has_a_state_and_they_share_what_is_remembered() -> None:
    pong, seaquest = frames("Pong", 60), frames("Seaquest", 60)
    net = network(8, pong.shape[1:])
    found = memo(net, pong.shape[1:])
    for i in range(0, 60, 2):
        both = np.concatenate([pong[i : i + 1], seaquest[i : i + 1]])
        np.testing.assert_allclose(found.outputs(both), dense(net, both), atol=1e-5)
    before = found.report()
    # Another order, and one row only: larger differences, and nothing else
    np.testing.assert_allclose(found.outputs(seaquest[:1]), dense(net, seaquest[:1]), atol=1e-5)
    np.testing.assert_allclose(found.outputs(pong[[40, 0, 58]]), dense(net, pong[[40, 0, 58]]), atol=1e-5)
    assert found.report()["computed"] == before["computed"]
    assert found.report()["frames"] == 64


def test_all_changed_and_none_changed() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, 1, 20, 20), np.uint8)
    net = network(8, images.shape[1:])
    found = memo(net, images.shape[1:])
    for image in images:
        np.testing.assert_allclose(found.outputs(image[None]), dense(net, image[None]), atol=1e-5)
    assert found.report()["changed"] == 4 * 16 * 16
    same = found.outputs(images[-1:])
    assert found.report()["changed"] == 4 * 16 * 16
    np.testing.assert_array_equal(same, found.outputs(images[-1:]))


def test_a_bad_hash_gives_the_same() -> None:
    images = frames("Pong", 20)
    net = network(4, images.shape[1:])
    good, bad = memo(net, images.shape[1:]), memo(net, images.shape[1:], hash_bits=2)
    for image in images:
        np.testing.assert_array_equal(good.outputs(image[None]), bad.outputs(image[None]))


def test_a_full_table_is_emptied_also_in_the_middle_of_a_frame() -> None:
    images = np.random.default_rng(0).integers(0, 256, (12, 1, 53, 40), np.uint8)
    net = network(80, images.shape[1:], n_outputs=2)
    found = memo(net, images.shape[1:], memory=5 << 20)
    for image in images:
        np.testing.assert_allclose(found.outputs(image[None]), dense(net, image[None]), atol=1e-5)
    report = found.report()
    assert report["emptied"] >= 2
    assert report["patches"] <= found.table.capacity < report["computed"]
    assert report["bytes"] <= 5 << 20
    # Not a multiple of a frame's patches: the last ones of a frame were entered into an empty table
    assert found.table.capacity % found.windows.positions


def test_forgets() -> None:
    images = frames("Pong", 3)
    net = network(4, images.shape[1:])
    found = memo(net, images.shape[1:])
    first = found.outputs(images[:1])
    found.outputs(images[1:2])
    found.forget()
    assert not any(value for name, value in found.report().items() if name != "bytes")
    np.testing.assert_array_equal(found.outputs(images[:1]), first)


def test_new_weights() -> None:
    images = frames("Pong", 30)
    one, other = network(4, images.shape[1:]), network(4, images.shape[1:])
    found = memo(one, images.shape[1:])
    for image in images:
        found.outputs(image[None])
    linear = other[5]
    assert isinstance(linear, nn.Linear)
    weight, bias = linear.weight.detach().numpy(), linear.bias.detach().numpy()
    found.load(Stack(list(other[:4]), images.shape[1:], 255), weight, bias)  # type: ignore[arg-type]
    for image in images:
        np.testing.assert_allclose(found.outputs(image[None]), dense(other, image[None]), atol=1e-6)
    wider = network(8, images.shape[1:])
    with pytest.raises(OptionError, match="New weights must be those of the same network for the same images"):
        found.load(Stack(list(wider[:4]), images.shape[1:], 255), weight, bias)  # type: ignore[arg-type]


def test_memory_too_small_for_a_frame() -> None:
    with pytest.raises(
        OptionError,
        match="memory=1,000,000 cannot hold the 7676 patches of one frame .*: give at least 7,788,582 bytes.",
    ):
        memo(network(80, (1, 105, 80)), (1, 105, 80), memory=1_000_000)


def test_more_environments_than_memory_allows() -> None:
    net = network(4, (1, 20, 20))
    found = memo(net, (1, 20, 20), memory=400_000)
    with pytest.raises(OptionError, match=r"A batch of 20 needs .* bytes to remember, .* pass at most \d+ obs"):
        found.outputs(np.zeros((20, 1, 20, 20), np.uint8))


def test_wrong_images() -> None:
    found = memo(network(4, (1, 20, 20)), (1, 20, 20))
    for wrong in (np.zeros((1, 1, 20, 21), np.uint8), np.zeros((1, 1, 20, 20), np.float32)):
        with pytest.raises(ObservationError, match=r"must be uint8 of shape \(B, \*\(1, 20, 20\)\), got"):
            found.outputs(wrong)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([nn.Conv2d(1, 4, 3, padding=1), nn.ReLU()], "layer 0 is Conv2d.*padding=.*Use the engine 'eager'."),
        ([nn.Conv2d(1, 4, 3), nn.Tanh()], "layer 1 is Tanh"),
        ([nn.Conv2d(1, 4, 3)], "a ReLU behind each, and here is none"),
        ([], "a ReLU behind each, and here is none"),
    ],
)
def test_layers_that_do_not_fit(layers: list[nn.Module], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Stack(layers, (1, 20, 20), 1)
