"""ONNX Runtime, through this package's engine: float32, and int8 as ``compress`` makes it."""

from __future__ import annotations

from sb3_efficient.bench.frameworks import Variant
from sb3_efficient.bench.network import CALIBRATION, Network, images
from sb3_efficient.compression import compress
from sb3_efficient.engines import Engine, make_engine


def variants(network: Network, engine: str = "onnxruntime") -> dict[str, Variant]:
    """
    :param network: What is to be computed
    :param engine: That computes it
    """
    model = network.model()
    int8 = compress(model, "static-int8", calibration=images(CALIBRATION)[0])
    return {
        "fp32": _variant(make_engine(model, engine, threads=network.threads), "float32"),
        "int8": _variant(int8.engine(engine, threads=network.threads), "static-int8"),
    }


def _variant(engine: Engine, settings: str) -> Variant:
    (name,) = engine.outputs(images(1)[0])
    return Variant(lambda batch: engine.outputs(batch)[name].argmax(axis=1), settings=settings)
