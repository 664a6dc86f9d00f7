"""Whether torch's operators and layers are watched or transformed, which work that is done beside them would escape."""

from __future__ import annotations

import torch as th
from torch import nn
from torch.nn.modules.module import _has_any_global_hook
from torch.utils._python_dispatch import is_in_torch_dispatch_mode


def is_recorded() -> bool:
    """
    :return: Whether this is within ``torch.compile``, a trace, a transform of ``torch.func``, or a mode that is told of
        every operator, as a counter of operations
    """
    is_traced = th.compiler.is_compiling() or th._C._get_tracing_state() is not None
    return is_traced or th._C._are_functorch_transforms_active() or is_in_torch_dispatch_mode()


def is_exported() -> bool:
    """
    :return: Whether this is within ``torch.jit.trace``, on which an export to ONNX rests, or ``torch.export``: other
        runtimes, as ONNX Runtime, have no convolution in bfloat16
    """
    return th._C._get_tracing_state() is not None or th.compiler.is_exporting()


def is_hooked(module: nn.Module) -> bool:
    """
    :param module: A layer
    :return: Whether others are called when it is: by hooks of its own, or by those of all modules, as loggers have them
    """
    hooks = module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    return bool(hooks or _has_any_global_hook())  # type: ignore[no-untyped-call]
