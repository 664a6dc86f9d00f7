"""Reuse inside of a features extractor: for updates, from the distinct patches of a minibatch."""

from __future__ import annotations

import torch as th
from torch import nn

from sb3_efficient.errors import OptionError
from sb3_efficient.extractors.base import EncoderExtractor
from sb3_efficient.reuse.acting import as_bytes
from sb3_efficient.reuse.rememberer import PATCH_BYTES
from sb3_efficient.reuse.stack import check_stack, receptive_field
from sb3_efficient.reuse.training import distinct_features


def distinct_latents(extractor: EncoderExtractor, images: th.Tensor) -> th.Tensor | None:
    """
    :param extractor: In float32
    :param images: (B, C, H, W), as SB3's preprocessing leaves them
    :return: (B, D), with gradients; or None where the network itself is to compute them: where its layers are others
        than :func:`distinct_features` knows, where patches are so large that they hardly repeat, on a GPU
    """
    if images.device.type != "cpu" or th.is_autocast_enabled("cpu") or not _plain(extractor.cnn):
        return None
    try:
        field, _ = receptive_field(check_stack(list(extractor.cnn)))
    except OptionError:
        return None
    if images.shape[1] * field**2 > PATCH_BYTES:
        return None
    pixels = as_bytes(images, extractor.normalized_image)
    return None if pixels is None else distinct_features(th.from_numpy(pixels), list(extractor.cnn))


def _plain(cnn: nn.Module) -> bool:
    """Whether layers are what their class says: not parametrized, no hooks, float32 on the CPU."""
    for layer in cnn.children():
        if type(layer) not in (nn.Conv2d, nn.ReLU, nn.Flatten) or layer._forward_hooks or layer._forward_pre_hooks:
            return False
    return all(p.dtype == th.float32 and p.device.type == "cpu" for p in cnn.parameters())
