"""Pages of labels compared with a plain sort, and words that are looked up."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurogloss.errors import UserError
from neurogloss.ids import UnitId
from neurogloss.records import Explanation, Interval, Score, State, UnitStatistics
from neurogloss.store.documents import Documents
from neurogloss.store.ledger import Ledger
from neurogloss.store.where import parse

ROWS = 90
PLACES = ("layer 2", "layer 10", "layer 1", "Layer 3", "b", "é")
NONE = Interval(float("nan"), float("nan"), float("nan"))


def made(n: int, first: int = 0) -> list[dict[str, Any]]:
    """Labels with few values that many have, and a score that many have not."""
    rng = np.random.default_rng(first)
    found = []
    for i in range(first, first + n):
        hookpoint = PLACES[int(rng.integers(len(PLACES)))]
        label: dict[str, Any] = {"unit": f"s/{hookpoint}/d/{i}", "hookpoint": hookpoint}
        if i % 3:
            label["detection"] = float(rng.choice([-1.0, 0.0, 0.5, 7e9, 1 / 3]))
        found.append(label)
    return found


def add(ledger: Ledger, labels: list[dict[str, Any]]) -> None:
    units = [UnitId.parse(label["unit"]) for label in labels]
    said = [Explanation(unit, f"text {unit.index}", f"m{units[0].index}") for unit in units]
    statistics = UnitStatistics(100, 1, 0.0, 1.0, 1.0, (1,))
    ledger.record_imported({said[0].method: {}}, dict.fromkeys(units, statistics), said)
    for explanation, label in zip(said, labels, strict=True):
        if "detection" in label:
            value = label["detection"]
            score = Score("detection", "judge", "auroc", Interval(value, value, value), NONE, NONE, 0.5, {}, 1, {})
            ledger.record_scores(explanation, State.ACCEPTED, [score], [])


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.sqlite") as found:
        add(found, made(ROWS))
        yield found


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Documents]:
    """Read only."""
    with Ledger(tmp_path_factory.mktemp("pages") / "ledger.sqlite") as found:
        add(found, made(ROWS))
        yield found.documents


def paged(
    documents: Documents, order: str, where: str = "", cursor: str = "", skip: int = 0, limit: int = 100
) -> tuple[list[int], str | None, int]:
    """Rows from 0 on, the next cursor, the total."""
    page = documents.page(order, parse(where, documents.fields()) if where else None, cursor, skip, limit)
    return [entry.row - 1 for entry in page.entries], page.next, page.total


def plainly(given: list[dict[str, Any]], order: str) -> list[int]:
    """Rows sorted one term after another, the last one first; Python's sort keeps the order of equals."""
    rows = list(range(len(given)))
    for term in reversed(order.split(",")):
        field = term.removeprefix("-")
        known = [row for row in rows if field in given[row]]
        unknown = [row for row in rows if field not in given[row]]

        def key(row: int, field: str = field) -> Any:
            value = given[row][field]
            return re.sub(r"\d+", lambda n: n[0].zfill(12), value) if isinstance(value, str) else round(value, 9)

        # Reversed twice, so that equals stay the oldest first when the largest comes first.
        known = sorted(known[::-1], key=key)[::-1] if term.startswith("-") else sorted(known, key=key)
        rows = known + unknown
    return rows


TERMS = st.sampled_from(["hookpoint", "-hookpoint", "detection", "-detection", "unit", "-unit"])
ORDERS = st.lists(TERMS, min_size=1, max_size=3, unique_by=lambda term: term.removeprefix("-")).map(",".join)


@settings(max_examples=40, deadline=None)
@given(order=ORDERS, limit=st.integers(1, ROWS + 5), filtered=st.booleans())
def test_pages_one_after_another_are_the_plain_sort(
    lasting: Documents, order: str, limit: int, filtered: bool
) -> None:
    labels = made(ROWS)
    where = 'hookpoint ~ "layer"' if filtered else ""
    wanted = [row for row in plainly(labels, order) if not filtered or "layer" in labels[row]["hookpoint"].lower()]
    found: list[int] = []
    cursor: str | None = ""
    while cursor is not None:
        rows, cursor, total = paged(lasting, order, where, cursor, 0, limit)
        assert total == len(wanted) and len(rows) <= limit
        found += rows
    assert found == wanted


@settings(max_examples=40, deadline=None)
@given(order=ORDERS, start=st.integers(1, ROWS), skip=st.integers(0, ROWS), limit=st.integers(1, ROWS))
def test_skip_passes_over_rows_after_the_cursor(
    lasting: Documents, order: str, start: int, skip: int, limit: int
) -> None:
    wanted = plainly(made(ROWS), order)
    _, cursor, _ = paged(lasting, order, limit=start)
    assert cursor is not None
    assert paged(lasting, order, "", cursor, skip, limit)[0] == wanted[start + skip : start + skip + limit]


def test_what_comes_and_goes_moves_no_page(ledger: Ledger) -> None:
    order = "-detection,hookpoint"
    wanted = plainly(made(ROWS), order)
    rows, cursor, _ = paged(ledger.documents, order, limit=10)
    assert rows == wanted[:10]
    add(ledger, made(40, first=ROWS))
    gone = wanted[5:15]
    for row in gone:  # explained anew, they are other documents
        unit = UnitId.parse(made(ROWS)[row]["unit"])
        ledger.record_explained(Explanation(unit, "anew", "m0"), [])
    rest, _, _ = paged(ledger.documents, order, cursor=cursor or "", limit=1_000)
    everything = plainly(made(ROWS) + made(40, first=ROWS), order)
    after = everything.index(wanted[9])
    assert [row for row in rest if row < ROWS + 40] == [row for row in everything[after + 1 :] if row not in gone]


@pytest.mark.parametrize(
    "cursor",
    ["x", "e30", "W10", "WyJ1bml0IiwtMSxbImEiXV0", "WyJ1bml0IiwxLFtdXQ", "é", "WyJ1bml0IiwxLFsiXHVkODAwIl1d"],
)
def test_a_cursor_that_is_none_is_refused(lasting: Documents, cursor: str) -> None:
    with pytest.raises(UserError, match="first page"):
        lasting.page("unit", None, cursor)


def test_a_cursor_of_another_order_and_an_unknown_field_are_refused(lasting: Documents) -> None:
    cursor = lasting.page("unit", None, "", 0, 3).next or ""
    with pytest.raises(UserError, match="first page"):
        lasting.page("-unit", None, cursor)
    with pytest.raises(UserError, match="colour"):
        lasting.page("unit,-colour")


def test_pages_in_the_order_of_units_need_no_sort(lasting: Documents) -> None:
    plan = lasting._all(
        "EXPLAIN QUERY PLAN SELECT d.id FROM documents d WHERE 1 ORDER BY d.unit_order, d.id LIMIT 9"
    )
    assert not any("TEMP B-TREE" in row["detail"] for row in plan)


# --- words ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def worded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Documents]:
    """Rivers in even rows, lakes in every third, both in every sixth; short texts first."""
    texts = [
        " ".join(["rivers"] * (i % 2 == 0) + ["lakes"] * (i % 3 == 0) + ["filler"] * (1 + i)) for i in range(60)
    ]
    units = [UnitId("s", f"layers.{i % 5}", "d", i) for i in range(60)]
    statistics = UnitStatistics(100, 1, 0.0, 1.0, 1.0, (1,))
    with Ledger(tmp_path_factory.mktemp("words") / "ledger.sqlite") as ledger:
        said = [Explanation(unit, text, "m") for unit, text in zip(units, texts, strict=True)]
        ledger.record_imported({"m": {}}, dict.fromkeys(units, statistics), said)
        yield ledger.documents


def matching(documents: Documents, text: str, n: int, where: str = "") -> list[int]:
    condition = parse(where, documents.fields()) if where else None
    return [entry.row - 1 for entry in documents.matching(text, n, condition)]


def test_rows_with_all_words_come_alone_if_they_are_enough(worded: Documents) -> None:
    assert matching(worded, "river lake", 4) == [0, 6, 12, 18]
    assert matching(worded, "lake, river!", 10) == list(range(0, 60, 6))


def test_if_they_are_not_enough_any_word_counts_and_all_of_them_most(worded: Documents) -> None:
    found = matching(worded, "river lake", 25)
    assert len(found) == 25 and all(row % 2 == 0 or row % 3 == 0 for row in found)
    assert found[0] == 0 and len([row for row in found if row % 6 == 0]) > 2
    assert sorted(matching(worded, "river lake", 99)) == [i for i in range(60) if i % 2 == 0 or i % 3 == 0]
    assert matching(worded, "river zebra", 99) == matching(worded, "rivers", 99) == list(range(0, 60, 2))


@pytest.mark.parametrize("broad", [0, 2])
def test_words_meet_the_condition(worded: Documents, monkeypatch: pytest.MonkeyPatch, broad: float) -> None:
    monkeypatch.setattr("neurogloss.store.documents.BROAD", broad)
    assert matching(worded, "river", 99, "layer == 2") == [i for i in range(0, 60, 2) if i % 5 == 2]
    assert matching(worded, "river lake", 2, "layer == 2") == [12, 42]
    assert matching(worded, "river", 3, "layer == 9") == []
