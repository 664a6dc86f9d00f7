from __future__ import annotations

import os
import subprocess
import sys

import pytest

from sb3_efficient.cli.ending import exit_status
from sb3_efficient.errors import OptionError, UnavailableError


def test_status_is_the_programs() -> None:
    assert exit_status(lambda: None, "program") == 0
    assert exit_status(lambda: 3, "program") == 3


@pytest.mark.parametrize(("kind", "status"), [(OptionError, 1), (UnavailableError, 69)])
def test_what_a_user_can_act_on_is_a_line(
    kind: type[Exception], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def program() -> None:
        raise kind("no such thing")

    assert exit_status(program, "program") == status
    assert capsys.readouterr().err == "program: no such thing\n"


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("command", ["list", "doctor"])
def test_nothing_is_said_when_nobody_reads_on(command: str, unbuffered: str) -> None:
    """As before ``| head -1``, but that the reader has left before anything is written."""
    reader, writer = os.pipe()
    os.close(reader)
    words = [sys.executable, "-m", "sb3_efficient", command]
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    done = subprocess.run(words, stdout=writer, stderr=subprocess.PIPE, text=True, env=environment, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_another_broken_pipe_is_an_error() -> None:
    def program() -> None:
        raise BrokenPipeError("of an environment's process")

    with pytest.raises(BrokenPipeError, match="of an environment's process"):
        exit_status(program, "program")


def test_an_interrupted_program_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    def program() -> None:
        raise KeyboardInterrupt

    assert exit_status(program, "program") == 130
    assert capsys.readouterr().err == "program: interrupted\n"
