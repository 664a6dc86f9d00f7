"""Rows of measurements: kept as they come, so that an interrupted benchmark goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sb3_efficient.atomic import check_writable, locked, replace_file
from sb3_efficient.errors import ArtifactError

Row = dict[str, Any]
#: Of a machine, said with every row
_KNOWN = ("cpu", "revision")


class Rows:
    """
    A JSON file of rows and of the machine they were measured on; each row says on which, and of what revision. Several
    processes may add to it by turns.

    :param file: Read if it is there, and replaced in one step with every row that is added; None for no file
    :param machine: As :func:`sb3_efficient.machine.machine` has it
    :param keys: What makes two rows the same measurement, of which the newer one stays
    """

    def __init__(self, file: Path | None, machine: dict[str, Any], keys: Sequence[str]) -> None:
        self.file = file
        self._machine = machine
        self._keys = keys
        self.rows: list[Row] = []
        if file is not None:
            check_writable(file)
            self.rows = _read(file) if file.exists() else []

    def find(self, **wanted: Any) -> Row | None:
        """
        :param wanted: Values of some keys
        :return: The first row that has them
        """
        return next((row for row in self.rows if wanted.items() <= row.items()), None)

    def has(self, **wanted: Any) -> bool:
        """
        :param wanted: As of :meth:`find`
        """
        return self.find(**wanted) is not None

    def add(self, rows: Iterable[Row]) -> None:
        """
        :param rows: New ones, each in the place of the one that it replaces, or at the end. One that says where it was
            measured was there before
        """
        # The file's own machine is that of the newest rows
        known = [value for key in _KNOWN if (value := self._machine.get(key))]
        # Made first: they may be measured now, which must not keep others waiting
        new = [{"measured_on": ", ".join(known), **row} if known else row for row in rows]
        if self.file is None:
            self._merge(new)
            return
        with locked(self.file):
            if self.file.exists():
                # Others may have written meanwhile
                self.rows = _read(self.file)
            self._merge(new)
            lines = ",\n".join(json.dumps(row) for row in self.rows)
            content = f'{{"machine": {json.dumps(self._machine)},\n "rows": [\n{lines}\n]}}\n'
            replace_file(self.file, content.encode())

    def _merge(self, rows: list[Row]) -> None:
        places = {self._key(row): i for i, row in enumerate(self.rows)}
        for row in rows:
            if (place := places.get(self._key(row))) is not None:
                self.rows[place] = row
            else:
                places[self._key(row)] = len(self.rows)
                self.rows.append(row)

    def _key(self, row: Row) -> tuple[Any, ...]:
        return tuple(row.get(key) for key in self._keys)


def summary(values: Sequence[float], unit: str) -> Row:
    """
    :param values: Measured
    :param unit: Theirs
    :return: Number, median and quartiles to four digits, as a part of a row
    """
    low, median, high = (float(f"{q:.4g}") for q in np.quantile(values, (0.25, 0.5, 0.75)))
    return {"unit": unit, "n": len(values), "median": median, "quartiles": [low, high]}


def _read(file: Path) -> list[Row]:
    try:
        rows: list[Row] = json.loads(file.read_text())["rows"]
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise TypeError("'rows' is no list of objects")
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"{file} holds no rows of measurements ({error!r}): move it away, or name another folder for results."
        ) from error
    return rows
