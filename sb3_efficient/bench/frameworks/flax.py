"""JAX with Flax's linen layers, an extra: compiled, channels-last as JAX likes images on CPUs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import nn

from sb3_efficient.bench.frameworks import Variant
from sb3_efficient.bench.network import LEARNING_RATE, SPACE, Network
from sb3_efficient.errors import MissingExtraError, OptionError

try:
    import jax
    import jax.numpy as jnp
    from flax import linen
except ImportError as error:
    raise MissingExtraError(
        "The framework 'flax' needs jax and flax, which are not installed: pip install 'sb3-efficient[jax]'."
    ) from error


def variants(network: Network) -> dict[str, Variant]:
    """
    :param network: What is to be computed; a sequence of convolutions without padding, then linear layers
    """
    model = linen.Sequential(list(_layers(network)))
    weights = model.init(jax.random.PRNGKey(0), jnp.zeros((1, *SPACE.shape), jnp.uint8))

    @jax.jit  # type: ignore[untyped-decorator]
    def infer(weights: Any, images: Any) -> Any:
        return model.apply(weights, images).argmax(axis=1)

    def loss(weights: Any, images: Any, labels: Any) -> Any:
        outputs = jax.nn.log_softmax(model.apply(weights, images))
        return -jnp.take_along_axis(outputs, labels[:, None], axis=1).mean()

    @jax.jit  # type: ignore[untyped-decorator]
    def step(weights: Any, images: Any, labels: Any) -> Any:
        gradients = jax.grad(loss)(weights, images, labels)
        return jax.tree_util.tree_map(lambda weight, gradient: weight - LEARNING_RATE * gradient, weights, gradients)

    def train(images: np.ndarray, labels: np.ndarray) -> None:
        nonlocal weights
        weights = jax.block_until_ready(step(weights, images, labels.astype(np.int32)))

    return {"jit": Variant(lambda images: np.asarray(infer(weights, images)), train, "float32, jax.jit")}


def _layers(network: Network) -> list[Callable[[Any], Any]]:
    layers: list[Callable[[Any], Any]] = [lambda images: images.transpose(0, 2, 3, 1) / jnp.float32(255)]
    for part in network.modules():
        layers += [_layer(module, network.name) for module in _leaves(part)]
    return layers


def _leaves(module: nn.Module) -> list[nn.Module]:
    return [leaf for leaf in module.modules() if not isinstance(leaf, nn.Sequential)]


def _layer(module: nn.Module, name: str) -> Callable[[Any], Any]:
    match module:
        case nn.Conv2d(out_channels=filters, kernel_size=kernel, stride=stride, padding=(0, 0)):
            return linen.Conv(filters, kernel, stride, padding="VALID")
        case nn.Linear(out_features=width):
            return linen.Dense(width)
        case nn.ReLU():
            return linen.relu
        case nn.Flatten():
            return lambda images: images.reshape(len(images), -1)
    raise OptionError(
        f"The framework 'flax' computes convolutions without padding, ReLUs and linear layers, and {name!r} has a "
        f"{type(module).__name__}."
    )
