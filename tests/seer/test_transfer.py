"""The encoder of one agent in another."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.torch_layers import NatureCNN
from test_policies import DictEnv, model

from sb3_efficient import policy_kwargs
from sb3_efficient.errors import ConflictError, OptionError
from sb3_efficient.seer.encoder import encoders
from sb3_efficient.seer.transfer import transfer_encoder


def convolutions(agent: BaseAlgorithm) -> list[list[th.Tensor]]:
    """Weights of every extractor, copies in targets included."""
    extractors = [copy for copies in encoders(agent) for copy in copies]
    return [[p.detach() for p in e.cnn.parameters()] for e in extractors]  # type: ignore[union-attr]


@pytest.mark.parametrize("algo", ["ppo", "dqn", "sac"])
def test_between_algorithms(algo: str, tmp_path: Path) -> None:
    source = model("ppo", policy_kwargs=policy_kwargs("nature", "ppo"))
    source.policy.features_extractor.cnn[0].weight.data.add_(1)  # type: ignore[union-attr]
    source.save(tmp_path / "agent")
    target = model(algo)
    heads = {name: p.clone() for name, p in target.policy.named_parameters() if ".cnn." not in name}
    transfer_encoder(tmp_path / "agent.zip", target, "conv")
    for weights in convolutions(target):
        assert all(th.equal(p, q) for p, q in zip(weights, convolutions(source)[0], strict=True))
    assert all(th.equal(p, heads[name]) for name, p in target.policy.named_parameters() if ".cnn." not in name)


def test_only_so_deep(tmp_path: Path) -> None:
    source, target = model("ppo"), model("ppo")
    for parameter in source.policy.parameters():
        parameter.data.add_(1)
    source.save(tmp_path / "agent")
    transfer_encoder(str(tmp_path / "agent"), target, 2)
    same = [th.equal(p, q) for p, q in zip(convolutions(target)[0], convolutions(source)[0], strict=True)]
    assert same == [True] * 4 + [False] * 2


def test_another_network_is_refused_and_nothing_is_changed(tmp_path: Path) -> None:
    model("ppo", policy_kwargs=policy_kwargs("impala", "ppo")).save(tmp_path / "agent")
    target = model("ppo")
    before = [p.clone() for p in convolutions(target)[0]]
    with pytest.raises(ConflictError, match=r"does not fit this model's NatureCNN: cnn.0.weight is missing there"):
        transfer_encoder(tmp_path / "agent.zip", target, "conv")
    assert all(th.equal(p, q) for p, q in zip(convolutions(target)[0], before, strict=True))


def test_pixels_of_another_scale_are_refused(tmp_path: Path) -> None:
    model("ppo", policy_kwargs={"normalize_images": False}).save(tmp_path / "raw")
    with pytest.raises(ConflictError, match=r"on pixels from 0 to 255, and this model has them in \[0, 1\]: give both"):
        transfer_encoder(tmp_path / "raw.zip", model("dqn"), "conv")
    # Divided by 255 in the extractor
    model("ppo", policy_kwargs=policy_kwargs("nature", "ppo")).save(tmp_path / "ours")
    transfer_encoder(tmp_path / "ours.zip", model("dqn"), "conv")


def test_an_agent_with_classes_of_a_package_that_is_not_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("elsewhere")
    own = module.Own = type("Own", (NatureCNN,), {"__module__": "elsewhere"})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "elsewhere", module)
    source = model("ppo", policy_kwargs={"features_extractor_class": own})
    source.save(tmp_path / "agent")
    monkeypatch.setitem(sys.modules, "elsewhere", None)
    target = model("dqn")
    transfer_encoder(tmp_path / "agent.zip", target, "conv")
    assert all(th.equal(p, q) for p, q in zip(convolutions(target)[0], convolutions(source)[0], strict=True))


def test_an_agent_on_dictionaries(tmp_path: Path) -> None:
    model("ppo", DictEnv(discrete=True), "MultiInputPolicy").save(tmp_path / "agent")
    with pytest.raises(ConflictError, match="is an agent on dictionaries, which may have several encoders"):
        transfer_encoder(tmp_path / "agent.zip", model("ppo"), "conv")


@pytest.mark.parametrize("path", ["nowhere.zip", 5])
def test_no_such_file(path: Any) -> None:
    with pytest.raises(OptionError, match=f"encoder='{path}' is no file: give the zip of an agent"):
        transfer_encoder(path, model("ppo"), "conv")


@pytest.mark.parametrize("is_zip", [True, False])
def test_a_damaged_file(is_zip: bool, tmp_path: Path) -> None:
    (tmp_path / "agent.zip").write_bytes(b"PK not")
    if is_zip:
        with ZipFile(tmp_path / "agent.zip", "w") as file:
            file.writestr("policy.pth", b"not torch's")
    with pytest.raises(OptionError, match="is no zip of Stable-Baselines3, or a damaged one"):
        transfer_encoder(tmp_path / "agent.zip", model("ppo"), "conv")
