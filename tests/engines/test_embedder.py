"""The embedding model on numpy against the same weights in transformers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurogloss.engines import embedder
from neurogloss.engines.embedder import MAX_PIECES, MiniLM
from neurogloss.protocols import Embedder, Float32, TokenVectors
from neurogloss.weights import MINILM

TEXTS = (
    "A short one.",
    "",
    "The committee, which had met twice already, agreed to postpone its decision until the spring.",
    "Grüße aus Köln – naïve café, 东京 🍏!",
    "def f(x):\n\treturn x ** 2  # squared",
    "again and again " * 150,
    "!",
)


@pytest.fixture(scope="module")
def minilm() -> MiniLM:
    return MiniLM()


@pytest.fixture(scope="module")
def reference() -> dict[str, tuple[Float32, Float32]]:
    """Each text's sentence vector and its pieces' vectors, one text at a time through transformers' own BERT."""
    import torch
    from transformers import AutoTokenizer, BertModel

    folder = MINILM.folder() / "model"
    tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = BertModel.from_pretrained(folder, local_files_only=True, add_pooling_layer=False).eval()
    found = {}
    for text in TEXTS:
        encoded = tokenizer(text, truncation=True, max_length=MAX_PIECES, return_tensors="pt")
        with torch.inference_mode():
            hidden = model(**encoded).last_hidden_state[0]
        pieces = torch.nn.functional.normalize(hidden[1:-1], dim=-1)
        found[text] = (torch.nn.functional.normalize(hidden.mean(0), dim=-1).numpy(), pieces.numpy())
    return found


def close(a: Float32, b: Float32) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype == np.float32 and np.allclose(a, b, rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def sentences(minilm: MiniLM) -> Float32:
    return minilm.embed(TEXTS)


@pytest.fixture(scope="module")
def pieces(minilm: MiniLM) -> list[TokenVectors]:
    return minilm.embed_tokens(TEXTS)


def test_sentence_vectors_are_those_of_transformers(
    sentences: Float32, reference: dict[str, tuple[Float32, Float32]]
) -> None:
    assert sentences.shape == (len(TEXTS), 384)
    assert close(sentences, np.stack([reference[text][0] for text in TEXTS]))


def test_token_vectors_are_those_of_transformers(
    pieces: list[TokenVectors], reference: dict[str, tuple[Float32, Float32]]
) -> None:
    for text, found in zip(TEXTS, pieces, strict=True):
        assert close(found.vectors, reference[text][1]), text
    assert len(reference[TEXTS[5]][1]) == MAX_PIECES - 2, "one text is longer than what is read"


def test_vectors_have_unit_length(sentences: Float32, pieces: list[TokenVectors]) -> None:
    for vectors in (sentences, *(found.vectors for found in pieces)):
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(len(vectors)), abs=1e-5)


def test_what_else_is_in_the_batch_does_not_matter(minilm: MiniLM, monkeypatch: pytest.MonkeyPatch) -> None:
    """Short and long texts share a forward pass, and some passes take one text alone."""
    texts = [f"{i} {text[:90]}" for i in range(2) for text in TEXTS]
    together, tokens = minilm.embed(texts), minilm.embed_tokens(texts)
    monkeypatch.setattr(embedder, "PIECES_PER_BATCH", 1)
    assert close(together, minilm.embed(texts))
    alone = MiniLM(cached_texts=0).embed_tokens(texts)
    assert all(close(a.vectors, b.vectors) for a, b in zip(tokens, alone, strict=True))
    assert all((a.spans == b.spans).all() for a, b in zip(tokens, alone, strict=True))


def test_a_forward_pass_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []

    class Watched(MiniLM):
        def _forward(self, ids: np.ndarray, keep: np.ndarray) -> Float32:
            sizes.append(ids.size)
            return super()._forward(ids, keep)

    monkeypatch.setattr(embedder, "PIECES_PER_BATCH", 40)
    Watched().embed(["one two three"] * 30)
    assert sizes == [40] * 3 + [30]


def test_spans_index_the_text(minilm: MiniLM) -> None:
    text = "Grüße! 🍏 Unhappiness"
    (found,) = minilm.embed_tokens([text])
    pieces = [text[start:end] for start, end in found.spans]
    assert pieces[-1].endswith("ness") and "".join(pieces) == text.replace(" ", "")
    assert "!" in pieces and "🍏" in pieces


@settings(deadline=None, max_examples=25)
@given(st.text(max_size=80))
def test_any_text_has_vectors_and_spans_within_it(minilm: MiniLM, text: str) -> None:
    (found,) = minilm.embed_tokens([text])
    assert found.vectors.shape == (len(found.spans), minilm.dimension)
    starts, ends = found.spans[:, 0], found.spans[:, 1]
    assert (0 <= starts).all() and (starts <= ends).all() and (ends <= len(text)).all()
    assert (np.diff(starts) >= 0).all()
    assert np.isfinite(found.vectors).all() and np.isfinite(minilm.embed([text])).all()


def test_no_text_and_the_empty_text(minilm: MiniLM) -> None:
    assert minilm.embed([]).shape == (0, 384)
    assert minilm.embed_tokens([]) == []
    (empty,) = minilm.embed_tokens([""])
    assert empty.vectors.shape == (0, 384) and empty.spans.shape == (0, 2)


class Counting(MiniLM):
    """Counts the texts that went through the model."""

    read = 0

    def _forward(self, ids: np.ndarray, keep: np.ndarray) -> Float32:
        self.read += len(ids)
        return super()._forward(ids, keep)


def test_known_texts_are_not_read_again() -> None:
    model = Counting(cached_texts=3)
    first = model.embed_tokens(["one", "two", "one", "three"])
    assert model.read == 3, "a text that comes twice is read once"
    again = model.embed_tokens(["three", "one", "two", "one"])
    assert model.read == 3
    assert [first[i] for i in (3, 0, 1, 0)] == again


def test_the_cache_forgets_what_was_longest_unused() -> None:
    model = Counting(cached_texts=2)
    for texts, read in ((["one", "two"], 2), (["one"], 2), (["three"], 3), (["one"], 3), (["two"], 4)):
        model.embed_tokens(texts)
        assert model.read == read, texts


def test_more_texts_than_the_cache_holds_are_all_given() -> None:
    model, texts = Counting(cached_texts=0), ["one", "two", "three"]
    found = model.embed_tokens(texts)
    assert [len(vectors.vectors) for vectors in found] == [1, 1, 1]
    again: list[TokenVectors] = model.embed_tokens(texts)
    assert model.read == 6
    assert all(close(a.vectors, b.vectors) for a, b in zip(found, again, strict=True))


def test_near_meanings_are_near(minilm: MiniLM) -> None:
    monday, tuesday, soup = minilm.embed(["the first day of the week", "Monday morning", "a bowl of hot soup"])
    assert monday @ tuesday > 0.3 > monday @ soup


def test_it_is_an_embedder_that_loads_nothing_before_it_is_asked() -> None:
    model: Embedder = MiniLM()
    assert (model.name, model.dimension) == ("all-MiniLM-L6-v2", 384)
    assert not {"_weights", "_tokenizer"} & set(vars(model))
