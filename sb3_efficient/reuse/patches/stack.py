"""
A row of unpadded convolutions, each followed by a ReLU, computed on loose patches: one result per patch.

Shapes: ``R`` side of the receptive field, pixels, ``F`` filters of the last convolution (rounded up in memory).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import nn

from sb3_efficient.compiled.jit import jit
from sb3_efficient.compiled.kernels import blocked, convolve, rounded
from sb3_efficient.errors import OptionError
from sb3_efficient.reuse.patches.distinct import Windows

#: Patches that are computed at a time: their maps stay in the second-level cache
TILE = 48
#: What the compiled loop reads of each convolution
(POSITIONS, ROWS, LENGTH, STEP, CHANNELS, OFFSETS, WEIGHTS, BIAS, SOURCE, TARGET) = range(10)


class Stack:
    """
    :param layers: ``nn.Conv2d`` and ``nn.ReLU`` in turn, as :class:`~sb3_efficient.extractors.conv2.Conv2Extractor`
        has them
    :param shape: (C, H, W) of the images
    :param scale: What a byte of an image is divided by
    """

    def __init__(self, layers: Sequence[nn.Module], shape: tuple[int, int, int], scale: float) -> None:
        convolutions = check_stack(layers)
        field, stride = receptive_field(convolutions)
        self.windows = Windows(shape, field, stride)
        self.channels = convolutions[-1].out_channels
        # As torch divides: 256 quotients, each rounded once
        self.pixels = np.arange(256, dtype=np.float32) / np.float32(scale)
        table, offsets, numbers, scratch = [], [], [], TILE * field * field * shape[0]
        n_offsets = n_numbers = source = 0
        side, n_input = field, shape[0]
        for convolution in convolutions:
            kernel, step = convolution.kernel_size[0], convolution.stride[0]
            n_output, out = rounded(convolution.out_channels), (side - kernel) // step + 1
            patch, y, x = np.indices((TILE, out, out)).reshape(3, -1)
            inputs = ((patch * side + y * step) * side + x * step) * n_input
            outputs = np.arange(len(inputs)) * n_output
            weights, bias = _numbers(convolution, n_input)
            row = [out * out, kernel, kernel * n_input, side * n_input, n_output, n_offsets, n_numbers]
            table.append([*row, n_numbers + len(weights), source, scratch])
            offsets += [inputs, outputs]
            numbers += [weights, bias]
            n_offsets, n_numbers = n_offsets + 2 * len(inputs), n_numbers + len(weights) + len(bias)
            source, scratch = scratch, scratch + len(inputs) * n_output
            side, n_input = out, n_output
        self.table = np.array(table, np.int64)
        self.offsets = np.concatenate(offsets).astype(np.int32)
        self.numbers = np.concatenate(numbers)
        self.scratch = np.zeros(scratch, np.float32)
        self.flags = np.zeros(TILE * field * field, np.uint8)

    @property
    def width(self) -> int:
        """``F``, rounded up."""
        return int(self.table[-1, CHANNELS])


def check_stack(layers: Sequence[nn.Module]) -> list[nn.Conv2d]:
    """
    :return: The convolutions, if all of them are square and unpadded, and each is followed by a ReLU
    """
    layers = [layer for layer in layers if not isinstance(layer, (nn.Flatten, nn.Identity))]
    found = []
    for number, layer in enumerate(layers):
        wanted = nn.ReLU if number % 2 else nn.Conv2d
        fits = isinstance(layer, wanted)
        if fits and isinstance(layer, nn.Conv2d):
            fits = (
                layer.kernel_size[0] == layer.kernel_size[1]
                and layer.stride[0] == layer.stride[1]
                and layer.padding in ((0, 0), "valid")
                and layer.dilation == (1, 1)
                and layer.groups == 1
            )
            found.append(layer)
        if not fits:
            raise OptionError(
                f"Patches are remembered for rows of square, unpadded convolutions with a ReLU behind each, and layer "
                f"{number} is {layer}. Use the engine 'eager'."
            )
    if not found or len(layers) % 2:
        raise OptionError("Patches are remembered for convolutions with a ReLU behind each, and here is none.")
    return found


def receptive_field(convolutions: Sequence[nn.Conv2d]) -> tuple[int, int]:
    """
    :return: Side of the patch that one result depends on, and pixels from one patch to the next
    """
    field, stride = 1, 1
    for convolution in convolutions:
        field += (convolution.kernel_size[0] - 1) * stride
        stride *= convolution.stride[0]
    return field, stride


def _numbers(convolution: nn.Conv2d, n_input: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights as the kernel reads them, for maps of ``n_input`` channels in memory; and the bias."""
    weight = convolution.weight.detach().cpu().float().numpy()
    n_output, known = weight.shape[:2]
    padded = np.pad(weight, ((0, 0), (0, n_input - known), (0, 0), (0, 0)))
    bias = np.zeros(rounded(n_output), np.float32)
    if convolution.bias is not None:
        bias[:n_output] = convolution.bias.detach().cpu().float().numpy()
    return blocked(padded.transpose(2, 3, 1, 0).reshape(-1, n_output)), bias


@jit
def compute(keys, start, stop, field, values, pixels, table, offsets, numbers, scratch, flags):  # type: ignore[no-untyped-def]
    """
    Compute the results of the patches ``start`` to ``stop`` (exclusive).

    :param keys: Packed patches, (capacity, words)
    :param values: Results, (capacity, F)
    """
    n_channels = table[0, LENGTH] // table[0, ROWS]
    row_words = keys.shape[1] // field
    size = field * field * n_channels
    for begin in range(start, stop, TILE):
        n = min(TILE, stop - begin)
        for i in range(n):
            for y in range(field):
                for c in range(n_channels):
                    for x in range(field):
                        byte = c * field + x
                        word = keys[begin + i, y * row_words + (byte >> 3)]
                        pixel = np.int64((word >> np.uint64(8 * (byte & 7))) & np.uint64(255))
                        scratch[i * size + (y * field + x) * n_channels + c] = pixels[pixel]
        for layer in range(table.shape[0]):
            t = table[layer]
            m = n * t[POSITIONS]
            target = scratch.ctypes.data + 4 * t[TARGET]
            if layer == table.shape[0] - 1:
                target = values.ctypes.data + 4 * begin * values.shape[1]
            inputs = offsets.ctypes.data + 4 * t[OFFSETS]
            convolve(
                m, inputs, inputs + 4 * TILE * t[POSITIONS], scratch.ctypes.data + 4 * t[SOURCE], t[ROWS], t[LENGTH],
                t[STEP], numbers.ctypes.data + 4 * t[WEIGHTS], numbers.ctypes.data + 4 * t[BIAS], t[CHANNELS],
                0, 0, target, flags.ctypes.data,
            )  # fmt: skip
