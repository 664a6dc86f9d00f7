"""Features extractors of other people: what engines and compression make of them, or say of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch as th
from agents import BOX, Images, images
from stable_baselines3 import PPO
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

from sb3_efficient import compress, export, make_engine
from sb3_efficient.compression import Distillation
from sb3_efficient.errors import OptionError


class Own(BaseFeaturesExtractor):
    """One convolution, and the layer behind it by the way of ``behind``."""

    behind: Callable[[Any, th.Tensor], th.Tensor]

    def __init__(self, observation_space: Any, size: int = 4 * 8 * 8) -> None:
        super().__init__(observation_space, 16)
        self.convolution = nn.Conv2d(2, 4, 8, 4)
        self.linear = nn.Linear(size, 16)
        self.spread = nn.Parameter(th.full((2, 1, 1), 2.0))

    def forward(self, x: th.Tensor) -> th.Tensor:
        return self.linear(self.behind(x))


class View(Own):
    def behind(self, x: th.Tensor) -> th.Tensor:
        return th.relu(self.convolution(x)).view(x.size(0), -1)


class Larger(Own):
    def __init__(self, observation_space: Any) -> None:
        super().__init__(observation_space, 4 * 16 * 16)
        self.larger = nn.Upsample(scale_factor=2)

    def behind(self, x: th.Tensor) -> th.Tensor:
        return self.larger(th.relu(self.convolution(x))).flatten(1)


class Divided(Own):
    def behind(self, x: th.Tensor) -> th.Tensor:
        return th.relu(self.convolution(x / self.spread)).flatten(1)


class Counted(Own):
    def behind(self, x: th.Tensor) -> th.Tensor:
        return th.relu(self.convolution(x)).reshape(len(x), -1)


class Depends(Own):
    def behind(self, x: th.Tensor) -> th.Tensor:
        return self.convolution(x / 2 if x.max() > 0.5 else x).flatten(1)


class Alone(Own):
    def behind(self, x: th.Tensor) -> th.Tensor:
        return self.convolution(x / 2 if x.shape[0] == 1 else x).flatten(1)


class Many(Own):
    def behind(self, x: th.Tensor) -> th.Tensor:
        return self.convolution(x / 2 if x.shape[0] > 16 else x).flatten(1)


class Odd(Own):
    def behind(self, x: th.Tensor) -> th.Tensor:
        return self.convolution(x / 2 if x.shape[0] % 2 else x).flatten(1)


class Keeps(Own):
    def behind(self, x: th.Tensor) -> th.Tensor:
        self.last = th.relu(self.convolution(x))
        return self.last.flatten(1)


def agent(network: type[Own], **options: Any) -> PPO:
    kwargs = {"features_extractor_class": network, **options}
    return PPO("CnnPolicy", Images(), n_steps=8, batch_size=8, policy_kwargs=kwargs, seed=0)


@pytest.mark.parametrize("network", [View, Larger])
def test_they_act_as_the_model_does(network: type[Own]) -> None:
    model, batch = agent(network), images(16)
    expected = model.predict(batch, deterministic=True)[0]
    for name in ("eager", "onnxruntime"):
        assert np.array_equal(make_engine(model, name).predict(batch, deterministic=True)[0], expected)
    policy = compress(model, "static-float16")
    assert (policy.predict(batch, deterministic=True)[0] == expected).mean() > 0.8


def test_images_that_are_divided_by_channel() -> None:
    model, batch = agent(Divided, normalize_images=False), images(64)
    policy = compress(model, "static-int8", calibration=batch)
    same = policy.predict(batch, deterministic=True)[0] == model.predict(batch, deterministic=True)[0]
    assert same.mean() > 0.8


@pytest.mark.parametrize(
    ("network", "text"),
    [
        *(
            (network, f"{network.__name__} fixes how many images there are at a time, as by len(x) in its forward, or")
            for network in (Counted, Alone, Many, Odd)
        ),
        (Depends, "Depends cannot be written as a graph, which has no branches by what is in an image and keeps"),
    ],
)
def test_what_is_no_graph(
    network: type[Own], text: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    model = agent(network)
    monkeypatch.setattr(Distillation, "apply", lambda *_, **__: pytest.fail("hours of training, for nothing"))
    for made in (
        lambda: make_engine(model),
        lambda: export(model, tmp_path / "policy.onnx"),
        lambda: compress(model, ["distillation(steps=5)", "static-int8"], calibration=images(64)),
    ):
        with pytest.raises(OptionError) as raised:
            made()
        assert str(raised.value).startswith(text)
    assert capfd.readouterr() == ("", "")
    assert make_engine(model, "eager").predict(images(2))[0].shape == (2,)


def test_what_cannot_be_copied() -> None:
    model = agent(Keeps)
    make_engine(model, "eager")
    model.learn(8)
    with pytest.raises(OptionError, match="Keeps cannot be copied .* let the model itself predict"):
        make_engine(model, "eager")


@pytest.mark.parametrize("name", ["eager", "reuse", "onnxruntime"])
def test_outputs_are_the_callers_to_write_to(name: str) -> None:
    engine = make_engine(PPO("CnnPolicy", Images(BOX), n_steps=8, batch_size=8), name)
    before = engine.outputs(images(3))
    changed = engine.outputs(images(3))
    for values in changed.values():
        values += 1
    for key, values in engine.outputs(images(3)).items():
        assert np.array_equal(values, before[key])
