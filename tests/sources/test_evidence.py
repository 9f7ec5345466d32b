from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import neurogloss.sources.evidence as reading
from neurogloss.errors import UserError
from neurogloss.folder import RunFolder
from neurogloss.ids import UnitId, hash64
from neurogloss.records import Activity, Context, Evidence, EvidenceHalf, HardNegatives
from neurogloss.settings import CollectSettings
from neurogloss.sources.cache import HALVES, Cache
from neurogloss.sources.collector import collect
from neurogloss.sources.corpus import half_of
from neurogloss.sources.evidence import evidence, evidence_of
from neurogloss.sources.neighbours import Neighbours
from neurogloss.sources.subject import Subject

HOOKPOINT = "model.layers.1.mlp.down_proj.input"
UNITS = [UnitId("tiny-llama", HOOKPOINT, "neurons", index, sign) for index in (0, 11, 40) for sign in (1, -1)]


def hard_in(half: EvidenceHalf) -> list[Context]:
    return [*half.hard.neighbours, *half.hard.lexical, *half.hard.look_alikes]


def texts_in(half: EvidenceHalf) -> list[str]:
    silent = [c.text for c in (*half.negatives, *hard_in(half))]
    return [e.context.text for e in (*half.top, *half.uniform)] + silent


@pytest.mark.parametrize("unit", UNITS, ids=lambda u: f"{u.index}{u.sign:+d}")
def test_negatives_are_the_certified_silent_contexts(
    collected: Cache, plain_reading: dict[str, dict[int, Any]], unit: UnitId
) -> None:
    found = evidence(collected, unit, negatives=100)
    threshold = found.statistics.threshold
    for half, seen in (("explain", found.explain), ("score", found.score)):
        peaks = {
            digest: float((context.activations[:, unit.index] * unit.sign).max())
            for digest, context in plain_reading[HOOKPOINT].items()
            if half_of(hash64(context.document), 0) == half
        }
        assert all(abs(peak - threshold) > 1e-4 * threshold for peak in peaks.values())
        active = sorted(digest for digest in peaks if peaks[digest] > threshold)
        tau = active[7] if len(active) >= 8 else 2**64
        silent = sorted(digest for digest in peaks if digest < tau and peaks[digest] <= threshold)
        known = set(texts_in(found.explain)) if half == "score" else set()
        wanted = [digest for digest in silent if plain_reading[HOOKPOINT][digest].text not in known][:100]
        assert wanted and [int(context.id, 16) for context in seen.negatives] == wanted


def test_halves_hold_what_the_cache_has_of_them(collected: Cache) -> None:
    for unit in UNITS:
        found = evidence(collected, unit)
        assert found.unit == unit
        assert found.statistics == collected.statistics(unit)
        assert found.output_tokens == collected.output_tokens(unit) is not None
        for half, seen in (("explain", found.explain), ("score", found.score)):
            ids = {f"{digest:016x}" for digest in collected.hashes(half).tolist()}  # type: ignore[arg-type]
            assert {e.context.id for e in (*seen.top, *seen.uniform)} | {c.id for c in seen.negatives} <= ids
            for examples in (seen.top, seen.uniform):
                assert [e.peak for e in examples] == sorted((e.peak for e in examples), reverse=True)
            active = {e.context.id for e in (*seen.top, *seen.uniform)}
            assert not active & {context.id for context in seen.negatives}
        assert set(found.explain.uniform) == set(collected.examples(unit, "explain", "uniform"))
        assert list(found.explain.top) == collected.examples(unit, "explain", "top")


def test_the_same_cache_gives_the_same_evidence(collected: Cache) -> None:
    def everything(cache: Cache) -> list[Evidence]:
        return [evidence(cache, unit) for unit in UNITS]

    assert everything(Cache(collected.path)) == everything(collected)


def test_of_many_units_it_is_that_of_each(collected: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = {site.hookpoint for site in collected.sites} - {HOOKPOINT}
    units = [*UNITS, *(replace(UNITS[1], hookpoint=hookpoint) for hookpoint in elsewhere), *UNITS[:1], *UNITS]
    alone = [evidence(collected, unit, 20, hard=2, neighbours=Neighbours(collected)) for unit in units]
    assert [found.unit for found in alone] == units and elsewhere
    for together in (1, 4, 64):
        monkeypatch.setattr(reading, "TOGETHER", together)
        assert list(evidence_of(collected, iter(units), 20, hard=2, neighbours=Neighbours(collected))) == alone
    assert list(evidence_of(collected, [])) == []


def test_a_unit_that_is_not_there_is_said(collected: Cache) -> None:
    with pytest.raises(UserError, match="elsewhere"):
        list(evidence_of(collected, [*UNITS, UnitId("tiny-llama", "elsewhere", "neurons", 0)]))
    with pytest.raises(UserError, match="found 4000"):
        list(evidence_of(collected, [*UNITS, replace(UNITS[0], index=4000)]))


def test_there_are_at_most_as_many_negatives_as_asked_for(collected: Cache) -> None:
    for half in ("explain", "score"):
        some = getattr(evidence(collected, UNITS[0], negatives=3), half).negatives
        more = getattr(evidence(collected, UNITS[0], negatives=1000), half).negatives
        assert len(some) == 3 < len(more)
    assert evidence(collected, UNITS[0], negatives=0).score.negatives == ()


@pytest.fixture
def repeating(make_settings: Callable[..., CollectSettings], tiny_subject: Subject, tmp_path: Path) -> Cache:
    """Documents of either half that all begin with one of two passages, each several contexts long."""
    rng = random.Random(1)
    words = [f"word{n}" for n in range(40)]
    passages = [" ".join(rng.choices(words, k=30)) for _ in range(2)]
    lines = [f"{rng.choice(passages)} {' '.join(rng.choices(words, k=12))}" for _ in range(80)]
    corpus = tmp_path / "repeating"
    corpus.mkdir()
    for n, line in enumerate(lines):
        (corpus / f"{n}.txt").write_text(line, encoding="utf-8")
    run = RunFolder(tmp_path / "run")
    collect(run, make_settings(corpus=str(corpus), top=8, uniform=16, active_quantile=0.5), tiny_subject)
    return Cache(run.cache)


def test_no_text_is_in_both_halves(repeating: Cache) -> None:
    overlapping = 0
    for unit in UNITS:
        sampled = [
            {e.context.text for kind in ("top", "uniform") for e in repeating.examples(unit, half, kind)}
            for half in HALVES
        ]
        overlapping += bool(sampled[0] & sampled[1])
        for negatives in (4, 500):
            found = evidence(repeating, unit, negatives)
            assert found.score.negatives and found.score.uniform
            assert not set(texts_in(found.explain)) & set(texts_in(found.score))
            assert len(found.explain.negatives) <= negatives and len(found.score.negatives) <= negatives
    assert overlapping == len(UNITS)  # the samples themselves do share texts


def test_the_other_side_has_evidence_of_its_own(collected: Cache) -> None:
    positive, negative = (evidence(collected, unit) for unit in (UNITS[0], replace(UNITS[0], sign=-1)))
    assert {e.context.id for e in positive.explain.top} != {e.context.id for e in negative.explain.top}
    assert positive.statistics != negative.statistics


# --- hard negatives -------------------------------------------------------------------------------


class Letters:
    """An embedder: how often each letter occurs, at length 1. It counts what it is asked."""

    name, dimension = "letters", 26

    def __init__(self) -> None:
        self.asked: list[int] = []

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.asked.append(len(texts))
        rows = np.array(
            [[text.lower().count(chr(97 + i)) + 0.01 for i in range(26)] for text in texts], np.float32
        )
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def embed_tokens(self, texts: Sequence[str]) -> list[Any]:
        raise NotImplementedError


@pytest.fixture(scope="module")
def near(collected: Cache) -> Neighbours:
    return Neighbours(collected)


@pytest.mark.parametrize("unit", UNITS, ids=lambda u: f"{u.index}{u.sign:+d}")
def test_hard_negatives_are_silent_and_no_text_is_twice(
    collected: Cache, near: Neighbours, plain_reading: dict[str, dict[int, Any]], unit: UnitId
) -> None:
    found = evidence(collected, unit, negatives=20, hard=5, neighbours=near, embedder=Letters())
    for name, half in (("explain", found.explain), ("score", found.score)):
        hard = hard_in(half)
        assert len(half.hard.neighbours) == 5 and half.hard.look_alikes and half.hard.lexical
        assert max(map(len, (half.hard.neighbours, half.hard.lexical, half.hard.look_alikes))) == 5
        for context in hard:
            plain = plain_reading[HOOKPOINT][int(context.id, 16)]
            assert half_of(hash64(plain.document), 0) == name
            assert float((plain.activations[:, unit.index] * unit.sign).max()) <= found.statistics.threshold
        texts = [context.text for context in hard]
        assert len(set(texts)) == len(texts)
        assert not set(texts) & {e.context.text for e in (*half.top, *half.uniform)}
    assert not set(texts_in(found.explain)) & set(texts_in(found.score))


def test_hard_negatives_of_neighbours_are_where_these_fired(collected: Cache, near: Neighbours) -> None:
    for unit in UNITS:
        half = evidence(collected, unit, hard=6, neighbours=near).explain
        theirs = [collected.uniform_hashes(other.unit, "explain").tolist() for other in near.of(unit, 8)]
        for context in half.hard.neighbours:
            assert any(int(context.id, 16) in sample for sample in theirs)
        first = [d for d in theirs[0] if f"{d:016x}" in {context.id for context in half.hard.neighbours}]
        assert len(first) < 6  # one of each in turn


def test_lexical_negatives_hold_a_word_at_which_the_unit_peaks(collected: Cache) -> None:
    for unit in UNITS:
        half = evidence(collected, unit, hard=6).score
        peaks = {e.context.tokens[e.activations.index(e.peak)].strip().casefold() for e in half.top}
        assert half.hard.lexical
        for context in half.hard.lexical:
            assert peaks & {token.strip().casefold() for token in context.tokens}


def test_look_alikes_are_the_nearest_of_the_silent_contexts(collected: Cache) -> None:
    for unit in UNITS:
        embedder = Letters()
        half = evidence(collected, unit, negatives=0, hard=4, embedder=embedder).explain
        every = evidence(collected, unit, negatives=10_000).explain
        assert every.n_certified == len(every.negatives)
        used = {e.context.text for e in (*half.top, *half.uniform)} | {c.text for c in half.hard.lexical}
        tops = embedder.embed([example.context.text for example in half.top])
        texts = [context.text for context in every.negatives if context.text not in used]
        nearness = (embedder.embed(texts) @ tops.T).max(1)
        wanted = np.unique(texts)[np.argsort(-nearness[np.unique(texts, return_index=True)[1]], kind="stable")]
        cosines = {text: float(near) for text, near in zip(texts, nearness, strict=True)}
        found = [cosines[context.text] for context in half.hard.look_alikes]
        assert found == pytest.approx([cosines[text] for text in wanted[:4].tolist()])


def test_contexts_are_embedded_once_for_all_units(collected: Cache) -> None:
    embedder, cache = Letters(), Cache(collected.path)
    for unit in UNITS:
        evidence(cache, unit, hard=4, embedder=embedder)
    pools = [len(cache.hashes(half)) for half in HALVES]
    assert sorted(n for n in embedder.asked if n > 4) == sorted(pools)


def test_without_hard_negatives_nothing_is_looked_for(collected: Cache) -> None:
    embedder = Letters()
    found = evidence(collected, UNITS[0], neighbours=None, embedder=embedder)
    assert found.explain.hard == found.score.hard == HardNegatives()
    assert not embedder.asked
    with_hard = evidence(collected, UNITS[0], hard=3)
    assert with_hard.explain.hard.lexical and not with_hard.explain.hard.look_alikes
    assert replace(with_hard.explain, hard=HardNegatives()) == found.explain


# --- how often units fire -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def by_activity(
    make_settings: Callable[..., CollectSettings], tiny_subject: Subject, tmp_path_factory: pytest.TempPathFactory
) -> Cache:
    """A dictionary whose first units are active never, seldom, at times and always; the others reconstruct."""
    from safetensors.numpy import save_file

    folder = tmp_path_factory.mktemp("activity")
    direction = np.random.default_rng(0).normal(size=(32, 1)).astype(np.float32)
    both = np.concatenate([np.eye(32), -np.eye(32)]).astype(np.float32)
    tensors = {
        "W_enc": np.concatenate([np.repeat(direction, 4, 1), both.T], 1),
        "W_dec": np.concatenate([np.zeros((4, 32), np.float32), both]),
        "b_enc": np.zeros(68, np.float32),
    }
    save_file(tensors, folder / "probe.safetensors")
    given: dict[str, Any] = {"hookpoints": ("model.layers.0",), "top": 4, "uniform": 8}
    first = RunFolder(folder / "first")
    collect(first, make_settings(**given, dictionaries=(str(folder / "probe.safetensors"),)), tiny_subject)
    unit = UnitId("tiny-llama", "model.layers.0", "probe", 0)
    top, sampled = (
        sorted(e.peak for half in HALVES for e in Cache(first.cache).examples(unit, half, kind))
        for kind in ("top", "uniform")
    )
    tensors["b_enc"][:4] = [-1e6, -(top[-1] + top[-2]) / 2, -np.quantile(sampled, 0.6), 1e6]
    save_file(tensors, folder / "four.safetensors")
    run = RunFolder(folder / "run")
    collect(run, make_settings(**given, dictionaries=(str(folder / "four.safetensors"),)), tiny_subject)
    return Cache(run.cache)


def test_units_come_back_as_what_they_are(by_activity: Cache) -> None:
    found = [evidence(by_activity, unit, negatives=30) for unit in islice(by_activity.units(), 4)]
    assert [each.activity for each in found] == [Activity.DEAD, Activity.RARE, Activity.USUAL, Activity.DENSE]
    dead, rare, usual, dense = found
    assert dead.statistics.n_active == 0 and not dead.explain.top
    assert len(dead.explain.negatives) == 30
    assert 0 < rare.statistics.n_active < 16 and len(rare.explain.negatives) == 30
    assert 0 < usual.statistics.density < 0.5 and usual.explain.negatives
    assert dense.statistics.density == 1.0


def test_a_dense_unit_has_the_negatives_there_are_and_says_how_many(by_activity: Cache) -> None:
    dense = evidence(by_activity, list(by_activity.units())[3], negatives=30, hard=3, embedder=Letters())
    for half in (dense.explain, dense.score):
        assert len(half.top) == 4 and half.uniform
        assert half.negatives == () and half.n_certified == 0
        assert half.hard == HardNegatives()
    rare = evidence(by_activity, list(by_activity.units())[1])
    active = rare.statistics.n_active
    assert (rare.explain.n_certified or 0) + (rare.score.n_certified or 0) == rare.statistics.n_contexts - active
