"""A small experiment in files: sentences of a few words, voxels that answer to some of them, and an embedder."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from neurogloss.ids import hash64
from neurogloss.protocols import Float32, TokenVectors
from neurogloss.settings import ResponseSettings

WORDS = "soup bread cook river boat lake judge court law rain storm wind".split()


class BagOfWords:
    """The mean of one random vector a word, of unit length."""

    name = "bag"
    dimension = 24

    def embed(self, texts: Sequence[str]) -> Float32:
        rows = [np.mean([self._vector(word) for word in text.split()] or [np.zeros(24)], axis=0) for text in texts]
        found = np.array(rows, np.float32)
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), np.float32(1e-12))

    def embed_tokens(self, texts: Sequence[str]) -> list[TokenVectors]:
        raise NotImplementedError

    def _vector(self, word: str) -> NDArray[np.float64]:
        return np.random.default_rng(hash64(word)).standard_normal(24)


@pytest.fixture(scope="session")
def bag() -> BagOfWords:
    return BagOfWords()


@dataclass
class Files:
    """What a user would bring; a test changes it, and then writes it."""

    folder: Path
    rows: list[dict[str, Any]]
    responses: NDArray[Any]
    given: dict[str, Any] = field(default_factory=dict)

    def settings(self, **more: Any) -> ResponseSettings:
        """Write the table and, where no other file is named, the responses."""
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        with open(self.folder / "stimuli.csv", "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(self.rows)
        np.save(self.folder / "responses.npy", self.responses)
        values = {
            "subject": "s1",
            "stimuli": str(self.folder / "stimuli.csv"),
            "responses": (str(self.folder / "responses.npy"),),
            "calibration_contexts": 16,
            **self.given,
            **more,
        }
        return ResponseSettings(**values)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Three sentences, the first presented twice, and two voxels."""
    rows = [{"text": text} for text in ("soup", "river", "law", "soup")]
    return Files(tmp_path, rows, np.array([[1, 0], [2, 1], [4, 0], [3, 2]], np.float32))


@pytest.fixture
def study(tmp_path: Path, bag: BagOfWords) -> Files:
    """120 sentences; voxel 0 answers to soup, 1 to rivers (with noise), 2 and 3 to nothing, 4 was not measured."""
    return make_study(tmp_path)


def make_study(folder: Path, n: int = 120) -> Files:
    rng = np.random.default_rng(0)
    texts = list(dict.fromkeys(" ".join(rng.choice(WORDS, 4, replace=False)) for _ in range(3 * n)))[:n]
    soup, river = ([word in text.split() for text in texts] for word in ("soup", "river"))
    columns = [soup, river, np.zeros(n), np.zeros(n), np.zeros(n)]
    responses = np.stack(columns, 1).astype(np.float32) * 3 + rng.standard_normal((n, 5)).astype(np.float32)
    responses[7, 4] = np.nan
    return Files(folder, [{"text": text, "id": f"s{i}"} for i, text in enumerate(texts)], responses)


@pytest.fixture(scope="session")
def spoil() -> Callable[[Path, bytes], str]:
    """Write a file of these bytes; returns its path."""

    def write(path: Path, data: bytes) -> str:
        path.write_bytes(data)
        return str(path)

    return write
