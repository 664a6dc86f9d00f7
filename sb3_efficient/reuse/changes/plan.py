"""Which layer is computed how, why, and what that came to so far."""

from __future__ import annotations

from dataclasses import dataclass

from sb3_efficient.compiled.int8_vectors import VNNI

#: Share of the multiplications from which a dense int8 network was faster (Nature and Impala, ONNX Runtime with VNNI;
#: without, reuse was faster in both games tried)
INT8_BREAK_EVEN = 0.5
#: Frames after which a measured share says something
ENOUGH = 100


@dataclass(frozen=True)
class Layer:
    """
    :param name: Of the layer
    :param algorithm: How it is computed
    :param work: Multiplications of a dense pass
    :param state_bytes: What it remembers of one environment
    :param computed: Share of its positions that was computed, or None as long as nothing was
    """

    name: str
    algorithm: str
    work: int
    state_bytes: int
    computed: float | None


@dataclass(frozen=True)
class Plan:
    """
    Can be printed.

    :param layers: From the image up
    :param state_bytes: For one environment
    :param frames: That were seen so far
    :param vector: Floats in a register of this CPU
    :param remarks: Sentences that are printed below the table
    :param numbers: That are computed with: ``"float32"`` or ``"int8"``
    """

    layers: tuple[Layer, ...]
    state_bytes: int
    frames: int
    vector: int
    remarks: tuple[str, ...] = (
        "Where everything changes, the same kernels compute everything, as fast as a dense convolution does.",
    )
    numbers: str = "float32"

    @property
    def work_left(self) -> float | None:
        """Share of the multiplications that were done, or None as long as nothing was."""
        parts = [(layer.computed, layer.work) for layer in self.layers if layer.work]
        if not self.frames:
            return None
        return sum((computed or 0.0) * work for computed, work in parts) / sum(work for _, work in parts)

    @property
    def dense_int8_is_faster(self) -> bool | None:
        """Whether a dense int8 network probably is, or None as long as too few frames were seen."""
        if self.numbers == "int8":
            return False
        return None if self.frames < ENOUGH else VNNI and (self.work_left or 0.0) > INT8_BREAK_EVEN

    def __str__(self) -> str:
        total = sum(layer.work for layer in self.layers)
        rows = [("layer", "algorithm", "work", "state", "computed")]
        for layer in self.layers:
            share = f"{layer.work / total:.1%}" if layer.work else ""
            computed = "" if layer.computed is None else f"{layer.computed:.1%}"
            rows.append((layer.name, layer.algorithm, share, f"{layer.state_bytes / 1000:,.0f} kB", computed))
        widths = [max(len(row[i]) for row in rows) for i in range(5)]
        table = [
            "  ".join(f"{cell:{'<' if i < 2 else '>'}{widths[i]}}" for i, cell in enumerate(row)).rstrip()
            for row in rows
        ]
        return "\n".join([*table, *self._notes()])

    def _notes(self) -> list[str]:
        notes = [
            f"{self.state_bytes / 1e6:.2f} MB an environment; {self.numbers}, {self.vector} sums at a time.",
            *self.remarks,
        ]
        if self.work_left is None:
            return [*notes, "Nothing was computed yet: what changes is measured while the engine acts."]
        notes.append(f"Over {self.frames:,} observations {self.work_left:.1%} of the multiplications were done.")
        if self.dense_int8_is_faster:
            notes.append(
                "With this network and this game a dense int8 network is probably faster: "
                "make_engine(compress(model, 'static-int8', calibration=...), 'onnxruntime'), or 'reuse' again, which "
                "computes compressed networks in int8."
            )
        return notes
