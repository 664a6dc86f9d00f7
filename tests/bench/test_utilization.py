"""How busy a GPU is, with a program in place of ``nvidia-smi``."""

from __future__ import annotations

from pathlib import Path

import pytest

from sb3_efficient.bench.utilization import gpu_utilization

PROGRAM = """\
#!/bin/sh
case "$*" in *--id=GPU-7*) ;; *) exit 1 ;; esac
echo '[N/A]'
for reading in 0 0 0 0 90 90 90 90; do echo $reading; done
exec /bin/sleep 60
"""


def test_readings_of_the_second_half_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    calls: list[int] = []
    assert gpu_utilization(lambda: calls.append(1), "GPU-7", 1.0) == 90
    assert len(calls) > 2


@pytest.mark.parametrize("program", [None, "#!/bin/sh\necho 'No devices were found'\n"])
def test_without_readings(program: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if program is not None:
        (tmp_path / "nvidia-smi").write_text(program)
        (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpu_utilization(lambda: None, "GPU-7", 0.1) is None
