"""PyTorch: eager as the source has it, as SB3 has it, as this package has it, and compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch as th
from torch import nn

from sb3_efficient.bench.frameworks import Variant
from sb3_efficient.bench.network import LEARNING_RATE, Network
from sb3_efficient.extractors.precision import has_bf16

Forward = Callable[[th.Tensor], th.Tensor]
#: Of tensors on the CPU
Compute = Callable[..., th.Tensor]


def variants(network: Network, device: str = "cpu") -> dict[str, Variant]:
    """
    :param network: What is to be computed
    :param device: Where: ``"cpu"`` or ``"cuda"``
    """
    found = {
        "eager": variant(*plain(network, device), "contiguous float32, as SB3 runs its networks", device),
        "fp32": variant(*_ours(network, "fp32", device), "this package's extractor", device),
        "compile": variant(*_compiled(network, device), "torch.compile of 'eager'", device),
    }
    if has_bf16(device):
        found["bf16"] = variant(*_ours(network, "bf16", device), "this package's extractor, autocast", device)
    return found


def plain(network: Network, device: str = "cpu") -> tuple[Forward, list[nn.Parameter]]:
    """
    :return: The network in torch's own layers, for images (B, C, H, W), uint8, and its parameters
    """
    modules = nn.Sequential(*network.modules()).to(device)
    return (lambda images: modules(images.float() / 255)), list(modules.parameters())


def _ours(network: Network, precision: str, device: str) -> tuple[Forward, list[nn.Parameter]]:
    q_net = network.model(precision).q_net.to(device)
    # uint8 goes into the extractor as it is; SB3's own forward would make it float32 first
    forward = lambda images: q_net.q_net(q_net.features_extractor(images))  # noqa: E731
    return forward, list(q_net.parameters())


def _compiled(network: Network, device: str) -> tuple[Forward, list[nn.Parameter]]:
    forward, parameters = plain(network, device)
    return th.compile(forward), parameters


def variant(
    forward: Forward,
    parameters: list[nn.Parameter],
    settings: str,
    device: str = "cpu",
    on_device: Callable[[Compute, str], Compute] | None = None,
) -> Variant:
    """
    :param forward: Images (B, C, H, W), uint8 -> outputs (B, N)
    :param parameters: That are trained
    :param settings: For people
    :param device: Of both
    :param on_device: Makes of a function of tensors there one of tensors on the CPU; None: copies them there
    """
    optimizer = th.optim.SGD(parameters, lr=LEARNING_RATE)
    on_device = on_device or _copying

    def classes(images: th.Tensor) -> th.Tensor:
        with th.inference_mode():
            return forward(images).argmax(dim=1)

    def step(images: th.Tensor, labels: th.Tensor) -> th.Tensor:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(forward(images), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return loss.detach()

    infer, train = on_device(classes, device), on_device(step, device)
    return Variant(
        lambda images: infer(th.from_numpy(images)).cpu().numpy(),
        # To read the loss waits for the step
        lambda images, labels: train(th.from_numpy(images), th.from_numpy(labels)).cpu(),
        settings,
        device=device,
    )


def _copying(compute: Compute, device: str) -> Compute:
    def call(*tensors: Any) -> th.Tensor:
        return compute(*(tensor.to(device) for tensor in tensors))

    return call
