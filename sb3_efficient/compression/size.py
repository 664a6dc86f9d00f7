"""What acting with a policy costs: the critics of an agent are not part of it."""

from __future__ import annotations

import torch as th
from torch.utils.flop_counter import FlopCounterMode

from sb3_efficient.compression.networks import Networks


def acting_macs(networks: Networks, image_shape: tuple[int, ...]) -> int:
    """
    :param networks: Of any model
    :param image_shape: (C, H, W)
    :return: Multiply-accumulates for one image
    """
    with th.no_grad(), FlopCounterMode(display=False) as counter:
        networks.outputs(_image(networks, image_shape), critics=False)
    return counter.get_total_flops() // 2


def acting_bytes(networks: Networks, image_shape: tuple[int, ...]) -> int:
    """
    :param networks: Of any model
    :param image_shape: (C, H, W)
    :return: Bytes of :func:`acting_parameters` in float32
    """
    return th.float32.itemsize * sum(p.numel() for p in acting_parameters(networks, image_shape))


@th.enable_grad()
def acting_parameters(networks: Networks, image_shape: tuple[int, ...]) -> list[th.Tensor]:
    """
    :param networks: Of any model
    :param image_shape: (C, H, W)
    :return: The weights and biases that actions depend on, without those that are frozen
    """
    outputs = networks.outputs(_image(networks, image_shape), critics=False)
    parameters = [p for p in networks.policy.parameters() if p.requires_grad]
    total = th.stack([tensor.sum() for tensor in outputs.action]).sum()
    gradients = th.autograd.grad(total, parameters, allow_unused=True)
    return [p for p, gradient in zip(parameters, gradients, strict=True) if gradient is not None]


def _image(networks: Networks, image_shape: tuple[int, ...]) -> th.Tensor:
    return th.zeros(1, *image_shape, dtype=th.uint8, device=networks.policy.device)
