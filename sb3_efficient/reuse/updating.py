"""
Reuse inside of a features extractor: for updates, from the distinct patches of a minibatch.

What is switched on is what was measured to win on one thread, forward and backward, shuffled minibatches:

* all of ``conv2``, 80 frames of the paper's sizes: 1.4 to 8 times as fast as dense in float32;
* first convolution and pooling of ``impala`` in float32, 256 stacks: the whole update 1.10 times as fast as dense on
  Pong, 1.13 on Breakout, 1.06 on Seaquest and MsPacman.

What is not, as to number patches takes as long as to convolve them where games are busy: ``impala`` in bfloat16 (1.21
times as fast on Breakout, 1.02 on Pong, 0.91 on Seaquest, 0.86 on MsPacman), and the first convolution of ``nature``
(1.17, 1.15, 1.04 and 0.97). It is there to be called, :mod:`sb3_efficient.reuse.patches.first`.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch as th
from torch import nn

from sb3_efficient.errors import OptionError
from sb3_efficient.extractors.base import EncoderExtractor
from sb3_efficient.extractors.max_pool import HalvingMaxPool
from sb3_efficient.reuse.acting import as_bytes
from sb3_efficient.reuse.patches.first import first_pooled
from sb3_efficient.reuse.patches.rememberer import PATCH_BYTES
from sb3_efficient.reuse.patches.stack import check_stack, receptive_field
from sb3_efficient.reuse.patches.training import distinct_features, warm_up
from sb3_efficient.reuse.watch import plain

#: Images below which patches do not repeat often enough for ``impala``
LEAST = 64


def distinct_latents(extractor: EncoderExtractor, images: th.Tensor) -> th.Tensor | None:
    """
    :param extractor: Any
    :param images: (B, C, H, W), as SB3's preprocessing leaves them
    :return: (B, D), with gradients; or None where the network itself is to compute them: where its layers are others
        than is known here, where patches hardly repeat, in bfloat16, on a GPU
    """
    others = images.device.type != "cpu" or extractor.precision != "fp32" or th.is_autocast_enabled("cpu")
    if others or not plain(extractor.cnn):
        return None
    whole = _small_patches(extractor.cnn, images.shape[1])
    if not whole and not (len(images) >= LEAST and _begins_as_impala(extractor.cnn)):
        return None
    pixels = as_bytes(images, extractor.normalized_image)
    if pixels is None:
        return None
    if whole:
        return distinct_features(th.from_numpy(pixels), list(extractor.cnn))
    stage, *rest = extractor.cnn
    maps = first_pooled(stage[0], pixels)  # type: ignore[index]
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
    if type(convolution) is not nn.Conv2d or type(pooling) is not HalvingMaxPool or not _plain((convolution, pooling)):
        return False
    of_convolution = (convolution.kernel_size, convolution.stride, convolution.padding, convolution.padding_mode)
    others = (convolution.dilation, convolution.groups)
    return of_convolution == ((3, 3), (1, 1), (1, 1), "zeros") and others == ((1, 1), 1)


def _plain(layers: Iterable[nn.Module]) -> bool:
    """Whether layers are of a class that is known here, and compute what it says, in float32 on the CPU."""
    return all(
        type(layer) in (nn.Conv2d, nn.ReLU, nn.Flatten, HalvingMaxPool)
        and plain(layer)
        and all(p.dtype == th.float32 and p.device.type == "cpu" for p in layer.parameters())
        for layer in layers
    )
