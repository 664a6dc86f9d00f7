from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from agents import BOX, Images, agent, dict_agent, images
from gymnasium import spaces
from stable_baselines3 import PPO, SAC

from sb3_efficient import compress, export, load_policy, make_engine, policy_kwargs
from sb3_efficient.engines import onnx_file
from sb3_efficient.errors import ArtifactError, OptionError

OUTPUTS = {
    "ppo": ["action", "logits"],
    "ppo multi-discrete": ["action", "logits"],
    "ppo multi-binary": ["action", "logits"],
    "ppo box": ["action", "mean", "log_std"],
    "dqn": ["action", "q_values"],
    "sac": ["action", "mean", "log_std"],
    "td3": ["action", "squashed_action"],
}


@pytest.mark.parametrize("algorithm", OUTPUTS)
def test_file_takes_images_and_gives_actions(algorithm: str, tmp_path: Path) -> None:
    model = agent(algorithm)
    path = export(model, tmp_path / "new" / "policy.onnx")
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [(i.name, i.type, i.shape[1:]) for i in session.get_inputs()] == [
        ("observation", "tensor(uint8)", [2, 36, 36])
    ]
    assert [output.name for output in session.get_outputs()] == OUTPUTS[algorithm]
    for n in (1, 5):
        (actions,) = session.run(["action"], {"observation": images(n)})
        expected, _ = model.predict(images(n), deterministic=True)
        assert (actions.shape, actions.dtype) == (expected.shape, expected.dtype)
        np.testing.assert_allclose(actions, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int32, np.uint8])
@pytest.mark.parametrize("algorithm", [PPO, SAC])
def test_real_actions_of_any_space(algorithm: Any, dtype: Any, tmp_path: Path) -> None:
    env, options = Images(spaces.Box(0, 9, (2,), dtype)), {"buffer_size": 8} if algorithm is SAC else {}
    model = algorithm("CnnPolicy", env, device="cpu", seed=0, **options)
    session = ort.InferenceSession(export(model, tmp_path / "policy.onnx"), providers=["CPUExecutionProvider"])
    (actions,) = session.run(["action"], {"observation": images(3)})
    expected, _ = model.predict(images(3), deterministic=True)
    assert actions.dtype == expected.dtype
    np.testing.assert_allclose(actions, expected, rtol=1e-4, atol=1e-4)


def test_dictionaries_are_several_inputs(tmp_path: Path) -> None:
    session = ort.InferenceSession(export(dict_agent(), tmp_path / "p.onnx"), providers=["CPUExecutionProvider"])
    assert [i.name for i in session.get_inputs()] == ["image", "mode", "numbers"]


class Named(gym.Env):
    """Observations with the names that graphs use inside, and of their results."""

    def __init__(self, name: str) -> None:
        image, numbers = spaces.Box(0, 255, (2, 36, 36), np.uint8), spaces.Box(-1, 1, (2,), np.float32)
        self.observation_space = spaces.Dict({"image": image, name: numbers})
        self.action_space = spaces.Box(-1, 1, (2,), np.float32)


@pytest.mark.parametrize("name", ["relu", "cat", "action", "mean"])
def test_names_of_observations_are_free(name: str, tmp_path: Path) -> None:
    model: Any = PPO("MultiInputPolicy", Named(name), policy_kwargs=policy_kwargs("impoola", PPO, depths=(4,)))
    observations = {key: np.stack([space.sample()] * 2) for key, space in model.observation_space.spaces.items()}
    if name == "mean":
        with pytest.raises(OptionError, match="'mean' has the name of an output of the network"):
            make_engine(model)
        return
    actions, _ = make_engine(model).predict(observations, deterministic=True)
    np.testing.assert_allclose(actions, model.predict(observations, deterministic=True)[0], atol=1e-4)
    if name == "action":
        with pytest.raises(OptionError, match="'action', which an observation has"):
            export(model, tmp_path / "policy.onnx")
    else:
        export(model, tmp_path / "policy.onnx")


@pytest.mark.parametrize("algorithm", [PPO, SAC])
def test_averages_before_continuous_actions(algorithm: Any, tmp_path: Path) -> None:
    """torch calls an average 'mean', too."""
    kwargs = {**policy_kwargs("impoola", algorithm, depths=(4, 4), features_dim=8), "net_arch": [8]}
    options = {"buffer_size": 8} if algorithm is SAC else {}
    model = algorithm("CnnPolicy", Images(BOX), policy_kwargs=kwargs, **options)
    export(model, tmp_path / "policy.onnx")
    for recipe in ("", "static-int8", "dynamic-float16"):
        policy = compress(model, recipe, calibration=images(64))
        policy.save(tmp_path / "p.policy")
        actions, _ = load_policy(tmp_path / "p.policy").predict(images(2), deterministic=True)
        expected = model.predict(images(2), deterministic=True)[0]
        np.testing.assert_allclose(actions, expected, atol=0.2 if recipe == "static-int8" else 1e-2)


def test_nothing_of_this_machine_is_in_the_file(tmp_path: Path) -> None:
    content = export(agent(), tmp_path / "policy.onnx").read_bytes()
    assert b".py" not in content
    assert not onnx.load_from_string(content).functions


def test_other_formats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"the name must end in \.onnx, got '.*policy\.pt'"):
        export(agent(), tmp_path / "policy.pt")


def test_the_format_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert export(agent(), "onnx") == Path("policy.onnx")
    assert export(agent(), "onnx", path=tmp_path / "other.onnx").read_bytes() == Path("policy.onnx").read_bytes()
    with pytest.raises(OptionError, match=r"knows the format 'onnx', got 'onxx'. Did you mean 'onnx'\? Write export"):
        export(agent(), "onxx", path="policy.onnx")
    with pytest.raises(OptionError, match=r"got 'onxx'. Did you mean 'onnx'\? Write export\(model, 'onnx', path"):
        export(agent(), "onxx")


def test_nothing_is_written_if_the_actions_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_file, "run_file", lambda *_: [np.zeros((16, 2, 3))])
    with pytest.raises(ArtifactError, match="does not act as the policy does; nothing was written"):
        export(agent(), tmp_path / "policy.onnx")
    assert not (tmp_path / "policy.onnx").exists()


def test_nothing_is_written_if_the_raw_outputs_are_not_those_of_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = onnx_file.EagerEngine.outputs
    monkeypatch.setattr(
        onnx_file.EagerEngine, "outputs", lambda *args: {name: x + 0.1 for name, x in outputs(*args).items()}
    )
    with pytest.raises(
        ArtifactError, match=r"The exported network's logits differ from the model's by 0\.1.*; not wri"
    ):
        export(agent(), tmp_path / "policy.onnx")
    assert not (tmp_path / "policy.onnx").exists()


def test_a_compressed_policy_becomes_an_ordinary_file(tmp_path: Path) -> None:
    policy = compress(agent(), "static-int8", calibration=images(64))
    path = export(policy, tmp_path / "policy.onnx")
    expected, _ = policy.predict(images(9), deterministic=True)
    (found,) = ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(
        ["action"], {"observation": images(9)}
    )
    np.testing.assert_array_equal(found, expected)
