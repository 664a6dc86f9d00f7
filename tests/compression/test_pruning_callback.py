from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
import yaml
from helpers import parameters_match
from learners import ALGORITHMS, agent, images
from rl_zoo3.utils import get_callback_list
from stable_baselines3.common.callbacks import BaseCallback, CheckpointCallback

from sb3_efficient import SEERCallback, accelerate, prune
from sb3_efficient.compression.layers import layers
from sb3_efficient.compression.masks import sparsity
from sb3_efficient.compression.networks import networks
from sb3_efficient.compression.pruning_callback import SCHEDULES, PruningCallback
from sb3_efficient.compression.quantization_aware import QATCallback, acting_layers
from sb3_efficient.errors import EfficientError
from sb3_efficient.seer.frozen import frozen_layers


def body(model: Any) -> list[th.Tensor]:
    """All weights but those of the heads."""
    found = networks(model)
    return [layer.weight for group in layers(found).values() for layer in group if layer not in found.heads]


def zeros(weights: list[th.Tensor]) -> float:
    return sum(int((w == 0).sum()) for w in weights) / sum(w.numel() for w in weights)


class Watch(BaseCallback):
    """Sparsity at every step of the environment."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[float] = []

    def _on_step(self) -> bool:
        self.seen.append(zeros(body(self.model)))
        return True


def test_zeros_that_were_there_stay_in_every_part() -> None:
    """In layers of other parts and in heads, too."""
    model = prune(agent("ppo"), "ln-structured", ratio=0.5, layers=("linear.0", "action_net"))
    before = [(weight, weight == 0) for weight in (model.policy.action_net.weight, body(model)[-1])]
    assert all(0.4 < mask.float().mean() < 0.6 for _, mask in before)
    model.learn(96, callback=PruningCallback(0.7, part="conv", start=0.0, end=0.9, times=4))
    assert all((weight[mask] == 0).all() and (weight[~mask] != 0).any() for weight, mask in before)


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_sparsity_grows_and_zeros_stay(algo: str, tmp_path: Path) -> None:
    model, watch = agent(algo), Watch()
    model.learn(96, callback=[PruningCallback(0.8, times=4, end=0.6), watch])
    assert watch.seen[0] == 0
    assert np.all(np.diff(watch.seen) >= 0)
    assert watch.seen[-1] == pytest.approx(0.8, abs=1e-3)
    assert zeros(body(model)) == pytest.approx(0.8, abs=1e-3)
    model.save(tmp_path / "sparse.zip")
    loaded = type(model).load(tmp_path / "sparse.zip")
    assert parameters_match(loaded.policy, model.policy)
    for name in networks(model).targets:
        followed, target = getattr(model.policy, name.removesuffix("_target")), getattr(model.policy, name)
        for own, its in zip(followed.parameters(), target.parameters(), strict=True):
            assert own.ndim == 1 or not its[own == 0].any()


def test_pruned_weights_would_come_back_without_the_callback() -> None:
    model = agent().learn(64, callback=PruningCallback(0.8))
    model.learn(32)
    assert zeros(body(model)) < 0.5


def test_pruned_agents_are_trained_on_as_sparse_as_they_are() -> None:
    model, watch = agent().learn(64, callback=PruningCallback(0.8)), Watch()
    model.learn(32, callback=[PruningCallback(0.9, start=0, end=0.5, times=2), watch])
    assert watch.seen[0] == pytest.approx(0.8, abs=1e-3)
    assert zeros(body(model)) == pytest.approx(0.9, abs=1e-3)


@pytest.mark.parametrize("part", ["conv", "dense"])
def test_parts(part: str) -> None:
    model = agent().learn(64, callback=PruningCallback(0.5, part))
    assert sparsity(networks(model), "dense" if part == "conv" else "conv") == 0
    pruned = [w for w in body(model) if w.ndim == (4 if part == "conv" else 2)]
    assert zeros(pruned) == pytest.approx(0.5, abs=1e-3)


def test_schedules_are_those_of_the_papers() -> None:
    cubic, iterative = SCHEDULES["cubic"], SCHEDULES["iterative"]
    assert [cubic(0, 0.8, x) for x in (0, 0.5, 1)] == pytest.approx([0, 0.7, 0.8])
    assert [cubic(0.5, 0.9, x) for x in (0, 1)] == pytest.approx([0.5, 0.9])
    # half of what is left, three times
    assert [iterative(0, 0.875, k / 3) for k in range(4)] == pytest.approx([0, 0.5, 0.75, 0.875])


def test_checkpoints_are_sparse_and_sparsity_is_logged(tmp_path: Path) -> None:
    model = agent(tensorboard_log=str(tmp_path))
    saving = CheckpointCallback(48, str(tmp_path), name_prefix="agent")
    model.learn(64, callback=[PruningCallback(0.8, end=0.5, schedule="iterative", times=2), saving])
    checkpoint = type(model).load(tmp_path / "agent_48_steps.zip")
    assert zeros(body(checkpoint)) == pytest.approx(0.8, abs=1e-3)
    assert checkpoint.predict(images(2))[0].shape == (2,)
    (events,) = tmp_path.glob("PPO_1/events*")
    assert b"pruning/sparsity" in events.read_bytes()


@pytest.mark.parametrize("algo", ["ppo", "dqn", "sac"])
def test_together_with_accelerate_and_rounding(algo: str) -> None:
    model = agent(algo)
    accelerate(model)
    model.learn(96, callback=[PruningCallback(0.8, end=0.5, times=3), QATCallback(0.5)])
    assert zeros(body(model)) == pytest.approx(0.8, abs=1e-3)
    assert all("forward" not in vars(layer) for layer in acting_layers(model))


def test_frozen_zeros_are_not_written_again() -> None:
    """SEER would take it for other weights, and look at all of them in every update."""
    model = agent("dqn")
    model.learn(200, callback=[PruningCallback(0.8, start=0.1, end=0.2, times=2), SEERCallback(0.5)])
    frozen = [parameter for layer in frozen_layers(model) for parameter in layer.parameters(recurse=False)]
    versions = [parameter._version for parameter in frozen]
    assert all((p == 0).float().mean() == pytest.approx(0.8, abs=0.05) for p in frozen if p.ndim == 4)
    with pytest.warns(UserWarning, match="SEER has frozen layers of this model"):
        model.learn(40, callback=[PruningCallback(0.8), SEERCallback()], reset_num_timesteps=False)
    assert [parameter._version for parameter in frozen] == versions


def test_frozen_layers_are_not_pruned() -> None:
    model = agent()
    with pytest.warns(UserWarning, match="SEER has frozen layers of this model: from now on the others are pruned"):
        model.learn(96, callback=[SEERCallback(0.3), PruningCallback(0.8, start=0.5, end=0.9, times=3)])
    convolutions = [layer for group in layers(networks(model), "conv").values() for layer in group]
    lower, upper = convolutions[0], convolutions[-1]
    assert (lower.weight == 0).sum() == 0
    assert (upper.weight == 0).float().mean() == pytest.approx(0.8, abs=0.05)
    model = agent().learn(96, callback=[SEERCallback(0.3), PruningCallback(0.8, "dense", times=3)])
    assert sparsity(networks(model), "conv") == 0
    assert sparsity(networks(model), "dense") > 0.5


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"sparsity": 1}, r"sparsity must be a part, in \[0, 1\), .* got 1"),
        ({"part": "head"}, "Unknown part 'head'. Known: conv, dense, all"),
        ({"start": 0.8, "end": 0.2}, "0 <= start < end <= 1, got 0.8 and 0.2"),
        ({"start": "a"}, "start must be a part, .* got 'a'"),
        ({"end": None}, "end must be a positive number, got None"),
        ({"schedule": "cubik"}, "Unknown schedule 'cubik'. Did you mean 'cubic'"),
        ({"schedule": ["cubic"]}, r"Unknown schedule \['cubic'\]"),
        ({"times": 0}, "times must be a whole number of at least 1, got 0"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], text: str) -> None:
    with pytest.raises(EfficientError, match=text):
        PruningCallback(**options)


def test_models_without_images_are_refused() -> None:
    from stable_baselines3 import PPO

    with pytest.raises(EfficientError, match="Pruning and training take models that act on one image"):
        PPO("MlpPolicy", "CartPole-v1", n_steps=16, batch_size=16).learn(16, callback=PruningCallback())


def test_callbacks_of_a_zoo_file() -> None:
    entry = yaml.safe_load("""
      callback:
        - sb3_efficient.compression.PruningCallback: {sparsity: 0.8, schedule: iterative, times: 5}
        - sb3_efficient.compression.QATCallback: {start: 0.9}
    """)
    pruning, rounding = get_callback_list(entry)
    assert isinstance(pruning, PruningCallback)
    assert isinstance(rounding, QATCallback)
    assert (pruning.sparsity, pruning.times, rounding.start) == (0.8, 5, 0.9)
