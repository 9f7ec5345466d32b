"""Explanations of others in the ledger: beside our own, all of them or none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from neurogloss.errors import UserError
from neurogloss.ids import UnitId
from neurogloss.records import Explanation, Facet, Side, State, UnitStatistics
from neurogloss.store import rows
from neurogloss.store.exchange import importing
from neurogloss.store.exchange.importing import Imported, Origin
from neurogloss.store.exchange.records import Found, Reading
from neurogloss.store.ledger import Ledger


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "labels.jsonl"
    path.write_text("what was read", encoding="utf-8")
    return path


@pytest.fixture
def reading(file: Path, unit: Callable[..., UnitId]) -> Reading:
    """Two explanations by one method, one by another."""
    scores = {"scores": [{"scorer": "fuzz", "score": 0.9}]}
    rows = (
        Found("l1", "cats", unit(1), method="a", side=Side.OUTPUT, facets=(Facet("cats", 0.5),), source=scores),
        Found("l2", "dogs", unit(2), method="a"),
        Found("l3", "felines", unit(1), method="b"),
    )
    return Reading(rows, (file,), without_text=4)


@pytest.fixture
def ledger(
    tmp_path: Path, explanation: Callable[..., Explanation], statistics: UnitStatistics
) -> Iterator[Ledger]:
    with Ledger(tmp_path / "run" / "ledger.sqlite") as ledger:
        ledger.add_method("m1", {"explainer": "pmi"})
        ledger.add_units([(explanation(1).unit, statistics)])
        ledger.record_explained(explanation(1, "our own"), [])
        yield ledger


def write(
    ledger: Path, reading: Reading, statistics: UnitStatistics, format: str = "jsonl", **places: str
) -> Imported:
    return importing.write(
        ledger, importing.plan(reading, Origin(format, reading.files[0], places), lambda _: statistics)
    )


def test_imported_labels_are_methods_of_their_own(
    ledger: Ledger, reading: Reading, file: Path, unit: Callable[..., UnitId], statistics: UnitStatistics
) -> None:
    other = replace(statistics, n_active=99)
    imported = write(ledger.path, reading, other)
    assert (list(imported.methods.values()), imported.labels, imported.without_text) == ([2, 1], 3, 4)
    first, second = imported.methods
    assert first.startswith("import-jsonl-") and first != second
    about = ledger.methods()[first]["import"]
    assert about["hash"].startswith("b2:")
    assert [about[name] for name in ("format", "file", "method", "places")] == ["jsonl", "labels.jsonl", "a", {}]

    label = ledger.label(unit(1), first)
    assert label is not None and label.explanation is not None
    assert (label.state, label.scores) == (State.EXPLAINED, ())
    assert (label.explanation.side, label.explanation.facets) == (Side.OUTPUT, (Facet("cats", 0.5),))
    assert label.explanation.provenance == {
        "explainer": "import",
        "where": "l1",
        "source": {"scores": [{"scorer": "fuzz", "score": 0.9}]},
    }
    # What was there stays: the label made here, and the statistics of its unit.
    assert [told.explanation.text for told in ledger.labels("m1") if told.explanation] == ["our own"]
    assert ledger.statistics(unit(1)) == statistics
    assert ledger.statistics(unit(2)) == other


def test_imported_labels_can_be_scored(
    ledger: Ledger, reading: Reading, file: Path, statistics: UnitStatistics, score: Callable[..., object]
) -> None:
    imported = write(ledger.path, reading, statistics)
    (label, _) = ledger.labels(next(iter(imported.methods)))
    assert label.explanation is not None
    ledger.record_scores(label.explanation, State.ACCEPTED, [score()], [])  # type: ignore[list-item]
    assert ledger.counts(label.method) == {State.ACCEPTED: 1, State.EXPLAINED: 1}


def test_a_ledger_is_made_where_there_is_none(
    tmp_path: Path, reading: Reading, statistics: UnitStatistics
) -> None:
    path = tmp_path / "new" / "ledger.sqlite"
    write(path, reading, statistics)
    with Ledger(path, read_only=True) as ledger:
        assert len(ledger.documents) == 3


def test_a_place_says_what_the_files_names_mean(
    ledger: Ledger, file: Path, statistics: UnitStatistics, unit: Callable[..., UnitId]
) -> None:
    rows = (Found("a", "cats", None, "layers.1", 7), Found("b", "dogs", unit(9), "layers.2", 8))
    reading = Reading(rows, (file,))

    def units(places: dict[str, str]) -> list[str]:
        imported = write(ledger.path, reading, statistics, "delphi", **places)
        (method,) = imported.methods
        return sorted(str(label.unit) for label in ledger.labels(method))

    assert units({"layers.1": "org/s/model.layers.1/sae"}) == ["org/s/model.layers.1/sae/7", str(unit(9))]
    assert units({"layers.1": "s/h.1/d", "": "s/h.2/d"}) == ["s/h.1/d/7", "s/h.2/d/8"]
    with pytest.raises(UserError, match="a: expected to know which units layers.1 holds.*--at layers.1=SUBJECT"):
        units({})
    with pytest.raises(UserError, match=r"names that .* \(layers.1, layers.2\), found layers.3"):
        units({"layers.3": "s/h/d", "": "s/h/d"})


def test_a_place_for_units_with_full_names_is_refused(
    ledger: Ledger, reading: Reading, statistics: UnitStatistics
) -> None:
    with pytest.raises(UserError, match=r"has for places \(none\), found a place for all"):
        write(ledger.path, reading, statistics, **{"": "s/h/d"})


def refused(ledger: Ledger, reading: Reading, found: str, statistics: Callable[[UnitId], UnitStatistics]) -> None:
    """The import ends in this error, and the ledger is as it was."""
    before = ledger.dump()
    with pytest.raises(UserError, match=found):
        importing.write(ledger.path, importing.plan(reading, Origin("jsonl", reading.files[0], {}), statistics))
    assert ledger.dump() == before


def test_bad_input_changes_nothing(ledger: Ledger, reading: Reading, statistics: UnitStatistics) -> None:
    def some(unit: UnitId) -> UnitStatistics:
        if unit.index == 2:
            raise UserError(f"Expected an index from 0 to 1, found {unit.index}.")
        return statistics

    refused(ledger, reading, "l2: Expected an index from 0 to 1, found 2. Nothing was imported.", some)
    twice = replace(reading, found=(*reading.found, replace(reading.found[0], where="l4")))
    refused(ledger, twice, "found two: in l1 and in l4", lambda _: statistics)
    refused(ledger, replace(reading, found=()), "Expected explanations in", lambda _: statistics)
    write(ledger.path, reading, statistics)
    refused(ledger, reading, "was imported already, as import-jsonl-", lambda _: statistics)


def test_what_a_ledger_cannot_hold_is_refused(
    ledger: Ledger, reading: Reading, statistics: UnitStatistics, unit: Callable[..., UnitId]
) -> None:
    good = Found("l9", "cats", unit(3))
    for row in (
        replace(good, unit=unit(2**63)),
        replace(good, text="\ud800"),
        replace(good, method="\ud800"),
        replace(good, unit=unit(3, hookpoint="\ud800")),
        replace(good, facets=(Facet("\ud800", 0.5),)),
    ):
        bad = replace(reading, found=(*reading.found, row))
        refused(ledger, bad, "l9: expected an index below", lambda _: statistics)
    odd = replace(good, source={"note": "\ud800", "n": float("nan")})
    imported = write(ledger.path, replace(reading, found=(odd,)), statistics)
    (label,) = ledger.labels(next(iter(imported.methods)))
    assert label.explanation is not None
    assert label.explanation.provenance["source"] == {"note": "?", "n": None}


def test_an_import_that_breaks_off_leaves_nothing(
    ledger: Ledger, reading: Reading, statistics: UnitStatistics, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = ledger.dump()
    store = rows.explanation_row

    def full(explanation: Explanation) -> tuple[object, ...]:
        if explanation.text == "felines":
            raise OSError("no space left")
        return store(explanation)

    monkeypatch.setattr(rows, "explanation_row", full)
    with pytest.raises(OSError, match="no space left"):
        write(ledger.path, reading, statistics)
    assert ledger.dump() == before


def test_another_file_is_another_method(
    ledger: Ledger, reading: Reading, file: Path, statistics: UnitStatistics
) -> None:
    first = write(ledger.path, reading, statistics)
    file.write_text("something else was read", encoding="utf-8")
    second = write(ledger.path, reading, statistics)
    assert not set(first.methods) & set(second.methods)
