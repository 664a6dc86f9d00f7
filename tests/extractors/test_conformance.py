"""What every registered extractor owes, whichever it is. A new name is tested by being registered."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch as th
from gymnasium import spaces

from sb3_efficient import EncoderExtractor, list_extractors, make_extractor

NAMES = [*list_extractors(), *list_extractors(papers=True)]
SHAPE = (2, 44, 40)
TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}


def images(batch: int = 3, shape: tuple[int, int, int] = SHAPE) -> th.Tensor:
    return th.randint(0, 256, (batch, *shape), dtype=th.uint8)


def make(name: str, shape: tuple[int, int, int] = SHAPE, **options: object) -> EncoderExtractor:
    th.manual_seed(1)
    extractor = make_extractor(name, spaces.Box(0, 255, shape, np.uint8), **options)
    assert isinstance(extractor, EncoderExtractor)
    return extractor


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param  # type: ignore[no-any-return]


def test_forward_is_project_after_encode(name: str) -> None:
    extractor, batch = make(name), images()
    latents = extractor.encode(batch)
    features = extractor(batch)
    assert latents.shape == (3, extractor.latent_dim)
    assert features.shape == (3, extractor.features_dim)
    assert features.dtype == th.float32
    assert th.equal(features, extractor.project(latents))


def test_equals_the_plain_form_of_the_network_forward_and_backward(name: str) -> None:
    """Channels-last float32 against NCHW float64, written out as SB3 writes it."""
    extractor, batch = make(name), images()
    plain = copy.deepcopy(extractor).double()
    expected = plain.linear(plain.cnn(batch.double() / 255))
    features = extractor(batch)
    th.testing.assert_close(features, expected.float(), **TOLERANCE)
    features.square().sum().backward()
    expected.square().sum().backward()
    for mine, theirs in zip(extractor.parameters(), plain.parameters(), strict=True):
        scale = theirs.grad.abs().max().item()
        th.testing.assert_close(mine.grad, theirs.grad.float(), rtol=1e-3, atol=1e-4 * scale)


def test_pixels_are_scaled_once_whatever_they_come_as(name: str) -> None:
    batch = images()
    expected = make(name)(batch)
    th.testing.assert_close(make(name)(batch.float() / 255), expected, **TOLERANCE)
    th.testing.assert_close(make(name, normalized_image=False)(batch.float()), expected, **TOLERANCE)
    th.testing.assert_close(make(name, normalized_image=False)(batch), expected, **TOLERANCE)


def test_input_is_left_as_it_was_and_its_layout_does_not_matter(name: str) -> None:
    extractor, batch = make(name), images()
    before = batch.clone()
    expected = extractor(batch)
    th.testing.assert_close(extractor(batch.contiguous(memory_format=th.channels_last)), expected, **TOLERANCE)
    raw = batch.float()
    make(name, normalized_image=False)(raw)
    assert th.equal(batch, before)
    assert th.equal(raw, before.float())


def test_rows_do_not_depend_on_the_batch(name: str) -> None:
    extractor, batch = make(name), images(5)
    th.testing.assert_close(extractor(batch)[2:3], extractor(batch[2:3]), **TOLERANCE)


def test_weights_are_contiguous_float32_and_all_receive_gradients(name: str) -> None:
    for precision in ("fp32", "bf16"):
        extractor = make(name, precision=precision)
        extractor(images()).sum().backward()
        for parameter in extractor.parameters():
            assert parameter.dtype == th.float32
            assert parameter.is_contiguous()
            assert parameter.grad is not None
            assert parameter.grad.dtype == th.float32
            assert parameter.grad.abs().sum() > 0


def test_bf16_is_close_to_fp32(name: str) -> None:
    batch = images(8)
    expected = make(name, precision="fp32")(batch)
    found = make(name, precision="bf16")(batch)
    assert found.dtype == th.float32
    error = (found - expected).norm() / expected.norm()
    assert error < 0.02, f"relative error {error:.4f}"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_can_be_differentiated_twice(name: str, precision: str) -> None:
    """TRPO takes the gradient of a gradient."""
    extractor = make(name, precision=precision)
    parameters = list(extractor.parameters())
    gradients = th.autograd.grad(extractor(images()).square().sum(), parameters, create_graph=True)
    second = th.autograd.grad(sum(g.square().sum() for g in gradients), parameters)
    assert all(g.isfinite().all() for g in second)


def test_copies_and_pickles_give_the_same_features(name: str) -> None:
    extractor, batch = make(name), images()
    expected = extractor(batch)
    for other in (copy.deepcopy(extractor), pickle.loads(pickle.dumps(extractor))):
        assert type(other) is type(extractor)
        assert th.equal(other(batch), expected)
    fresh = make(name)
    with th.no_grad():
        for parameter in fresh.parameters():
            parameter.zero_()
    fresh.load_state_dict(extractor.state_dict())
    assert th.equal(fresh(batch), expected)


def test_construction_draws_from_torch_only(name: str) -> None:
    """The image space's own generator is the environment's business."""
    space = spaces.Box(0, 255, SHAPE, np.uint8, seed=3)
    other = spaces.Box(0, 255, SHAPE, np.uint8, seed=3)
    make_extractor(name, space)
    assert np.array_equal(space.sample(), other.sample())


def test_wrong_image_is_named(name: str) -> None:
    from sb3_efficient.errors import ObservationError

    extractor = make(name)
    with pytest.raises(
        ObservationError, match=r"was built for images of shape \(2, 44, 40\), and got a batch of shape"
    ):
        extractor(images(shape=(2, 40, 44)))


def test_misspelt_option_is_answered_with_the_options(name: str) -> None:
    from sb3_efficient.errors import OptionError

    with pytest.raises(
        OptionError, match=rf"^Extractor '{name}' has no option 'precison'\. Did you mean 'precision'\? "
    ):
        make(name, precison="bf16")
