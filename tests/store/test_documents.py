"""Metadata come back from Chroma as they were given, so that comparing them finds real changes only."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import chromadb
import numpy as np
from chromadb.config import Settings

from neurogloss.records import State
from neurogloss.store.documents import number
from neurogloss.store.ledger import Ledger
from neurogloss.store.search import units_where


def testnumbers_survive_chroma(tmp_path: Path) -> None:
    client = chromadb.PersistentClient(str(tmp_path), Settings(anonymized_telemetry=False))
    collection = client.create_collection("numbers", embedding_function=None)
    values = [0.09532062391681109, *np.random.default_rng(0).random(500).tolist()]
    ids = [str(i) for i in range(len(values))]
    given_numbers = [{"exact": value, "short": number(value)} for value in values]
    collection.add(ids=ids, embeddings=[[1.0]] * len(values), metadatas=given_numbers)
    found = collection.get(ids=ids, include=["metadatas"])
    back = dict(zip(found["ids"], found["metadatas"], strict=True))
    assert [back[i]["short"] for i in ids] == [given["short"] for given in given_numbers]
    assert any(back[i]["exact"] != given["exact"] for i, given in zip(ids, given_numbers, strict=True)), (
        "Chroma keeps floats exactly by now: number is no longer needed"
    )


def test_documents_follow_the_ledger_within_its_transactions(tmp_path, unit, statistics, explanation, score):
    with Ledger(tmp_path / "ledger.sqlite") as ledger, Ledger(tmp_path / "ledger.sqlite") as other:
        ledger.add_method("m1", {})
        ledger.add_units((unit(i), statistics) for i in range(2))
        ledger.record_explained(explanation(0, "rivers and lakes"), [explanation(0, "a loser", rank=1)])
        [document] = other.documents
        assert (document.id, document.text) == (explanation(0, "rivers and lakes").id, "rivers and lakes")
        assert document.metadata["state"] == "explained" and document.metadata["density"] == 0.05
        assert [entry.id for entry in other.documents.matching("lake", 5)] == [document.id]
        assert other.documents.matching("loser", 5) == []

        ledger.record_scores(explanation(0, "rivers and lakes"), State.ACCEPTED, [score()], [])
        ledger.add_units([(unit(0), replace(statistics, n_active=20))])
        [document] = other.documents
        assert document.metadata | {"state": "accepted", "detection": 0.8, "density": 0.1} == document.metadata
        ledger.record_scores(explanation(0, "rivers and lakes"), State.REJECTED, [score("fuzzing")], [])
        assert {"detection", "fuzzing", "fuzzing.floor"} <= next(iter(other.documents)).metadata.keys()
        ledger.record_failure(unit(0), "m1", State.TRANSPORT, "down")
        ledger.record_failure(unit(1), "m1", State.DEAD, "")
        assert [document.metadata["state"] for document in other.documents] == ["transport"]

        ledger.record_explained(explanation(0, "mountains"), [])
        assert [document.text for document in other.documents] == ["mountains"]
        assert "detection" not in next(iter(other.documents)).metadata
        assert other.documents.matching("lake", 5) == [] and len(other.documents.matching("mountain", 5)) == 1
        assert ledger._connection.execute("PRAGMA foreign_key_check").fetchall() == []
        ledger._connection.execute("INSERT INTO texts (texts) VALUES ('integrity-check')")


def test_a_filter_on_the_explanation(tmp_path, unit, statistics, explanation, score):
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.add_method("m1", {})
        ledger.add_units((unit(i), statistics) for i in range(2))
        ledger.record_explained(explanation(0, "Red things"), [])
        ledger.record_explained(explanation(1, "blue things"), [])
        ledger.record_scores(explanation(1, "blue things"), State.ACCEPTED, [score()], [])
        found = {
            where: sorted(each.index for each in units_where(ledger.documents, where))
            for where in (
                'explanation ~ "red"',
                'not explanation ~ "red"',
                'explanation ~ "THINGS" and detection > 0.5',
            )
        }
        assert [*found.values()] == [[0], [1], [1]]
