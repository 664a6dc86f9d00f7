from __future__ import annotations

import sys

import pytest
import torch as th

from sb3_efficient.bench.cores import cores
from sb3_efficient.cpu import check_threads, own_cores
from sb3_efficient.errors import OptionError


@pytest.mark.skipif(sys.platform != "linux", reason="other systems pin no process")
def test_held_to_as_many_cores_as_threads_until_the_end() -> None:
    before = own_cores()
    with cores(1):
        assert own_cores() == {min(before)}
        assert th.get_num_threads() == 1
    assert own_cores() == before
    with pytest.raises(KeyError), cores(1):
        raise KeyError
    assert own_cores() == before


def test_more_threads_than_cores() -> None:
    n = len(own_cores())
    check_threads(n)
    with (
        pytest.raises(OptionError, match=f"{n + 1} threads need as many cores, and this process may use {n}."),
        cores(n + 1),
    ):
        pass
