"""What is installed here, what this machine can do, and whether rl-zoo3 knows about us."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import Any

import torch as th

from sb3_efficient._autoload import enabled
from sb3_efficient.cpu import capabilities
from sb3_efficient.extractors.precision import cpu_has_bf16, resolve_precision

REQUIRED = {
    "torch": "",
    "stable-baselines3": "",
    "sb3-contrib": "",
    "rl-zoo3": "",
    "gymnasium": "",
    "ale-py": "Atari games",
    "requests": "rl-zoo3's enjoy",
    "moviepy": "rl-zoo3's record_video",
    "torch-pruning": "channel pruning",
    "numba": "reuse of convolutions",
    "onnx": "export",
    "onnxscript": "export",
    "onnxruntime": "int8 on CPUs",
    "safetensors": "small files",
}
EXTRAS = {
    "openvino": ("openvino", "int8 on Intel CPUs"),
    "zstandard": ("zstd", "compressed replay buffers"),
    "box2d": ("box2d", "CarRacing-v3"),
    "stable-retro": ("retro", "console games"),
    "jax": ("jax", "benchmarks against JAX"),
    "flax": ("jax", "benchmarks against JAX"),
    "tensorflow-cpu": ("tensorflow", "benchmarks against TensorFlow"),
}
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
        "versions": {name: found for name in _MEASURED if (found := _version(name)) is not None},
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


def report() -> tuple[str, bool]:
    """
    :return: The report as text, and whether everything required is there and works
    """
    missing = [name for name in REQUIRED if _version(name) is None]
    hook, hook_works = _hook()
    lines = [
        f"sb3-efficient {_version('sb3-efficient')} on Python {platform.python_version()}",
        "",
        "Packages",
        *(_row(name, _version(name) or f"MISSING: pip install {name}", use) for name, use in REQUIRED.items()),
        "",
        "Extras",
        *(
            _row(name, _version(name) or f"not installed: pip install 'sb3-efficient[{extra}]'", use)
            for name, (extra, use) in EXTRAS.items()
        ),
        "",
        "Machine",
        *_machine_rows(),
        "",
        "rl-zoo3",
        *hook,
    ]
    return "\n".join(lines), hook_works and not missing


def _row(name: str, value: str, use: str = "") -> str:
    return f"  {name:<20}{value:<12} {f'({use})' if use else ''}".rstrip()


def _version(name: str) -> str | None:
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


def _machine_rows() -> list[str]:
    facts = machine()
    bf16 = "in hardware" if cpu_has_bf16() else "emulated, slower than fp32"
    return [
        _row("CPU", f"{facts['cpu']}, {facts['cores']} cores, {th.get_num_threads()} threads used by torch"),
        _row("vector units", ", ".join(facts["cpu_flags"]) or "unknown"),
        _row("bf16", bf16),
        _row("precision=auto", f"{resolve_precision('auto')} of an extractor; accelerate's is bf16 where in hardware"),
        _row("GPU", facts["gpu"] or "none"),
    ]


def _hook() -> tuple[list[str], bool]:
    """Whether ``python -m rl_zoo3.train`` is adapted: tried out in a fresh interpreter."""
    installed = any(entry.name == "sb3_efficient" for entry in entry_points(group="torch.backends"))
    code = "import rl_zoo3.exp_manager; from sb3_efficient.zoo import registered; print(registered())"
    command = [sys.executable, "-W", "always", "-c", code]
    tried = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=tempfile.gettempdir(),
        check=False,
    )
    works = tried.stdout.strip().endswith("True")
    rows = [
        _row("entry point", "installed" if installed else "not installed: pip install sb3-efficient"),
        _row("features_extractor=", "understood" if works else "not understood"),
    ]
    for variable in ("SB3_EFFICIENT_AUTOLOAD", "TORCH_DEVICE_BACKEND_AUTOLOAD"):
        if os.environ.get(variable, "1") == "0":
            rows.append(f"  {variable}=0 switches it off here; 'sb3-efficient train' works all the same")
    if not works and enabled():
        rows += [f"  {line}" for line in tried.stderr.strip().splitlines()[-3:]]
    switched_off = not enabled() or os.environ.get("TORCH_DEVICE_BACKEND_AUTOLOAD", "1") == "0"
    return rows, works or switched_off
