"""Which entry of a configuration is read."""

from __future__ import annotations

from collections import OrderedDict
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from huggingface_sb3 import EnvironmentName

from sb3_efficient.errors import OptionError
from sb3_efficient.zoo.lookup import one_entry

FLAT = "{policy: MlpPolicy, n_envs: 8}"


def read(config: Path, env_id: str = "CartPole-v1", extractor: str | None = None) -> str:
    """Name of the entry that the zoo is going to look for."""
    manager = SimpleNamespace(
        algo="ppo",
        config=str(config),
        env_name=EnvironmentName(env_id),
        is_atari=lambda name: "NoFrameskip" in name,
        entry_point=lambda name: "elsewhere",
        custom_hyperparams=None,
        continue_training=False,
    )
    with one_entry(manager, extractor) as entry:
        name = manager.config.removeprefix(f"entry of {config}, ")
        assert import_module(manager.config).hyperparams == {env_id: entry}
    assert manager.config == str(config)
    return str(name)


@pytest.mark.parametrize(
    ("env_id", "extractor", "name"),
    [
        ("CartPole-v1", None, "CartPole-v1"),
        ("PongNoFrameskip-v4", "impala", "atari-impala"),
        # Of the same class
        ("PongNoFrameskip-v4", "impala-x2", "atari-impala"),
        ("PongNoFrameskip-v4", "nature", "atari"),
    ],
)
def test_anchors_of_yaml_may_stand_beside_the_entries(
    tmp_path: Path, env_id: str, extractor: str | None, name: str
) -> None:
    config = tmp_path / "mine.yml"
    entries = ("CartPole-v1", "atari", "atari-impala")
    config.write_text("\n".join(["small: &net 'dict(net_arch=[16])'", *(f"{entry}: {FLAT}" for entry in entries)]))
    assert read(config, env_id, extractor) == name


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("CartPole-v1: nature", "CartPole-v1: 'nature'."),
        (f"CartPole-v1: nature\natari: {FLAT}", "CartPole-v1: 'nature'."),
        (f"default: nature\natari: {FLAT}", "default: 'nature'."),
        (FLAT, "policy: 'MlpPolicy', n_envs: 8."),
        ("[1, 2]", "a list, or a single value."),
    ],
)
def test_configurations_of_another_shape(tmp_path: Path, text: str, found: str) -> None:
    (tmp_path / "mine.yml").write_text(text)
    with pytest.raises(OptionError) as raised:
        read(tmp_path / "mine.yml")
    assert str(raised.value).endswith(f"as 'atari: {FLAT.replace('Mlp', 'Cnn')}', and has {found}")


def test_the_configuration_of_a_run(tmp_path: Path) -> None:
    config = tmp_path / "config.yml"
    config.write_text(yaml.dump(OrderedDict(policy="CnnPolicy")))
    with pytest.raises(
        OptionError, match="config.yml of a run is not, and has no name of an environment: copy its sett"
    ):
        read(config)


def test_a_file_in_python_is_read_as_one_in_yaml(tmp_path: Path) -> None:
    config = tmp_path / "mine.py"
    entries = ("atari", "atari-impala", "default")
    config.write_text(f"hyperparams = {{name: {{'policy': 'CnnPolicy'}} for name in {entries}}}")
    assert read(config, "PongNoFrameskip-v4", "impala") == "atari-impala"
    assert read(config, "PongNoFrameskip-v4", "nature") == "atari"
    assert read(config) == "default"
    config.write_text("settings = {}")
    with pytest.raises(OptionError, match="mine.py has no 'hyperparams': settings by environment."):
        read(config)


def test_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.yml").write_text(f"CartPole-v1: {FLAT}")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    # pathlib would leave "./" out
    for config in ("../mine.yml", "./../mine.yml"):
        assert read(config) == "CartPole-v1"  # type: ignore[arg-type]
