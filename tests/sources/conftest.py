"""The tiny subject, a corpus for it, one collected run, and the same contexts read the plain way."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from neurogloss.folder import RunFolder
from neurogloss.ids import hash64
from neurogloss.settings import CollectSettings
from neurogloss.sources.cache import Cache
from neurogloss.sources.collector import collect
from neurogloss.sources.contexts import MAX_TOKENS
from neurogloss.sources.corpus import context_id, cut
from neurogloss.sources.subject import Subject
from neurogloss.sources.texts import SECTION_CHARS

WORDS = (
    "the river rose in night and cook stirred soup for int total price sum Lima capital meeting minutes "
    "salt, bridge; water. (mill) 2024 naïve 日本語 🦆 Привет e\u0301t\u0301 \n\n \t 👩‍🚀"
).split(" ")
NEURONS = ("model.layers.0.mlp.down_proj.input", "model.layers.1.mlp.down_proj.input")
BASE64 = "QmFzZTY0IHRleHQgaGFzIG5vIHdoaXRlIHNwYWNlIGFuZCBtYW55IHRva2Vucw" * 5


@dataclass(frozen=True)
class PlainContext:
    """One context as a full forward pass of transformers reads it, its section alone in the batch."""

    document: str
    text: str
    activations: NDArray[np.float32]
    """(tokens, units)."""


def texts_of(seed: int, n: int, words: tuple[int, int] = (10, 60)) -> list[str]:
    """Documents of random words, one longer than a section, one that is a single long word."""
    rng = random.Random(seed)
    texts = [" ".join(rng.choices(WORDS, k=rng.randint(*words))) for _ in range(n)]
    return [*texts[:3], " ".join(rng.choices(WORDS, k=600)), BASE64, *texts[3:]]


def write_corpus(path: Path, texts: Iterable[str]) -> str:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="session")
def texts() -> list[str]:
    return texts_of(seed=0, n=60)


@pytest.fixture(scope="session")
def corpus(texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_corpus(tmp_path_factory.mktemp("corpus") / "stories.jsonl", texts)


@pytest.fixture(scope="session")
def tiny_subject(tiny_subject_folder: Path) -> Subject:
    return Subject.load(str(tiny_subject_folder))


@pytest.fixture(scope="session")
def make_settings(tiny_subject_folder: Path, corpus: str) -> Callable[..., CollectSettings]:
    """Settings for the tiny subject on the corpus above, unless told otherwise."""

    def make(**given: Any) -> CollectSettings:
        defaults: dict[str, Any] = {
            "subject": str(tiny_subject_folder),
            "hookpoints": NEURONS,
            "corpus": corpus,
            "tokens": 1_000_000,
            "context_chars": 64,
            "top": 4,
            "uniform": 8,
            "active_quantile": 0.77,  # falls between two peaks: what is active is no matter of the last digit
            "calibration_contexts": 60,
            "shard_tokens": 1000,
        }
        return CollectSettings(**{**defaults, **given})

    return make


@pytest.fixture(scope="session")
def collected(
    make_settings: Callable[..., CollectSettings],
    tiny_subject: Subject,
    tmp_path_factory: pytest.TempPathFactory,
) -> Cache:
    """A finished cache, for reading only."""
    run = RunFolder(tmp_path_factory.mktemp("runs") / "plain")
    collect(run, make_settings(), tiny_subject)
    return Cache(run.cache)


@pytest.fixture(scope="session")
def plain_reading(tiny_subject: Subject, texts: list[str]) -> dict[str, dict[int, PlainContext]]:
    """By hookpoint and hash every context of the corpus, read without anything of neurogloss but its cuts."""
    found: dict[str, dict[int, PlainContext]] = {hookpoint: {} for hookpoint in NEURONS}
    for text in texts:
        for start, end in cut(text, SECTION_CHARS):
            for hookpoint, contexts in read_section(tiny_subject, text, start, text[start:end]).items():
                found[hookpoint].update(contexts)
    return found


def read_section(subject: Subject, document: str, start: int, section: str) -> dict[str, dict[int, PlainContext]]:
    encoding = subject.tokenizer(section, return_offsets_mapping=True, add_special_tokens=False)
    starts = [first for first, _ in encoding["offset_mapping"]]
    vectors = plain_vectors(subject, [subject.tokenizer.bos_token_id, *encoding["input_ids"]])
    found: dict[str, dict[int, PlainContext]] = {hookpoint: {} for hookpoint in NEURONS}
    for a, b in cut(section, 64):
        tokens = [i for i, first in enumerate(starts) if a <= first < b]
        if 0 < len(tokens) <= MAX_TOKENS:
            for hookpoint, values in vectors.items():
                mine = PlainContext(document, section[a:b], values[1:][tokens])
                found[hookpoint][context_id(hash64(document), start + a)] = mine
    return found


def plain_vectors(subject: Subject, ids: list[int]) -> dict[str, NDArray[np.float32]]:
    """(len(ids), MLP width) that enters each down_proj in a full forward pass."""
    import torch

    found: dict[str, NDArray[np.float32]] = {}
    handles = []
    for hookpoint, layer in zip(NEURONS, subject.model.model.layers, strict=True):

        def keep(_: Any, args: Any, hookpoint: str = hookpoint) -> None:
            found[hookpoint] = args[0][0].numpy()

        handles.append(layer.mlp.down_proj.register_forward_pre_hook(keep))
    with torch.no_grad():
        subject.model(torch.tensor([ids]))
    for handle in handles:
        handle.remove()
    return found
