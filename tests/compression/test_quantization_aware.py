from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch as th
from helpers import parameters_match
from learners import ALGORITHMS, agent, images, tensors
from stable_baselines3.common.callbacks import BaseCallback, CheckpointCallback
from torch import nn

from sb3_efficient.compression.layers import layers
from sb3_efficient.compression.magnitude import MagnitudePruning
from sb3_efficient.compression.masks import sparsity
from sb3_efficient.compression.networks import networks
from sb3_efficient.compression.quantization_aware import (
    QATCallback,
    QuantizationAware,
    RoundedInputs,
    acting_layers,
    rounded_weights,
)
from sb3_efficient.compression.recipe import make_method
from sb3_efficient.errors import OptionError


def lies_on_the_grid(layer: Any) -> bool:
    weight = layer.weight.detach().flatten(1)
    steps = weight / (weight.abs().amax(dim=1, keepdim=True) / 127)
    return bool((steps - steps.round()).abs().max() < 1e-3)


def fine_tuned(model: Any, **options: Any) -> Any:
    options = {"steps": 3, "batch_size": 16, **options}
    return QuantizationAware(**options).apply(model, teacher=model, observations=images())


def test_layers_frozen_by_hand_do_not_round() -> None:
    model = agent("ppo")
    for parameter in model.policy.features_extractor.cnn.parameters():
        parameter.requires_grad_(False)
    callback = QATCallback(0.2)
    model.learn(64, callback=callback)
    assert [type(layer) for layer in callback.layers] == [th.nn.Linear] * 2


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_result_is_an_ordinary_model_on_the_grid(algo: str, tmp_path: Path) -> None:
    model = agent(algo)
    result = fine_tuned(model)
    assert all(map(lies_on_the_grid, acting_layers(result)))
    assert not any(map(lies_on_the_grid, acting_layers(model)))
    assert all("forward" not in vars(module) for module in result.policy.modules())
    for name in networks(result).targets:
        assert parameters_match(getattr(result.policy, name), getattr(result.policy, name.removesuffix("_target")))
    result.save(tmp_path / "qat.zip")
    assert parameters_match(type(model).load(tmp_path / "qat.zip").policy, result.policy)


def test_only_what_acts_is_rounded() -> None:
    result = fine_tuned(agent("sac"))
    assert not any(lies_on_the_grid(layer) for layer in layers(networks(result))["critic.qf0.0"])
    ppo = agent("ppo")
    assert ppo.policy.action_net in acting_layers(ppo)
    assert ppo.policy.value_net not in acting_layers(ppo)


def test_zeros_stay() -> None:
    model = agent()
    sparse = MagnitudePruning(0.5, "conv").apply(model, teacher=model, observations=None)
    assert sparsity(networks(fine_tuned(sparse)), "conv") >= 0.499


def test_weights_that_training_began_with_are_judged_by_the_range_of_many_images(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    largest: list[float] = []

    def look(best: Any) -> None:
        layer = next(layer for layer in best.policy.modules() if "forward" in vars(layer))
        largest.append(layer.forward.inputs.bounds[1].item())

    monkeypatch.setattr("sb3_efficient.compression.distillation._Best.look", look)
    observations = images()
    observations[0] = 0
    model = agent()
    QuantizationAware(steps=1, batch_size=16).apply(model, teacher=model, observations=observations)
    assert largest[0] == 1.0


def test_weights_are_rounded_symmetrically_for_each_output() -> None:
    weight = th.randn(4, 3, 2, 2)
    scale = (weight.flatten(1).abs().amax(dim=1) / 127).reshape(4, 1, 1, 1)
    expected = (weight / scale).round() * scale
    th.testing.assert_close(rounded_weights(weight), expected)
    th.testing.assert_close(rounded_weights(expected), expected)
    assert th.equal(rounded_weights(th.zeros(2, 3)), th.zeros(2, 3))


def test_inputs_are_rounded_between_moving_averages() -> None:
    layer = nn.Linear(2, 2)
    rounded = RoundedInputs(layer)
    x = th.tensor([[0.0, 1.0], [0.3, 0.7]])
    th.testing.assert_close(rounded(x), (x * 255).round() / 255)
    rounded(th.tensor([[0.0, 2.0]]))
    assert rounded.bounds is not None
    th.testing.assert_close(rounded.bounds, th.tensor([0.0, 1.01]))
    layer.eval()
    assert rounded(th.tensor([[5.0, -5.0]])).tolist() == [[pytest.approx(1.01), 0.0]]
    th.testing.assert_close(rounded.bounds, th.tensor([0.0, 1.01]))


def test_what_is_learnt_from_is_what_a_pass_without_gradients_gave() -> None:
    """As TRPO compares them, whose curvature is that of two equal policies."""
    rounded = RoundedInputs(nn.Linear(2, 2))
    rounded(th.ones(1, 2))
    x = th.tensor([[0.3, 7.0]])
    with th.no_grad():
        before = rounded(x)
    assert th.equal(rounded(x), before)
    assert not th.equal(rounded(x), before), "the range has moved"


def test_inputs_under_autocast() -> None:
    layer = nn.Linear(2, 2)
    rounded = RoundedInputs(layer)
    for _ in range(2):
        assert rounded(th.ones(1, 2, dtype=th.bfloat16)).dtype == th.float32


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_callback_rounds_from_its_start_on(algo: str, tmp_path: Path) -> None:
    model = agent(algo)
    seen: list[bool] = []

    class Spy(QATCallback):
        def _on_step(self) -> bool:
            seen.append(any("forward" in vars(layer) for layer in acting_layers(self.model)))
            return super()._on_step()

    model.learn(64, callback=[Spy(0.5), CheckpointCallback(48, str(tmp_path), name_prefix="agent")])
    assert seen[0] is False
    assert seen[-1] is True
    assert all(map(lies_on_the_grid, acting_layers(model)))
    assert all("forward" not in vars(module) for module in model.policy.modules())
    type(model).load(tmp_path / "agent_48_steps.zip")
    assert all(tensor.isfinite().all() for tensor in tensors(model))


def test_trainings_that_are_interrupted() -> None:
    """Before its start, too, layers are ordinary again that the training before had made coarse."""

    class Interrupt(BaseCallback):
        def __init__(self, at: int) -> None:
            super().__init__()
            self.at = at

        def _on_step(self) -> bool:
            if self.num_timesteps == self.at:
                raise KeyboardInterrupt
            return True

    model, callback = agent("ppo"), QATCallback(0.5)
    for at, coarse in ((48, True), (8, False)):
        with pytest.raises(KeyboardInterrupt):
            model.learn(64, callback=[callback, Interrupt(at)])
        assert any("forward" in vars(layer) for layer in acting_layers(model)) == coarse
    callback.on_training_end()
    assert all("forward" not in vars(layer) for layer in acting_layers(model))


@pytest.mark.parametrize("start", [1, -0.1, True, "0.5"])
def test_start_outside_training(start: Any) -> None:
    with pytest.raises(OptionError, match=r"start must be a part, in \[0, 1\), as 0.5 for one half, got"):
        QATCallback(start)


def test_config_round_trip() -> None:
    method = QuantizationAware(steps=3)
    assert make_method(method.to_config()) == make_method(str(method)) == method
    assert str(method) == "qat(steps=3)"
