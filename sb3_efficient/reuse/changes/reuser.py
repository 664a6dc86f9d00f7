"""Features of images, computed from what changed: a program, and the states of the rows of a batch."""

from __future__ import annotations

import sys
import threading
from typing import Any

import numpy as np

from sb3_efficient.errors import OptionError
from sb3_efficient.reuse.changes.masks import words
from sb3_efficient.reuse.changes.network import Network
from sb3_efficient.reuse.changes.plan import Plan
from sb3_efficient.reuse.changes.planning import make_plan
from sb3_efficient.reuse.changes.program import Program, aligned
from sb3_efficient.reuse.changes.seen import Seen, look

#: Seconds of preparation after which it is said what takes so long
PATIENCE = 1.5
#: Bytes of all states together, if nothing is said
MEMORY = 1 << 30


class Reuser:
    """
    :param network: Steps, with the weights, or quantized
    :param scale: What a byte of an image is divided by; the quantized have it among their weights
    :param memory: Bytes that all states may take. None: :data:`MEMORY`; larger batches are then computed in parts that
        take turns in the states, so that they gain little, and are refused otherwise.
    """

    def __init__(self, network: Network, scale: float = 255.0, memory: int | None = None) -> None:
        # Compiles, or loads what was compiled
        with Announced():
            self._run, self.program = _compiled(network, scale)
            self.network, self.scale = network, scale
            self.memory = memory
            _check_memory(memory, 1, self.program.state_bytes)
            self._lock = threading.Lock()
            n = self.program.positions
            self._todo = np.zeros(n, np.uint64)
            self._line = np.zeros(words(self.program.widest), np.uint64)
            self._inputs, self._outputs = np.zeros((2, n + 16), np.int32)
            self._flags = np.zeros(n + 16, np.uint8)
            self._sums = np.zeros(256, self.program.sums)
            self.counts = np.zeros(len(self.program.table), np.int64)
            self.void()
            image = network.image
            self(np.zeros((1, image.channels, image.height, image.width), np.uint8))
            self.void()

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """
        :param images: (B, C, H, W), uint8, contiguous
        :return: (B, F), float32
        """
        features = np.empty((len(images), self.network.outputs), np.float32)
        part = len(images) if self.memory else max(1, MEMORY // self.program.state_bytes)
        with self._lock:
            for start in range(0, len(images), part or 1):
                self._compute(images[start : start + part], features[start : start + part])
        return features

    def _compute(self, images: np.ndarray, features: np.ndarray) -> None:
        n = len(images)
        if n > len(self._states):
            self._grow(n)
        self._run(
            self.program.table, self._bases[:n], self._fresh[:n], self.program.state_bytes, images.ctypes.data,
            self.program.pixels, self._todo, self._line, self._inputs, self._outputs, self._flags, self._sums,
            features, self.counts,
        )  # fmt: skip
        self.frames += n

    def void(self) -> None:
        """Forget everything that was computed."""
        self._states: list[np.ndarray] = []
        self._bases = np.zeros(0, np.int64)
        self._fresh = np.zeros(0, np.uint8)
        self.counts[:] = 0
        self.frames = 0

    def load(self) -> None:
        """Take the weights that the layers have now, upon which everything that was computed is void."""
        with self._lock:
            self.program.load()
            self._fresh[:] = 1

    def __reduce__(self) -> Any:
        # Compiled code knows weights and states by their addresses, which are those of this object and process
        return type(self), (self.network, self.scale, self.memory)

    @property
    def plan(self) -> Plan:
        """What is computed how, and how much of it so far."""
        return make_plan(self.program, self.counts, self.frames)

    def seen(self, row: int = 0) -> list[Seen]:
        """
        :param row: Of the batch
        :return: Where each layer was computed for the last observation
        """
        if row not in range(self.rows):
            raise OptionError(f"Row {row} of the batch has seen nothing yet: there are {self.rows} rows.")
        return look(self.program, int(self._bases[row]))

    @property
    def rows(self) -> int:
        """States that there are: rows of the largest batch so far."""
        return len(self._states)

    def _grow(self, n: int) -> None:
        size = self.program.state_bytes
        _check_memory(self.memory, n, size)
        new = [aligned(self.program.blank()) for _ in range(n - len(self._states))]
        self._states += new
        self._bases = np.array([state.ctypes.data for state in self._states], np.int64)
        self._fresh = np.append(self._fresh, np.ones(len(new), np.uint8))


def _compiled(network: Network, scale: float) -> tuple[Any, Program]:
    # Each compiles, or loads, what it imports
    if network.is_quantized:
        from sb3_efficient.reuse.changes.int8_program import Int8Program
        from sb3_efficient.reuse.changes.interpret_int8 import run as run_int8

        return run_int8, Int8Program(network)
    from sb3_efficient.reuse.changes.interpret_float import run

    return run, Program(network, scale)


def _check_memory(memory: int | None, rows: int, size: int) -> None:
    if memory is not None and rows * size > memory:
        fewer = f"pass at most {memory // size} observations at a time, " if memory >= size else ""
        raise OptionError(
            f"A batch of {rows} needs {rows * size:,} bytes to remember, {size:,} an environment, and memory allows "
            f"{memory:,}: allow more, {fewer}or take the engine 'eager' or 'onnxruntime'."
        )


class Announced:
    """Says on stderr what is going on, if it goes on for long."""

    def __enter__(self) -> None:
        text = "sb3-efficient: compiling the reuse kernels for this CPU; they are kept on disk."
        self._timer = threading.Timer(PATIENCE, print, (text,), {"file": sys.stderr, "flush": True})
        self._timer.daemon = True
        self._timer.start()

    def __exit__(self, *_: Any) -> None:
        self._timer.cancel()
