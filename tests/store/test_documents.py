"""Metadata come back from Chroma as they were given, so that comparing them finds real changes only."""

from __future__ import annotations

from pathlib import Path

import chromadb
import numpy as np
from chromadb.config import Settings

from neurogloss.store.documents import _number


def test_numbers_survive_chroma(tmp_path: Path) -> None:
    client = chromadb.PersistentClient(str(tmp_path), Settings(anonymized_telemetry=False))
    collection = client.create_collection("numbers", embedding_function=None)
    values = [0.09532062391681109, *np.random.default_rng(0).random(500).tolist()]
    ids = [str(i) for i in range(len(values))]
    numbers = [{"exact": value, "short": _number(value)} for value in values]
    collection.add(ids=ids, embeddings=[[1.0]] * len(values), metadatas=numbers)
    found = collection.get(ids=ids, include=["metadatas"])
    back = dict(zip(found["ids"], found["metadatas"], strict=True))
    assert [back[i]["short"] for i in ids] == [given["short"] for given in numbers]
    assert any(back[i]["exact"] != given["exact"] for i, given in zip(ids, numbers, strict=True)), (
        "Chroma keeps floats exactly by now: _number is no longer needed"
    )
