from __future__ import annotations

import pytest
from played import frames
from test_reuser import extractor, reuser

from sb3_efficient.reuse.changes.plan import Layer, Plan


def test_says_what_each_layer_does_and_did() -> None:
    fast = reuser(extractor("nature"))
    text = str(fast.plan)
    assert "conv 8x8 /4, 4 -> 32" in text
    assert "linear, 3136 -> 512" in text
    assert "Nothing was computed yet" in text
    assert fast.plan.dense_int8_is_faster is None
    for images in frames("Pong")[:150]:
        fast(images)
    plan = fast.plan
    assert plan.frames == 150
    assert all(0 < layer.computed <= 1 for layer in plan.layers if layer.computed is not None)
    assert plan.layers[1].computed < plan.layers[3].computed  # type: ignore[operator]
    assert plan.work_left is not None
    assert 0.02 < plan.work_left < 0.4
    assert plan.dense_int8_is_faster is False
    assert "Over 150 observations" in str(plan)
    assert plan.state_bytes == fast.program.state_bytes


def test_says_when_dense_int8_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sb3_efficient.reuse.changes.plan.VNNI", True)
    layer = Layer("conv", "affected positions, overwritten", 1000, 10, 0.9)
    plan = Plan((layer,), 10, 200, 16)
    assert plan.dense_int8_is_faster
    assert "a dense int8 network is probably faster: make_engine(compress(model, 'static-int8'" in str(plan)
    monkeypatch.setattr("sb3_efficient.reuse.changes.plan.VNNI", False)
    assert plan.dense_int8_is_faster is False
    assert "int8" not in str(plan)
