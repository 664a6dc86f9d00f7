"""Features of images from what changed, in int8: what :class:`~.reuser.Reuser` does in float32."""

from __future__ import annotations

from typing import Any

from sb3_efficient.reuse.changes.network import Network
from sb3_efficient.reuse.changes.program import Program
from sb3_efficient.reuse.changes.reuser import Reuser


class Int8Reuser(Reuser):
    """
    :param network: Steps, quantized
    :param scale: Nothing: the scale of the pixels is among the quantized weights
    :param memory: Bytes that all states may take, see :class:`Reuser`
    """

    def _compiled(self, network: Network, scale: float) -> tuple[Any, Program]:
        from sb3_efficient.reuse.changes.int8_program import Int8Program
        from sb3_efficient.reuse.changes.interpret_int8 import run

        return run, Int8Program(network)
