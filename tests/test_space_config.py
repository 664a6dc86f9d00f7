from __future__ import annotations

import json
from inspect import signature

import numpy as np
import pytest
from gymnasium import spaces

from sb3_efficient.errors import ObservationError
from sb3_efficient.space_config import space_from_config, space_to_config

SPACES = [
    spaces.Box(0, 255, (4, 84, 84), np.uint8),
    spaces.Box(-np.inf, np.inf, (3,), np.float32),
    spaces.Box(np.array([0.1, -1]), np.array([0.3, np.inf]), dtype=np.float64),
    spaces.Box(-0.1, 0.7, (), np.float32),
    spaces.Discrete(6),
    spaces.Discrete(6, start=2),
    spaces.MultiDiscrete([3, 2]),
    spaces.MultiDiscrete([3, 2], start=[1, -1]),
    spaces.MultiDiscrete([[3, 2], [1, 5]]),
    spaces.MultiDiscrete(np.array([3, 2], np.int32), dtype=np.int32),
    spaces.MultiBinary([2, 3]),
    spaces.MultiBinary(3),
    spaces.Box(0, np.iinfo(np.int64).max, (2,), np.int64),
    spaces.Box(np.iinfo(np.int64).min, np.iinfo(np.int64).max, (2,), np.int64),
    spaces.Box(0, 2**63 - 1, (2,), np.uint64),
    # Which older versions of gymnasium do not know
    *([spaces.Discrete(3, dtype=np.int32)] if "dtype" in signature(spaces.Discrete).parameters else []),
    spaces.Dict({"z": spaces.Discrete(2), "a": spaces.Dict({"image": spaces.Box(0, 255, (1, 9, 9), np.uint8)})}),
]


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_round_trip_through_json(space: spaces.Space) -> None:
    found = space_from_config(json.loads(json.dumps(space_to_config(space))))
    assert found == space
    assert found.dtype == space.dtype
    if isinstance(space, spaces.Box):
        np.testing.assert_array_equal(found.high, space.high)
    if isinstance(space, spaces.Dict):
        assert list(found) == list(space)


def test_other_spaces_are_refused() -> None:
    with pytest.raises(ObservationError, match="Spaces of type Text cannot be written to a file, found Text"):
        space_to_config(spaces.Text(3))
    with pytest.raises(ObservationError, match="Unknown kind of space 'Sphere': the file was written by a newer"):
        space_from_config({"type": "Sphere"})
