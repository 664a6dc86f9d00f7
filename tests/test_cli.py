from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest
from helpers import Run
from huggingface_hub.errors import LocalEntryNotFoundError
from stable_baselines3.common.torch_layers import NatureCNN

import sb3_efficient
from sb3_efficient import cli, doctor, extractors, register_extractor
from sb3_efficient.errors import MissingExtraError, OptionError
from sb3_efficient.machine import machine
from sb3_efficient.sizes import size, table


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list"]) == 0
    out = capsys.readouterr().out
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line}
    assert rows["impala"] == ["1,089,232", "54.2", "3,872", "256"]
    assert rows["nature"] == ["1,684,128", "9.3", "3,136", "512"]
    assert out.index("Networks of the benchmarked papers") < out.index("tiny-rl")
    assert "make_engine(model, NAME): eager, onnxruntime, openvino, reuse" in out
    assert rows["ppo"] == ["fast,", "impala,", "impoola,", "nature,", "seer"]
    assert "seer" not in rows["a2c"], "only what there is"
    assert "channel-pruning, " in out


def test_list_for_another_image(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list", "--image", "3x20x20"]) == 0
    out = capsys.readouterr().out
    assert "image too small" in next(line for line in out.splitlines() if line.startswith("nature"))
    assert cli.main(["list", "--image", "20x20"]) == 1
    assert "must be written CHANNELSxHEIGHTxWIDTH" in capsys.readouterr().err
    assert cli.main(["list", "--image", "0x84x84"]) == 1
    assert "must be written CHANNELSxHEIGHTxWIDTH" in capsys.readouterr().err
    assert cli.main(["list", "--image", "84x84x3"]) == 1
    assert "84x84x3 looks channel-last: write it channels first, 3x84x84." in capsys.readouterr().err
    assert cli.main(["list", "--image", "4x99999x99999"]) == 1
    assert "4x99999x99999 has more numbers than any that is looked at here, 67,108,864." in capsys.readouterr().err


def test_the_command_itself_is_there_at_once() -> None:
    """So that Ctrl-C meets what says so, and not the import of torch."""
    program = "import sys, sb3_efficient.cli; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_sizes_are_those_of_the_literature() -> None:
    """Multiply-accumulates at 4x84x84, in millions."""
    macs = {name: round(size(name).macs / 1e6, 1) for name in ("nature", "impala", "impala-x2", "impala-x4", "impoola")}
    assert macs == {"nature": 9.3, "impala": 54.2, "impala-x2": 206.8, "impala-x4": 806.9, "impoola": 53.2}
    assert size("impala", pool="adaptive-max-6").parameters == 392_912
    assert size("impala", precision="bf16") == size("impala")
    with pytest.raises(OptionError, match="must be written CHANNELSxHEIGHTxWIDTH, as 4x84x84, got 'big'"):
        table("big")


def test_size_of_an_extractor_without_our_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extractors._REGISTRY, "_items", dict(extractors._REGISTRY._items))
    register_extractor("stock-nature", NatureCNN)
    assert size("stock-nature").macs == size("nature").macs
    assert "stock-nature" in table()


def test_doctor_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "features_extractor= understood" in out
    assert "MISSING" not in out
    assert f"sb3-efficient {sb3_efficient.__version__}" in out


def test_doctor_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    found = doctor.version_of
    monkeypatch.setattr(doctor, "version_of", lambda name: None if name == "requests" else found(name))
    assert cli.main(["doctor"]) == 1
    assert "MISSING: pip install requests" in capsys.readouterr().out


def test_doctor_with_the_hook_switched_off(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SB3_EFFICIENT_AUTOLOAD", "0")
    assert cli.main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "not understood" in out
    assert "SB3_EFFICIENT_AUTOLOAD=0 switches it off here" in out


def test_machine_facts_are_json() -> None:
    import json

    facts = json.loads(json.dumps(machine()))
    assert facts["versions"]["torch"]
    assert facts["cores"] >= 1


def test_misspelt_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["docter"]) == 1
    assert "Unknown command 'docter'. Did you mean 'doctor'? Commands: bench, collect," in capsys.readouterr().err
    assert cli.main(["--verison"]) == 1
    assert "Did you mean '--version'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "usage"),
    [
        (["list", "more"], "sb3-efficient list"),
        (["doctor", "--more"], "sb3-efficient doctor"),
        (["bench", "loop", "more"], "sb3-efficient bench loop"),
        (["bench", "leaderboard", "more"], "sb3-efficient bench leaderboard"),
        (["compress", "--algo", "ppo", "--env", "a", "--recipe", "b", "more"], "sb3-efficient compress"),
    ],
)
def test_unrecognized_arguments_show_the_usage_of_their_command(
    words: list[str], usage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(words)
    message = capsys.readouterr().err
    assert message.startswith(f"usage: {usage} ")
    assert "error: unrecognized arguments: " in message


def test_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    assert "commands of our own" in capsys.readouterr().out


def test_help_teaches(script: Run, capsys: pytest.CaptureFixture[str]) -> None:
    train = script("-m", "sb3_efficient", "train", "--help").stdout
    assert "usage: sb3-efficient train" in train
    assert "accelerate=True" in train
    for words, text in (
        (["--help"], "train --algo ppo --env PongNoFrameskip-v4 -params features_extractor=impala"),
        (["bench", "loop", "--help"], "usage: sb3-efficient bench loop"),
        (["list", "--help"], "usage: sb3-efficient list"),
        (["--version"], f"sb3-efficient {sb3_efficient.__version__}"),
    ):
        with pytest.raises(SystemExit, match="0"):
            cli.main(words)
        assert text in capsys.readouterr().out


SEARCH = ("-conf", "sb3_efficient.hyperparams.ppo", "-optimize", "--study-name", "search")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (
            ("enjoy", "-f", "nofolder"),
            "The nofolder/ppo folder was not found. Agents in nofolder: none. Choose one with --algo",
        ),
        (("record_video", "-f", "logs", "--exp-id", "9"), "Catch-v0_9 folder was not found. Agents in logs: ppo/Catch"),
        (("enjoy", "-f", "logs", "--load-best"), "No model found for ppo on Catch-v0, path: logs/ppo/Catch-v0_1/best"),
        (
            ("enjoy",),
            "No model found for Catch-v0 in rl-trained-agents; training writes to logs, unless -f",
        ),
        (("enjoy", "-f", "logs/ppo"), "logs/ppo is the folder of one algorithm: name the one above it, -f logs."),
        (("train", "-i", "nofile.zip"), "-i nofile.zip: there is no such zip. Name the agent to continue, as -i logs"),
        (("train", "--env", "Catch-v9"), "Catch-v9 not found in gym registry, you maybe meant Catch-v0?"),
        (("train", "--seed", "99999999999"), "--seed 99999999999: a seed is a whole number below 2**32."),
        (("train", *SEARCH, "--storage", "foo://x"), "--storage foo://x cannot be used: Can't load plugin"),
        (
            ("record_video", "-f", "logs", "-o", "logs/file/x"),
            "-o: logs/file/x cannot be made, as ",
        ),
        (("enjoy", "-f", "logs", "--n-envs", "0"), "--n-envs must be a whole number of at least 1, got 0."),
        (("enjoy", "--env", "Mine-v0", "-f", "logs"), "No environment 'Mine-v0' is registered. --gym-packages MODULE"),
        *(
            ((verb, "--gym-packages", "nothing"), "--gym-packages names the module 'nothing', and there is none")
            for verb in ("train", "enjoy", "record_video")
        ),
    ],
)
def test_mistakes_in_the_zoos_programs_are_one_message(
    words: tuple[str, ...],
    text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("Catch-v0", "Mine-v0"):
        (tmp_path / "logs" / "ppo" / f"{name}_1").mkdir(parents=True)
        (tmp_path / "logs" / "ppo" / f"{name}_1" / f"{name}.zip").touch()
    (tmp_path / "logs" / "file").touch()
    monkeypatch.chdir(tmp_path)
    verb, *options = words
    assert cli.main([verb, "--algo", "ppo", "--env", "Catch-v0", *options]) == 1
    message = capsys.readouterr().err
    assert text in message
    assert message.count("\n") == 1


def test_an_agent_that_the_hub_has_not_got_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rl_zoo3.load_from_hub.download_from_hub", Mock(side_effect=LocalEntryNotFoundError("none")))
    assert cli.main(["enjoy", "--algo", "ppo", "--env", "Catch-v0"]) == 1
    message = capsys.readouterr().err
    assert "No model found for Catch-v0 in rl-trained-agents or on the Hugging Face Hub; training writes" in message


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("-params", "batch_size=1"), "stable_baselines3 refuses these settings: AssertionError: `batch_size` must be"),
        (("-params", "policy_kwargs=dict(foo=1)"), "TypeError: ActorCriticCnnPolicy.__init__() got an unexpected"),
        (("-params", "n_epochs=0"), "n_epochs must be at least 1, got 0."),
        (("--env-kwargs", "foo=1"), "unexpected keyword argument 'foo'"),
    ],
)
def test_settings_that_the_zoo_or_sb3_refuse(words: tuple[str, ...], text: str, script: Run, tmp_path: Path) -> None:
    train = ("--algo", "ppo", "--env", "Catch-v0", "-conf", "sb3_efficient.hyperparams.ppo", "-n", "16", "-f", "logs")
    done = script("-m", "sb3_efficient", "train", *train, *words, fails=True)
    assert text in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("logs/ppo/Catch-v0_*"))


def test_packages_that_the_zoo_wants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "wandb", None)
    assert cli.main(["train", "--algo", "ppo", "--env", "Catch-v0", "--track"]) == MissingExtraError.exit_status
    message = capsys.readouterr().err
    assert message.startswith("sb3-efficient: rl-zoo3 wants a package that is not installed: if you want to use Weigh")
    assert message.count("\n") == 1


def test_settings_of_the_zoo_that_want_another_package(script: Run) -> None:
    done = script("-m", "sb3_efficient", "train", "--algo", "sac", "--env", "CarRacing-v3", "-n", "10", fails=True)
    assert "want a package that is not installed (No module named 'ae'). Take those of this package" in done.stderr
    assert "add -conf sb3_efficient.hyperparams.sac" in done.stderr
    assert "Traceback" not in done.stderr


def test_zoo_errors_are_brief(script: Run) -> None:
    arguments = ("train", "--algo", "ppo", "--env", "PongNoFrameskip-v4", "-params", "features_extractor=imapla")
    done = script("-m", "sb3_efficient", *arguments, fails=True)
    assert done.stderr.startswith("sb3-efficient: Unknown extractor 'imapla'. Did you mean 'impala'?")
    assert done.stderr.count("\n") == 1
