from __future__ import annotations

import pytest
import torch as th

from sb3_efficient.errors import OptionError
from sb3_efficient.threads import torch_threads


def test_until_the_end_of_the_block() -> None:
    with torch_threads(2):
        assert th.get_num_threads() == 2
        with torch_threads(1), pytest.raises(KeyError), torch_threads(2):
            raise KeyError
        assert th.get_num_threads() == 2
    assert th.get_num_threads() == 1


def test_no_threads() -> None:
    with pytest.raises(OptionError, match="threads must be a whole number of at least 1, got 0"), torch_threads(0):
        pass
