"""Observation and action spaces as data that JSON holds."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from sb3_efficient.errors import ObservationError


def space_to_config(space: spaces.Space) -> dict[str, Any]:
    """
    :param space: Box, Discrete, MultiDiscrete, MultiBinary, or a dictionary of them
    :return: What :func:`space_from_config` takes, ready for JSON
    """
    if isinstance(space, spaces.Dict):
        return {"type": "Dict", "spaces": [[key, space_to_config(part)] for key, part in space.spaces.items()]}
    if isinstance(space, spaces.Box):
        bounds = {"low": _bounds(space.low), "high": _bounds(space.high)}
        return {"type": "Box", "shape": list(space.shape), "dtype": str(space.dtype), **bounds}
    if isinstance(space, spaces.Discrete):
        return {"type": "Discrete", "n": int(space.n), "start": int(space.start), "dtype": str(space.dtype)}
    if isinstance(space, spaces.MultiDiscrete):
        sizes = {"nvec": space.nvec.tolist(), "start": space.start.tolist()}
        return {"type": "MultiDiscrete", **sizes, "dtype": str(space.dtype)}
    if isinstance(space, spaces.MultiBinary):
        return {"type": "MultiBinary", "shape": list(space.shape)}
    raise ObservationError(f"Spaces of type {type(space).__name__} cannot be written to a file, found {space}.")


def space_from_config(config: dict[str, Any]) -> spaces.Space:
    """
    :param config: What :func:`space_to_config` gave
    """
    kind = config["type"]
    if kind == "Dict":
        # As pairs, for gymnasium would sort the keys of a plain dictionary
        return spaces.Dict([(key, space_from_config(part)) for key, part in config["spaces"]])
    if kind == "Box":
        dtype, shape = np.dtype(config["dtype"]), tuple(config["shape"])
        # From texts at once, as large integers are no float64
        low, high = (np.broadcast_to(np.asarray(config[k]).astype(dtype), shape) for k in ("low", "high"))
        return spaces.Box(low, high, shape, dtype.type)
    if kind == "Discrete":
        dtype = np.dtype(config["dtype"]).type
        # Older versions of gymnasium know int64 only, and no such argument
        options = {} if dtype is np.int64 else {"dtype": dtype}
        return spaces.Discrete(config["n"], start=config["start"], **options)
    if kind == "MultiDiscrete":
        dtype = np.dtype(config["dtype"]).type
        nvec = np.array(config["nvec"], dtype)
        return spaces.MultiDiscrete(nvec, dtype=dtype, start=np.array(config["start"], dtype))
    if kind == "MultiBinary":
        # MultiBinary((3,)) would be another space than MultiBinary(3)
        shape = config["shape"]
        return spaces.MultiBinary(shape[0] if len(shape) == 1 else shape)
    raise ObservationError(f"Unknown kind of space {kind!r}: the file was written by a newer sb3-efficient.")


def _bounds(values: np.ndarray) -> Any:
    """One for all where they are equal. Texts, since JSON knows no infinity."""
    if (values == values.flat[0]).all():
        return str(values.flat[0])
    return values.astype(str).tolist()
