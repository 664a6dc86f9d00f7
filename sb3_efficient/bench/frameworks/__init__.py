"""
Whoever computes a network in ``bench nets``: one small file each.

A framework is a module with one function::

    def variants(network: Network) -> dict[str, Variant]

that builds the network once in each of the ways in which it can compute it. ``CONTRIBUTING.md`` says how to add one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

import numpy as np

from sb3_efficient.bench.network import Network
from sb3_efficient.options import check_name

#: Modules below this one, imported when they are measured. They are built in this order: JAX's threads and a later
#: fork, as OpenVINO's telemetry, can deadlock
FRAMEWORKS = ("pytorch", "cuda", "onnxruntime", "reuse", "openvino", "flax", "tensorflow")


@dataclass(frozen=True)
class Variant:
    """
    One way to compute a network. Both functions take images (B, C, H, W), uint8, contiguous, and end when the
    result is there: a framework that computes in the background waits for it.

    :param infer: Images -> number of the largest output, (B,)
    :param train: Images and labels (B,), int64 -> one step of plain SGD on the softmax cross-entropy
    :param settings: What it computes with, for people
    :param feeds: Of :data:`sb3_efficient.bench.nets.FEEDS`, those that it is made for
    :param device: Where it computes, as torch names it
    """

    infer: Callable[[np.ndarray], np.ndarray] | None = None
    train: Callable[[np.ndarray, np.ndarray], object] | None = None
    settings: str = ""
    feeds: tuple[str, ...] = ("contiguous", "loader", "frames")
    device: str = "cpu"


def build(framework: str, network: Network) -> dict[str, Variant]:
    """
    :param framework: Of :data:`FRAMEWORKS`
    :param network: What is to be computed
    :return: Variants by name
    """
    check_name("framework", framework, FRAMEWORKS)
    return import_module(f"{__name__}.{framework}").variants(network)
