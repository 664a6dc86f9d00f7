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


def test_the_literal_command_then_enjoy_film_and_continue(python: Run, zoo: Run, run: Path) -> None:
    done = python("-m", "rl_zoo3.train", "--algo", "ppo", *PONG, "-params", IMPALA, "-n", "1024")
    assert done.stderr.strip() == "" or "sb3-efficient" not in done.stderr
    assert config(run)["features_extractor"] == "impala"
    assert config(run)["n_steps"] == 128, "the zoo's tuned values stay"
    assert isinstance(agent(run), ImpalaExtractor)
    assert PPO.load(run / "PongNoFrameskip-v4.zip").num_timesteps == 1024
    assert read_record(run)["n_timesteps"] == 1024
    with zipfile.ZipFile(run / "PongNoFrameskip-v4.zip") as archive:
        assert "sb3_efficient.extractors.impala.ImpalaExtractor" in archive.read("data").decode(), "a module that stays"

    done = zoo("enjoy", "--algo", "ppo", *PONG, "-f", "logs", "--no-render", "-n", "1500")
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


def test_options_and_the_zoos_own_form(zoo: Run, run: Path, tmp_path: Path) -> None:
    options = "features_extractor_kwargs=dict(width=2, depths=[4, 8])"
    first = ("-params", "features_extractor:'impala'", "n_envs:2", options, *SMALL)
    again = ("-i", str(run / "PongNoFrameskip-v4.zip"), "-params", IMPALA, *SMALL)
    train = ("train", "--algo", "ppo", *PONG, *QUICK)
    zoo(*train, *first)
    # continuing with the same options is no contradiction
    zoo(*train, *again, options)
    # neither is what a configuration names, or an option that was not typed
    zoo(*train, "-conf", "sb3_efficient.hyperparams.ppo", *again)
    refused = zoo(*train, *again[:3], "features_extractor=None", *SMALL, fails=True)
    assert "and the policy's default extractor (NatureCNN of stable_baselines3) was asked for" in refused.stderr
    # The agent has its policy
    wrapper = "stable_baselines3.common.atari_wrappers.AtariWrapper"
    (tmp_path / "bare.yml").write_text(f"atari: {{env_wrapper: [{wrapper}], frame_stack: 4}}")
    zoo(*train, "-conf", "bare.yml", *again[:3], *SMALL)
    extractor = agent(run)
    assert extractor.cnn[0][0].out_channels == 8
    assert config(run)["features_extractor_kwargs"] == {"width": 2, "depths": [4, 8]}
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
    train = ("train", "--algo", "ppo", *PONG, *QUICK, "-conf", "mine.yml", "-params", *SMALL)
    zoo(*train, IMPALA)
    zoo(*train, "features_extractor_kwargs=dict(precision='bf16')")
    assert config(run)["gamma"] == 0.5
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
    )
    spied = [line.split(maxsplit=2) for line in done.stdout.splitlines() if line.startswith("SPY")]
    assert len(spied) == 2
    assert {name for _, name, _ in spied} == {"ImpalaExtractor"}
    assert all(net_arch != "[]" for *_, net_arch in spied), "layers that are searched for stay as sampled"


def test_off_policy_with_buffer(zoo: Run, tmp_path: Path) -> None:
    small = ("-params", "buffer_size=200", "learning_starts=20")
    run = tmp_path / "logs" / "dqn" / "PongNoFrameskip-v4_1"
    train = ("train", *QUICK, "--algo")
    continued = ("-i", str(run / "PongNoFrameskip-v4.zip"))
    zoo(*train, "dqn", *PONG, "--save-replay-buffer", *small, IMPALA)
    done = zoo(*train, "dqn", *PONG, *continued, *small)
    other = zoo(*train, "ppo", *PONG, *continued, fails=True)
    game = zoo(*train, "dqn", "--env", "BreakoutNoFrameskip-v4", *continued, *small, fails=True)
    more = zoo(*train, "dqn", *PONG, *continued, *small, "n_envs=2", fails=True)
    assert isinstance(DQN.load(run / "PongNoFrameskip-v4.zip").q_net.features_extractor, ImpalaExtractor)
    assert "Loading replay buffer" in done.stdout
    assert "PongNoFrameskip-v4.zip is an agent of dqn, and --algo is ppo: continue it with its own." in other.stderr
    assert "cannot be continued in BreakoutNoFrameskip-v4: Action spaces do not match" in game.stderr
    assert "is for n_envs=1, and this run has n_envs=2: add -params n_envs=1, or move replay_buffer.pkl" in more.stderr
    assert "Traceback" not in other.stderr + game.stderr + more.stderr
    runs = sorted(path.name for path in (tmp_path / "logs").glob("*/*"))
    assert runs == ["PongNoFrameskip-v4_1", "PongNoFrameskip-v4_2"], "none of what was refused"


def test_without_the_hook(stock_zoo: Run, run: Path) -> None:
    """The documented ways in stock rl-zoo3."""
    small = ("-params", "n_envs:2", "n_steps:16", "batch_size:32")
    in_words = "policy_kwargs:__import__('sb3_efficient').policy_kwargs('impala', 'ppo', depths=[4])"
    conf = "sb3_efficient.hyperparams.ppo.impala"
    train = ("train", "--algo", "ppo", *QUICK)
    stock_zoo(*train, *PONG, *small, in_words)
    stock_zoo(*train, *PONG, "-conf", conf, *small)
    stock_zoo("enjoy", "--algo", "ppo", *PONG, "-f", "logs", "--no-render", "-n", "8")
    stock_zoo(*train, "--env", "Catch-v0", "-conf", conf, "--gym-packages", "sb3_efficient.envs", *small)
    done = stock_zoo(*train, *PONG, "-params", IMPALA, fails=True)
    assert isinstance(agent(run), ImpalaExtractor)
    assert isinstance(agent(run.with_name("PongNoFrameskip-v4_2")), ImpalaExtractor)
    assert run.with_name("Catch-v0_1").exists()
    assert "SyntaxError" in done.stderr, "the stock zoo does not know key=word"


def test_our_own_command_needs_no_hook(python: Run, run: Path) -> None:
    off = {"SB3_EFFICIENT_AUTOLOAD": "0"}
    python("-m", "sb3_efficient", "train", "--algo", "ppo", *PONG, *QUICK, "-params", IMPALA, *SMALL, **off)
    assert isinstance(agent(run), ImpalaExtractor)
    done = python("-m", "sb3_efficient", "enjoy", "--algo", "ppo", *PONG, "-f", "logs", "--no-render", "-n", "8", **off)
    assert "Loading" in done.stdout


def test_bad_input_is_one_message_before_anything_is_built(zoo: Run, tmp_path: Path) -> None:
    done = zoo("train", "--algo", "ppo", *PONG, *QUICK, "-params", "features_extractor=imapla", fails=True)
    assert "Unknown extractor 'imapla'. Did you mean 'impala'?" in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert not (tmp_path / "logs").exists()
    assert "A.L.E" not in done.stdout + done.stderr


OURS = "Ours has: add -conf sb3_efficient.hyperparams."
CATCH = ("--algo", "ppo", "--env", "Catch-v0")
#: What is typed, and what the one line says that comes of it; more texts in test_entries.py
OUR_PPO = ("-conf", "sb3_efficient.hyperparams.ppo")
REFUSED: list[tuple[tuple[str, ...], str]] = [
    *(
        (("--algo", "ppo", *PONG, "-params", *params), text)
        for params, text in [
            (("features_extractor:impala",), "Cannot read 'features_extractor:impala' behind -params: NameError"),
            ((IMPALA, "features_extractor_kwargs=dict(widht=2)"), "no option 'widht'. Did you mean 'width'? Accepted:"),
            ((IMPALA, "policy_kwargs=dict(normalize_images=True)"), "would do it a second time"),
        ]
    ),
    (("--algo", "ars", *PONG, "-params", IMPALA), "ARS has no policy for images"),
    (
        ("--algo", "ppo", "--env", "CartPole-v1", "-params", IMPALA),
        "is for images, and this environment's entry has policy MlpPolicy",
    ),
    (("--algo", "trpo", *PONG, "-params", IMPALA), f"has no entry for Atari games. {OURS}trpo"),
    (
        ("--algo", "ppo", *PONG, "-conf", "sb3_efficient.hyperparams.ppo.impla"),
        "Did you mean 'sb3_efficient.hyperparams.ppo.impala'?",
    ),
    (
        ("--algo", "ppo", *PONG, "-conf", "sb3_efficient.hyperparams"),
        "-conf sb3_efficient.hyperparams: there is no such file",
    ),
    (
        ("--algo", "ppo", *PONG, "-conf", "hyperparams/ppo.yml"),
        "no module with 'hyperparams'. Did you mean 'sb3_efficient.hyperparams.ppo'?",
    ),
    # The zoo's entry "default" has a policy for vectors
    (CATCH, f"has no entry for Catch-v0. {OURS}ppo"),
    ((*CATCH, "-params", IMPALA), f"has no entry for Catch-v0. {OURS}ppo"),
    ((*CATCH, "-conf", "mine.yml"), f"mine.yml has no entry for Catch-v0. {OURS}ppo"),
    (
        ("--algo", "ppo", "--env", "Acrobot-v1", "-conf", "mine.yml"),
        "mine.yml has no entry for Acrobot-v1, only for CartPole-v1: add one, or name another",
    ),
    (
        (*CATCH, "-conf", "flat.yml"),
        "must have settings by environment, as 'atari: {policy: CnnPolicy, n_envs: 8}', and has Catch-v0: 'nature'.",
    ),
    ((*CATCH, "-conf", "list.yml"), "and has a list, or a single value."),
    ((*CATCH, "-conf", "empty.yml"), "-conf empty.yml is empty: it must have settings by environment"),
    ((*CATCH, "-conf", "./hyperparams/ppo"), "there is no such file (.yml, .py), and no module with 'hyperparams'"),
    (
        (*CATCH, *OUR_PPO, "-params", "device=cpu"),
        "The zoo gives PPO its device itself: say it by --de",
    ),
    (
        (*CATCH, *OUR_PPO, "-params", "n_envs=2.0"),
        "n_envs must be a whole number of at least 1, got 2",
    ),
    (
        ("--algo", "dqn", *PONG, "-params", "replay_buffer_kwargs=dict(compress='zstd')"),
        "replay_buffer_kwargs has compress, which FrameReplayBuffer takes, and not SB3's: add replay_buffer_class=",
    ),
]


@pytest.mark.parametrize(("typed", "text"), REFUSED)
def test_more_bad_input(zoo: Run, tmp_path: Path, typed: tuple[str, ...], text: str) -> None:
    (tmp_path / "mine.yml").write_text("CartPole-v1: {policy: MlpPolicy}")
    (tmp_path / "flat.yml").write_text("Catch-v0: nature")
    (tmp_path / "list.yml").write_text("[1, 2]")
    (tmp_path / "empty.yml").write_text("# nothing yet\n")
    refused = zoo("train", *QUICK, *typed, fails=True)
    assert text in refused.stderr
    assert refused.stderr.count("\n") == 1, refused.stderr
    assert "A.L.E" not in refused.stdout + refused.stderr, "an environment was built"
    assert not (tmp_path / "logs").exists()


def test_environment_that_needs_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sb3_efficient.zoo.manager.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"CarRacing-v3 needs Box2D.*pip install 'sb3-efficient\[box2d\]'"):
        check_extras("CarRacing-v3")
    check_extras("CartPole-v1")


def test_known_only_when_the_policy_is_built(zoo: Run, run: Path) -> None:
    wrapper = "env_wrapper=[{'stable_baselines3.common.atari_wrappers.AtariWrapper': {'screen_size': 20}}]"
    single = ("frame_stack=None", "env_wrapper=[{'sb3_efficient.envs.DownsampleWrapper': {'factor': 4}}]")
    conv2 = ("features_extractor=conv2", "features_extractor_kwargs=dict(filters=4)")
    train = ("train", "--algo", "ppo", *QUICK)
    too_small = zoo(*train, *PONG, "-params", *SMALL, "features_extractor=nature", wrapper, fails=True)
    assert too_small.stderr.strip().endswith("choose an extractor that pads, such as 'impala'.")
    assert "Traceback" not in too_small.stderr
    assert "the smallest possible size is 36x36" in too_small.stderr
    # Single downsampled frames of one channel: the paper's setting of conv2
    zoo(*train, *PONG, "-params", *SMALL, *conv2, *single)
    # The first has left no folder
    assert agent(run).features_dim == 8 * 49 * 36
    # Whoever names a policy for images may go on with the zoo's entry "default"
    zoo(*train, "--env", "Catch-v0", "-params", *SMALL, "policy=CnnPolicy")
    assert run.with_name("Catch-v0_1").exists()
