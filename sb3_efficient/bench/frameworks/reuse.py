"""This package's engine that computes what changed since the last frame: for frames in order, and nothing else."""

from __future__ import annotations

from sb3_efficient.bench.frameworks import Variant
from sb3_efficient.bench.network import CALIBRATION, Network, frames
from sb3_efficient.compression import compress
from sb3_efficient.engines import Engine, make_engine


def variants(network: Network) -> dict[str, Variant]:
    """
    :param network: What is to be computed
    """
    model = network.model()
    int8 = compress(model, "static-int8", calibration=frames(CALIBRATION)[0])
    return {
        "fp32": _variant(make_engine(model, "reuse"), "float32"),
        "int8": _variant(int8.engine("reuse"), "static-int8"),
    }


def _variant(engine: Engine, settings: str) -> Variant:
    (name,) = engine.outputs(frames(1)[0])
    return Variant(lambda batch: engine.outputs(batch)[name].argmax(axis=1), settings=settings, feeds=("frames",))
