from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import neurogloss as ng

Invoke = Callable[..., Any]


@pytest.fixture
def layers(hookpoints: list[str]) -> list[str]:
    return ["--hookpoint-a", hookpoints[0], "--hookpoint-b", hookpoints[1]]


def test_by_text(
    invoke: Invoke, small_run: Path, small_labels: list[ng.Label], hookpoints: list[str], layers: list[str]
) -> None:
    found = invoke("similar", small_run, small_run, *layers)
    assert (found.code, found.err) == (0, "")
    assert "text: mean" in found.out and "(pairs at random)" in found.out
    assert "probability without text: " in found.out
    *rows, last = invoke("similar", small_run, small_run, *layers, "-k", 2, "--json").rows
    first = [label for label in small_labels if label.unit.hookpoint == hookpoints[0]]
    assert len(rows) == 2 * len(first) > 0
    assert {row["b"]["unit"].split("/")[1] for row in rows} == {hookpoints[1]}
    assert last["summary"]["units"]["a"] == len(first)


def test_by_several_kinds_with_parquet_and_picture(
    invoke: Invoke, small_run: Path, tmp_path: Path, layers: list[str]
) -> None:
    out, picture = tmp_path / "pairs.parquet", tmp_path / "floors.svg"
    arguments = ["similar", small_run, small_run, *layers, "--by", "decoder, correlation,coactivation"]
    found = invoke(*arguments, "--match", "mutual", "--out", out, "--picture", picture)
    assert (found.code, found.err) == (0, "")
    plain = " ".join(found.out.split())
    assert "decoder: not at hand: cosines mean something in one space only" in plain
    assert "units of B are like none of the other side" in plain
    table = pq.read_table(out)
    assert {"correlation", "coactivation"} <= set(table.column_names) and "decoder" not in table.column_names
    assert len(table) == len(invoke(*arguments, "--match", "mutual", "--json").rows) - 1
    first = picture.read_bytes()
    assert b"<svg" in first
    picture.unlink()
    invoke(*arguments, "--match", "mutual", "--picture", picture)
    assert picture.read_bytes() == first


def test_place_by_place(invoke: Invoke, small_run: Path, tmp_path: Path) -> None:
    arguments = ["similar", small_run, small_run, "--by", "coactivation", "--grid"]
    found = invoke(*arguments, "--picture", tmp_path / "map.png")
    assert (found.code, found.err) == (0, "")
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")
    rows = invoke(*arguments, "--json").rows
    assert len(rows) == 4 and all(row["mean"] > row["floor"] > 0 for row in rows)


def test_what_cannot_be_written_is_said_before_anything_is_compared(
    invoke: Invoke, small_run: Path, tmp_path: Path
) -> None:
    (tmp_path / "there.svg").touch()
    for option, path, says in (
        ("--picture", "there.svg", "found something"),
        ("--picture", "map.gif", "end in .svg or .png"),
        ("--out", "there.svg", "found something"),
    ):
        found = invoke("similar", small_run, tmp_path / "no run", option, tmp_path / path)
        assert (found.code, found.out) == (2, "") and says in found.err
    found = invoke("similar", small_run, small_run, "--grid", "--by", "text,decoder")
    assert found.code == 2 and "--grid takes a single --by" in found.err
    found = invoke("similar", small_run, small_run, "--by", "smell")
    assert found.code == 2 and "found smell" in found.err


def test_a_region_of_no_voxels_is_refused(invoke: Invoke, small_run: Path) -> None:
    found = invoke("similar", small_run, small_run, "--roi-a", "V1", "--by", "coactivation")
    assert found.code == 2 and "Expected voxels, which regions are of" in " ".join(found.err.split())
