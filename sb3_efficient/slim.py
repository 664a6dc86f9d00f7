"""Agents without their optimizer's moments: a third (PPO) to a half (DQN) of the bytes, and loaded as usual."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_efficient.atomic import replace_file
from sb3_efficient.errors import OptionError, briefly


def save_slim(model: BaseAlgorithm, path: str | Path) -> Path:
    """
    Save a model as ``model.save`` does, without the moments that its optimizers keep.

    ``PPO.load``, ``enjoy`` and ``rl_zoo3.train -i`` take the file like any other; training goes on from it with
    the optimizer's moments starting anew. The file is replaced in one step.

    :param model: Any SB3 or contrib model
    :param path: ``.zip`` is added to a name without an ending, as SB3 does
    :return: Where the file lies
    """
    if not isinstance(model, BaseAlgorithm):
        raise OptionError(
            f"save_slim takes a Stable-Baselines3 model, such as PPO('CnnPolicy', env), got {briefly(model)}."
        )
    if not isinstance(path, (str, Path)):
        raise OptionError(f"save_slim writes a file: its path must be text or a Path, got {briefly(path)}.")
    path = Path(path)
    if not path.name:
        raise OptionError(f"save_slim writes a file, and {str(path)!r} is a folder: name one, as 'agent.zip'.")
    if not path.suffix:
        path = path.with_suffix(".zip")
    whole, slim = io.BytesIO(), io.BytesIO()
    model.save(whole)
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(slim, "w", zipfile.ZIP_DEFLATED) as target:
        for item in source.infolist():
            content = source.read(item)
            target.writestr(item.filename, _without_moments(content) if _is_optimizer(item.filename) else content)
    return replace_file(path, slim.getvalue())


def _is_optimizer(filename: str) -> bool:
    return filename.endswith("optimizer.pth")


def _without_moments(content: bytes) -> bytes:
    state: dict[str, Any] = th.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    # An empty state is what a new optimizer has; a missing one SB3 refuses to load
    groups = [{key: None if key == "fused" else value for key, value in g.items()} for g in state["param_groups"]]
    slim = io.BytesIO()
    th.save({"state": {}, "param_groups": groups}, slim)
    return slim.getvalue()
