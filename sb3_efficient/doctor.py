"""What is installed here, what this machine can do, and whether rl-zoo3 knows about us."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import entry_points

import torch as th

from sb3_efficient._autoload import enabled
from sb3_efficient.extractors.precision import cpu_has_bf16, resolve_precision
from sb3_efficient.machine import machine, version_of

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


def report() -> tuple[str, bool]:
    """
    :return: The report as text, and whether everything required is there and works
    """
    missing = [name for name in REQUIRED if version_of(name) is None]
    hook, hook_works = _hook()
    lines = [
        f"sb3-efficient {version_of('sb3-efficient')} on Python {platform.python_version()}",
        "",
        "Packages",
        *(_row(name, version_of(name) or f"MISSING: pip install {name}", use) for name, use in REQUIRED.items()),
        "",
        "Extras",
        *(
            _row(name, version_of(name) or f"not installed: pip install 'sb3-efficient[{extra}]'", use)
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
