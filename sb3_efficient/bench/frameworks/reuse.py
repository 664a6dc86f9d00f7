"""This package's engine that computes what changed since the last frame: for frames in order, and nothing else."""

from __future__ import annotations

from sb3_efficient.bench.frameworks import Variant
from sb3_efficient.bench.frameworks.through_engine import engine_variants
from sb3_efficient.bench.network import CALIBRATION, Network, frames


def variants(network: Network) -> dict[str, Variant]:
    """
    :param network: What is to be computed
    """
    return engine_variants(network, "reuse", frames(CALIBRATION)[0], feeds=("frames",))
