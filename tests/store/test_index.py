from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from neurogloss.errors import UserError
from neurogloss.records import Interval, State
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
    return index._opened[1]._collection


def nearest(index: Index, ledger: Ledger, text: str, k: int = 10, where: str = "") -> list[str]:
    """What is nearest to a text, in words."""
    condition = parse(where, ledger.documents.fields()) if where else None
    found = index.nearest(ledger.documents, index.embedder.embed([text])[0], k, condition)
    assert [*found.values()] == sorted(found.values(), reverse=True)
    said = {document.id: document.text for document in ledger.documents}
    return [said[id] for id in found if id in said]


def folders(index: Index) -> list[Path]:
    return [path for path in index.path.iterdir() if path.is_dir()]


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
    found = collection(index).get(ids=ids)
    metadata = dict(zip(found["ids"], found["metadatas"], strict=True))
    assert metadata[ids[0]]["state"] == "rejected" and metadata[ids[0]]["detection"] == 0.9
    assert "detection.floor" not in metadata[ids[0]] and "detection.excess_low" not in metadata[ids[0]]
    assert metadata[ids[1]]["state"] == "transport"

    ledger.record_explained(explanation(0, "months"), [])
    assert index.sync(ledger) == SyncReport(added=1, changed=0, removed=1, unchanged=2)
    assert embedder.embedded[-1] == "months"
    assert index.check(ledger).ok


def test_batches_and_pages_lose_nothing(ledger, index, statistics, unit, explanation, monkeypatch):
    monkeypatch.setattr("neurogloss.store.index._BATCH", 2)
    monkeypatch.setattr("neurogloss.store.documents._PAGE", 2)
    monkeypatch.setattr("neurogloss.store.chroma._PAGE", 2)
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
        nearest(index, ledger, DAYS)


@pytest.mark.parametrize(
    ("few", "broad"), [(1, 2), (0, 2), (0, 0)], ids=["every cosine", "by ids", "filtered after"]
)
def test_each_road_to_what_passes_a_filter_gives_the_same(ledger, index, monkeypatch, few, broad):
    monkeypatch.setattr("neurogloss.store.index.FEW", few)
    monkeypatch.setattr("neurogloss.store.index.BROAD", broad)
    index.sync(ledger)
    asked = "the day of the names"
    assert nearest(index, ledger, asked) == [DAYS, CITIES, CODE]
    assert nearest(index, ledger, asked, where="layer >= 1") == [DAYS, CITIES]
    assert nearest(index, ledger, asked, 1, where="layer >= 1 and not state == 'accepted'") == [CITIES]
    assert nearest(index, ledger, asked, 1, where="hookpoint == 'embed'") == [CODE], (
        "it is not among the nearest two"
    )
    assert nearest(index, ledger, asked, where="layer == 99") == []


@pytest.mark.parametrize("few", [1, 0])
def test_labels_that_are_not_indexed_yet_are_passed_over(ledger, index, explanation, monkeypatch, few):
    monkeypatch.setattr("neurogloss.store.index.FEW", few)
    index.sync(ledger)
    ledger.record_explained(explanation(2, "months of the year"), [])
    assert nearest(index, ledger, DAYS, where="layer >= 1") == [DAYS, CITIES]
    assert nearest(index, ledger, DAYS, where="unit ~ 'neurons/2'") == []


def test_another_embedder_is_refused_until_the_index_is_rebuilt(ledger, index, make_embedder):
    index.sync(ledger)
    index.close()
    for other in (make_embedder("other"), make_embedder("words", dimension=32)):
        with Index(index.path, other) as second:
            for use in (second.sync, second.check, lambda _, second=second: nearest(second, ledger, DAYS)):
                with pytest.raises(UserError, match=r"words \(64 dimensions\).*index rebuild"):
                    use(ledger)
    with Index(index.path, make_embedder("words", dimension=32)) as second:
        assert second.rebuild(ledger) == SyncReport(3, 0, 0, 0)
        assert nearest(second, ledger, DAYS, 1) == [DAYS]
        assert len(folders(index)) == 1, "the old one is gone"


def test_the_index_of_another_run_is_refused(tmp_path, ledger, index, unit, statistics, explanation, embedder):
    index.sync(ledger)
    index.close()
    with Ledger(tmp_path / "other" / "ledger.sqlite") as other:
        other.add_method("m1", {})
        other.add_units([(unit(0), statistics)])
        other.record_explained(explanation(0, DAYS), [])
        shutil.copytree(index.path, tmp_path / "other" / "index")
        with Index(tmp_path / "other" / "index", embedder) as copied:
            for use in (copied.sync, copied.check, lambda ledger: nearest(copied, ledger, DAYS)):
                with pytest.raises(UserError, match=r"another run.*neurogloss index rebuild .*other$"):
                    use(other)
            copied.rebuild(other)
            assert copied.check(other).ok


def test_a_moved_run_takes_its_index_along(tmp_path, ledger, index, embedder):
    index.sync(ledger)
    index.close()
    shutil.copytree(tmp_path / "run", tmp_path / "moved")
    with (
        Ledger(tmp_path / "moved" / "ledger.sqlite") as moved,
        Index(tmp_path / "moved" / "index", embedder) as there,
    ):
        assert there.check(moved).ok and nearest(there, moved, DAYS, 1) == [DAYS]


def test_rebuild_leaves_other_files_alone(ledger, index):
    index.path.mkdir(parents=True)
    (index.path / "thesis.txt").write_text("years of work", encoding="utf-8")
    index.rebuild(ledger)
    assert (index.path / "thesis.txt").exists() and index.check(ledger).ok


def test_an_index_that_another_process_changed_is_opened_anew(ledger, index, embedder, explanation):
    index.sync(ledger)
    with Index(index.path, embedder) as reader:
        assert nearest(reader, ledger, "months", 1, "unit ~ 'neurons/'") in ([DAYS], [CITIES])
        ledger.record_explained(explanation(2, "months"), [])
        command = [sys.executable, "-c", SYNC, str(ledger.path), str(index.path), str(Path(__file__).parents[2])]
        subprocess.run(command, check=True)
        assert nearest(reader, ledger, "months", 1) == ["months"]
        index.rebuild(ledger)
        assert nearest(reader, ledger, "months", 1) == ["months"]
        assert index.check(ledger).ok and reader.check(ledger).ok


SYNC = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from neurogloss.store.index import Index
from neurogloss.store.ledger import Ledger
from tests.store.conftest import WordEmbedder

with Ledger(Path(sys.argv[1])) as ledger, Index(Path(sys.argv[2]), WordEmbedder()) as index:
    index.sync(ledger)
"""


def test_vectors_are_those_of_the_texts(ledger, index, embedder, explanation):
    index.sync(ledger)
    found = index.vectors(ledger.documents, [explanation(0, DAYS).id, "b2:stranger"])
    assert [*found] == [explanation(0, DAYS).id]
    assert found[explanation(0, DAYS).id] == pytest.approx(embedder.embed([DAYS])[0], abs=1e-6)
