"""``accelerate: true`` and ``seer: true``, in entries and through rl-zoo3."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers import Run

from sb3_efficient.errors import ConflictError, OptionError
from sb3_efficient.zoo.entry_callbacks import take_callbacks

CALLBACK = "sb3_efficient.fast.AccelerateCallback"
SPY = "stable_baselines3.common.callbacks.ProgressBarCallback"
SEER = "sb3_efficient.seer.SEERCallback"


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({}, {}),
        ({"accelerate": False}, {}),
        ({"accelerate": True}, {"callback": [CALLBACK]}),
        ({"accelerate": {"precision": "fp32"}}, {"callback": [{CALLBACK: {"precision": "fp32"}}]}),
        ({"accelerate": True, "callback": SPY}, {"callback": [CALLBACK, SPY]}),
        ({"seer": True, "accelerate": True}, {"callback": [CALLBACK, SEER]}),
        ({"seer": {"freeze_at": 0.5}}, {"callback": [{SEER: {"freeze_at": 0.5}}]}),
        ({"accelerate": True, "callback": [{SPY: {}}]}, {"callback": [CALLBACK, {SPY: {}}]}),
        # SEER freezes a loaded agent when training starts: after its number format is chosen
        ({"accelerate": True, "callback": SEER}, {"callback": [CALLBACK, SEER]}),
        ({"seer": True, "callback": [SPY]}, {"callback": [SPY, SEER]}),
    ],
)
def test_accelerate_becomes_a_callback(entry: dict, expected: dict) -> None:
    take_callbacks(entry)
    assert entry == expected


@pytest.mark.parametrize(
    "entry", [{"accelerate": True, "callback": CALLBACK}, {"seer": {}, "callback": [SPY, {SEER: {}}]}]
)
def test_the_same_callback_twice(entry: dict) -> None:
    with pytest.raises(ConflictError, match="and callback names one as well. Keep one"):
        take_callbacks(entry)


@pytest.mark.parametrize(
    "wrong", ["sb3_efficient.profilr.ProfileCallback", "sb3_efficient.profiler.Profile", "mine.Spy", "Spy"]
)
def test_misspelt_callbacks_are_one_message(wrong: str) -> None:
    for callback in (wrong, [SPY, wrong], {wrong: {"skip": 1}}):
        with pytest.raises(OptionError, match=f"callback: there is no '{wrong}' to import"):
            take_callbacks({"callback": callback})


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ({"accelerate": "fast"}, "accelerate must be true, false or options, .* got 'fast'"),
        ({"accelerate": 3}, "accelerate must be true, false or options, .* got 3"),
        (
            {"accelerate": {"precison": "fp32"}},
            "accelerate has no option 'precison'. Did you mean",
        ),
        ({"accelerate": {"precision": "fp8"}}, "Unknown precision 'fp8'. Accepted: fp32, bf16, auto"),
        ({"seer": 0.5}, r"seer must be true, false or options, as dict\(freeze_at=0.5\), got 0.5"),
        ({"seer": {"freeze": 0.5}}, "seer has no option 'freeze'. Did you mean 'freeze_at'"),
        ({"seer": {"freeze_at": "atuo"}}, "Did you mean 'auto'"),
        ({"seer": {"capacity": "same-memmory"}}, "Did you mean 'same-memory'"),
    ],
)
def test_wrong_options(entry: dict, text: str) -> None:
    with pytest.raises(OptionError, match=text):
        take_callbacks(entry)


def test_policy_without_images_through_the_zoo(zoo: Run) -> None:
    done = zoo("train", "--algo", "ppo", "--env", "CartPole-v1", "-n", "32", "-params", "n_steps=4", "accelerate=True")
    assert "accelerate: PPO on cpu, nothing was changed" in done.stdout


DQN = ("train", "--algo", "dqn", "--env", "PongNoFrameskip-v4", "--save-replay-buffer", "--eval-freq", "-1")
FEW = ("learning_starts=40", "buffer_size=300", "vec_env=ale")


def test_seer_through_the_zoo_and_on(zoo: Run, tmp_path: Path) -> None:
    """Frozen, saved with its latents, played, and continued with them; not without saying so."""
    agent = str(tmp_path / "logs" / "dqn" / "PongNoFrameskip-v4_1" / "PongNoFrameskip-v4.zip")
    on = (*DQN, "-n", "60", "-i", agent, "-params", *FEW)
    zoo(*DQN, "-n", "200", "-params", *FEW, "features_extractor=nature", "seer=dict(freeze_at=0.5, depth='conv')")
    zoo("enjoy", "--algo", "dqn", "--env", "PongNoFrameskip-v4", "-f", "logs", "--no-render", "-n", "50")
    refused = zoo(*on, fails=True)
    assert "Continue it with -params seer=True, or with seer=False" in refused.stderr
    again = zoo(*on, "seer=True")
    assert "frozen up to 'conv' at" in again.stdout
    assert "3136 x float16, in LatentReplayBuffer" in again.stdout
    other = zoo(*on, "seer=False")
    assert "stored latents are of no use to layers that learn" in other.stderr
