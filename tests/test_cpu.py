from __future__ import annotations

import pytest
import torch as th

from sb3_efficient import cpu


@pytest.mark.parametrize(
    ("features", "overflows"),
    [(("avx2",), True), (("avx2", "avx512_vnni"), False), (("avx2", "avx_vnni"), False), (("neon",), False)],
)
def test_int8_overflows_with_avx2_without_vnni(
    monkeypatch: pytest.MonkeyPatch, features: tuple[str, ...], overflows: bool
) -> None:
    monkeypatch.setattr(th.cpu, "get_capabilities", lambda: dict.fromkeys(features, True), raising=False)
    assert cpu.int8_overflows() is overflows


def test_older_torch_cannot_tell_and_llvm_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    known = cpu.capabilities()
    monkeypatch.delattr(th.cpu, "get_capabilities", raising=False)
    found = cpu.capabilities()
    assert found
    assert found == {name: bool(known.get(name)) for name in found}
