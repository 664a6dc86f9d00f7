"""What users may import, what importing costs, and which part may know which."""

from __future__ import annotations

import ast
import configparser
import pickle
from pathlib import Path

import pytest
from helpers import Run

import sb3_efficient

PACKAGE = Path(sb3_efficient.__file__).parent
HEAVY = ("torch", "stable_baselines3", "gymnasium", "numpy", "rl_zoo3", "numba", "onnxruntime", "torch_pruning")


def test_public_names() -> None:
    assert sorted(sb3_efficient.__all__) == [
        "EfficientError",
        "EncoderExtractor",
        "LatentReplayBuffer",
        "SEERCallback",
        "__version__",
        "accelerate",
        "compress",
        "export",
        "list_extractors",
        "load_policy",
        "make_engine",
        "make_extractor",
        "policy_kwargs",
        "prune",
        "register_extractor",
        "save_slim",
    ]
    for name in sb3_efficient.__all__:
        assert getattr(sb3_efficient, name) is not None
        assert name in dir(sb3_efficient)


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {(node.module, alias.asname) for node in block.body for alias in node.names}
    assert seen == {(f"sb3_efficient.{module}", name) for name, module in sb3_efficient._EXPORTS.items()}


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'sb3_efficient' has no attribute 'impala'"):
        _ = sb3_efficient.impala


def test_importing_the_package_imports_nothing_heavy(python: Run) -> None:
    code = f"import sys, sb3_efficient; print([name for name in {HEAVY} if name in sys.modules])"
    assert python("-c", code).stdout.strip() == "[]"
    # the same check does find what is imported
    assert "gymnasium" in python("-c", "import sb3_efficient.envs;" + code).stdout


def test_listing_extractors_imports_no_engine(python: Run) -> None:
    heavy = ("rl_zoo3", "numba", "onnxruntime", "torch_pruning", "matplotlib.pyplot")
    code = (
        f"import sys, sb3_efficient; sb3_efficient.list_extractors(); print([n for n in {heavy} if n in sys.modules])"
    )
    assert python("-c", code).stdout.strip() == "[]"


def test_classes_of_the_lazy_facade_pickle_by_reference() -> None:
    cls = sb3_efficient.EncoderExtractor
    assert pickle.loads(pickle.dumps(cls)) is cls
    assert b"sb3_efficient.extractors.base" in pickle.dumps(cls)


def _imports(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


#: part of the package -> what it may import of the rest
ARROWS = {
    "errors": set(),
    "cpu": {"errors"},
    "options": {"errors"},
    "onnx_graph": set(),
    "optimizers": set(),
    "threads": {"options"},
    "progress": set(),
    "compiled": set(),
    "atomic": {"errors"},
    "registry": {"errors", "options"},
    "exploration": set(),
    "generators": {"exploration"},
    "modes": set(),
    "callbacks": {"errors"},
    "extractors": {"cpu", "errors", "options", "registry"},
    "envs": {"errors", "options"},
    "policies": {"errors", "extractors", "options"},
    "weights": set(),
    "sizes": {"errors", "extractors"},
    "frames": {"errors", "options"},
    "fast": {"errors", "extractors", "generators", "optimizers", "options"},
    "seer": {"callbacks", "errors", "extractors", "fast", "frames", "progress", "weights"},
    "reuse": {"compiled", "errors", "extractors", "onnx_graph", "weights"},
    "space_config": {"errors"},
    "storage": set(),
    "artifacts": {"errors", "storage"},
    "engines": {
        *("atomic", "cpu", "errors", "exploration", "extractors", "fast", "generators", "modes", "options"),
        *("onnx_graph", "registry", "reuse", "seer", "space_config", "threads"),
    },
    "compression": {
        *("artifacts", "atomic", "callbacks", "engines", "errors", "exploration", "extractors", "generators"),
        *("modes", "onnx_graph", "optimizers", "options", "progress", "registry", "seer", "space_config"),
    },
    "evaluation": {"atomic", "engines", "errors", "exploration", "generators", "options", "progress", "threads"},
    "observations": {"atomic", "errors", "evaluation", "generators", "options", "progress", "space_config"},
    "slim": {"atomic", "errors"},
    "machine": {"cpu"},
    "doctor": {"_autoload", "extractors", "machine"},
    "_autoload": {"zoo"},
    "zoo": {
        *("atomic", "compression", "engines", "envs", "errors", "extractors", "fast", "frames", "options"),
        *("policies", "seer"),
    },
    "profiler": {"atomic", "callbacks", "errors", "optimizers", "options"},
    "bench": {
        *("atomic", "compression", "cpu", "engines", "envs", "errors", "evaluation", "extractors", "machine"),
        *("options", "policies", "profiler", "progress", "sizes", "threads", "zoo"),
    },
    "search": {"compression", "engines", "errors", "evaluation"},
    "cli": {
        *("atomic", "bench", "compression", "cpu", "doctor", "engines", "errors", "evaluation", "extractors"),
        *("machine", "observations", "options", "policies", "search", "sizes", "threads", "zoo"),
    },
    "__main__": {"cli"},
}


def test_imports_follow_the_arrows() -> None:
    for file in PACKAGE.rglob("*.py"):
        part = file.relative_to(PACKAGE).with_suffix("").parts[0]
        if part in ("__init__", "hyperparams"):  # the facade names everything
            continue
        own = {name.split(".")[1] for name in _imports(file) if name.startswith("sb3_efficient.")}
        assert own - {part} <= ARROWS[part], f"{file} imports {own - {part} - ARROWS[part]}"


def test_only_the_zoo_package_knows_rl_zoo3() -> None:
    for file in PACKAGE.rglob("*.py"):
        if "zoo" not in file.relative_to(PACKAGE).parts:
            assert not {name for name in _imports(file) if name.split(".")[0] == "rl_zoo3"}, file


def test_every_package_is_in_the_wheel() -> None:
    config = configparser.ConfigParser()
    config.read(Path(__file__).parents[1] / "setup.cfg")
    listed = set(config["options"]["packages"].split())
    checkout = Path(__file__).parents[1] / "sb3_efficient"
    found = {".".join(f.parent.relative_to(checkout.parent).parts) for f in checkout.rglob("__init__.py")}
    assert listed == found | {"sb3_efficient.hyperparams"}


def test_one_file_for_each_runtime() -> None:
    runtimes = {
        "onnxruntime": {"engines/onnxruntime.py", "compression/quantization.py"},
        "openvino": {"engines/openvino.py"},
        "torch_pruning": {"compression/groups.py"},
        "jax": {"bench/frameworks/flax.py"},
        "tensorflow": {"bench/frameworks/tensorflow.py"},
        "numba": {"compiled/jit.py"},
    }
    for file in PACKAGE.rglob("*.py"):
        found = {name.split(".")[0] for name in _imports(file)} & runtimes.keys()
        assert all(file.relative_to(PACKAGE).as_posix() in runtimes[name] for name in found), file
