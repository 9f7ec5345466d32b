from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from neurogloss.folder import RunFolder
from neurogloss.ids import UnitId, hash64
from neurogloss.records import Evidence, EvidenceHalf
from neurogloss.settings import CollectSettings
from neurogloss.sources.cache import HALVES, Cache
from neurogloss.sources.collector import collect
from neurogloss.sources.corpus import half_of
from neurogloss.sources.evidence import evidence
from neurogloss.sources.subject import Subject

HOOKPOINT = "model.layers.1.mlp.down_proj.input"
UNITS = [UnitId("tiny-llama", HOOKPOINT, "neurons", index, sign) for index in (0, 11, 40) for sign in (1, -1)]


def texts_in(half: EvidenceHalf) -> list[str]:
    return [e.context.text for e in (*half.top, *half.uniform)] + [c.text for c in half.negatives]


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
