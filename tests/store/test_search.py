"""Search over explanations, with an embedder and a handful of labels that can be worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest

from neurogloss.errors import UserError
from neurogloss.records import State
from neurogloss.store.index import Index
from neurogloss.store.ledger import Ledger
from neurogloss.store.search import By, SearchResult, search

DAYS, CITIES, CODE = "parts of the day", "names of large cities", "python import statements"


@pytest.fixture
def ledger(tmp_path, unit, statistics, explanation, score) -> Iterator[Ledger]:
    with Ledger(tmp_path / "run" / "ledger.sqlite") as ledger:
        ledger.add_method("m1", {})
        ledger.add_units((unit(i), statistics) for i in range(5))
        ledger.add_units([(unit(0, hookpoint="embed"), statistics)])
        ledger.record_explained(explanation(0, DAYS), [])
        ledger.record_explained(explanation(1, CITIES), [])
        ledger.record_explained(explanation(0, CODE, hookpoint="embed"), [])
        ledger.record_scores(explanation(0, DAYS), State.ACCEPTED, [score()], [])
        yield ledger


@pytest.fixture
def index(tmp_path, embedder, ledger) -> Iterator[Index]:
    with Index(tmp_path / "run" / "index", embedder) as index:
        index.sync(ledger)
        yield index


def said(results: list[SearchResult]) -> list[str]:
    return [result.label.explanation.text for result in results]


@pytest.mark.parametrize("by", By)
def test_search_answers_from_the_ledger(ledger, index, unit, by):
    first, *others = search(index, ledger, "what part of the day", k=3, by=by)
    assert first.label == ledger.label(unit(0)) and first.same == 1
    if by is By.LEXICAL:
        assert math.isnan(first.similarity) and others == [], "'of' is in all of them"
    else:
        assert first.similarity == pytest.approx(3 / (5 * 4) ** 0.5, abs=1e-3)
        assert len(others) == 2


def test_words_are_found_by_their_stem_and_without_the_embedder(ledger, index, embedder):
    embedder.embedded.clear()
    assert set(said(search(index, ledger, "importing; a city?", by=By.LEXICAL))) == {CITIES, CODE}
    assert embedder.embedded == []
    for nothing in ("", "!?", '" OR *', "NEAR("):
        assert search(index, ledger, nothing, by=By.LEXICAL) == []
    assert said(search(index, ledger, 'AND "day NOT', by=By.LEXICAL)) == [DAYS]
    assert set(said(search(index, ledger, "of the", by=By.LEXICAL))) == {DAYS, CITIES}, "it has no other words"


def test_hybrid_puts_first_what_both_ways_find(ledger, index, make_embedder, monkeypatch):
    """Places: dense CITIES 1, DAYS 2, CODE 3; lexical DAYS 1: DAYS has 1/62 + 1/61, CITIES 1/61."""
    vectors = make_embedder().embed([f"{CITIES} {CITIES} {DAYS}"])
    monkeypatch.setattr(index.embedder, "embed", lambda texts: vectors)
    assert said(search(index, ledger, "day", by=By.DENSE)) == [CITIES, DAYS, CODE]
    assert said(search(index, ledger, "day", by=By.LEXICAL)) == [DAYS]
    assert said(search(index, ledger, "day")) == [DAYS, CITIES, CODE]


@pytest.mark.parametrize("by", By)
def test_filters_hold_within_the_query(ledger, index, by):
    def found(**filters):
        return set(said(search(index, ledger, "day of names importing", by=by, **filters)))

    assert found(states=[State.ACCEPTED]) == {DAYS}
    assert found(states=[State.EXPLAINED]) == {CITIES, CODE}
    assert found(states=[]) == set()
    assert found(k=0) == set()
    assert found(k=1, where='hookpoint == "embed"') == {CODE}
    assert found(where='hookpoint == "embed"', states=[State.ACCEPTED]) == set()
    assert found(where="detection.auroc > 0.75 and detection.floor <= 0.5 and layer == 14") == {DAYS}
    assert found(where="not detection > 0.75") == set(), "the others have no score"
    assert found(where="density < 0.1 and method == 'm1'") == {DAYS, CITIES, CODE}
    with pytest.raises(UserError, match="the nearest are detection"):
        found(where="detektion > 0.5")


def test_near_duplicates_collapse_with_a_count(ledger, index, explanation):
    for i, text in ((2, "Parts of the day."), (3, "parts  of the DAY"), (4, "parts of the week")):
        ledger.record_explained(explanation(i, text), [])
    index.sync(ledger)
    for by in (By.HYBRID, By.LEXICAL):
        first, second = search(index, ledger, DAYS, k=2, by=by)
        assert (first.same, said([second]), second.same) == (3, ["parts of the week"], 1)
    [first] = search(index, ledger, DAYS, k=1, where="not state == 'accepted'", by=By.LEXICAL)
    assert first.same == 2


def test_like_a_unit(ledger, index, unit, explanation, embedder):
    ledger.record_explained(explanation(2, "parts of large cities"), [])
    index.sync(ledger)
    embedder.embedded.clear()
    found = search(index, ledger, unit(2), k=2)
    assert said(found) == [CITIES, DAYS] and embedder.embedded == []
    assert found[0].similarity == pytest.approx(3 / 4, abs=1e-3)
    assert said(search(index, ledger, unit(2), where="state == 'accepted'")) == [DAYS]
    with pytest.raises(UserError, match="found none of org/subject/model.layers.14.mlp/neurons/4"):
        search(index, ledger, unit(4))


def test_search_passes_over_what_the_ledger_no_longer_has(ledger, index, explanation, monkeypatch):
    monkeypatch.setattr("neurogloss.store.search._LEAST", 1)
    ledger.record_explained(explanation(0, "something else"), [])
    [result] = search(index, ledger, DAYS, k=1)
    assert result.label.explanation.text in {CITIES, CODE}
    assert DAYS not in said(search(index, ledger, DAYS, k=10))


def test_without_an_index(ledger, tmp_path, embedder):
    for by in By:
        with (
            Index(tmp_path / "none", embedder) as index,
            pytest.raises(UserError, match="found none.*index rebuild"),
        ):
            search(index, ledger, "day", by=by)
