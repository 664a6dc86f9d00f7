"""Kinds of seer.py: bytes of a transition, what the freeze takes, and memory over a run."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from seer_speed import freeze, once, play
from stable_baselines3.common.callbacks import BaseCallback
from training_loop import make_model

from sb3_efficient.fast.memory import give_back_memory
from sb3_efficient.frames import FrameReplayBuffer
from sb3_efficient.seer import SEERCallback
from sb3_efficient.seer.capacity import buffer_bytes
from sb3_efficient.seer.convert import empty_latents, fill_chunk
from sb3_efficient.seer.encoder import CHUNK, LatentEncoder

FRAMES = {"replay_buffer_class": FrameReplayBuffer}
COMPRESSED = {**FRAMES, "replay_buffer_kwargs": {"compress": True}}
ONE_ARRAY = {"optimize_memory_usage": True, "replay_buffer_kwargs": {"handle_timeout_termination": False}}
#: name -> (options of DQN, depth that is frozen)
BUFFERS: dict[str, tuple[dict[str, Any], Any]] = {
    "SB3's `ReplayBuffer`": ({}, None),
    "the same, `optimize_memory_usage`": (ONE_ARRAY, None),
    "`FrameReplayBuffer`": (FRAMES, None),
    "`FrameReplayBuffer`, `compress=True`": (COMPRESSED, None),
    "latents, `'conv'`": (FRAMES, "conv"),
    "latents, `'features'`": (FRAMES, "features"),
}
#: Of a transition in SB3's ReplayBuffer
SB3_BYTES = 56_500
#: name -> (options of DQN, bytes of a transition)
CONVERTED: dict[str, tuple[dict[str, Any], int]] = {
    "FrameReplayBuffer": (FRAMES, 7_200),
    "ReplayBuffer": ({}, SB3_BYTES),
}
POINTS = 200


def memory(threads: int, arguments: argparse.Namespace) -> list[dict]:
    """Full buffers of at most 10,000 transitions: how many there are changes little about one of them."""
    n = min(10_000, arguments.transitions)
    rows = []
    for name, (options, depth) in BUFFERS.items():
        print(f"  {name}", file=sys.stderr)
        model = make_model("dqn", "nature", "with AleVecEnv", threads, buffer_size=n, **options)
        if depth is not None:
            freeze(model, depth)
        before = buffer_bytes(model.replay_buffer)
        play(model, n)
        after = buffer_bytes(model.replay_buffer)
        counted = {"bytes": round(after / n, 1), "of_which_for_ends_of_episodes": round((after - before) / n, 1)}
        rows.append({"buffer": name, "threads": threads, "n": n, **counted})
    return rows


def conversion(threads: int, arguments: argparse.Namespace) -> list[dict]:
    n, rows = arguments.transitions, []
    for network in ["nature"] if arguments.quick else ["nature", "impala"]:
        for source, (_, size) in CONVERTED.items():
            what = f"{network}, {n} transitions of a {source}"
            if fits(what, n * size):
                print(f"  {what}", file=sys.stderr)
                labels = {"network": network, "source": source, "threads": threads, "transitions": n}
                rows.append({**labels, **once(threads, "conversion", network, source, n)})
    return rows


def convert_once(threads: int, network: str, source: str, transitions: str) -> None:
    options, _ = CONVERTED[source]
    model = make_model("dqn", network, "with AleVecEnv", threads, buffer_size=int(transitions), **options)
    play(model, int(transitions))
    images, chunk, before = buffer_bytes(model.replay_buffer), chunk_mb(model), status("VmRSS")
    forget_peak()
    start = time.perf_counter()
    freeze(model, "conv")
    seconds = round(time.perf_counter() - start, 1)
    latents = round(model.replay_buffer.bytes_used / 1e6, 1)
    found = {"before_mb": before, "peak_mb": status("VmHWM"), "after_mb": status("VmRSS")}
    sizes = {"images_mb": round(images / 1e6, 1), "latents_mb": latents, "chunk_mb": chunk}
    print(json.dumps({"seconds": seconds, **found, **sizes, "allowed_mb": round(before + latents + chunk, 1)}))


def chunk_mb(model: Any) -> float:
    """What it takes to make latents of as many transitions as are converted at once, and gives back."""
    before = status("VmRSS")
    forget_peak()
    images, encoder = model.replay_buffer, LatentEncoder(model, "conv")
    slots = np.arange(min(CHUNK + 1, images.size()))
    fill_chunk(empty_latents(images, encoder, CHUNK), 0, images, slots, len(slots) - 1, encoder)
    peak = status("VmHWM")
    give_back_memory()
    return round(peak - before, 1)


def forget_peak() -> None:
    """From now on VmHWM is the most from now on (Linux's manual of proc, clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5")


def run_memory(threads: int, arguments: argparse.Namespace) -> list[dict]:
    rows = []
    for name, (_, _, size) in RUNS.items():
        # SB3's buffer as far as memory goes: a million takes 56 GB
        steps = min(arguments.steps, int(room() / size) // 50_000 * 50_000 or arguments.steps)
        print(f"  DQN, {name}, {steps} steps", file=sys.stderr)
        found = once(threads, "run_memory", name, steps)
        rows.append({"run": name, "threads": threads, "steps": steps, **found})
    return rows


#: name -> (variant of training_loop.py, options of DQN, most bytes that a step may add)
RUNS: dict[str, tuple[str, dict[str, Any], int]] = {
    "plain": ("plain", {}, SB3_BYTES),
    "frozen": ("with AleVecEnv", FRAMES, 7_200),
    "compressed": ("with AleVecEnv", COMPRESSED, 1_000),
}


class Memory(BaseCallback):
    """
    Resident memory over training.

    :param steps: Of the training
    """

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.every = max(1, steps // POINTS)
        self.curve: list[tuple[int, float, float]] = []

    def _on_training_start(self) -> None:
        self.start = time.perf_counter()

    def _on_step(self) -> bool:
        if self.num_timesteps % self.every == 0:
            self.curve.append((self.num_timesteps, round(time.perf_counter() - self.start, 1), status("VmRSS")))
        return True


def run_once(threads: int, name: str, steps: str) -> None:
    variant, options, _ = RUNS[name]
    n = int(steps)
    act = {"exploration_initial_eps": 1.0, "exploration_final_eps": 1.0, "train_freq": max(4, n // 1000)}
    model = make_model("dqn", "nature", variant, threads, buffer_size=n, **options, **act)
    curve = Memory(n)
    callbacks = [curve, SEERCallback(freeze_at=0.25, depth="features")] if name == "frozen" else [curve]
    model.learn(n, callback=callbacks)
    found = {"frozen_at": getattr(model, "seer", {}).get("timesteps"), "peak_mb": status("VmHWM")}
    print(json.dumps({**found, "columns": ["step", "seconds", "rss_mb"], "curve": curve.curve}))


def room() -> float:
    """Bytes for a replay buffer, beside libraries, weights and activations."""
    return (psutil.virtual_memory().available - 1.5e9) / 1.1


def fits(what: str, needed: float) -> bool:
    if needed > room():
        print(f"skipped: {what}: {needed / 1e9:.1f} GB, and there is room for {room() / 1e9:.1f}", file=sys.stderr)
    return needed <= room()


def status(field: str) -> float:
    """A line of Linux's report on this process, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(round(int(line.split()[1]) * 1024 / 1e6, 1) for line in lines if line.startswith(f"{field}:"))
