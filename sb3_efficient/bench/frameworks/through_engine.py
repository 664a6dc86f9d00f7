"""What this package's engines compute: float32, and int8 as ``compress`` makes it."""

from __future__ import annotations

from typing import Any

import numpy as np

from sb3_efficient.bench.frameworks import Variant
from sb3_efficient.bench.network import Network
from sb3_efficient.compression import compress
from sb3_efficient.engines import Engine, make_engine


def engine_variants(network: Network, engine: str, observations: np.ndarray, **options: Any) -> dict[str, Variant]:
    """
    :param network: What is to be computed
    :param engine: That computes it
    :param observations: To calibrate int8, (N, C, H, W), uint8
    :param options: Of each :class:`Variant`
    """
    model = network.model()
    int8 = compress(model, "static-int8", calibration=observations)

    def variant(engine: Engine, settings: str) -> Variant:
        (name,) = engine.outputs(observations[:1])
        return Variant(lambda batch: engine.outputs(batch)[name].argmax(axis=1), settings=settings, **options)

    return {
        "fp32": variant(make_engine(model, engine, threads=network.threads), "float32"),
        "int8": variant(int8.engine(engine, threads=network.threads), "static-int8"),
    }
