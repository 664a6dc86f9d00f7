"""Files of compressed policies: what is written is read, and nothing else is."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import pickle
import re
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch as th
from agents import AGENTS, BOX, Images, agent, images
from gymnasium import spaces
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import ModelProto, numpy_helper
from stable_baselines3 import PPO

from sb3_efficient import artifacts, compress, load_policy
from sb3_efficient.compression import CompressedPolicy
from sb3_efficient.compression.policy import check_spaces
from sb3_efficient.errors import ArtifactError, OptionError


@cache
def policy(algorithm: str = "ppo") -> CompressedPolicy:
    return compress(agent(algorithm), [])


@cache
def content() -> bytes:
    return policy()._packed


@pytest.mark.parametrize("algorithm", ["ppo", "ppo box", "sac", "sac gsde", "dqn"])
def test_round_trip(algorithm: str, tmp_path: Path) -> None:
    path = policy(algorithm).save(tmp_path / "folder" / "agent.policy")
    assert path == tmp_path / "folder" / "agent.policy"
    assert path.stat().st_size == policy(algorithm).n_bytes
    loaded = load_policy(path, env=AGENTS[algorithm][1].get("env", Images()))
    assert loaded.recipe == policy(algorithm).recipe
    assert loaded.head == policy(algorithm).head
    assert loaded.observation_space == agent(algorithm).observation_space
    assert loaded.action_space == agent(algorithm).action_space
    expected, _ = agent(algorithm).predict(images(5), deterministic=True)
    np.testing.assert_allclose(loaded.predict(images(5), deterministic=True)[0], expected, rtol=1e-4, atol=1e-4)
    assert loaded.n_bytes == policy(algorithm).n_bytes


def test_same_policy_gives_the_same_bytes() -> None:
    assert compress(agent(), [])._packed == content()


@pytest.mark.parametrize("again", [copy.deepcopy, lambda policy: pickle.loads(pickle.dumps(policy))])
def test_copies_draw_the_same_actions(again: Callable[[CompressedPolicy], CompressedPolicy]) -> None:
    one = compress(agent(), [])
    one.set_random_seed(3)
    one.predict(images(5))
    other = again(again(one))
    np.testing.assert_array_equal(other.predict(images(50))[0], one.predict(images(50))[0])


def test_it_is_an_ordinary_zip(tmp_path: Path) -> None:
    with zipfile.ZipFile(policy().save(tmp_path / "a.policy")) as archive:
        assert archive.namelist() == ["manifest.json", "network.onnx", "weights.safetensors"]
        assert archive.testzip() is None
        manifest = json.loads(archive.read("manifest.json"))
        assert len(archive.read("network.onnx")) < 10_000
    assert manifest["format"] == 1
    assert manifest["head"]["action_space"] == {"type": "Discrete", "n": 6, "start": 0, "dtype": "int64"}
    assert set(manifest["versions"]) == {"sb3-efficient", "stable-baselines3", "torch", "onnx"}


def test_masked_actions_are_never_taken() -> None:
    masks = np.zeros((100, 6), bool)
    masks[:, [1, 4]] = True
    assert set(policy("maskable").predict(images(100), action_masks=masks)[0]) == {1, 4}
    with pytest.raises(OptionError, match=r"action_masks must be of shape \(100, 6\), .* got shape \(100, 5\)"):
        policy("maskable").predict(images(100), action_masks=masks[:, 1:])


def test_copies_act_alike() -> None:
    one = policy()
    expected, _ = one.predict(images(5), deterministic=True)
    for other in (pickle.loads(pickle.dumps(one)), copy.deepcopy(one)):
        np.testing.assert_array_equal(other.predict(images(5), deterministic=True)[0], expected)


def test_no_file(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.policy", "a\0b"):
        with pytest.raises(ArtifactError, match="cannot be read .*: give the path that the policy was saved to"):
            load_policy(path)


def refused(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    with pytest.raises(ArtifactError) as error:
        load_policy(path)
    assert str(path) in str(error.value)
    return str(error.value)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_any_changed_byte_is_noticed(tmp_path: Path, position: float, flip: int) -> None:
    data = bytearray(content())
    data[int(position * len(data))] ^= flip
    refused(tmp_path / "a.policy", bytes(data))


def test_changes_in_the_last_bytes_are_noticed(tmp_path: Path) -> None:
    for i in range(1, 100):
        data = bytearray(content())
        data[-i] ^= 1
        refused(tmp_path / "a.policy", bytes(data))
    assert "was changed after it was written, its SHA-256 is not the one in it" in refused(
        tmp_path / "a.policy", content()[:200] + b"?" + content()[201:]
    )


@pytest.mark.parametrize("length", [0, 1, 64, 1000, -1])
def test_truncated_files_are_refused(tmp_path: Path, length: int) -> None:
    message = refused(tmp_path / "a.policy", content()[:length])
    assert any(text in message for text in ("is no policy of sb3-effi", "is damaged or not complete", "was changed"))


def test_longer_files_are_refused(tmp_path: Path) -> None:
    refused(tmp_path / "a.policy", content() + b"\0")


def test_other_files_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "a.policy"
    assert "is a pickle, which may run any code" in refused(path, pickle.dumps({"weights": 1}))
    th.save({"weights": 1}, tmp_path / "weights.pth")
    assert "is a file of torch.save with a pickle inside" in refused(path, (tmp_path / "weights.pth").read_bytes())
    agent().save(tmp_path / "model.zip")
    message = refused(path, (tmp_path / "model.zip").read_bytes())
    assert "is a Stable-Baselines3 model, not a compressed policy: load it with PPO.load" in message
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("a.txt", "a")
    assert "is a zip, but no policy of sb3-efficient" in refused(path, (tmp_path / "other.zip").read_bytes())


def test_newer_formats_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "FORMAT", 2)
    data = artifacts.pack({}, policy().proto)
    monkeypatch.undo()
    message = refused(tmp_path / "a.policy", data)
    assert "has format 2 (written by sb3-efficient 0.1.0), and this version reads up to 1: pip install" in message


def test_digest_alone_does_not_make_a_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "encode", lambda array: ("dense", {}))
    data = artifacts.pack({}, policy().proto)
    assert "has the right digest and is no policy of sb3-efficient: KeyError('values')" in refused(tmp_path / "a", data)


def signed(data: bytes) -> bytes:
    return data + hashlib.sha256(data).hexdigest().encode()


def test_digest_alone_does_not_make_a_zip_or_a_network(tmp_path: Path) -> None:
    assert "is no policy of sb3-efficient: BadZipFile(" in refused(tmp_path / "a.policy", signed(b"nothing"))
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("manifest.json", '{"format": 1, "tensors": {}}')
        archive.writestr("network.onnx", b"no protocol buffer")
    message = refused(tmp_path / "a.policy", signed((tmp_path / "b.zip").read_bytes()))
    assert "is no policy of sb3-efficient: DecodeError(" in message


@pytest.mark.parametrize(
    ("name", "old", "new", "text"),
    [
        ("weights.safetensors", rb"(?s).*", b"", "is no policy of sb3-efficient: SafetensorError("),
        ("weights.safetensors", rb"(?s).{100}$", b"", "is no policy of sb3-efficient: SafetensorError("),
        ("manifest.json", rb'"tensors": ', b'"tensors": null, "": ', "is no policy of sb3-efficient: AttributeError("),
        ("manifest.json", rb'"dense"', b'"zip"', "encoding 'zip' of a tensor, known are dense"),
        ("manifest.json", rb'"versions": ', b'"format": 9, "versions": null, "": ', "has format 9 (written by"),
    ],
)
def test_nor_what_is_inside(tmp_path: Path, name: str, old: bytes, new: bytes, text: str) -> None:
    with zipfile.ZipFile(io.BytesIO(content())) as archive, zipfile.ZipFile(tmp_path / "b.zip", "w") as other:
        for member in artifacts.NAMES:
            inside = archive.read(member)
            changed = re.sub(old, new, inside, count=1) if member == name else inside
            assert (changed != inside) == (member == name)
            other.writestr(member, changed)
    assert text in refused(tmp_path / "a.policy", signed((tmp_path / "b.zip").read_bytes()))


def test_weights_are_in_one_place_only(tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(content())) as archive, zipfile.ZipFile(tmp_path / "b.zip", "w") as other:
        for name in artifacts.NAMES:
            inside = policy().proto.SerializeToString()
            other.writestr(name, inside if name == "network.onnx" else archive.read(name))
    message = refused(tmp_path / "a.policy", signed((tmp_path / "b.zip").read_bytes()))
    assert "weights inside the network" in message


def test_names_of_weights_may_begin_alike(tmp_path: Path) -> None:
    proto, arrays = (
        ModelProto(),
        {"a": np.float32([1, 2]), "a/values": np.float32([3]), "a/values/b": np.float32([4, 5])},
    )
    proto.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in arrays.items())
    path = tmp_path / "a.policy"
    path.write_bytes(artifacts.pack({}, proto))
    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in artifacts.unpack(path)[1].graph.initializer}
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)


def test_what_a_newer_version_may_write_is_refused(tmp_path: Path) -> None:
    manifest = {"head": policy().head.to_config(), "observation_space": {"type": "Graph"}, "recipe": []}
    message = refused(tmp_path / "a.policy", artifacts.pack(manifest, policy().proto))
    assert "a.policy, written by sb3-efficient 0.1.0, holds what this version does not know: pip install" in message
    assert "Unknown kind of space 'Graph'" in message


def test_foreign_spaces_are_refused(tmp_path: Path) -> None:
    path = policy().save(tmp_path / "a.policy")
    with pytest.raises(ArtifactError, match=r"is a policy for actions of Discrete\(6\), and this environment has Disc"):
        load_policy(path, env=Images(spaces.Discrete(5)))
    other = PPO("CnnPolicy", Images(), device="cpu").get_env()
    assert other is not None
    other.observation_space = spaces.Box(0, 255, (3, 36, 36), np.uint8)
    with pytest.raises(ArtifactError, match=r"is a policy for observations of Box\(0, 255, \(2, 36, 36\), uint8\)"):
        load_policy(path, env=other)


def test_channel_last_environments_fit(tmp_path: Path) -> None:
    env = Images()
    env.observation_space = spaces.Box(0, 255, (36, 36, 2), np.uint8)
    load_policy(policy().save(tmp_path / "a.policy"), env=env)


def test_engines_of_a_compressed_policy() -> None:
    expected = policy().engine().outputs(images(3))["logits"]
    np.testing.assert_array_equal(policy().engine("onnxruntime", threads=2).outputs(images(3))["logits"], expected)
    with pytest.raises(OptionError, match="The engine 'eager' computes the network of a Stable-Baselines3 model"):
        policy().engine("eager")


def test_seed() -> None:
    actions = []
    for _ in range(2):
        policy().set_random_seed(3)
        actions.append(policy().predict(images(50))[0])
    np.testing.assert_array_equal(*actions)


def test_the_spaces_of_an_agent_are_its_own() -> None:
    """Whatever looks like channels in them."""
    spaces_of = SimpleNamespace(observation_space=spaces.Box(0, 255, (16, 10, 10), np.uint8), action_space=BOX)
    check_spaces(Path("p.policy"), spaces_of, spaces_of)
