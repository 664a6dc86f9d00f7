"""Values of an entry that the zoo takes itself."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from sb3_efficient.errors import OptionError, UnavailableError
from sb3_efficient.zoo.values import check_values


@pytest.mark.parametrize(("written", "meant"), [("1e5", 100_000), (2e7, 20_000_000), (512, 512), ("512", 512)])
def test_whole_numbers_however_they_are_written(written: Any, meant: int) -> None:
    entry = {"n_timesteps": written}
    check_values(entry)
    assert entry == {"n_timesteps": meant}
    assert type(entry["n_timesteps"]) is int


@pytest.mark.parametrize(
    "entry",
    [
        {"normalize": True},
        {"normalize": "dict(norm_obs=False, norm_reward=True)"},
        {"normalize": {"norm_obs": False}, "policy_kwargs": {"net_arch": [64]}},
        {"policy_kwargs": "dict(activation_fn=nn.ReLU, ortho_init=False)", "frame_stack": None},
        {"policy": "stable_baselines3.ppo.CnnPolicy", "env_wrapper": "gymnasium.wrappers.GrayscaleObservation"},
        {"env_wrapper": [{"gymnasium.wrappers.TimeLimit": {"max_episode_steps": 3}}], "vec_env_wrapper": None},
    ],
)
def test_what_the_zoo_reads_stays_as_it_is(entry: dict[str, Any]) -> None:
    before = dict(entry)
    check_values(entry)
    assert entry == before


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ({"normalize": "no"}, "normalize=no is read as Python, and is none (NameError: name 'no' is not defined)."),
        ({"normalize": 2}, "normalize must be true or false, got 2."),
        ({"frame_stack": "four"}, "frame_stack must be a whole number of at least 1, got 'four'."),
        ({"frame_stack": 2.0}, "frame_stack must be a whole number of at least 1, got 2.0."),
        ({"n_timesteps": "many"}, "n_timesteps must be a whole number of at least 1, got 'many'."),
        ({"n_envs": 0}, "n_envs must be a whole number of at least 1, got 0."),
        ({"policy": None}, "policy must be a name, as CnnPolicy, got None."),
        ({"policy": "my.Policy"}, "policy: there is no 'my.Policy' to import (No module named 'my')."),
        ({"policy_kwargs": "small"}, "policy_kwargs=small is read as Python, and is none (NameError: name 'small'"),
        ({"policy_kwargs": "[64]"}, "policy_kwargs must be a mapping, as dict(net_arch=[64]), got '[64]'."),
        ({"env_wrapper": "NoSuch"}, "env_wrapper: there is no 'NoSuch' to import (Empty module name)."),
        ({"env_wrapper": ["gymnasium.wrappers.NoSuch"]}, "env_wrapper: there is no 'gymnasium.wrappers.NoSuch' to im"),
        ({"env_wrapper": {"gymnasium.wrappers.TimeLimit": None}}, "env_wrapper: options of gymnasium.wrappers.TimeLim"),
        ({"vec_env_wrapper": {"my.Wrapper": {"a": 1}}}, "vec_env_wrapper: there is no 'my.Wrapper' to import (No mod"),
    ],
)
def test_what_nobody_would_understand(entry: dict[str, Any], text: str) -> None:
    with pytest.raises(OptionError) as raised:
        check_values(entry)
    assert str(raised.value).startswith(text)


def test_a_package_that_settings_of_the_zoo_want(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ae", None)
    text = r"is not installed \(No module named 'ae.*\). Take those of this package: add -conf sb3_efficient.hyp"
    with pytest.raises(UnavailableError, match=text):
        check_values({"env_wrapper": "ae.wrapper.Wrapper"}, "sb3_efficient.hyperparams.sac")
