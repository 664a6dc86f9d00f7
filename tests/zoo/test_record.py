from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from sb3_efficient.errors import ArtifactError
from sb3_efficient.zoo import record


def train(folder: Path, trained_agent: str | Path = "", start: int = 0) -> dict:
    """What is recorded of a training of 100 steps."""
    model = SimpleNamespace(num_timesteps=start + 100, _num_timesteps_at_start=start)
    folder.mkdir(parents=True)
    manager = SimpleNamespace(
        save_path=str(folder), trained_agent=str(trained_agent), continue_training=bool(trained_agent)
    )
    record.learn(lambda _self, _model: None)(manager, model)
    assert record.read_record(folder) == {}
    record.save(lambda _self, _model: None)(manager, model)
    return record.read_record(folder)


@pytest.fixture
def agent(tmp_path: Path) -> Path:
    """The zip of an agent whose training is recorded."""
    folder = tmp_path / "ppo" / "Pong_1"
    train(folder)
    record.write_record(folder, {"n_timesteps": 1000, "hours": 2.0, "peak_rss_mb": 10**6})
    return folder / "Pong.zip"


def test_what_training_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([1000.0, 6400.0])
    monkeypatch.setattr("sb3_efficient.zoo.record.time.perf_counter", lambda: next(clock))
    found = train(tmp_path / "Pong_1")
    assert found["n_timesteps"] == 100
    assert found["hours"] == 1.5
    assert 50 < found["peak_rss_mb"] < 10**5


@pytest.mark.parametrize("start", [0, 1000])
def test_runs_come_together(agent: Path, tmp_path: Path, start: int) -> None:
    """Whether the steps are counted on or from nothing."""
    found = train(tmp_path / "Pong_2", agent, start)
    assert found["n_timesteps"] == 1100
    assert found["hours"] == pytest.approx(2, abs=0.1)
    assert found["peak_rss_mb"] == 10**6


def test_unknown_parts_are_left_out(agent: Path, tmp_path: Path) -> None:
    assert train(tmp_path / "Pong_2", agent.with_name("rl_model_500_steps.zip")) == {}
    assert not (tmp_path / "Pong_2" / record.FILE).exists()
    record.write_record(agent.parent, {"n_timesteps": 1000})
    assert train(tmp_path / "Pong_3", agent) == {"n_timesteps": 1100}


def test_runs_with_an_id_of_their_own(tmp_path: Path) -> None:
    folder = tmp_path / "Pong_1_0f8c-4d"
    train(folder)
    assert record.record_of(folder / "Pong.zip")["n_timesteps"] == 100
    assert record.record_of(folder / "best_model.zip") == {}


def test_scripts_that_train_by_themselves(tmp_path: Path) -> None:
    saved = []
    record.save(lambda _self, model: saved.append(model))(SimpleNamespace(save_path=str(tmp_path)), "model")
    assert saved == ["model"]
    assert not (tmp_path / record.FILE).exists()


def test_only_what_is_known_is_read(tmp_path: Path) -> None:
    assert record.read_record(tmp_path) == {}
    (tmp_path / record.FILE).write_text(json.dumps({"hours": 1.5, "unknown": 1}))
    assert record.read_record(tmp_path) == {"hours": 1.5}


@pytest.mark.parametrize("content", ["", "{", "null", '{"hours": "two"}'])
def test_damaged_record_is_refused_before_training(agent: Path, tmp_path: Path, content: str) -> None:
    agent.with_name(record.FILE).write_text(content)

    def never(*_: object) -> None:
        raise AssertionError("trained")

    manager = SimpleNamespace(save_path=str(tmp_path), trained_agent=str(agent), continue_training=True)
    with pytest.raises(ArtifactError, match=r"training.json does not say what training took.*remove it"):
        record.learn(never)(manager, SimpleNamespace())


def test_a_system_that_does_not_say(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(record, "_peak_mb", lambda: None)
    assert train(tmp_path / "Pong_1").keys() == {"n_timesteps", "hours"}


def test_training_that_fails_has_no_record(tmp_path: Path) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("out of memory")

    manager = SimpleNamespace(save_path=str(tmp_path), trained_agent="", continue_training=False)
    with pytest.raises(RuntimeError, match="out of memory"):
        record.learn(fail)(manager, SimpleNamespace())
    assert record.read_record(tmp_path) == {}


def test_the_agent_is_saved_before_its_record(tmp_path: Path) -> None:
    (tmp_path / record.FILE).mkdir()
    manager = SimpleNamespace(save_path=str(tmp_path), took=({"hours": 0}, 1.0))
    saved = []
    model = SimpleNamespace(num_timesteps=1, _num_timesteps_at_start=0)
    with pytest.raises(OSError, match=record.FILE):
        record.save(lambda _self, model: saved.append(model))(manager, model)
    assert saved == [model]
