"""
The first layer of a stack of frames: overwritten where a pixel of any frame changed, or moved on by a frame.

    python examples/benchmarks/reuse_first_layer.py                  # every row, five minutes
    python examples/benchmarks/reuse_first_layer.py --games Pong --networks nature
    python examples/benchmarks/reuse_first_layer.py --quick          # one game, few frames, nothing is written

A stack of four frames is mostly the one before, moved on by one: what changed between its last two frames is all that
is new. "moved on" makes use of it, as no engine of the package does: for each pixel that changed in the newest frame
one vector of what it adds in each of its four places of the stack, kept for four steps; the layer becomes the sum of
four of these, and is computed anew where a stack is not the one before, moved on (after a reset). "overwritten" is the
package's: comparing the pixels and the first convolution with its ReLU, all else left out. "torch" is the layer alone.

Games are played as in reuse_acting.py, weights are random. One thread; the three in turn, in blocks of consecutive
frames, of which the first quarter is not counted; medians and means in microseconds. "drift": largest difference from
torch in any number of the layer after 100, 1,000 and all frames, of what is moved on without ever being computed anew
but after a reset.

Writes results/reuse_first_layer.json and .md.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import reuse_acting
import torch as th
from common import check_games, count, open_rows, options, run_program, write_table
from torch import nn

from sb3_efficient.compiled.jit import jit
from sb3_efficient.reuse.acting import read
from sb3_efficient.reuse.changes import fields as at
from sb3_efficient.reuse.changes.reuser import Reuser

NETWORKS = ("nature", "impala")
N_STACK = 4
#: Variant -> its column
COLUMNS = {"torch": "torch, µs", "overwritten": "overwritten, µs", "moved on": "moved on, µs"}


def main() -> None:
    parser = options(__doc__, quick="300 frames of Pong")
    games = list(reuse_acting.GAMES)
    parser.add_argument("--games", nargs="+", default=games, help="names of ALE, as Pong")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--frames", type=count, default=4000, help="of each game")
    parser.add_argument("--blocks", type=count, default=10, help="turns that each variant gets")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.games, arguments.frames, arguments.blocks = arguments.games[:1], 300, 2
    check_games(arguments.games)
    th.set_num_threads(1)
    rows = open_rows("reuse_first_layer", ("network", "game"), quick=arguments.quick)
    for network, game in [] if arguments.rewrite else itertools.product(arguments.networks, arguments.games):
        if arguments.missing and rows.has(network=network, game=game):
            continue
        rows.add([measure(network, game, arguments.frames, arguments.blocks)])
    print(table(rows.rows))
    if rows.file is not None:
        write_table("reuse_first_layer", table(rows.rows))


def measure(network: str, game: str, n_frames: int, blocks: int) -> dict[str, Any]:
    """All three, in turn."""
    model = reuse_acting.make_model(network, "random", game)
    frames = reuse_acting.play(game, n_frames, None)[:, :1].copy()
    extractor: Any = model.policy.features_extractor
    layers, _ = read(extractor, frames.shape[2:])
    first = layers.steps[0].module
    reuser = Reuser(layers)
    # Comparing and the first convolution: the rest of the table is left out
    reuser.program.table = reuser.program.table[:2].copy()
    moved = MovedOn(first, frames.shape[2:])
    scaled = [th.from_numpy(images).float() / 255 for images in frames]
    observations = list(zip(frames, scaled, strict=True))
    with th.inference_mode():
        variants = {
            "torch": lambda both: first(both[1]).relu(),
            "overwritten": lambda both: reuser(both[0]),
            "moved on": lambda both: moved(both[0]),
        }
        times = reuse_acting.in_blocks(variants, observations, blocks)
        drift = drifted(MovedOn(first, frames.shape[2:]), first, observations)
    return {
        "network": network,
        "game": game,
        "frames": n_frames,
        "microseconds": {name: reuse_acting.summary(found) for name, found in times.items()},
        "computed": float(reuser.counts[1]) / reuser.frames / (reuser.program.table[1, at.HEIGHT] ** 2),
        "drift": drift,
    }


def drifted(moved: MovedOn, layer: nn.Module, observations: list[tuple[np.ndarray, th.Tensor]]) -> list[float]:
    """Largest difference so far after 100, 1,000 and all frames."""
    marks, found, worst = (100, 1000, len(observations)), [], 0.0
    for i, (images, dense) in enumerate(observations, start=1):
        worst = max(worst, float(np.abs(moved(images) - layer(dense).relu()[0].permute(1, 2, 0).numpy()).max()))
        if i in marks:
            found.append(float(f"{worst:.2g}"))
    return found


class MovedOn:
    """
    :param layer: The first, of a stack of four frames
    :param shape: Of the stack, (4, H, W)
    """

    def __init__(self, layer: nn.Conv2d, shape: tuple[int, int, int]) -> None:
        self.layer, (_, height, width) = layer, shape
        kernel, filters = layer.kernel_size[0], layer.out_channels
        weight = layer.weight.detach().numpy()  # (F, 4, K, K)
        #: For each pixel of a patch what it adds to each filter in each place of the stack
        self.weight = np.ascontiguousarray(weight.transpose(2, 3, 1, 0).reshape(kernel, kernel, N_STACK * filters))
        self.weight /= np.float32(255)
        self.stride, self.padding = layer.stride[0], layer.padding[0]
        rows, columns = ((size + 2 * self.padding - kernel) // self.stride + 1 for size in (height, width))
        self.total = np.zeros((rows, columns, filters), np.float32)
        self.output = np.zeros_like(self.total)
        self.added = np.zeros((N_STACK, rows, columns, N_STACK * filters), np.float32)
        #: Of each of the four: which positions it holds something for
        self.touched = np.zeros((N_STACK, rows, columns), np.bool_)
        self.stack = np.zeros(shape, np.uint8)
        self.step = 0

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """
        :param images: (1, 4, H, W), uint8
        :return: (rows, columns, F), float32, the layer's own
        """
        stack = images[0]
        if self.step and np.array_equal(stack[:-1], self.stack[1:]):
            move_on(
                stack[-1], self.stack[-1], self.step % N_STACK, self.weight, self.stride, self.padding, self.added,
                self.touched, self.total, self.output,
            )  # fmt: skip
        else:
            self._anew(images)
        self.stack[:] = stack
        self.step += 1
        return self.output

    def _anew(self, images: np.ndarray) -> None:
        total = self.layer(th.from_numpy(images).float() / 255)[0].permute(1, 2, 0)
        self.total[:] = total.numpy()
        np.maximum(self.total, 0, out=self.output)
        # As if the frames before had been the same: what changed between them comes again with the next ones
        self.added.fill(0)
        self.touched.fill(False)
        for age in range(1, N_STACK):
            add(
                images[0, N_STACK - age], images[0, N_STACK - age - 1], (self.step - age + 1) % N_STACK, self.weight,
                self.stride, self.padding, self.added, self.touched,
            )  # fmt: skip


@jit(fastmath=True)
def add(new, old, slot, weight, stride, padding, added, touched):  # type: ignore[no-untyped-def]
    """What pixels that differ between two frames add, at each position that sees them."""
    rows, columns, kernel = touched.shape[1], touched.shape[2], weight.shape[0]
    for y in range(new.shape[0]):
        for x in range(new.shape[1]):
            if new[y, x] == old[y, x]:
                continue
            change = np.float32(new[y, x]) - np.float32(old[y, x])
            for row in range(max(0, (y + padding - kernel + stride) // stride), min(rows, (y + padding) // stride + 1)):
                for column in range(
                    max(0, (x + padding - kernel + stride) // stride), min(columns, (x + padding) // stride + 1)
                ):
                    from_ = weight[y + padding - row * stride, x + padding - column * stride]
                    to = added[slot, row, column]
                    touched[slot, row, column] = True
                    for i in range(from_.shape[0]):
                        to[i] += change * from_[i]


@jit(fastmath=True)
def clear(slot, added, touched):  # type: ignore[no-untyped-def]
    """What was added four frames ago."""
    for row in range(touched.shape[1]):
        for column in range(touched.shape[2]):
            if touched[slot, row, column]:
                touched[slot, row, column] = False
                added[slot, row, column] = 0


@jit(fastmath=True)
def move_on(new, old, slot, weight, stride, padding, added, touched, total, output):  # type: ignore[no-untyped-def]
    """The next frame."""
    rows, columns, filters = total.shape
    clear(slot, added, touched)
    add(new, old, slot, weight, stride, padding, added, touched)
    for row in range(rows):
        for column in range(columns):
            found = False
            for age in range(N_STACK):
                from_ = (slot - age) % N_STACK
                found |= touched[from_, row, column]
                if touched[from_, row, column]:
                    place = (N_STACK - 1 - age) * filters
                    for i in range(filters):
                        total[row, column, i] += added[from_, row, column, place + i]
            if found:
                for i in range(filters):
                    output[row, column, i] = max(total[row, column, i], np.float32(0))


def table(rows: list[dict[str, Any]]) -> str:
    """Medians, and in brackets means."""
    head = ["first layer of", "game", *COLUMNS.values(), "positions computed", "drift after 100, 1,000, all frames"]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for row in sorted(rows, key=lambda row: (NETWORKS.index(row["network"]), row["game"])):
        cells = [row["network"], row["game"]]
        cells += [
            f"{row['microseconds'][name]['median']:.1f} ({row['microseconds'][name]['mean']:.1f})" for name in COLUMNS
        ]
        cells += [f"{row['computed']:.0%}", ", ".join(f"{error:.1g}" for error in row["drift"])]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    run_program(main)
