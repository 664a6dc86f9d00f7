"""
Benchmarks that are scripts of the repository, ``examples/benchmarks``: each reads top to bottom, and writes its table
into a page of the project. They are run where they lie, in a checkout.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from sb3_efficient.errors import UnavailableError

#: Name of the command -> script, and what it measures
SCRIPTS = {
    "extractors": ("extractors.py", "the extractors beside the same networks written plainly"),
    "first-convolution": ("first_convolution.py", "the first convolution, on blocks of pixels and on pixels"),
    "update-parts": ("update_parts.py", "Adam's step late in training, quantile loss, max-pooling"),
    "environments": ("environments.py", "AleVecEnv beside SB3's own Atari pipeline"),
    "replay": ("replay.py", "replay buffers of frames: bytes, and time to add and to sample"),
    "training": ("training_loop.py", "whole training runs, plain and accelerated"),
    "seer": ("seer.py", "what freezing the encoder saves, in time and in memory"),
    "reuse": ("reuse_acting.py", "acting on what changed, beside torch and ONNX Runtime"),
    "reuse-first-layer": ("reuse_first_layer.py", "a stack's first layer: overwritten, or moved on by a frame"),
    "reuse-updates": ("reuse_updates.py", "updates from distinct patches, and training with reuse"),
    "reuse-paper": ("reuse_tables.py", "the tables of the reuse paper, its network on its games"),
    "compress": ("compress.py", "compressed policies: bytes, time and return"),
    "composition": ("composition.py", "one agent from stock to everything, step by step"),
    "sbx": ("against_sbx.py", "the same PPO in SBX (Stable-Baselines Jax)"),
    "runs": ("runs.py", "the queue of training runs: what is done, and the next ones"),
}


def folder() -> Path | None:
    """
    :return: The scripts of the checkout that this is called in, or that this package lies in, if any
    """
    places = (*(Path.cwd() / part for part in ("", "..", "../..")), Path(__file__).parents[2])
    found = (place.resolve() / "examples" / "benchmarks" for place in places)
    return next((place for place in found if (place / "common.py").is_file()), None)


def results() -> Path:
    """
    :return: Where results lie: in the checkout, otherwise in the folder ``bench``
    """
    checkout = folder()
    return Path("bench") if checkout is None else checkout / "results"


def run(name: str, arguments: Sequence[str]) -> int:
    """
    :param name: Of :data:`SCRIPTS`
    :param arguments: The script's
    :return: Its exit status
    """
    scripts = folder()
    if scripts is None:
        raise UnavailableError(
            f"'bench {name}' is the script examples/benchmarks/{SCRIPTS[name][0]} of the repository, which is not "
            "installed with the package: call it in a checkout (git clone), or in a folder of one."
        )
    try:
        return subprocess.run([sys.executable, str(scripts / SCRIPTS[name][0]), *arguments], check=False).returncode
    except KeyboardInterrupt:
        return 130
