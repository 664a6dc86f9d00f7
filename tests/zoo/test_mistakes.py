"""Whose errors are said without their traceback."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import gymnasium as gym
import pytest

from sb3_efficient.errors import OptionError
from sb3_efficient.zoo.mistakes import in_settings


def refused() -> None:
    gym.spaces.Discrete(-1)


def call(function: Callable[[], None]) -> None:
    with in_settings():
        function()


def of_module(name: str, function: Any) -> Callable[..., None]:
    """The same, as if it stood there."""
    module = ModuleType(name)
    vars(module).update(gym=gym, in_settings=in_settings)
    return type(function)(function.__code__, vars(module))


def test_settings_and_the_users_own_code() -> None:
    ours = of_module("sb3_efficient.zoo.folder", call)
    with pytest.raises(OptionError, match="^gymnasium refuses these settings: ValueError: n .counts. have"):
        ours(of_module("rl_zoo3.exp_manager", refused))
    with pytest.raises(ValueError, match="^n .counts. have to be positive"):
        ours(of_module("my_environment", refused))
