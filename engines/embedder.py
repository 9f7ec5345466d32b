"""all-MiniLM-L6-v2 on numpy: sentence and token vectors without torch.

1. Word pieces of the text (BERT, lower case, at most 256), padded to the longest of a batch.
2. Six post-norm encoder layers: self-attention with 12 heads, then a GELU network, each added to its input
   and layer-normalised (Devlin et al. 2019, arXiv:1810.04805).
3. The sentence vector is the mean of its pieces' vectors, scaled to unit length
   (Reimers & Gurevych 2019, arXiv:1908.10084). Token vectors are the pieces' own, each scaled to unit length.

Equal to sentence-transformers to 1e-5; a test holds that against the same weights in transformers.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from neurogloss.protocols import Float32, TokenVectors
from neurogloss.weights import MINILM

MAX_PIECES = 256
"""What sentence-transformers cuts at for this model."""
PIECES_PER_BATCH = 2048
"""Padded word pieces in one forward pass: bounds memory at about 60 MB."""
GELU_ROWS = 32
"""Rows of the widest layer in one block: 200 kB."""


class MiniLM:
    """The packaged embedding model. Loading waits for the first text and takes about a second.

    Vectors of the last `cached_texts` texts are kept, so that contexts which many units share cost once.
    """

    name = "all-MiniLM-L6-v2"
    dimension = 384
    layers = 6
    heads = 12

    def __init__(self, cached_texts: int = 4096) -> None:
        self._cached_texts = cached_texts
        self._cache: OrderedDict[str, TokenVectors] = OrderedDict()

    def embed(self, texts: Sequence[str]) -> Float32:
        """(len(texts), 384) float32, rows of unit length."""
        vectors = np.zeros((len(texts), self.dimension), np.float32)
        for rows, hidden, keep, _ in self._batches(texts):
            weight = keep[:, :, None].astype(np.float32)
            vectors[rows] = unit_rows((hidden * weight).sum(1) / weight.sum(1))
        return vectors

    def embed_tokens(self, texts: Sequence[str]) -> list[TokenVectors]:
        """The vectors of each text's word pieces, without the special ones."""
        missing = [text for text in dict.fromkeys(texts) if text not in self._cache]
        fresh: dict[str, TokenVectors] = {}
        for rows, hidden, keep, spans in self._batches(missing):
            for i, row in enumerate(rows):
                inner = keep[i].copy()
                inner[0] = inner[keep[i].sum() - 1] = False
                fresh[missing[row]] = TokenVectors(unit_rows(hidden[i][inner]), spans[i][inner])
        found = [self._cache.get(text) or fresh[text] for text in texts]
        for text, vectors in zip(texts, found, strict=True):
            self._cache[text] = vectors
            self._cache.move_to_end(text)
        while len(self._cache) > self._cached_texts:
            self._cache.popitem(last=False)
        return found

    def words(self) -> tuple[list[str], Float32]:
        """The whole words of the vocabulary, the most frequent first, and (words, 384) their input vectors."""
        pieces = sorted(self._tokenizer.get_vocab().items(), key=lambda item: item[1])
        whole = [(word, i) for word, i in pieces if word.isalpha()]
        rows = self._weights["embeddings.word_embeddings.weight"][[i for _, i in whole]]
        return [word for word, _ in whole], rows

    @cached_property
    def _weights(self) -> dict[str, Float32]:
        return {name: np.asarray(value) for name, value in load_file(MINILM.path()).items()}

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        tokenizer = Tokenizer.from_file(str(MINILM.folder() / "model" / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.enable_truncation(MAX_PIECES)
        return tokenizer

    def _batches(self, texts: Sequence[str]) -> Iterator[tuple[list[int], Float32, np.ndarray, np.ndarray]]:
        """Rows of `texts`, hidden states (n, pieces, 384), mask (n, pieces), character spans (n, pieces, 2)."""
        encodings = self._tokenizer.encode_batch(list(texts))
        order = sorted(range(len(texts)), key=lambda i: len(encodings[i].ids))
        while order:
            width = len(encodings[order[-1]].ids)
            take = max(1, PIECES_PER_BATCH // width)
            rows, order = order[-take:], order[:-take]
            ids = np.zeros((len(rows), width), np.int64)
            spans = np.zeros((len(rows), width, 2), np.int64)
            keep = np.zeros((len(rows), width), bool)
            for i, row in enumerate(rows):
                n = len(encodings[row].ids)
                ids[i, :n], spans[i, :n], keep[i, :n] = encodings[row].ids, encodings[row].offsets, True
            yield rows, self._forward(ids, keep), keep, spans

    def _forward(self, ids: np.ndarray, keep: np.ndarray) -> Float32:
        """(n, pieces) ids and mask to (n, pieces, 384) hidden states."""
        w, (n, width) = self._weights, ids.shape
        x = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.token_type_embeddings.weight"][0]
        x = self._norm(x + w["embeddings.position_embeddings.weight"][:width], "embeddings.LayerNorm")
        bias = np.where(keep, np.float32(0), np.float32(-1e9))[:, None, None, :]
        for layer in range(self.layers):
            at = f"encoder.layer.{layer}"
            q, k, v = (
                self._linear(x, f"{at}.attention.self.{part}").reshape(n, width, self.heads, -1).swapaxes(1, 2)
                for part in ("query", "key", "value")
            )
            scores = q @ k.swapaxes(2, 3) / np.float32(np.sqrt(q.shape[-1])) + bias
            scores = np.exp(scores - scores.max(-1, keepdims=True))
            mixed = (scores / scores.sum(-1, keepdims=True)) @ v
            mixed = self._linear(mixed.swapaxes(1, 2).reshape(n, width, -1), f"{at}.attention.output.dense")
            x = self._norm(x + mixed, f"{at}.attention.output.LayerNorm")
            inner = self._linear(x, f"{at}.intermediate.dense")
            x = self._norm(x + self._linear(_gelu(inner), f"{at}.output.dense"), f"{at}.output.LayerNorm")
        return x

    def _linear(self, x: Float32, name: str) -> Float32:
        product: Float32 = x @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]
        return product

    def _norm(self, x: Float32, name: str) -> Float32:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + np.float32(1e-12))
        shifted: Float32 = scaled * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]
        return shifted


def _gelu(x: Float32) -> Float32:
    """x Φ(x) of (n, pieces, width), with the error function by Abramowitz & Stegun 7.1.26 (error below 1.5e-7).

    scipy's erf takes longer than the matrix products; this, in place on blocks that stay in the cache, does not.
    """
    rows = x.reshape(-1, x.shape[-1])
    out = np.empty_like(rows)
    for start in range(0, len(rows), GELU_ROWS):
        _gelu_block(rows[start : start + GELU_ROWS], out[start : start + GELU_ROWS])
    return out.reshape(x.shape)


def _gelu_block(x: Float32, out: Float32) -> None:
    z = np.abs(x)
    z *= np.float32(np.sqrt(0.5))
    t = z * np.float32(0.3275911)
    t += np.float32(1)
    np.reciprocal(t, out=t)
    np.multiply(t, np.float32(1.061405429), out=out)
    for coefficient in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        out += np.float32(coefficient)
        out *= t
    z *= -z
    out *= np.exp(z, out=z)
    np.subtract(np.float32(1), out, out=out)
    np.copysign(out, x, out=out)
    out += np.float32(1)
    out *= np.float32(0.5)
    out *= x


def unit_rows(vectors: Float32) -> Float32:
    """(…, d), each row scaled to unit length; rows of zeros stay."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    scaled: Float32 = (vectors / np.maximum(norms, np.float32(1e-12))).astype(np.float32)
    return scaled
