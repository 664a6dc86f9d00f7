"""TensorFlow with Keras layers, an extra: compiled by ``tf.function``, channels-last as its CPU code demands."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

from sb3_efficient.bench.frameworks import Variant
from sb3_efficient.bench.network import LEARNING_RATE, Network
from sb3_efficient.errors import MissingExtraError, OptionError

try:
    import tensorflow as tf
except ImportError as error:
    raise MissingExtraError(
        "The framework 'tensorflow' needs tensorflow, which is not installed: pip install 'sb3-efficient[tensorflow]'."
    ) from error


def variants(network: Network) -> dict[str, Variant]:
    """
    :param network: What is to be computed; a sequence of convolutions without padding, then linear layers
    """
    tf.config.threading.set_intra_op_parallelism_threads(network.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    leaves = [leaf for part in network.modules() for leaf in part.modules() if not isinstance(leaf, nn.Sequential)]
    model = tf.keras.Sequential([_layer(leaf, network.name) for leaf in leaves])
    optimizer = tf.keras.optimizers.SGD(LEARNING_RATE)

    def outputs(images: Any) -> Any:
        return model(tf.transpose(tf.cast(images, tf.float32) / 255, (0, 2, 3, 1)))

    @tf.function  # type: ignore[untyped-decorator]
    def infer(images: Any) -> Any:
        return tf.argmax(outputs(images), axis=1)

    @tf.function  # type: ignore[untyped-decorator]
    def step(images: Any, labels: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, outputs(images))
            loss = tf.reduce_mean(loss)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    def train(images: np.ndarray, labels: np.ndarray) -> None:
        step(images, labels).numpy()

    return {"function": Variant(lambda images: infer(images).numpy(), train, "float32, tf.function")}


def _layer(module: nn.Module, name: str) -> Any:
    match module:
        case nn.Conv2d(out_channels=filters, kernel_size=kernel, stride=stride, padding=(0, 0)):
            return tf.keras.layers.Conv2D(filters, kernel, stride)
        case nn.Linear(out_features=width):
            return tf.keras.layers.Dense(width)
        case nn.ReLU():
            return tf.keras.layers.ReLU()
        case nn.Flatten():
            return tf.keras.layers.Flatten()
    raise OptionError(
        f"The framework 'tensorflow' computes convolutions without padding, ReLUs and linear layers, and {name!r} has "
        f"a {type(module).__name__}."
    )
