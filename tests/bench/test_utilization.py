"""How busy a GPU is, with a program in place of ``nvidia-smi``."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sb3_efficient.bench.utilization import gpu_utilization

PROGRAM = """\
#!{python}
import sys, time
assert "--id=GPU-7" in sys.argv
for reading in ["[N/A]", *range(0, 4000, 10)]:
    print(reading, flush=True)
    time.sleep(0.01)
"""


def test_readings_of_the_second_half_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(PROGRAM.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    calls: list[int] = []
    seen: list[float] = []
    for seconds in (1.0, 2.0):
        found = gpu_utilization(lambda: calls.append(1), "GPU-7", seconds)
        assert found is not None
        seen.append(found)
    assert len(calls) > 2
    # They rise: three quarters of the way
    assert 0 < seen[0] < seen[1]


@pytest.mark.parametrize("program", [None, "#!/bin/sh\necho 'No devices were found'\n"])
def test_without_readings(program: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if program is not None:
        (tmp_path / "nvidia-smi").write_text(program)
        (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpu_utilization(lambda: None, "GPU-7", 0.1) is None
