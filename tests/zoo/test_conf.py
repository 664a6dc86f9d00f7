"""The shipped hyper-parameters: plain data, reachable by name, and every entry trains."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from helpers import Run

from sb3_efficient import list_extractors
from sb3_efficient.errors import ConflictError
from sb3_efficient.extractors import ImpalaExtractor, find_extractor
from sb3_efficient.frames import FrameReplayBuffer
from sb3_efficient.zoo.conf import files
from sb3_efficient.zoo.entries import to_stock

ALGOS = ["a2c", "dqn", "ppo", "ppo_lstm", "qrdqn", "sac", "trpo"]
CHECKOUT = Path(__file__).parents[2] / "hyperparams"


@pytest.fixture(autouse=True)
def _not_adapted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands that another test ran in this process may have adapted the zoo."""
    monkeypatch.setattr("sb3_efficient.zoo.registered", lambda: False)


def entries(algo: str) -> dict[str, dict]:
    return yaml.safe_load(files()[algo].read_text())


def leaves(value: object) -> list[object]:
    if isinstance(value, dict):
        return [leaf for child in value.values() for leaf in leaves(child)]
    if isinstance(value, list):
        return [leaf for child in value for leaf in leaves(child)]
    return [value]


def test_files() -> None:
    assert list(files()) == ALGOS
    for algo, path in files().items():
        assert path.read_text() == (CHECKOUT / f"{algo}.yml").read_text(), "the installed copy is out of date"


@pytest.mark.parametrize("algo", ALGOS)
def test_entries_are_plain_data_with_a_known_extractor(algo: str) -> None:
    for key, entry in entries(algo).items():
        for leaf in leaves(entry):
            assert not (isinstance(leaf, str) and "(" in leaf), f"{key}: {leaf!r} would have to be evaluated"
        if key.endswith(("-fast", "-seer")):
            assert entry["features_extractor"] == ("impala" if (algo, key[-5:]) == ("ppo", "-seer") else None)
            continue
        assert entry["features_extractor"] in (*list_extractors(), *list_extractors(papers=True))
        suffix = {f"-{name}" for name in list_extractors() if key.endswith(f"-{name}")}
        assert suffix in (set(), {f"-{entry['features_extractor']}"})


@pytest.mark.parametrize("algo", [algo for algo in ALGOS if algo not in ("sac", "trpo")])
def test_atari_values_are_those_of_the_zoo(algo: str) -> None:
    zoo_file = Path(find_spec("rl_zoo3").origin).parent / "hyperparams" / f"{algo}.yml"
    theirs = yaml.safe_load(zoo_file.read_text())["atari"]
    ours = entries(algo)["atari"]
    different = {k for k in {*theirs, *ours} if theirs.get(k) != ours.get(k)} - {"features_extractor", "policy_kwargs"}
    assert different == set()
    assert ("policy_kwargs" in theirs) == ("policy_kwargs" in ours)


@pytest.mark.parametrize("algo", ALGOS)
def test_every_entry_is_understood(algo: str) -> None:
    for entry in entries(algo).values():
        if entry["features_extractor"] is None:
            continue
        chosen = to_stock(entry, algo)["policy_kwargs"]
        assert chosen["features_extractor_class"] is find_extractor(entry["features_extractor"]).extractor_class


@pytest.mark.parametrize("algo", ALGOS)
def test_names_of_modules(algo: str) -> None:
    """As rl-zoo3 imports them; this process has not adapted the zoo, so they come in stock words."""
    every = import_module(f"sb3_efficient.hyperparams.{algo}").hyperparams
    assert every.keys() == entries(algo).keys()
    impala = import_module(f"sb3_efficient.hyperparams.{algo}.impala").hyperparams
    assert not [key for key in impala if key.endswith(("-impala", "-seer"))]
    for entry in impala.values():
        assert entry["policy_kwargs"]["features_extractor_class"] is ImpalaExtractor
        assert "features_extractor" not in entry


@pytest.mark.parametrize("algo", ALGOS)
def test_fast_entries_in_stock_words(algo: str) -> None:
    """Without the hook they are the entries of the zoo, accelerated by a callback."""
    (entry,) = import_module(f"sb3_efficient.hyperparams.{algo}.fast").hyperparams.values()
    assert entry["callback"] == ["sb3_efficient.fast.AccelerateCallback"]
    assert not {"vec_env", "accelerate", "features_extractor"} & entry.keys()
    assert "features_extractor_class" not in entry.get("policy_kwargs", {})


@pytest.mark.parametrize("algo", ["ppo", "dqn", "qrdqn"])
def test_frozen_entries_in_stock_words(algo: str) -> None:
    (entry,) = import_module(f"sb3_efficient.hyperparams.{algo}.seer").hyperparams.values()
    seer = "sb3_efficient.seer.SEERCallback"
    own = {seer: {"earliest": 0.1}} if algo == "ppo" else seer
    assert entry["callback"] == ["sb3_efficient.fast.AccelerateCallback", own]
    assert not {"vec_env", "accelerate", "seer", "features_extractor"} & entry.keys()
    if algo == "ppo":
        assert entry["policy_kwargs"]["features_extractor_class"] is ImpalaExtractor
    else:
        # Which stock rl-zoo3 evaluates, and its enjoy looks into as text
        assert eval(entry["replay_buffer_class"]) is FrameReplayBuffer


def test_the_zoo_may_alter_what_it_is_given() -> None:
    module = import_module("sb3_efficient.hyperparams.ppo")
    module.hyperparams["atari"]["n_steps"] = -1
    assert module.hyperparams["atari"]["n_steps"] == 128


def test_unknown_name() -> None:
    with pytest.raises(ModuleNotFoundError):
        import_module("sb3_efficient.hyperparams.pppo")


QUICK = {
    "a2c": "n_envs=2",
    "dqn": "buffer_size=200 learning_starts=20",
    "ppo": "n_envs=2 n_steps=16 batch_size=16",
    "ppo_lstm": "n_envs=2 n_steps=16 batch_size=16",
    "qrdqn": "buffer_size=200 learning_starts=20",
    "sac": "buffer_size=200 learning_starts=20 batch_size=8",
    "trpo": "n_envs=2 n_steps=16 batch_size=16",
}


@pytest.mark.parametrize("algo", ALGOS)
def test_entries_train(zoo: Run, algo: str) -> None:
    if algo == "sac":
        pytest.importorskip("Box2D", reason="CarRacing-v3 needs it, and it is an extra")
    done = zoo(
        *("train", "-n", "64", "--eval-freq", "-1", "--algo", algo),
        *("--env", {"sac": "CarRacing-v3"}.get(algo, "PongNoFrameskip-v4")),
        *("--conf-file", f"sb3_efficient.hyperparams.{algo}", "-params", "features_extractor=impala"),
        *("features_extractor_kwargs=dict(depths=[4, 8])", *QUICK[algo].split()),
    )
    assert "('features_extractor', 'impala')" in done.stdout
    assert "sb3-efficient" not in done.stderr


@pytest.mark.parametrize("hook", [True, False])
@pytest.mark.parametrize(("algo", "variant"), [("ppo", "fast"), ("dqn", "fast"), ("dqn", "seer")])
def test_fast_entries_train(zoo: Run, stock_zoo: Run, algo: str, variant: str, hook: bool) -> None:
    done = (zoo if hook else stock_zoo)(
        *("train", "--env", "PongNoFrameskip-v4", "-n", "64", "--eval-freq", "-1", "--algo", algo),
        *("--conf-file", f"sb3_efficient.hyperparams.{algo}.{variant}", "-params"),
        *(argument.replace("=", ":") for argument in QUICK[algo].split()),
    )
    assert "changed     network: NatureCNN channels-last" in done.stdout
    assert ("Stacking 4 frames" in done.stdout) != hook


def test_a_configuration_of_another_algorithm_is_named() -> None:
    from sb3_efficient.zoo.lookup import one_entry

    manager = SimpleNamespace(config="sb3_efficient.hyperparams.ppo.fast", algo="dqn", env_name=None)
    with (
        pytest.raises(ConflictError, match=r"-conf sb3_efficient.hyperparams.ppo.fast is for ppo, and --algo is dqn"),
        one_entry(manager, None),
    ):
        pass
