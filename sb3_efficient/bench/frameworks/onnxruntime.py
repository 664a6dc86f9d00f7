"""ONNX Runtime, through this package's engine."""

from __future__ import annotations

from sb3_efficient.bench.frameworks import Variant
from sb3_efficient.bench.frameworks.through_engine import engine_variants
from sb3_efficient.bench.network import CALIBRATION, Network, images


def variants(network: Network) -> dict[str, Variant]:
    """
    :param network: What is to be computed
    """
    return engine_variants(network, "onnxruntime", images(CALIBRATION)[0])
