"""
Acting from memory: every patch of the screen that was ever seen has its result.

An Atari screen has thousands of positions and few different patches, and shows the same ones again and again. So the
result of the convolutions is looked up by the bytes of the patch, at the positions where the frame changed; and what a
position adds to the linear layer behind them by position and patch.

Shapes: ``B`` batch, ``C H W`` image, ``P`` positions, ``F`` filters, ``A`` outputs of the linear layer.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sb3_efficient.errors import ObservationError, OptionError
from sb3_efficient.reuse.jit import STAMP, jit
from sb3_efficient.reuse.patches import HASH_BITS, PatchTable, find, hash_at, same, update
from sb3_efficient.reuse.stack import Stack, compute

#: What is counted, see :meth:`Memo.report`
COUNTERS = ("patches", "frames", "positions", "changed", "remembered", "looked_up", "computed", "emptied")
PATCHES, FRAMES, POSITIONS, CHANGED, REMEMBERED, LOOKED_UP, COMPUTED, EMPTIED = range(len(COUNTERS))
#: Contributions kept for each position, at most
WAYS = 64
MIB = 1 << 20


class Memo:
    """
    Convolutions and the linear layer behind them, for frames that resemble frames seen before.

    Results are those of the dense network up to the rounding of float32, whatever came before: a patch is believed
    only where all its bytes are equal, and sums over positions are kept in float64. Each row of the batch has a state,
    and all share what is remembered. Weights are those of construction.

    :param stack: The convolutions
    :param weight: Of the linear layer, (A, F * P) as torch has it behind ``nn.Flatten``
    :param bias: (A,)
    :param memory: MiB that may be remembered. When it is full, it is emptied, and filled again with what is seen
        from then on; ``report()["emptied"]`` says how often.
    :param hash_bits: Of the hash
    """

    def __init__(
        self, stack: Stack, weight: np.ndarray, bias: np.ndarray, memory: int = 256, hash_bits: int = HASH_BITS
    ) -> None:
        windows = self.windows = stack.windows
        self.stack = stack
        n_outputs, positions = len(weight), windows.positions
        self.weight = np.zeros((positions, n_outputs, stack.width), np.float32)
        self.weight[:, :, : stack.channels] = weight.reshape(n_outputs, stack.channels, positions).transpose(2, 0, 1)
        self.bias = np.array(bias, np.float64)
        capacity, ways = self._room(memory, n_outputs)
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
        while len(self._states) < len(images):
            self._states.append(self._state())
        result = np.empty((len(images), len(self.bias)), np.float32)
        for row, image in enumerate(np.ascontiguousarray(images)):
            _step(
                image, *self._states[row], self._flags, self._lists, self._counts, *self._near, table.keys, table.slots,
                table.mask, self.values, self.weight, self.windows.kernel, self.windows.stride, stack.pixels,
                stack.table, stack.offsets, stack.numbers, stack.scratch, stack.flags, self.bias, result[row],
            )  # fmt: skip
        return result

    def forget(self) -> None:
        """Back to the start: no states, nothing remembered, nothing counted."""
        self._states.clear()
        self._near[0].fill(False)
        self.table.clear()
        self._counts.fill(0)

    def report(self) -> dict[str, int]:
        """
        :return: Since the start: ``patches`` in the table, ``frames``, their ``positions``, how many of these
            ``changed``, were ``remembered`` with their contribution, were ``looked_up`` in the table of patches, how many
            patches were ``computed``, how often the table was ``emptied``, and its ``bytes`` in use
        """
        counts = dict(zip(COUNTERS, self._counts.tolist(), strict=True))
        per_patch = self.values.itemsize * self.values.shape[1] + self.windows.words * 8
        used, keys, contributions = self._near
        near = used.sum() * (keys.itemsize * keys.shape[1] + contributions.itemsize * contributions.shape[1])
        return {**counts, "bytes": int(counts["patches"] * per_patch + self.table.slots.nbytes + used.nbytes + near)}

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
        if memory * MIB < least:
            raise OptionError(
                f"memory={memory} MiB cannot hold the {positions} patches of one frame and what they add to "
                f"{n_outputs} outputs: give at least {-(-least // MIB)} MiB."
            )
        ways = WAYS
        while ways > 1 and ways * way > memory * MIB // 4:
            ways //= 2
        return (memory * MIB - ways * way) // per_patch, ways


@jit(fastmath=True)
def _contribution(weight, value, p, a):  # type: ignore[no-untyped-def]
    total = np.float32(0)
    for f in range(value.shape[0]):
        total += weight[p, a, f] * value[f]
    return total


@jit
def _enter(p, slot, words, y, x, kernel, value, weight, used, keys, kept, contributions, total):  # type: ignore[no-untyped-def]
    """What a position adds, from the result of its patch: keep it, and exchange it in the sum."""
    n = words.shape[2]
    used[slot] = True
    for i in range(kernel):
        for w in range(n):
            keys[slot, i * n + w] = words[y + i, x, w]
    for a in range(weight.shape[1]):
        new = _contribution(weight, value, p, a)
        kept[slot, a] = new
        total[a] += np.float64(new) - np.float64(contributions[p, a])
        contributions[p, a] = new


def _make_step(stamp: int) -> Any:
    """numba keeps the compiled function for as long as what it encloses is the same."""

    @jit(cache=True)
    def step(  # type: ignore[no-untyped-def]
        image, before, words, contributions, total, seen, flags, lists, counts, used, near, kept, keys, slots, mask,
        values, weight, kernel, stride, pixels, table, offsets, numbers, scratch, marks, bias, result,
    ):  # fmt: skip
        assert stamp >= 0
        columns = words.shape[1]
        ways = np.uint64(used.shape[0] // flags.shape[0])
        positions, missed, found, codes = lists[0], lists[1], lists[2], lists[3]
        n = update(image, before, kernel, stride, words, flags, positions)
        if not seen[0]:
            seen[0] = True
            n = flags.shape[0]
            for p in range(n):
                positions[p] = p
        n_missed = 0
        for i in range(n):
            p = positions[i]
            y, x = p // columns * stride, p % columns
            code = hash_at(words, y, x, kernel)
            slot = p * np.int64(ways) + np.int64((code & mask) & (ways - np.uint64(1)))
            if used[slot] and same(words, y, x, kernel, near[slot]):
                for a in range(weight.shape[1]):
                    new = kept[slot, a]
                    total[a] += np.float64(new) - np.float64(contributions[p, a])
                    contributions[p, a] = new
            else:
                missed[n_missed] = p
                codes[n_missed] = np.int64(code)
                n_missed += 1
        begin, patches, computed = 0, counts[PATCHES], counts[PATCHES]
        i = 0
        while begin < n_missed:
            number = np.int64(-1)
            if i < n_missed:
                p = missed[i]
                y, x = p // columns * stride, p % columns
                number = find(words, y, x, kernel, np.uint64(codes[i]), keys, slots, patches, mask)
            if number >= 0:
                patches = max(patches, number + 1)
                found[i] = number
                i += 1
                continue
            # All are found, or there is no room for more
            compute(keys, computed, patches, kernel, values, pixels, table, offsets, numbers, scratch, marks)
            counts[COMPUTED] += patches - computed
            for j in range(begin, i):
                p = missed[j]
                y, x = p // columns * stride, p % columns
                slot = p * np.int64(ways) + np.int64((np.uint64(codes[j]) & mask) & (ways - np.uint64(1)))
                _enter(p, slot, words, y, x, kernel, values[found[j]], weight, used, near, kept, contributions, total)
            computed, begin = patches, i
            if i < n_missed:
                for s in range(slots.shape[0]):
                    slots[s] = -1
                patches = computed = 0
                counts[EMPTIED] += 1
        counts[PATCHES] = patches
        counts[FRAMES] += 1
        counts[POSITIONS] += flags.shape[0]
        counts[CHANGED] += n
        counts[REMEMBERED] += n - n_missed
        counts[LOOKED_UP] += n_missed
        for a in range(weight.shape[1]):
            result[a] = total[a] + bias[a]

    return step


_step = _make_step(STAMP)
