"""
Acting from memory: every patch of the screen that was ever seen has its result.

An Atari screen has thousands of positions and few different patches, and shows the same ones again and again. So the
result of the convolutions is looked up by the bytes of the patch, at the positions where the frame changed; and what a
position adds to the linear layer behind them by position and patch.

Shapes: ``B`` batch, ``C H W`` image, ``P`` positions, ``F`` filters, ``A`` outputs of the linear layer.
"""

from __future__ import annotations

import numpy as np

from sb3_efficient.errors import ObservationError, OptionError
from sb3_efficient.reuse.patches.distinct import HASH_BITS, PatchTable
from sb3_efficient.reuse.patches.recall import COUNTERS, PATCHES, step
from sb3_efficient.reuse.patches.stack import Stack

#: Contributions kept for each position, at most
WAYS = 64
#: Bytes, if nothing is said
MEMORY = 256 << 20


class Memo:
    """
    Convolutions and the linear layer behind them, for frames that resemble frames seen before.

    Results are those of the dense network up to the rounding of float32, whatever came before: a patch is believed
    only where all its bytes are equal, and sums over positions are kept in float64. Each row of the batch has a state,
    and all share what is remembered. Weights are those of construction, or of :meth:`load`.

    :param stack: The convolutions
    :param weight: Of the linear layer, (A, F * P) as torch has it behind ``nn.Flatten``
    :param bias: (A,)
    :param memory: Bytes that may be remembered: a quarter at most of single environments, the rest of patches. When
        the table of patches is full, it is emptied, and filled again with what is seen from then on;
        ``report()["emptied"]`` says how often.
    :param hash_bits: Of the hash
    """

    def __init__(
        self, stack: Stack, weight: np.ndarray, bias: np.ndarray, memory: int = MEMORY, hash_bits: int = HASH_BITS
    ) -> None:
        windows = self.windows = stack.windows
        n_outputs, positions = len(weight), windows.positions
        self.weight = np.zeros((positions, n_outputs, stack.width), np.float32)
        self._take(stack, weight, bias)
        self.memory = memory
        capacity, ways = self._room(memory - memory // 4, n_outputs)
        self.table = PatchTable(windows, capacity, hash_bits)
        self.values = np.empty((capacity, stack.width), np.float32)
        slots = positions * ways
        self._near = (
            np.zeros(slots, np.bool_),
            np.empty((slots, windows.words), np.uint64),
            np.empty((slots, n_outputs), np.float32),
        )
        self._counts = np.zeros(len(COUNTERS), np.int64)
        self._flags = np.zeros(positions, np.bool_)
        self._lists = np.empty((4, positions), np.int64)
        self._states: list[tuple[np.ndarray, ...]] = []
        self.outputs(np.zeros((1, *windows.shape), np.uint8))  # compiles
        self.forget()

    def load(self, stack: Stack, weight: np.ndarray, bias: np.ndarray) -> None:
        """
        Take new weights, upon which everything remembered is void.

        :param stack: Of the same convolutions, for the same images
        :param weight: Of the linear layer, (A, F * P)
        :param bias: (A,)
        """
        if stack.windows != self.windows or not np.array_equal(stack.table, self.stack.table):
            raise OptionError("New weights must be those of the same network for the same images: build a new Memo.")
        self._take(stack, weight, bias)
        self._void()

    def outputs(self, images: np.ndarray) -> np.ndarray:
        """
        :param images: (B, C, H, W), uint8; a row of the batch costs least if it held the frame before
        :return: (B, A), float32
        """
        if images.dtype != np.uint8 or images.shape[1:] != self.windows.shape:
            raise ObservationError(
                f"Patches are compared by their bytes: images must be uint8 of shape (B, *{self.windows.shape}), "
                f"got {images.dtype} of shape {images.shape}."
            )
        stack, table = self.stack, self.table
        if len(images) > len(self._states):
            self._add_states(len(images))
        result = np.empty((len(images), len(self.bias)), np.float32)
        for row, image in enumerate(np.ascontiguousarray(images)):
            step(
                image, *self._states[row], self._flags, self._lists, self._counts, *self._near, table.keys, table.slots,
                table.mask, self.values, self.weight, self.windows.kernel, self.windows.stride, stack.pixels,
                stack.table, stack.offsets, stack.numbers, stack.scratch, stack.flags, self.bias, result[row],
            )  # fmt: skip
        return result

    def forget(self) -> None:
        """Back to the start: no states, nothing remembered, nothing counted."""
        self._void()
        self._counts.fill(0)

    def report(self) -> dict[str, int]:
        """
        :return: Since the start: ``patches`` in the table, ``frames``, their ``positions``; how many of these
            ``changed``, were ``remembered`` with their contribution, and were ``looked_up`` in the table of patches;
            how many patches were ``computed``, how often the table was ``emptied``, and its ``bytes`` in use
        """
        counts = dict(zip(COUNTERS, self._counts.tolist(), strict=True))
        per_patch = self.values.itemsize * self.values.shape[1] + self.windows.words * 8
        used, keys, contributions = self._near
        near = used.sum() * (keys.itemsize * keys.shape[1] + contributions.itemsize * contributions.shape[1])
        return {**counts, "bytes": int(counts["patches"] * per_patch + self.table.slots.nbytes + used.nbytes + near)}

    def _take(self, stack: Stack, weight: np.ndarray, bias: np.ndarray) -> None:
        self.stack = stack
        n_outputs, positions = len(weight), self.windows.positions
        # Every weight is behind one position
        self.weight[:, :, : stack.channels] = weight.reshape(n_outputs, stack.channels, positions).transpose(2, 0, 1)
        self.bias = np.array(bias, np.float64)

    def _void(self) -> None:
        self._states.clear()
        self._near[0].fill(False)
        self.table.clear()
        self._counts[PATCHES] = 0

    @property
    def rows(self) -> int:
        """States that there are: rows of the largest batch so far."""
        return len(self._states)

    @property
    def state_bytes(self) -> int:
        """What is remembered of one environment."""
        windows = self.windows
        words = windows.shape[1] * windows.columns * windows.row_words
        return int(np.prod(windows.shape)) + 8 * words + 4 * len(self.bias) * (windows.positions + 2)

    def _add_states(self, rows: int) -> None:
        if rows * self.state_bytes > self.memory // 4:
            raise OptionError(
                f"A batch of {rows} needs {rows * self.state_bytes:,} bytes to remember, {self.state_bytes:,} an "
                f"environment, and memory={self.memory:,} allows a quarter for that: allow more, or pass at most "
                f"{self.memory // 4 // self.state_bytes} observations at a time."
            )
        self._states += [self._state() for _ in range(rows - len(self._states))]

    def _state(self) -> tuple[np.ndarray, ...]:
        """Frame, its packed rows, contribution of each position, their sum, and whether there was a frame."""
        shape = (self.windows.positions, len(self.bias))
        return (
            np.zeros(self.windows.shape, np.uint8),
            self.windows.empty_words(),
            np.zeros(shape, np.float32),
            np.zeros(shape[1], np.float64),
            np.zeros(1, np.bool_),
        )

    def _room(self, memory: int, n_outputs: int) -> tuple[int, int]:
        """Patches, and contributions for each position."""
        positions, words = self.windows.positions, self.windows.words
        # Slots are at least twice, and up to four times, as many as patches
        per_patch = self.stack.width * 4 + words * 8 + 4 * 4
        way = positions * (words * 8 + n_outputs * 4 + 1)
        least = positions * per_patch + way
        if memory < least:
            raise OptionError(
                f"memory={self.memory:,} cannot hold the {positions} patches of one frame and what they add to "
                f"{n_outputs} outputs: give at least {-(-least * 4 // 3):,} bytes."
            )
        ways = WAYS
        while ways > 1 and ways * way > memory // 3:
            ways //= 2
        return (memory - ways * way) // per_patch, ways
