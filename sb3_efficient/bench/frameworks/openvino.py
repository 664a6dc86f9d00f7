"""OpenVINO (extra), through this package's engine."""

from __future__ import annotations

from sb3_efficient.bench.frameworks import Variant, onnxruntime
from sb3_efficient.bench.network import Network


def variants(network: Network) -> dict[str, Variant]:
    """
    :param network: What is to be computed
    """
    return onnxruntime.variants(network, "openvino")
