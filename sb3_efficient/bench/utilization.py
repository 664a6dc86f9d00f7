"""
How busy the GPU is while something runs, as ``nvidia-smi`` says: what rl-nn-benchmarks read off ``watch -n 0.1
nvidia-smi``.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from statistics import median

#: Between two readings, each of which is of up to a second before it
_MILLISECONDS = 100
_COMMAND = ("nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--id={gpu}", "-lms")


def gpu_utilization(work: Callable[[], object], gpu: str, seconds: float = 3.0) -> float | None:
    """
    Call something again and again meanwhile. Not part of a measurement of time, which is shorter than a reading.

    :param work: That keeps the GPU busy, or does not
    :param gpu: Number or UUID of the GPU
    :param seconds: How long; readings of the first half are not counted
    :return: Per cent of the time in which at least one kernel ran; None without ``nvidia-smi``
    """
    command = [word.format(gpu=gpu) for word in _COMMAND]
    try:
        watch = subprocess.Popen([*command, str(_MILLISECONDS)], stdout=subprocess.PIPE, text=True)
    except OSError:
        return None
    end = time.perf_counter() + seconds
    try:
        while time.perf_counter() < end:
            work()
    finally:
        watch.terminate()
        output, _ = watch.communicate()
    readings = [float(word) for word in output.split() if word.isdigit()]
    return median(readings[len(readings) // 2 :]) if readings else None
