from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sb3_efficient.atomic import check_writable, inherited, is_locked, locked, replace_file
from sb3_efficient.errors import EfficientError, OptionError, WriteError


def test_writes_and_replaces(tmp_path: Path) -> None:
    path = replace_file(tmp_path / "new" / "file", b"one")
    assert path.read_bytes() == b"one"
    replace_file(str(path), b"two")
    assert path.read_bytes() == b"two"
    assert list(path.parent.iterdir()) == [path]
    assert path.stat().st_mode & 0o044, "others may read it, as any other file"


def test_links_and_permissions_stay(tmp_path: Path) -> None:
    private = tmp_path / "run5"
    private.write_bytes(b"old")
    private.chmod(0o600)
    link = tmp_path / "latest"
    link.symlink_to(private)
    replace_file(link, b"new")
    assert link.is_symlink()
    assert private.read_bytes() == b"new"
    assert private.stat().st_mode & 0o777 == 0o600


def test_failure_leaves_the_old_file_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = replace_file(tmp_path / "file", b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WriteError, match="No space left on device. Make room for it"):
        replace_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_killed_while_writing(tmp_path: Path) -> None:
    """Whenever the process dies, the file is whole: all of one letter."""
    path = replace_file(tmp_path / "file", b"a" * 2**22)
    code = (
        "import itertools, sys; from sb3_efficient.atomic import replace_file\n"
        "for letter in itertools.cycle(b'bcd'): replace_file(sys.argv[1], bytes([letter]) * 2**22)"
    )
    for kill in range(10):
        process = subprocess.Popen([sys.executable, "-c", code, str(path)])
        before, until = path.stat().st_mtime_ns, time.monotonic() + 60
        try:
            while path.stat().st_mtime_ns == before:
                assert process.poll() is None, "it writes until it is killed"
                assert time.monotonic() < until, "it writes nothing"
                time.sleep(0.002)
            time.sleep(0.001 * kill)
        finally:
            process.kill()
            process.wait()
        content = path.read_bytes()
        assert len(content) == 2**22
        assert len(set(content)) == 1


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OptionError, match=r"Results cannot be written to .*file: .*\. Name another folder\."):
        check_writable(tmp_path / "file" / "rows.json")


@pytest.mark.parametrize("length", [250, 300])
def test_names_that_are_too_long_are_found_before(length: int, tmp_path: Path) -> None:
    file = tmp_path / ("a" * length)
    with pytest.raises(OptionError, match=r"Results cannot be written to .*aa: .*too long.* Name another file\."):
        check_writable(file)
    with pytest.raises(WriteError):
        replace_file(file, b"")


@pytest.mark.skipif(sys.platform == "win32", reason="nothing keeps processes apart there")
def test_one_at_a_time_works_on_a_file(tmp_path: Path) -> None:
    file = tmp_path / "new" / "run"
    assert not is_locked(file)
    with locked(file) as lock:
        assert is_locked(file)
        with (
            pytest.raises(EfficientError, match="run is being worked on by another process: wait"),
            locked(file, wait=False),
        ):
            pass
        # A child goes on when its parent is gone
        child = subprocess.Popen(["sleep", "60"], pass_fds=inherited(lock))
    assert is_locked(file)
    child.kill()
    child.wait()
    assert not is_locked(file)
    with locked(file, wait=False):
        assert is_locked(file)
