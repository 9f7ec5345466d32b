from __future__ import annotations

import gzip
import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from neurogloss.sources.corpus import read_documents

FINE = "Once there was a small bridge over the river, and nobody knew who had built it or why."


@pytest.fixture
def build_corpus(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "scripts"))
    yield importlib.import_module("build_corpus")
    for name in ("build_corpus", "corpus_prompts"):
        del sys.modules[name]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (FINE, None),
        (f"{FINE} https://example.com/-VKbZrBJWYM/qwDNuQvxIzFaAMlLtA", None),
        (f"Anna: Hello.\nBen: Hello.\nAnna: Well?\nBen: No.\nAnna: {FINE}", None),
        ("Once there was a bridge over the river, and nobody knew.", "fewer than 12 words"),
        ("the old bridge fell " * 9 + FINE, "under 60 % distinct word trigrams"),
        (f"{FINE} Oh no! It fell. Oh no! Up again. Oh no!", "a line or sentence three times or more"),
        (f"{FINE}\n1. The past:\n2. The past:\n3. The past:", "a line or sentence three times or more"),
        (f"{FINE} {'=' * 16}", "a run of one character or word"),
        (f"{FINE} Hello! Hello! Hello! hello, hello", "a run of one character or word"),
        (f"{FINE} 🍬\ufffd", "bytes that were no character"),
    ],
)
def test_reasons_to_drop(build_corpus: ModuleType, text: str, reason: str | None) -> None:
    assert build_corpus.reason_to_drop(text) == reason


def test_duplicates_are_dropped_and_bytes_are_the_same_each_time(build_corpus: ModuleType) -> None:
    prompt = "Write a poem about bridges."
    rows = [{"prompt": prompt, "text": text} for text in (FINE, FINE.replace(" ", "\n "), "short")]
    kept, dropped = build_corpus.select(rows)
    assert kept == rows[:1]
    assert dropped == [("exact duplicate", rows[1]), ("fewer than 12 words", rows[2])]
    packed = build_corpus.pack(build_corpus.documents(kept))
    assert packed == build_corpus.pack(build_corpus.documents(kept))
    assert packed[3:8] == bytes(5), "no file name, no time"
    assert json.loads(gzip.decompress(packed)) == {"text": FINE, "form": "poem", "topic": "bridges"}


def test_nothing_in_the_shipped_corpus_is_degenerate(build_corpus: ModuleType) -> None:
    assert {build_corpus.reason_to_drop(document.text) for document in read_documents("demo")} == {None}
