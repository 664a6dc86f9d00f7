"""Which machine, and which revision, a figure belongs to."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sb3_efficient import machine as module
from sb3_efficient.machine import machine, machine_class

CPU = {"cpu": "AMD EPYC", "cores": 2, "gpu": None, "cpu_flags": ["avx2", "avx512_vnni"]}


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        (CPU, "amd-epyc-2-cores-avx512-vnni"),
        ({**CPU, "cpu_flags": ["avx2"]}, "amd-epyc-2-cores-avx2"),
        ({**CPU, "cpu_flags": []}, "amd-epyc-2-cores"),
        ({**CPU, "gpu": "NVIDIA H200"}, "nvidia-h200-2-cores"),
    ],
)
def test_classes(facts: dict[str, Any], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "machine", lambda: facts)
    assert machine_class() == name


def test_revision_is_that_of_the_checkout_around_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git = ("git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c")
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    head = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], check=True, capture_output=True, text=True).stdout
    for folder, revision in (("sb3_efficient", head.strip()), ("venv/site-packages/sb3_efficient", None)):
        shutil.rmtree(tmp_path / "sb3_efficient", ignore_errors=True)
        (tmp_path / folder).mkdir(parents=True)
        file = tmp_path / folder / "machine.py"
        file.touch()
        monkeypatch.setattr(module, "__file__", str(file))
        assert machine()["revision"] == revision
