"""The hook in ``import torch``: there when rl_zoo3 comes, unnoticed otherwise, and never in the way."""

from __future__ import annotations

import shutil
import statistics
from pathlib import Path

import pytest
from helpers import Run

import sb3_efficient

PACKAGE = Path(sb3_efficient.__file__).parent
IS_ADAPTED = "import rl_zoo3.exp_manager; from sb3_efficient.zoo import registered; print(registered())"


def test_rl_zoo3_is_adapted(python: Run) -> None:
    assert python("-c", IS_ADAPTED).stdout.strip() == "True"


@pytest.mark.parametrize("variable", ["SB3_EFFICIENT_AUTOLOAD", "TORCH_DEVICE_BACKEND_AUTOLOAD"])
def test_it_can_be_switched_off(python: Run, variable: str) -> None:
    assert python("-c", IS_ADAPTED, **{variable: "0"}).stdout.strip() == "False"


def test_by_hand_while_the_hook_is_active_wraps_once(python: Run) -> None:
    code = (
        "from sb3_efficient.zoo import register; register(); from rl_zoo3.exp_manager import ExperimentManager as m; "
        "print(hasattr(m.read_hyperparameters.__wrapped__, '__wrapped__'))"
    )
    assert python("-c", code).stdout.strip() == "False"


def test_by_hand_where_torch_came_first(python: Run) -> None:
    assert python("-c", f"import torch; {IS_ADAPTED}").stdout.strip() == "False"
    by_hand = "from sb3_efficient.zoo import register; register(); register(); print(registered())"
    assert python("-c", f"import torch; {IS_ADAPTED}; {by_hand}").stdout.split() == ["False", "True"]


def test_other_programs_are_left_alone(python: Run) -> None:
    code = (
        "import sys, torch; "
        "print(sorted(m for m in sys.modules if m.startswith(('sb3_', 'stable_baselines3', 'gymnasium', 'rl_zoo3')))); "
        "print([type(f).__name__ for f in sys.meta_path if 'efficient' in type(f).__module__])"
    )
    assert python("-c", code).stdout.split("\n")[:2] == ["['sb3_efficient', 'sb3_efficient._autoload']", "[]"]


def test_costs_under_5_ms(python: Run) -> None:
    code = (
        "import time; start = time.perf_counter(); import sb3_efficient._autoload as hook; hook.activate(); "
        "print(time.perf_counter() - start)"
    )
    # as in torch, whose own imports bring every module of the standard library that the hook needs
    seconds = [float(python("-c", f"import importlib.util, importlib.abc; {code}").stdout) for _ in range(5)]
    assert statistics.median(seconds) < 0.005


@pytest.fixture
def broken_copy(tmp_path: Path) -> Path:
    """A copy of the package, found before the installed one."""
    shutil.copytree(PACKAGE, tmp_path / "copy" / "sb3_efficient")
    return tmp_path / "copy"


BREAKABLE = ["zoo/__init__.py", "zoo/manager.py", "envs/__init__.py", "policies.py"]


@pytest.mark.parametrize("file", BREAKABLE)
def test_broken_installation_warns_and_the_zoo_stays_stock(python: Run, broken_copy: Path, file: str) -> None:
    (broken_copy / "sb3_efficient" / file).write_text("this is no Python")
    check = "import torch, rl_zoo3.exp_manager as m; print(m.ExperimentManager.read_hyperparameters.__module__)"
    done = python("-c", f"import rl_zoo3; {check}", PYTHONPATH=str(broken_copy))
    assert done.stdout.strip() == "rl_zoo3.exp_manager"
    assert done.stderr.count("sb3-efficient could not adapt rl_zoo3") == 1
    assert "SyntaxError" in done.stderr


def test_broken_installation_where_warnings_are_errors(python: Run, broken_copy: Path) -> None:
    (broken_copy / "sb3_efficient" / BREAKABLE[0]).write_text("this is no Python")
    code = "import rl_zoo3, rl_zoo3.exp_manager as m; print(m.ExperimentManager.read_hyperparameters.__module__)"
    done = python("-W", "error::UserWarning", "-c", code, PYTHONPATH=str(broken_copy))
    assert done.stdout.strip() == "rl_zoo3.exp_manager"


def test_installation_that_was_moved_still_works(python: Run, broken_copy: Path) -> None:
    moved = broken_copy.rename(broken_copy.parent / "moved")
    code = f"{IS_ADAPTED}; import sb3_efficient; print(sb3_efficient.__file__)"
    adapted, file = python("-c", code, PYTHONPATH=str(moved)).stdout.split()
    assert (adapted, Path(file).parents[1]) == ("True", moved)


def test_unknown_zoo_is_left_alone_with_one_warning(python: Run) -> None:
    remove = (
        "import importlib.abc, importlib.util, sys\n"
        "class Older(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name != 'rl_zoo3.exp_manager': return None\n"
        "        sys.meta_path.remove(self)\n"
        "        spec = importlib.util.find_spec(name); run = spec.loader.exec_module\n"
        "        def older(module): run(module); del module.ExperimentManager.read_hyperparameters\n"
        "        spec.loader.exec_module = older\n"
        "        return spec\n"
        "sys.meta_path.insert(0, Older())\n"
        f"{IS_ADAPTED.replace('; ', chr(10))}\n"
    )
    done = python("-c", remove)
    assert done.stdout.strip() == "False"
    assert done.stderr.count("could not adapt rl_zoo3") == 1
    assert "this rl_zoo3 has no read_hyperparameters" in done.stderr
