"""The machine that something was measured on."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch as th

from sb3_efficient.cpu import capabilities

#: Whose versions belong beside every measurement
_MEASURED = (
    *("torch", "stable-baselines3", "rl-zoo3", "ale-py", "onnxruntime", "numba"),
    *("openvino", "zstandard", "stable-retro", "jax", "flax", "tensorflow-cpu"),
)
_CPU_FLAGS = ("avx2", "avx512_f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16")


def machine() -> dict[str, Any]:
    """
    :return: The facts that belong beside every measurement made here, ready for JSON
    """
    flags = capabilities()
    return {
        "cpu": flags.get("cpu_name") or platform.processor() or platform.machine(),
        "cpu_flags": [flag for flag in _CPU_FLAGS if flags.get(flag)],
        "cores": os.cpu_count(),
        "onednn_max_cpu_isa": os.environ.get("ONEDNN_MAX_CPU_ISA"),
        "gpu": th.cuda.get_device_name() if th.cuda.is_available() else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: found for name in _MEASURED if (found := version_of(name)) is not None},
        "revision": _revision(),
    }


def machine_class() -> str:
    """
    :return: Machines of one name are alike enough to compare figures of: processor or GPU, cores, vector units
    """
    facts = machine()
    best = next((flag for flag in reversed(_CPU_FLAGS) if flag in facts["cpu_flags"]), "")
    words = f"{facts['gpu'] or facts['cpu']} {facts['cores']} cores {best if not facts['gpu'] else ''}"
    return "-".join(re.findall(r"[a-z0-9]+", words.lower()))


def version_of(name: str) -> str | None:
    """
    :param name: Of a package
    :return: None where it is not installed
    """
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _revision() -> str | None:
    """Of the checkout that this package lies in: not of another project's around its virtual environment."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--show-toplevel", "--short=12", "HEAD"]
    try:
        root, revision = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    except (OSError, ValueError, subprocess.CalledProcessError):
        return None
    return revision if (Path(root) / "sb3_efficient" / Path(__file__).name).is_file() else None
