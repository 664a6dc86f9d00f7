"""Windows of convolutions and poolings, of the kinds that reuse knows."""

from __future__ import annotations

from typing import Any

from sb3_efficient.errors import OptionError

#: Widest kernel: a word of a mask
MAX_KERNEL = 64


def adaptive_size(module: Any, height: int, width: int) -> tuple[int, int]:
    """
    :return: Height and width of the result of an adaptive pooling
    """
    size = module.output_size
    rows, columns = size if isinstance(size, tuple) else (size, size)
    return rows or height, columns or width


def sizes(module: Any, height: int, width: int) -> tuple[int, int]:
    """
    :param module: See :func:`window`
    :return: Height and width of its result
    """
    kernel, stride, padding = window(module)
    rows, columns = ((side + 2 * padding - kernel) // stride + 1 for side in (height, width))
    return rows, columns


def window(module: Any) -> tuple[int, int, int]:
    """
    :param module: Convolution or pooling
    :return: Kernel, stride and padding, if they are square, and of a kind that is known
    """
    found = []
    for option in (module.kernel_size, module.stride, module.padding):
        sides = option if isinstance(option, tuple) else (option, option)
        found.append(sides[0] if isinstance(sides[0], int) and sides[0] == sides[-1] else None)
    dilated = module.dilation not in (1, (1, 1))
    grouped = getattr(module, "groups", 1) != 1 or getattr(module, "padding_mode", "zeros") != "zeros"
    kernel, stride, padding = found
    if kernel is None or stride is None or padding is None or dilated or grouped or kernel > MAX_KERNEL:
        raise OptionError(unknown(str(module)))
    if getattr(module, "ceil_mode", False):
        raise OptionError(unknown(str(module)))
    return kernel, stride, padding


def unknown(layer: str) -> str:
    """What is said of a layer."""
    return (
        f"The engine 'reuse' does not know {layer}. It knows square convolutions without groups and dilation, ReLU, "
        "max-pooling, global average and adaptive maximum: take the engine 'eager' or 'onnxruntime'."
    )
