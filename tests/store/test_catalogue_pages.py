"""Pages of a catalogue, held against a plain sort; and words that are looked up in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurogloss.errors import UserError
from neurogloss.store import search
from neurogloss.store.catalogue import Catalogue
from neurogloss.store.documents import Document
from neurogloss.store.where import parse

ROWS = 90
PLACES = ("layer 2", "layer 10", "layer 1", "Layer 3", "b", "é")


def documents(n: int, first: int = 0) -> list[Document]:
    """With few values that many have, and values that many have not."""
    rng = np.random.default_rng(first)
    found = []
    for i in range(first, first + n):
        metadata: dict[str, Any] = {"unit": f"s/h/d/{i}"}
        if i % 4:
            metadata["hookpoint"] = PLACES[int(rng.integers(len(PLACES)))]
        if i % 3:
            metadata["detection"] = float(rng.choice([-1.0, 0.0, 0.5, 7e9, 1 / 3]))
        found.append(Document(f"b2:{i:032x}", f"text {i}", metadata))
    return found


def add(catalogue: Catalogue, some: list[Document]) -> None:
    catalogue.add(some, np.ones((len(some), 64), np.float32) / 8)


class Named:
    """Stands for an embedder: vectors are given."""

    name, dimension = "given", 64


@pytest.fixture
def catalogue(tmp_path) -> Iterator[Catalogue]:
    found = Catalogue(tmp_path, Named())
    add(found, documents(ROWS))
    yield found
    found.close()


@pytest.fixture(scope="module")
def lasting(tmp_path_factory) -> Iterator[Catalogue]:
    """Read only."""
    found = Catalogue(tmp_path_factory.mktemp("pages"), Named())
    add(found, documents(ROWS))
    yield found
    found.close()


def plainly(given: list[Document], order: str) -> list[int]:
    """Rows sorted one term after another, the last one first; Python's sort keeps the order of equals."""
    rows = list(range(len(given)))
    for term in reversed(order.split(",")):
        field = term.removeprefix("-")
        known = [row for row in rows if field in given[row].metadata]
        unknown = [row for row in rows if field not in given[row].metadata]

        def key(row: int, field: str = field) -> Any:
            value = given[row].metadata[field]
            return re.sub(r"\d+", lambda n: n[0].zfill(12), value) if isinstance(value, str) else value

        # Reversed twice, so that equals stay the oldest first where the largest comes first.
        known = sorted(known[::-1], key=key)[::-1] if term.startswith("-") else sorted(known, key=key)
        rows = known + unknown
    return rows


TERMS = st.sampled_from(["hookpoint", "-hookpoint", "detection", "-detection", "unit", "-unit"])
ORDERS = st.lists(TERMS, min_size=1, max_size=3, unique_by=lambda term: term.removeprefix("-")).map(",".join)


@settings(max_examples=40, deadline=None)
@given(order=ORDERS, limit=st.integers(1, ROWS + 5), filtered=st.booleans())
def test_pages_one_after_another_are_the_plain_sort(lasting, order, limit, filtered):
    given_rows = documents(ROWS)
    condition = parse('hookpoint ~ "layer"', lasting.fields()) if filtered else None
    wanted = [
        row
        for row in plainly(given_rows, order)
        if not filtered or "layer" in str(given_rows[row].metadata.get("hookpoint", "")).lower()
    ]
    seen: list[int] = []
    cursor: str | None = ""
    while cursor is not None:
        page = lasting.page(order, condition, cursor, 0, limit)
        assert page.total == len(wanted) and len(page.rows) <= limit
        seen += page.rows
        cursor = page.next
        assert len(seen) <= len(wanted)
    assert seen == wanted


@settings(max_examples=40, deadline=None)
@given(order=ORDERS, start=st.integers(1, ROWS), skip=st.integers(0, ROWS), limit=st.integers(1, ROWS))
def test_skip_passes_over_rows_after_the_cursor(lasting, order, start, skip, limit):
    wanted = plainly(documents(ROWS), order)
    cursor = lasting.page(order, None, "", 0, start).next
    assert cursor is not None
    page = lasting.page(order, None, cursor, skip, limit)
    assert page.rows == wanted[start + skip : start + skip + limit]


def test_what_comes_and_goes_moves_no_page(catalogue):
    order = "-detection,hookpoint"
    wanted = plainly(documents(ROWS), order)
    first = catalogue.page(order, None, "", 0, 10)
    assert first.rows == wanted[:10]
    add(catalogue, documents(40, first=ROWS))
    catalogue.remove([documents(ROWS)[row].id for row in wanted[5:15]])
    rest = catalogue.page(order, None, first.next, 0, 1_000)
    assert [row for row in rest.rows if row < ROWS] == wanted[15:]
    everything = plainly(documents(ROWS) + documents(40, first=ROWS), order)
    after = everything.index(wanted[9])
    assert rest.rows == [row for row in everything[after + 1 :] if row not in wanted[5:15]]


@pytest.mark.parametrize("cursor", ["x", "e30", "W10", "WyJ1bml0IiwtMSxbImEiXV0", "WyJ1bml0IiwxLFtdXQ", "é"])
def test_a_cursor_that_is_none_is_refused(lasting, cursor):
    with pytest.raises(UserError, match="first page"):
        lasting.page("unit", None, cursor)


def test_a_cursor_of_another_order_and_an_unknown_field_are_refused(lasting):
    cursor = lasting.page("unit", None, "", 0, 3).next
    with pytest.raises(UserError, match="first page"):
        lasting.page("-unit", None, cursor)
    with pytest.raises(UserError, match="colour"):
        lasting.page("unit,-colour")


# --- words ------------------------------------------------------------------------------------------


@pytest.fixture
def worded(tmp_path) -> Iterator[Catalogue]:
    """Rivers in even rows, lakes in every third, both in every sixth; short texts first."""
    found = Catalogue(tmp_path, Named())
    texts = [
        " ".join(["rivers"] * (i % 2 == 0) + ["lakes"] * (i % 3 == 0) + ["filler"] * (1 + i)) for i in range(60)
    ]
    add(
        found,
        [Document(f"b2:{i:032x}", text, {"unit": f"s/h/d/{i}", "layer": i % 5}) for i, text in enumerate(texts)],
    )
    yield found
    found.close()


def test_rows_with_all_words_come_alone_where_they_are_enough(worded):
    assert worded.matching("river lake", 4) == [0, 6, 12, 18]
    assert worded.matching("lake, river!", 10) == list(range(0, 60, 6))


def test_where_they_are_not_enough_any_word_counts_and_all_of_them_most(worded):
    found = worded.matching("river lake", 25)
    assert len(found) == 25 and all(row % 2 == 0 or row % 3 == 0 for row in found)
    assert found[0] == 0 and len([row for row in found if row % 6 == 0]) > 2
    assert sorted(worded.matching("river lake", 99)) == [i for i in range(60) if i % 2 == 0 or i % 3 == 0]
    assert worded.matching("river zebra", 99) == worded.matching("rivers", 99) == list(range(0, 60, 2))


def test_words_meet_the_condition(worded):
    condition = parse("layer == 2", worded.fields())
    assert worded.matching("river", 99, condition) == [i for i in range(0, 60, 2) if i % 5 == 2]
    assert worded.matching("river lake", 2, condition) == [12, 42]
    assert worded.matching("river", 3, parse("layer == 9", worded.fields())) == []


def test_a_search_that_finds_what_the_ledger_has_no_longer_goes_on():
    entries = [[(row, search.Entry(f"b2:{row}", None, None, row))] for row in range(5)]

    class Emptied:
        asked = 0

        def explained(self, ids):
            self.asked += 1
            return {id: id for id in ids if id in ("b2:1", "b2:3", "b2:4")}

    ledger = Emptied()
    found = search._current(ledger, entries, 2)  # type: ignore[arg-type]
    assert [row for row, _, _ in found] == [1, 3] and ledger.asked == 2
