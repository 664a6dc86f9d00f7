"""PyTorch: eager as the source has it, as SB3 has it, as this package has it, and compiled."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch as th
from torch import nn

from sb3_efficient.bench.frameworks import Variant
from sb3_efficient.bench.network import LEARNING_RATE, Network
from sb3_efficient.extractors.precision import cpu_has_bf16

Forward = Callable[[th.Tensor], th.Tensor]


def variants(network: Network) -> dict[str, Variant]:
    """
    :param network: What is to be computed
    """
    found = {
        "eager": _variant(*_plain(network), "contiguous float32, as SB3 runs its networks"),
        "fp32": _variant(*_ours(network, "fp32"), "this package's extractor"),
        "compile": _variant(*_compiled(network), "torch.compile of 'eager'"),
    }
    if cpu_has_bf16():
        found["bf16"] = _variant(*_ours(network, "bf16"), "this package's extractor, autocast")
    return found


def _plain(network: Network) -> tuple[Forward, list[nn.Parameter]]:
    modules = nn.Sequential(*network.modules())
    return (lambda images: modules(images.float() / 255)), list(modules.parameters())


def _ours(network: Network, precision: str) -> tuple[Forward, list[nn.Parameter]]:
    q_net = network.model(precision).q_net
    # uint8 goes into the extractor as it is; SB3's own forward would make it float32 first
    forward = lambda images: q_net.q_net(q_net.features_extractor(images))  # noqa: E731
    return forward, list(q_net.parameters())


def _compiled(network: Network) -> tuple[Forward, list[nn.Parameter]]:
    forward, parameters = _plain(network)
    return th.compile(forward), parameters


def _variant(forward: Forward, parameters: list[nn.Parameter], settings: str) -> Variant:
    optimizer = th.optim.SGD(parameters, lr=LEARNING_RATE)

    def infer(images: np.ndarray) -> np.ndarray:
        with th.inference_mode():
            return forward(th.from_numpy(images)).argmax(dim=1).numpy()

    def train(images: np.ndarray, labels: np.ndarray) -> None:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(forward(th.from_numpy(images)), th.from_numpy(labels))
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return Variant(infer, train, settings)
