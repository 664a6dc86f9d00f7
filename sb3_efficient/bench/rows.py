"""Rows of measurements: kept as they come, so that an interrupted benchmark goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sb3_efficient.atomic import replace_file
from sb3_efficient.errors import OptionError

Row = dict[str, Any]


class Rows:
    """
    A JSON file of rows and of the machine they were measured on.

    :param file: Read if it is there, and replaced in one step with every row that is added
    :param machine: As :func:`sb3_efficient.doctor.machine` has it
    :param keys: What makes two rows the same measurement, of which the newer one stays
    """

    def __init__(self, file: Path, machine: dict[str, Any], keys: Sequence[str]) -> None:
        self.file = file
        self._machine = machine
        self._keys = keys
        self.rows: list[Row] = json.loads(file.read_text())["rows"] if file.exists() else []
        _check_writable(file)

    def has(self, **wanted: Any) -> bool:
        """
        :param wanted: Values of some keys
        """
        return any(wanted.items() <= row.items() for row in self.rows)

    def add(self, rows: Iterable[Row]) -> None:
        """
        :param rows: New ones
        """
        new = list(rows)
        same = [tuple(row.get(key) for key in self._keys) for row in new]
        kept = [row for row in self.rows if tuple(row.get(key) for key in self._keys) not in same]
        self.rows = sorted([*kept, *new], key=lambda row: [str(row.get(key)) for key in self._keys])
        lines = ",\n".join(json.dumps(row) for row in self.rows)
        content = f'{{"machine": {json.dumps(self._machine)},\n "rows": [\n{lines}\n]}}\n'
        replace_file(self.file, content.encode())


def summary(values: Sequence[float], unit: str, digits: int = 4) -> Row:
    """
    :param values: Measured
    :param unit: Theirs
    :param digits: That count
    :return: Number, median and quartiles, as a part of a row
    """
    low, median, high = (float(f"{q:.{digits}g}") for q in np.quantile(values, (0.25, 0.5, 0.75)))
    return {"unit": unit, "n": len(values), "median": median, "quartiles": [low, high]}


def _check_writable(file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        probe = file.with_name(f".{file.name}.probe")
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OptionError(
            f"Results cannot be written to {file.parent}: {error.strerror}. Name another folder with --results."
        ) from error
