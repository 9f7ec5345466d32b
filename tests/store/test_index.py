from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from neurogloss.errors import UserError
from neurogloss.records import Interval, State
from neurogloss.store.index import COLLECTION, Index, IndexCheck, SyncReport
from neurogloss.store.ledger import Ledger
from neurogloss.store.search import SearchResult, search

DAYS, CITIES, CODE = "parts of the day", "names of large cities", "python import statements"


@pytest.fixture
def ledger(tmp_path, unit, statistics, explanation, score) -> Iterator[Ledger]:
    """Three explained units, one of them scored, and one that failed."""
    with Ledger(tmp_path / "run" / "ledger.sqlite") as ledger:
        ledger.add_method("m1", {})
        ledger.add_units((unit(i), statistics) for i in range(3))
        ledger.add_units([(unit(0, hookpoint="embed"), statistics), (unit(9), statistics)])
        ledger.record_explained(explanation(0, DAYS), [explanation(0, "a loser", rank=1)])
        ledger.record_explained(explanation(1, CITIES), [])
        ledger.record_explained(explanation(0, CODE, hookpoint="embed"), [])
        ledger.record_scores(explanation(0, DAYS), State.ACCEPTED, [score()], [])
        ledger.record_failure(unit(9), "m1", State.DEAD, "never fired")
        yield ledger


@pytest.fixture
def index(tmp_path, embedder) -> Iterator[Index]:
    with Index(tmp_path / "run" / "index", embedder) as index:
        yield index


def collection(index: Index):
    """Chroma's own handle, to see and to spoil what is stored."""
    return index._client.get_collection(COLLECTION, embedding_function=None)


def test_sync_stores_the_chosen_explanations_with_flat_metadata(ledger, index, explanation, score, unit):
    assert index.sync(ledger) == SyncReport(added=3, changed=0, removed=0, unchanged=0)
    stored = collection(index).get()
    metadata = dict(zip(stored["ids"], stored["metadatas"], strict=True))
    assert metadata.keys() == {
        explanation(0, DAYS).id,
        explanation(1, CITIES).id,
        explanation(0, CODE, hookpoint="embed").id,
    }
    assert metadata[explanation(0, DAYS).id] == {
        "unit": "org/subject/model.layers.14.mlp/neurons/0",
        "subject": "org/subject",
        "hookpoint": "model.layers.14.mlp",
        "layer": 14,
        "dictionary": "neurons",
        "method": "m1",
        "state": "accepted",
        "density": 0.05,
        "detection": 0.8,
        "detection_floor": 0.5,
        "detection_excess_low": 0.1,
    }
    assert "layer" not in metadata[explanation(0, CODE, hookpoint="embed").id]
    assert index.check(ledger).ok


def test_sync_embeds_only_new_texts(ledger, index, embedder, explanation, score, unit):
    index.sync(ledger)
    assert sorted(embedder.embedded) == sorted([DAYS, CITIES, CODE])
    embedder.embedded.clear()
    assert index.sync(ledger) == SyncReport(0, 0, 0, 3)

    undefined = Interval(float("nan"), float("nan"), float("nan"))
    rescored = replace(score(value=0.9), floor=undefined, excess=undefined)
    ledger.record_scores(explanation(0, DAYS), State.REJECTED, [rescored], [])
    ledger.record_failure(unit(1), "m1", State.TRANSPORT, "down")
    assert index.sync(ledger) == SyncReport(0, 2, 0, 1)
    assert embedder.embedded == []
    found = {hit.text: hit.metadata for hit in index.query(DAYS)}
    assert found[DAYS]["state"] == "rejected" and found[DAYS]["detection"] == 0.9
    assert "detection_floor" not in found[DAYS] and "detection_excess_low" not in found[DAYS]
    assert found[CITIES]["state"] == "transport"

    ledger.record_explained(explanation(0, "months"), [])
    assert index.sync(ledger) == SyncReport(added=1, changed=0, removed=1, unchanged=2)
    assert embedder.embedded[-1] == "months"
    assert index.check(ledger).ok


def test_batches_and_pages_lose_nothing(ledger, index, statistics, unit, explanation, monkeypatch):
    monkeypatch.setattr("neurogloss.store.index._BATCH", 2)
    index.sync(ledger)
    ledger.record_explained(explanation(2, "months"), [])
    for i in range(2):
        ledger.record_explained(explanation(i, "years"), [])
    assert index.sync(ledger) == SyncReport(added=3, changed=0, removed=2, unchanged=1)
    assert index.check(ledger).ok


def test_check_finds_a_missing_a_stale_and_an_extra_row_and_writes_nothing(ledger, index, explanation, embedder):
    index.sync(ledger)
    chroma = collection(index)
    days, cities = explanation(0, DAYS).id, explanation(1, CITIES).id
    chroma.delete(ids=[days])
    chroma.update(ids=[cities], metadatas=[{"density": 0.5}])
    chroma.add(ids=["b2:stranger"], embeddings=embedder.embed(["stranger"]), documents=["stranger"])
    expected = IndexCheck(missing=(days,), stale=(cities,), extra=("b2:stranger",))
    assert index.check(ledger) == expected
    assert index.check(ledger) == expected and not expected.ok
    assert index.sync(ledger) == SyncReport(added=1, changed=1, removed=1, unchanged=1)
    assert index.check(ledger).ok


def test_without_an_index_everything_is_missing_and_nothing_is_made(ledger, index):
    assert len(index.check(ledger).missing) == 3
    assert not index.path.exists()
    with pytest.raises(UserError, match=r"found none.*neurogloss index rebuild .*run$"):
        index.query(DAYS)


def test_query_by_text_by_vector_and_with_a_filter(ledger, index, embedder, unit):
    index.sync(ledger)
    hits = index.query("the day", k=2)
    assert (hits[0].text, hits[0].unit, hits[0].method) == (DAYS, unit(0), "m1")
    assert hits[0].similarity == pytest.approx(2 / (2 * 4) ** 0.5)
    assert index.query(embedder.embed(["the day"])[0], k=2) == hits
    assert [hit.text for hit in index.query("day", where={"layer": {"$gte": 1}})] == [DAYS, CITIES]
    with pytest.raises(ValueError):
        index.query("day", where={"layer": {"$nonsense": 1}})


def test_another_embedder_is_refused_until_the_index_is_rebuilt(ledger, index, make_embedder):
    index.sync(ledger)
    index.close()
    for other in (make_embedder("other"), make_embedder("words", dimension=32)):
        with Index(index.path, other) as second:
            for use in (second.sync, second.check, lambda _, second=second: second.query("day")):
                with pytest.raises(UserError, match=r"words \(64 dimensions\).*index rebuild"):
                    use(ledger)
    with Index(index.path, make_embedder("words", dimension=32)) as second:
        assert second.rebuild(ledger) == SyncReport(3, 0, 0, 0)
        assert second.query(DAYS, k=1)[0].text == DAYS
        assert len([path for path in index.path.iterdir() if path.is_dir()]) <= 1


def test_a_folder_that_chroma_cannot_read_is_named_and_can_be_rebuilt(ledger, index):
    index.path.mkdir(parents=True)
    (index.path / "chroma.sqlite3").write_text("no database " * 500, encoding="utf-8")
    for use in (index.sync, index.check, lambda _: index.query(DAYS)):
        with pytest.raises(UserError, match=r"cannot read.*neurogloss index rebuild .*run$"):
            use(ledger)
    assert index.rebuild(ledger) == SyncReport(3, 0, 0, 0)
    assert index.check(ledger).ok


def test_a_truncated_index_is_named_and_can_be_rebuilt(ledger, index, embedder):
    index.sync(ledger)
    index.close()
    file = index.path / "chroma.sqlite3"
    file.write_bytes(file.read_bytes()[:100_000])
    for _ in range(2):
        with Index(index.path, embedder) as again, pytest.raises(UserError, match="cannot read"):
            again.query(DAYS)
    with Index(index.path, embedder) as again:
        assert again.rebuild(ledger) == SyncReport(3, 0, 0, 0)
        assert again.query(DAYS, k=1)[0].text == DAYS


def test_rebuild_leaves_files_alone_that_are_no_index(ledger, index):
    index.path.mkdir(parents=True)
    (index.path / "thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(UserError, match="other files"):
        index.rebuild(ledger)
    assert (index.path / "thesis.txt").exists()


# --- search ---------------------------------------------------------------------------------------


def test_search_answers_from_the_ledger(ledger, index, unit, explanation):
    index.sync(ledger)
    first, *others = search(index, ledger, "what part of the day", k=3)
    assert first == SearchResult(ledger.label(unit(0)), pytest.approx(3 / (5 * 4) ** 0.5))
    assert len(others) == 2
    assert search(index, ledger, "day", k=0) == []


def test_search_filters(ledger, index, unit):
    index.sync(ledger)

    def found(**filters):
        return {result.label.explanation.text for result in search(index, ledger, "day", **filters)}

    assert found(states=[State.ACCEPTED]) == {DAYS}
    assert found(states=[State.EXPLAINED]) == {CITIES, CODE}
    assert found(states=[]) == set()
    assert found(hookpoint="embed") == {CODE}
    assert found(hookpoint="embed", states=[State.ACCEPTED]) == set()
    assert found(subject="org/subject", method="m1") == {DAYS, CITIES, CODE}
    assert found(subject="other") == set()


def test_search_passes_over_what_the_ledger_no_longer_has(ledger, index, explanation, unit):
    index.sync(ledger)
    ledger.record_explained(explanation(0, "something else"), [])
    [result] = search(index, ledger, DAYS, k=1)
    assert result.label.explanation.text in {CITIES, CODE}
    ledger.record_failure(unit(1), "m1", State.REFUSAL, "no")
    texts = [result.label.explanation.text for result in search(index, ledger, DAYS, states=[State.EXPLAINED])]
    assert texts == [CODE]
