"""Observations that a method calibrates itself with: checked before any work is done."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from sb3_efficient.errors import ObservationError, OptionError

#: With fewer, ranges of activations are those of a few pictures
LEAST = 32


def check_observations(observations: Any, space: spaces.Space, missing: str) -> np.ndarray:
    """
    :param observations: (N, C, H, W)
    :param space: Of the policy
    :param missing: What is said of None
    :return: The observations, if the policy can take them and they are enough
    """
    if not isinstance(space, spaces.Box):
        raise ObservationError(
            f"Calibration knows observations that are one array, and the policy takes {space}: choose a method that "
            "needs none, as 'dynamic-int8', 'dynamic-float16' or 'static-float16'."
        )
    if observations is None:
        raise OptionError(missing)
    expected = f"an array (N, {', '.join(map(str, space.shape))}) of {space.dtype}, as the environment gives them"
    if not isinstance(observations, np.ndarray):
        raise ObservationError(f"Calibration observations must be {expected}, got {type(observations).__name__}.")
    if observations.shape[1:] != space.shape or observations.dtype != space.dtype:
        raise ObservationError(
            f"Calibration observations must be {expected}, got {observations.shape} of {observations.dtype}."
        )
    if len(observations) < LEAST:
        raise ObservationError(
            f"Calibration needs at least {LEAST} observations, better some hundreds from many episodes, "
            f"got {len(observations)}."
        )
    if observations.dtype.kind == "f" and not np.isfinite(observations).all():
        raise ObservationError("Calibration observations hold infinities or numbers that are none: leave those out.")
    # One by one, as all at once would take as much memory again
    if all(np.array_equal(one, observations[0]) for one in observations[1:]):
        raise ObservationError(f"All {len(observations)} calibration observations are the same: record them in play.")
    # Torch refuses the negative strides of flipped views
    return np.ascontiguousarray(observations)
