"""A file is either the old one or the new one, whatever happens in between, and one process at a time works on it."""

from __future__ import annotations

import errno
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from sb3_efficient.errors import EfficientError, OptionError, WriteError

try:
    import fcntl
except ImportError:
    # Windows, where nothing keeps two processes apart
    fcntl = None  # type: ignore[assignment]


def replace_file(path: str | Path, data: bytes) -> Path:
    """
    Write a whole file, or leave the old one untouched.

    :param path: Exactly where the file shall lie; missing folders are made
    :param data: All of its content
    :return: The path
    """
    try:
        return _replaced(Path(path), data)
    except OSError as error:
        remedy = "Make room for it, or name" if error.errno == errno.ENOSPC else "Name"
        raise WriteError(f"{path} could not be written: {error.strerror or error}. {remedy} another file.") from error


def check_writable(file: Path) -> None:
    """
    :param file: That is going to be written, in a folder that is made now
    """
    try:
        if file.is_dir():
            raise OptionError(f"Results cannot be written to {file}, which is a folder. Name a file.")
        file.parent.mkdir(parents=True, exist_ok=True)
        # As long a name as it is going to be written under
        with tempfile.NamedTemporaryFile(dir=file.parent, prefix=_prefix(file)):
            pass
    except OSError as error:
        wrong, other = (file, "file") if error.errno == errno.ENAMETOOLONG else (file.parent, "folder")
        raise OptionError(f"Results cannot be written to {wrong}: {error.strerror}. Name another {other}.") from error


@contextmanager
def locked(file: Path, *, wait: bool = True) -> Iterator[IO[str]]:
    """
    Until the end of the block this file is ours, however many of us there are; a process that dies gives it back.

    :param file: The lock is a file beside it
    :param wait: Whether to wait for it; otherwise one that is taken is an error
    :return: The file of the lock, which a child process that inherits it holds as well
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with _lock_of(file).open("w") as lock:
        # Not at once: who only asks (is_locked) has it for a moment
        until = time.monotonic() + 1
        while not _taken(lock, wait=wait):
            if time.monotonic() > until:
                raise EfficientError(f"{file} is being worked on by another process: wait for it, or end it.")
            time.sleep(0.02)
        yield lock


def inherited(lock: IO[str]) -> tuple[int, ...]:
    """
    :param lock: Of :func:`locked`
    :return: What ``pass_fds`` of ``subprocess`` takes: nothing on Windows, which has no such thing
    """
    return () if sys.platform == "win32" else (lock.fileno(),)


def is_locked(file: Path) -> bool:
    """
    :param file: As of :func:`locked`
    """
    if not _lock_of(file).exists():
        return False
    with _lock_of(file).open("w") as lock:
        return not _taken(lock, wait=False)


def _replaced(path: Path, data: bytes) -> Path:
    # A link stays one, as when a file is written to
    target = path.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=_prefix(target))
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(_permissions(target))
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def _prefix(file: Path) -> str:
    """Of the file that is going to take its place."""
    return f".{file.name}."


def _permissions(path: Path) -> int:
    """Those that the file has, or else those of any new one; mkstemp's is private."""
    if path.exists():
        return path.stat().st_mode & 0o777
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask


def _lock_of(file: Path) -> Path:
    return file.with_name(f".{file.name}.lock")


def _taken(lock: IO[str], *, wait: bool) -> bool:
    """Whether it is ours now."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
