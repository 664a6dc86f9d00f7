"""
A policy's network, fast: one interface to every runtime.

``make_engine`` builds one by name; ``list_engines`` lists them. A runtime is imported when its engine is built.
"""

from __future__ import annotations

from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy

from sb3_efficient.engines.base import Engine
from sb3_efficient.engines.graph import ActingGraph, to_graph
from sb3_efficient.engines.head import Head
from sb3_efficient.engines.network import ActingNetwork
from sb3_efficient.options import check_names, whole_number
from sb3_efficient.registry import Registry

__all__ = ["ActingGraph", "ActingNetwork", "Engine", "Head", "export", "list_engines", "make_engine", "to_graph"]

ENGINES: Registry[str] = Registry("engine")
ENGINES.register("eager", "eager:EagerEngine")
ENGINES.register("onnxruntime", "onnxruntime:OnnxRuntimeEngine")
ENGINES.register("openvino", "openvino:OpenVinoEngine")
ENGINES.register("reuse", "reuse:ReuseEngine")


def make_engine(
    model: BaseAlgorithm | BasePolicy | ActingGraph, name: str = "onnxruntime", *, threads: int = 1, **options: Any
) -> Engine:
    """
    Let a runtime act for a model::

        engine = sb3_efficient.make_engine(PPO.load("ppo_pong.zip"))
        actions, _ = engine.predict(observations, deterministic=True)

    The model stays as it is, and the engine keeps the weights of now.

    :param model: SB3 or sb3-contrib model, its policy, or a compressed policy
    :param name: ``"onnxruntime"``, ``"openvino"`` (extra), ``"eager"`` (torch) or ``"reuse"`` (what changed since the
        observation before)
    :param threads: That it may compute on
    :param options: Of the engine: ``memory`` of ``"reuse"``
    """
    engine_class = find_engine(name)
    threads = whole_number("threads", threads)
    check_names(f"Engine {name!r}", options, engine_class, given=("source", "threads"))
    return engine_class(model if isinstance(model, ActingGraph) else ActingNetwork(model), threads, **options)


def find_engine(name: str) -> Any:
    """
    Its runtime is imported here: one that is not installed raises :class:`~sb3_efficient.errors.MissingExtraError`.

    :param name: A registered name
    :return: The class
    """
    return resolve_name(f"{__name__}.{ENGINES[name]}")


def export(
    model: BaseAlgorithm | BasePolicy | ActingGraph, format: str | Path = "onnx", path: str | Path | None = None
) -> Path:
    """
    Write a policy as one ordinary ONNX file, with preprocessing and actions inside; see
    :func:`sb3_efficient.engines.onnx_file.export`::

        export(model, "onnx", path="ppo_pong.onnx")
        export(model, "ppo_pong.onnx")

    :param model: SB3 or sb3-contrib model, its policy, or a compressed policy
    :param format: ``"onnx"``, the only one; or the path itself
    :param path: Ends in ``.onnx``; ``policy.onnx`` in the current folder if none is given
    :return: The path
    """
    from sb3_efficient.engines import onnx_file

    return onnx_file.export(model, onnx_file.path_of(format, path))


def list_engines() -> list[str]:
    """
    :return: Registered names, in order
    """
    return list(ENGINES)
