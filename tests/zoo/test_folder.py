"""Folders of runs that could not begin."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sb3_efficient.errors import ConflictError, OptionError
from sb3_efficient.zoo.folder import learn, setup_experiment

OTHERS = [
    [],
    ["0.monitor.csv", "Pong/", "Pong/config.yml", "Pong/args.yml", "Pong/command.txt"],
    ["0.monitor.csv", "best_model.zip"],
]


def fill(folder: Path, names: list[str]) -> None:
    for name in ["", *names]:
        path = folder / name
        path.mkdir(parents=True, exist_ok=True) if name.endswith("/") or not name else path.touch()


@pytest.mark.parametrize("others", OTHERS)
def test_a_run_that_could_not_begin_leaves_no_folder(tmp_path: Path, others: list[str]) -> None:
    folder = tmp_path / "ppo" / "Pong_1"

    def refused(_: Any) -> None:
        fill(folder, others)
        raise ConflictError("no")

    manager = SimpleNamespace(save_path=str(folder), tensorboard_log=None)
    with pytest.raises(ConflictError, match="no"):
        setup_experiment(refused)(manager)
    assert folder.exists() == ("best_model.zip" in others), "what somebody may want stays"
    folder.mkdir(exist_ok=True)
    with pytest.raises(ConflictError, match="no"):
        setup_experiment(refused)(manager)
    assert folder.exists(), "it was there before"


def test_nor_does_a_search_or_ctrl_c(tmp_path: Path) -> None:
    folder = tmp_path / "ppo" / "Pong_1"
    manager = SimpleNamespace(save_path=str(folder), tensorboard_log=None)

    def interrupted(_: Any) -> None:
        fill(folder, ["0.monitor.csv"])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        setup_experiment(interrupted)(manager)
    assert not folder.exists()
    assert setup_experiment(lambda _: fill(folder, ["0.monitor.csv"]))(manager) is None, "as of a search"
    assert not folder.exists()


@pytest.mark.parametrize("others", OTHERS)
@pytest.mark.parametrize("steps", [0, 8])
@pytest.mark.parametrize("is_new", [True, False])
def test_nor_does_one_that_a_callback_refused(tmp_path: Path, others: list[str], steps: int, is_new: bool) -> None:
    folder = tmp_path / "ppo" / "Pong_1"
    if not is_new:
        folder.mkdir(parents=True)
    manager = SimpleNamespace(save_path=str(folder), tensorboard_log=None)
    setup_experiment(lambda _: [fill(folder, others)])(manager)

    def refused(*_: Any) -> None:
        raise ConflictError("no")

    with pytest.raises(ConflictError, match="no"):
        learn(refused)(manager, SimpleNamespace(num_timesteps=steps))  # type: ignore[arg-type]
    assert folder.exists() == (not is_new or steps > 0 or "best_model.zip" in others)


def test_a_folder_that_cannot_be_made_is_refused_before_all_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(_: Any) -> None:
        raise AssertionError

    setup, file = setup_experiment(forbidden), tmp_path / "file"
    file.touch()
    below = str(file / "ppo" / "Pong_1")
    with pytest.raises(OptionError, match=f"-f: {below} cannot be made, as {file} is a file. Name another folder"):
        setup(SimpleNamespace(save_path=below, tensorboard_log=None))
    with pytest.raises(OptionError, match="-tb: .* is a file"):
        setup(SimpleNamespace(save_path=str(tmp_path / "ppo"), tensorboard_log=below))
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(OptionError, match=f"-f: {tmp_path} cannot be written to. Name another folder, or change its"):
        setup(SimpleNamespace(save_path=str(tmp_path / "ppo"), tensorboard_log=None))
    assert [*tmp_path.iterdir()] == [file]
