"""Files of rows."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sb3_efficient.atomic import replace_file
from sb3_efficient.bench.rows import Rows
from sb3_efficient.errors import ArtifactError


def test_rows_are_kept_and_replaced_where_they_stand(tmp_path: Path) -> None:
    file = tmp_path / "new" / "rows.json"
    rows = Rows(file, {"cores": 2}, ("net", "batch"))
    rows.add([{"net": "b", "batch": 1, "ms": 1}, {"net": "a", "batch": 1, "ms": 2}])
    rows.add([{"net": "b", "batch": 1, "ms": 3}, {"net": "b", "batch": 2, "ms": 4}])
    again = Rows(file, {}, ("net", "batch"))
    assert [(row["net"], row["batch"], row["ms"]) for row in again.rows] == [("b", 1, 3), ("a", 1, 2), ("b", 2, 4)]
    assert again.has(net="a", ms=2)
    assert not again.has(net="a", ms=3)
    assert json.loads(file.read_text())["machine"] == {"cores": 2}


def test_rows_of_another_process_are_kept(tmp_path: Path) -> None:
    ours, theirs = (Rows(tmp_path / "rows.json", {}, ("net",)) for _ in range(2))
    theirs.add([{"net": "a", "ms": 1}])
    ours.add([{"net": "b", "ms": 2}])
    expected = [{"net": "a", "ms": 1}, {"net": "b", "ms": 2}]
    assert ours.rows == Rows(tmp_path / "rows.json", {}, ("net",)).rows == expected


def test_rows_that_are_added_at_the_same_time_are_all_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(path: Path, data: bytes) -> None:
        # Between what was read and what is written
        time.sleep(0.01)
        replace_file(path, data)

    def add(net: str) -> None:
        rows = Rows(tmp_path / "rows.json", {}, ("net", "batch"))
        for batch in range(5):
            rows.add([{"net": net, "batch": batch}])

    monkeypatch.setattr("sb3_efficient.bench.rows.replace_file", slow)
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(add, "abc"))
    assert len(Rows(tmp_path / "rows.json", {}, ("net", "batch")).rows) == 15


def test_without_a_file(tmp_path: Path) -> None:
    rows = Rows(None, {}, ("net",))
    rows.add([{"net": "a"}])
    assert rows.has(net="a")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["{", "[]", '{"machine": 1}', '{"rows": {"a": 1}}', '{"rows": [1]}'])
def test_other_files_are_not_overwritten(tmp_path: Path, text: str) -> None:
    (tmp_path / "rows.json").write_text(text)
    with pytest.raises(ArtifactError, match="holds no rows of measurements"):
        Rows(tmp_path / "rows.json", {}, ())
    assert (tmp_path / "rows.json").read_text() == text


def test_each_row_says_what_it_was_measured_on(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    Rows(file, {"cpu": "old", "revision": "abc"}, ("net",)).add([{"net": "a", "ms": 1}, {"net": "b", "ms": 2}])
    Rows(file, {"cpu": "new", "revision": "def"}, ("net",)).add([{"net": "b", "ms": 1}])
    found = {row["net"]: row["measured_on"] for row in Rows(file, {}, ("net",)).rows}
    assert found == {"a": "old, abc", "b": "new, def"}
    kept = Rows(file, {"cpu": "third"}, ("net",))
    kept.add(kept.rows)
    assert {row["net"]: row["measured_on"] for row in kept.rows} == found
