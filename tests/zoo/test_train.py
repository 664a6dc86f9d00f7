"""Real Atari through the real rl-zoo3, as typed in a shell: train, enjoy, film, continue, search."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
import yaml
from helpers import Run
from stable_baselines3 import DQN, PPO

from sb3_efficient.errors import MissingExtraError
from sb3_efficient.extractors import ImpalaExtractor
from sb3_efficient.zoo.manager import check_extras
from sb3_efficient.zoo.record import read_record

PONG = ("--env", "PongNoFrameskip-v4")
QUICK = ("-n", "64", "--eval-freq", "-1")
SMALL = ("n_envs=2", "n_steps=16", "batch_size=32")
IMPALA = "features_extractor=impala"


def config(folder: Path, env: str = "PongNoFrameskip-v4") -> dict:
    return dict(yaml.load((folder / env / "config.yml").read_text(), Loader=yaml.UnsafeLoader))


def agent(folder: Path, algo: type = PPO) -> object:
    return algo.load(folder / "PongNoFrameskip-v4.zip").policy.features_extractor


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Where the zoo puts its first PPO run."""
    return tmp_path / "logs" / "ppo" / "PongNoFrameskip-v4_1"


def test_the_literal_command_then_enjoy_film_and_continue(zoo: Run, run: Path) -> None:
    done = zoo("train", "--algo", "ppo", *PONG, "-params", IMPALA, "-n", "1024")
    assert done.stderr.strip() == "" or "sb3-efficient" not in done.stderr
    assert config(run)["features_extractor"] == "impala"
    assert config(run)["n_steps"] == 128, "the zoo's tuned values stay"
    assert isinstance(agent(run), ImpalaExtractor)
    assert PPO.load(run / "PongNoFrameskip-v4.zip").num_timesteps == 1024
    assert read_record(run)["n_timesteps"] == 1024
    assert read_record(run)["hours"] >= 0.001, "a few seconds"

    done = zoo("enjoy", "--algo", "ppo", *PONG, "-f", "logs", "--no-render", "-n", "2500")
    assert "Atari Episode Score: -" in done.stdout

    zoo("record_video", "--algo", "ppo", *PONG, "-f", "logs", "-n", "10")
    assert list(run.rglob("*.mp4"))

    zoo("train", "--algo", "ppo", *PONG, *QUICK, "-i", str(run / "PongNoFrameskip-v4.zip"), "-params", *SMALL)
    second = run.with_name("PongNoFrameskip-v4_2")
    assert isinstance(agent(second), ImpalaExtractor)
    assert config(second)["features_extractor"] == "impala", "kept though it was not typed again"
    assert PPO.load(second / "PongNoFrameskip-v4.zip").num_timesteps == 64
    assert read_record(second)["n_timesteps"] == 1024 + 64

    done = zoo(
        *("train", "--algo", "ppo", *PONG, *QUICK, "-i", str(run / "PongNoFrameskip-v4.zip")),
        *("-params", "features_extractor=nature"),
        fails=True,
    )
    assert "was trained with ImpalaExtractor(), and NatureExtractor() was asked for" in done.stderr
    assert "Traceback" not in done.stderr


def test_options_and_the_zoos_own_form(zoo: Run, run: Path) -> None:
    options = "features_extractor_kwargs=dict(width=2, depths=[4, 8])"
    zoo("train", "--algo", "ppo", *PONG, *QUICK, "-params", "features_extractor:'impala'", "n_envs:2", options, *SMALL)
    extractor = agent(run)
    assert extractor.cnn[0][0].out_channels == 8
    assert config(run)["features_extractor_kwargs"] == {"width": 2, "depths": [4, 8]}
    # continuing with the same options is no contradiction
    again = ("-i", str(run / "PongNoFrameskip-v4.zip"), "-params", IMPALA, *SMALL)
    zoo("train", "--algo", "ppo", *PONG, *QUICK, *again, options)
    # neither is what a configuration names, or an option that was not typed
    zoo("train", "--algo", "ppo", *PONG, *QUICK, "-conf", "sb3_efficient.hyperparams.ppo", *again)
    zoo("train", "--algo", "ppo", *PONG, *QUICK, *again[:3], "features_extractor=None", *SMALL)
    for number in (2, 3, 4):
        record = config(run.with_name(f"PongNoFrameskip-v4_{number}"))
        # the shortest name for the same network
        assert (record["features_extractor"], record["features_extractor_kwargs"]) == ("impala-x2", {"depths": [4, 8]})


def test_yaml_evaluation_subprocesses_and_tensorboard(zoo: Run, run: Path, tmp_path: Path) -> None:
    entry = {
        "env_wrapper": ["stable_baselines3.common.atari_wrappers.AtariWrapper"],
        "frame_stack": 4,
        "policy": "CnnPolicy",
        "features_extractor": "impoola",
        "features_extractor_kwargs": {"depths": [4, 8]},
        "n_envs": 2,
        "n_steps": 16,
        "batch_size": 32,
        "n_timesteps": 64,
    }
    (tmp_path / "mine.yml").write_text(yaml.safe_dump({"atari": entry}))
    zoo(
        *("train", "--algo", "ppo", *PONG, "-conf", "mine.yml", "--vec-env", "subproc", "-tb", "tb"),
        *("--eval-freq", "40", "--eval-episodes", "1", "--save-freq", "32"),
    )
    assert agent(run).features_dim == 256
    assert config(run)["features_extractor"] == "impoola"
    assert (run / "best_model.zip").exists()
    assert (run / "rl_model_64_steps.zip").exists()
    assert list((tmp_path / "tb").rglob("events.out.tfevents*"))


def test_entry_of_the_extractor_is_preferred(zoo: Run, run: Path, tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "hyperparams" / "ppo.yml").read_text()
    (tmp_path / "mine.yml").write_text(
        text.replace("  features_extractor: impala\n", "  features_extractor: impala\n  gamma: 0.5\n", 1)
    )
    zoo("train", "--algo", "ppo", *PONG, *QUICK, "-conf", "mine.yml", "-params", IMPALA, *SMALL)
    assert config(run)["gamma"] == 0.5
    bf16 = "features_extractor_kwargs=dict(precision='bf16')"
    zoo("train", "--algo", "ppo", *PONG, *QUICK, "-conf", "mine.yml", "-params", bf16, *SMALL)
    second = config(run.with_name("PongNoFrameskip-v4_2"))
    assert (second["features_extractor"], second["features_extractor_kwargs"]) == ("nature", {"precision": "bf16"})
    assert "gamma" not in second


def test_search_keeps_the_extractor(zoo: Run, tmp_path: Path) -> None:
    """DLR-RM/rl-baselines3-zoo#431: stock rl-zoo3 drops it without a word."""
    (tmp_path / "spy.py").write_text(
        "from stable_baselines3.common.callbacks import BaseCallback\n"
        "class Spy(BaseCallback):\n"
        "    def _on_training_start(self):\n"
        "        q_net = self.model.q_net\n"
        "        print('SPY', type(q_net.features_extractor).__name__, q_net.net_arch)\n"
        "    def _on_step(self):\n"
        "        return True\n"
    )
    done = zoo(
        *("train", "--algo", "dqn", *PONG, "-n", "40", "-optimize", "--n-trials", "2", "--n-evaluations", "1"),
        *("--sampler", "random", "--pruner", "none", "--eval-episodes", "1", "--no-optim-plots"),
        *("-params", IMPALA, "features_extractor_kwargs=dict(depths=[4])", "buffer_size=200", "callback=spy.Spy"),
        PYTHONPATH=str(tmp_path),
    )
    spied = [line.split(maxsplit=2) for line in done.stdout.splitlines() if line.startswith("SPY")]
    assert len(spied) == 2
    assert {name for _, name, _ in spied} == {"ImpalaExtractor"}
    assert all(net_arch != "[]" for *_, net_arch in spied), "layers that are searched for stay as sampled"


def test_off_policy_with_buffer(zoo: Run, tmp_path: Path) -> None:
    small = ("buffer_size=200", "learning_starts=20")
    zoo("train", "--algo", "dqn", *PONG, *QUICK, "--save-replay-buffer", "-params", IMPALA, *small)
    run = tmp_path / "logs" / "dqn" / "PongNoFrameskip-v4_1"
    assert isinstance(DQN.load(run / "PongNoFrameskip-v4.zip").q_net.features_extractor, ImpalaExtractor)
    continued = ("-i", str(run / "PongNoFrameskip-v4.zip"))
    done = zoo("train", "--algo", "dqn", *PONG, *QUICK, *continued, "-params", *small)
    assert "Loading replay buffer" in done.stdout
    other = zoo("train", "--algo", "ppo", *PONG, *QUICK, *continued, fails=True)
    assert "PongNoFrameskip-v4.zip is an agent of dqn, and --algo is ppo: continue it with its own." in other.stderr
    elsewhere = ("--env", "BreakoutNoFrameskip-v4")
    game = zoo("train", "--algo", "dqn", *elsewhere, *QUICK, *continued, "-params", *small, fails=True)
    assert "cannot be continued in BreakoutNoFrameskip-v4: Action spaces do not match" in game.stderr
    assert "Traceback" not in other.stderr + game.stderr


def test_without_the_hook(zoo: Run, run: Path) -> None:
    """The documented ways in stock rl-zoo3."""
    off = {"SB3_EFFICIENT_AUTOLOAD": "0"}
    small = ("n_envs:2", "n_steps:16", "batch_size:32")
    in_words = "policy_kwargs:__import__('sb3_efficient').policy_kwargs('impala', 'ppo', depths=[4])"
    zoo("train", "--algo", "ppo", *PONG, *QUICK, "-params", in_words, *small, **off)
    assert isinstance(agent(run), ImpalaExtractor)
    conf = ("-conf", "sb3_efficient.hyperparams.ppo.impala")
    zoo("train", "--algo", "ppo", *PONG, *QUICK, *conf, "-params", *small, **off)
    assert isinstance(agent(run.with_name("PongNoFrameskip-v4_2")), ImpalaExtractor)
    zoo("enjoy", "--algo", "ppo", *PONG, "-f", "logs", "--no-render", "-n", "8", **off)
    done = zoo("train", "--algo", "ppo", *PONG, *QUICK, "-params", IMPALA, fails=True, **off)
    assert "SyntaxError" in done.stderr, "the stock zoo does not know key=word"


def test_our_own_command_needs_no_hook(python: Run, run: Path) -> None:
    off = {"SB3_EFFICIENT_AUTOLOAD": "0"}
    python("-m", "sb3_efficient", "train", "--algo", "ppo", *PONG, *QUICK, "-params", IMPALA, *SMALL, **off)
    assert isinstance(agent(run), ImpalaExtractor)
    done = python("-m", "sb3_efficient", "enjoy", "--algo", "ppo", *PONG, "-f", "logs", "--no-render", "-n", "8", **off)
    assert "Loading" in done.stdout


def test_zip_names_only_modules_that_stay(zoo: Run, run: Path) -> None:
    zoo("train", "--algo", "ppo", *PONG, *QUICK, "-params", IMPALA, *SMALL)
    with zipfile.ZipFile(run / "PongNoFrameskip-v4.zip") as archive:
        data = archive.read("data").decode()
    assert "sb3_efficient.extractors.impala.ImpalaExtractor" in data


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("features_extractor=imapla",), "Unknown extractor 'imapla'. Did you mean 'impala'?"),
        (("features_extractor:impala",), "Cannot read 'features_extractor:impala' behind -params: NameError"),
        ((IMPALA, "features_extractor_kwargs=dict(widht=2)"), "has no option 'widht'. Did you mean 'width'? Accepted:"),
        ((IMPALA, "features_extractor_kwargs=dict(width=0)"), "width must be a positive number, got 0."),
        ((IMPALA, "features_extractor_kwargs=dict(precision='fp16')"), "Unknown precision 'fp16'."),
        ((IMPALA, "policy_kwargs=dict(normalize_images=True)"), "would do it a second time"),
        ((IMPALA, "policy_kwargs=dict(features_extractor_class=th.nn.Linear)"), "contradicts policy_kwargs"),
        ((IMPALA, "policy=MlpPolicy"), "is for images, and this environment's entry has policy MlpPolicy"),
        (("features_extractor_kwargs=dict(width=2)",), "needs features_extractor=NAME beside it"),
    ],
)
def test_bad_input_is_one_message_before_anything_is_built(
    zoo: Run, tmp_path: Path, arguments: tuple[str, ...], text: str
) -> None:
    done = zoo("train", "--algo", "ppo", *PONG, *QUICK, "-params", *arguments, fails=True)
    assert text in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert not (tmp_path / "logs").exists()
    assert "A.L.E" not in done.stdout


@pytest.mark.parametrize(
    ("algo", "env", "text"),
    [
        ("ars", "PongNoFrameskip-v4", "ARS has no policy for images"),
        ("ppo", "CartPole-v1", "is for images, and this environment's entry has policy MlpPolicy"),
        (
            "trpo",
            "PongNoFrameskip-v4",
            "has no entry for Atari games. Ours has: add -conf sb3_efficient.hyperparams.trpo",
        ),
    ],
)
def test_algorithms_and_environments_that_do_not_fit(zoo: Run, algo: str, env: str, text: str) -> None:
    done = zoo("train", "--algo", algo, "--env", env, *QUICK, "-params", IMPALA, fails=True)
    assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_misspelt_configuration(zoo: Run) -> None:
    done = zoo("train", "--algo", "ppo", *PONG, "-conf", "sb3_efficient.hyperparams.ppo.impla", fails=True)
    assert "Did you mean 'sb3_efficient.hyperparams.ppo.impala'?" in done.stderr
    assert done.stderr.count("\n") == 1
    done = zoo("train", "--algo", "ppo", *PONG, "-conf", "sb3_efficient.hyperparams", fails=True)
    assert "-conf sb3_efficient.hyperparams: there is no such file" in done.stderr
    done = zoo("train", "--algo", "ppo", *PONG, "-conf", "hyperparams/ppo.yml", fails=True)
    assert "-conf hyperparams/ppo.yml: there is no such file" in done.stderr
    assert "Did you mean 'sb3_efficient.hyperparams.ppo'?" in done.stderr


@pytest.mark.parametrize("params", [(), ("-params", "accelerate=True"), ("-params", IMPALA)])
def test_small_game_without_its_entry(zoo: Run, params: tuple[str, ...]) -> None:
    """The zoo's entry "default" has a policy for vectors."""
    done = zoo("train", "--algo", "ppo", "--env", "Catch-v0", *QUICK, *params, fails=True)
    assert "has no entry for Catch-v0. Ours has: add -conf sb3_efficient.hyperparams.ppo" in done.stderr
    assert done.stderr.count("\n") == 1


def test_configuration_without_an_entry(zoo: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.yml").write_text("CartPole-v1: {policy: MlpPolicy}")
    for env, text in (
        ("Catch-v0", "mine.yml has no entry for Catch-v0. Ours has: add -conf sb3_efficient.hyperparams.ppo"),
        ("Acrobot-v1", "mine.yml has no entry for Acrobot-v1, only for CartPole-v1: add one, or name another"),
    ):
        done = zoo("train", "--algo", "ppo", "--env", env, "-conf", "mine.yml", fails=True)
        assert text in done.stderr
        assert done.stderr.count("\n") == 1


def test_small_game_with_a_policy_for_images(zoo: Run) -> None:
    """Whoever names one may go on with the zoo's entry "default"."""
    zoo("train", "--algo", "ppo", "--env", "Catch-v0", *QUICK, "-params", "policy=CnnPolicy", *SMALL)


def test_environment_that_needs_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sb3_efficient.zoo.manager.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"CarRacing-v3 needs Box2D.*pip install 'sb3-efficient\[box2d\]'"):
        check_extras("CarRacing-v3")
    check_extras("PongNoFrameskip-v4")


def test_small_game_without_the_hook(zoo: Run) -> None:
    conf = ("-conf", "sb3_efficient.hyperparams.ppo.impala", "--gym-packages", "sb3_efficient.envs")
    small = [argument.replace("=", ":") for argument in SMALL]
    zoo(*("train", "--algo", "ppo", "--env", "Catch-v0", *conf, *QUICK, "-params", *small), SB3_EFFICIENT_AUTOLOAD="0")


def test_image_too_small(zoo: Run) -> None:
    """Known only when SB3 builds the policy; still one message."""
    wrapper = "env_wrapper=[{'stable_baselines3.common.atari_wrappers.AtariWrapper': {'screen_size': 20}}]"
    done = zoo(
        *("train", "--algo", "ppo", *PONG, *QUICK, "-params", "features_extractor=nature", *SMALL, wrapper), fails=True
    )
    assert done.stderr.strip().endswith("choose an extractor that pads, such as 'impala'.")
    assert "Traceback" not in done.stderr
    assert "the smallest possible size is 36x36" in done.stderr


def test_paper_setting_of_conv2(zoo: Run, run: Path) -> None:
    """Single downsampled frames of one channel, through the zoo's env_wrapper."""
    wrapper = "env_wrapper=[{'sb3_efficient.envs.DownsampleWrapper': {'factor': 4}}]"
    conv2 = ("features_extractor=conv2", "features_extractor_kwargs=dict(filters=4)", "frame_stack=None", wrapper)
    zoo("train", "--algo", "ppo", *PONG, *QUICK, "-params", *conv2, *SMALL)
    assert agent(run).features_dim == 8 * 49 * 36
