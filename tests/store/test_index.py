from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from neurogloss.errors import UserError
from neurogloss.records import Interval, State
from neurogloss.store.chroma import COLLECTION
from neurogloss.store.index import Index, IndexCheck, SyncReport
from neurogloss.store.ledger import Ledger
from neurogloss.store.where import parse

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
    return index._chroma._client.get_collection(COLLECTION, embedding_function=None)


def texts(index: Index, vector, k: int = 10, where: str = "") -> list[str]:
    """What is nearest, in words; of both parts alike."""
    rows = index.nearest(vector, k, parse(where, index.catalogue.fields()) if where else None)
    ids = [index.catalogue.entries([row])[row].id for row in rows]
    found = collection(index).get(ids=ids)
    said = dict(zip(found["ids"], found["documents"], strict=True))
    return [said[id] for id in ids]


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
        "side": "input",
        "density": 0.05,
        "detection": 0.8,
        "detection.auroc": 0.8,
        "detection.floor": 0.5,
        "detection.excess_low": 0.1,
    }
    assert index.catalogue.stored(metadata) == metadata
    assert index.catalogue.fields()["detection.floor"] is float and index.catalogue.fields()["unit"] is str
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
    ids = [explanation(0, DAYS).id, explanation(1, CITIES).id]
    for found in (index.catalogue.stored(ids), index._chroma.stored(ids)):
        assert found[ids[0]]["state"] == "rejected" and found[ids[0]]["detection"] == 0.9
        assert "detection.floor" not in found[ids[0]] and "detection.excess_low" not in found[ids[0]]
        assert found[ids[1]]["state"] == "transport"

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


def test_without_an_index_everything_is_missing_and_nothing_is_made(ledger, index, embedder):
    assert len(index.check(ledger).missing) == 3
    assert not index.path.exists()
    with pytest.raises(UserError, match=r"found none.*neurogloss index rebuild .*run$"):
        index.nearest(embedder.embed([DAYS])[0], 1)


def test_either_part_that_differs_is_found_and_mended(ledger, index, explanation, embedder):
    index.sync(ledger)
    days, cities = explanation(0, DAYS).id, explanation(1, CITIES).id
    index.catalogue.remove([days])
    collection(index).delete(ids=[cities])
    assert index.check(ledger) == IndexCheck(missing=(days, cities), stale=(), extra=())
    embedder.embedded.clear()
    assert index.sync(ledger) == SyncReport(added=2, changed=0, removed=0, unchanged=1)
    assert sorted(embedder.embedded) == sorted([DAYS, CITIES])
    assert index.check(ledger).ok


def test_exact_and_approximate_neighbours_agree(ledger, index, embedder, monkeypatch):
    index.sync(ledger)
    [vector] = embedder.embed(["the day of the names"])
    exact = texts(index, vector)
    assert exact[0] == DAYS and len(exact) == 3
    assert texts(index, vector, where="layer >= 1") == [DAYS, CITIES]
    assert texts(index, vector, 1, where="layer >= 1 and not state == 'accepted'") == [CITIES]
    monkeypatch.setattr("neurogloss.store.index.EXACT_ROWS", 0)
    assert texts(index, vector) == exact
    assert texts(index, vector, where="layer >= 1") == [DAYS, CITIES]
    assert exact[2] == CODE, "it is not in the graph's first answer, of one"
    assert texts(index, vector, 1, where="hookpoint == 'embed'") == [CODE]
    monkeypatch.setattr("neurogloss.store.index._ASKED", (1,))
    assert texts(index, vector, 1, where="hookpoint == 'embed'") == [CODE], "exact where the graph has none"


def test_another_embedder_is_refused_until_the_index_is_rebuilt(ledger, index, make_embedder):
    index.sync(ledger)
    index.close()
    for other in (make_embedder("other"), make_embedder("words", dimension=32)):
        with Index(index.path, other) as second:
            for use in (second.sync, second.check, lambda _, second=second: second.catalogue.rows()):
                with pytest.raises(UserError, match=r"words \(64 dimensions\).*index rebuild"):
                    use(ledger)
    with Index(index.path, make_embedder("words", dimension=32)) as second:
        assert second.rebuild(ledger) == SyncReport(3, 0, 0, 0)
        assert texts(second, second.embedder.embed([DAYS])[0], 1) == [DAYS]
        assert len([path for path in index.path.iterdir() if path.is_dir()]) <= 1


def test_a_folder_that_chroma_cannot_read_is_named_and_can_be_rebuilt(ledger, index):
    index.path.mkdir(parents=True)
    (index.path / "chroma.sqlite3").write_text("no database " * 500, encoding="utf-8")
    for use in (index.sync, index.check):
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
            again.check(ledger)
    with Index(index.path, embedder) as again:
        assert again.rebuild(ledger) == SyncReport(3, 0, 0, 0)
        assert texts(again, embedder.embed([DAYS])[0], 1) == [DAYS]


@pytest.mark.parametrize(
    ("file", "kept", "found"),
    [("explanations.sqlite", 30_000, "SQLite cannot read"), ("explanations.f16", 100, "Expected 3 vectors")],
)
def test_a_truncated_catalogue_is_named_and_can_be_rebuilt(ledger, index, embedder, file, kept, found):
    index.sync(ledger)
    index.close()
    path = index.path / file
    path.write_bytes(path.read_bytes()[:kept])
    with Index(index.path, embedder) as again, pytest.raises(UserError, match=f"{found}.*index rebuild"):
        again.check(ledger)
    with Index(index.path, embedder) as again:
        assert again.rebuild(ledger) == SyncReport(3, 0, 0, 0)
        assert again.check(ledger).ok


def test_rebuild_leaves_files_alone_that_are_no_index(ledger, index):
    index.path.mkdir(parents=True)
    (index.path / "thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(UserError, match="other files"):
        index.rebuild(ledger)
    assert (index.path / "thesis.txt").exists()


def test_an_index_is_brought_up_to_date_by_another_process(ledger, index, embedder, explanation):
    index.sync(ledger)
    index.close()
    ledger.record_explained(explanation(2, "months"), [])
    with Index(index.path, embedder) as again:
        assert again.check(ledger).missing == (explanation(2, "months").id,)
        assert again.sync(ledger) == SyncReport(added=1, changed=0, removed=0, unchanged=3)
        assert again.check(ledger).ok
