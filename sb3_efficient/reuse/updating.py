"""
Reuse inside of a features extractor: for updates, from the distinct patches of a minibatch.

What is switched on is what was measured to win on one thread, forward and backward, shuffled minibatches:

* all of ``conv2``, 80 frames of the paper's sizes: 1.4 to 8 times as fast as dense in float32;
* first convolution and pooling of ``impala``, 256 stacks: the whole update 1.24 times as fast as dense bf16 on Pong,
  1.14 on Breakout, 1.08 on Seaquest, 1.04 on MsPacman.

What is not: the first convolution of ``nature``, 0.95 times as fast on Seaquest and MsPacman, 1.0 on Breakout and 1.15
on Pong: to number 100,000 patches of 256 bytes takes as long as to convolve them. It is there to be called,
:func:`~sb3_efficient.reuse.first.first_convolution`.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch as th
from torch import nn

from sb3_efficient.errors import OptionError
from sb3_efficient.extractors.base import EncoderExtractor
from sb3_efficient.reuse.acting import as_bytes
from sb3_efficient.reuse.first import first_pooled
from sb3_efficient.reuse.rememberer import PATCH_BYTES
from sb3_efficient.reuse.stack import check_stack, receptive_field
from sb3_efficient.reuse.training import distinct_features, warm_up
from sb3_efficient.reuse.watch import plain

#: Images below which patches do not repeat often enough for ``impala``
LEAST = 64


def distinct_latents(extractor: EncoderExtractor, images: th.Tensor) -> th.Tensor | None:
    """
    :param extractor: Any
    :param images: (B, C, H, W), as SB3's preprocessing leaves them
    :return: (B, D), with gradients; or None where the network itself is to compute them: where its layers are others
        than is known here, where patches hardly repeat, on a GPU
    """
    if images.device.type != "cpu" or th.is_autocast_enabled("cpu") or not plain(extractor.cnn):
        return None
    whole = extractor.precision == "fp32" and _small_patches(extractor.cnn, images.shape[1])
    if not whole and not (len(images) >= LEAST and _begins_as_impala(extractor.cnn)):
        return None
    pixels = as_bytes(images, extractor.normalized_image)
    if pixels is None:
        return None
    if whole:
        return distinct_features(th.from_numpy(pixels), list(extractor.cnn))
    dtype = th.bfloat16 if extractor.precision == "bf16" else th.float32
    with extractor.computing(images):
        stage, *rest = extractor.cnn
        maps = first_pooled(stage[0], pixels, dtype)  # type: ignore[index]
        for layer in (*list(stage)[2:], *rest):  # type: ignore[call-overload]
            maps = layer(maps)
        return maps


def prepare(extractor: EncoderExtractor) -> None:
    """
    Compile what updates are going to need, or load it; otherwise the first update does, in the middle of an episode.

    :param extractor: Any
    """
    if _begins_as_impala(extractor.cnn) or _small_patches(extractor.cnn, extractor._observation_space.shape[0]):  # type: ignore[index]
        warm_up()


def _small_patches(cnn: nn.Module, channels: int) -> bool:
    if not _plain(cnn.children()):
        return False
    try:
        field, _ = receptive_field(check_stack(list(cnn.children())))
    except OptionError:
        return False
    return channels * field**2 <= PATCH_BYTES


def _begins_as_impala(cnn: nn.Sequential) -> bool:
    """With a 3x3 convolution and a max-pooling that halves its result."""
    stage = cnn[0]
    if not isinstance(stage, nn.Sequential) or not plain(stage) or len(stage) < 2:
        return False
    convolution, pooling = stage[0], stage[1]
    if type(convolution) is not nn.Conv2d or type(pooling) is not nn.MaxPool2d or not _plain((convolution, pooling)):
        return False
    of_convolution = (convolution.kernel_size, convolution.stride, convolution.padding, convolution.padding_mode)
    others = (convolution.dilation, convolution.groups, pooling.kernel_size, pooling.stride, pooling.padding)
    return of_convolution == ((3, 3), (1, 1), (1, 1), "zeros") and others == ((1, 1), 1, 3, 2, 1)


def _plain(layers: Iterable[nn.Module]) -> bool:
    """Whether layers are of a class that is known here, and compute what it says, in float32 on the CPU."""
    return all(
        type(layer) in (nn.Conv2d, nn.ReLU, nn.Flatten, nn.MaxPool2d)
        and plain(layer)
        and all(p.dtype == th.float32 and p.device.type == "cpu" for p in layer.parameters())
        for layer in layers
    )
