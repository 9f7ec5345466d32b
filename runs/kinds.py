"""Kinds of evidence for how alike two sets of units are, joined from cache, dictionaries and ledger.

Each has its condition: explanations on both sides; dictionaries that write to one place of one subject; runs that
read the same corpus in the same contexts, or some of the same stimuli. A kind whose condition fails is missing,
with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurogloss.errors import UserError
from neurogloss.protocols import Embedder, Float32
from neurogloss.records import Explanation
from neurogloss.runs.sides import By, Side, sketches
from neurogloss.sources.cache import Cache
from neurogloss.sources.contexts import HALVES
from neurogloss.sources.dictionaries import directions_of, open_dictionary
from neurogloss.store.measures import Directions, Measure, Texts, unit_rows
from neurogloss.store.overlaps import Overlap, Samples

SHARED = 20
"""Stimuli that two experiments, or an experiment and a model, have to share."""
CONTEXT_SETTINGS = ("context_chars", "context_tokens")


class _Absent(Exception):
    """A kind of evidence is not at hand; the message says why."""


def measures_at_hand(a: Side, b: Side, by: Sequence[By]) -> tuple[list[Measure], dict[str, str]]:
    """The measures at hand, and why the others are not."""
    make: dict[By, Callable[[Side, Side], Measure]] = {
        "text": _by_text,
        "decoder": _by_decoder,
        "coactivation": lambda a, b: Overlap("coactivation", *_samples(a, b)),
        "correlation": lambda a, b: Overlap("correlation", *_samples(a, b)),
    }
    measures: list[Measure] = []
    missing: dict[str, str] = {}
    for kind in dict.fromkeys(by):
        try:
            measures.append(make[kind](a, b))
        except _Absent as reason:
            missing[kind] = str(reason)
    return measures, missing


# --- text -----------------------------------------------------------------------------------------


def _by_text(a: Side, b: Side) -> Texts:
    for side in (a, b):
        if not any(member.text for member in side.members):
            raise _Absent(f"no unit of {side.run.folder.path} that is compared has an explanation.")
    embedder = a.run.embedder
    first, second = (_embedded([member.text for member in side.members], embedder) for side in (a, b))
    again = _embedded(_second_texts(a), embedder)
    return Texts("text", first, second, None if np.isnan(again).all() else again)


def _second_texts(side: Side) -> list[str | None]:
    """Of each unit the best candidate beside the chosen one that says something else."""

    def other(candidates: Sequence[Explanation], text: str) -> str | None:
        return next((each.text for each in candidates if each.text.casefold() != text.casefold()), None)

    with side.run.ledger() as ledger:
        method = ledger.newest_method()
        return [
            other(ledger.candidates(member.unit, method), member.text) if method and member.text else None
            for member in side.members
        ]


def _embedded(texts: Sequence[str | None], embedder: Embedder) -> Float32:
    """(len(texts), d): each distinct text is embedded once; NaN where there is none."""
    place = {text: i for i, text in enumerate(dict.fromkeys(text for text in texts if text))}
    found = np.full((len(texts), embedder.dimension), np.nan, np.float32)
    if place:
        vectors = embedder.embed(list(place))
        rows = [i for i, text in enumerate(texts) if text]
        found[rows] = vectors[[place[text] for text in texts if text]]
    return found


# --- decoder --------------------------------------------------------------------------------------


def _by_decoder(a: Side, b: Side) -> Directions:
    written = [_directions(side) for side in (a, b)]
    (place_a, vectors_a), (place_b, vectors_b) = written
    if place_a != place_b:
        raise _Absent(
            f"cosines mean something in one space only; A writes to {_said(place_a)}, B to {_said(place_b)}."
        )
    return Directions("decoder", vectors_a, vectors_b)


def _said(place: tuple[str, str, str, int]) -> str:
    return f"{place[1]} of {place[0]} (width {place[3]})"


def _directions(side: Side) -> tuple[tuple[str, str, str, int], Float32]:
    """Where all units write (subject, hookpoint, its fingerprint, width), and what: rows of unit length."""
    subject = side.cache.manifest["subject"]
    places, parts = set(), []
    for site, rows in side.sites:
        try:
            # Neurons and heads have no files, and take their size from the hookpoint.
            dictionary = open_dictionary(site.spec, site.units if site.spec == "neurons" else None)
            directions = directions_of(dictionary)
        except (UserError, ImportError) as error:
            raise _Absent(f"{site.name}: {error}") from None
        vectors = directions.detach().float().numpy()[rows % site.units]
        parts.append(unit_rows(vectors * np.where(rows < site.units, 1, -1).astype(np.float32)[:, None]))
        target = dictionary.target or site.hookpoint
        places.add((subject["name"], target, subject["fingerprint"], vectors.shape[1]))
    if len(places) > 1:
        raise _Absent(f"units of one side write to several places: {', '.join(sorted(map(_said, places)))}.")
    return places.pop(), np.concatenate(parts)


# --- co-activation --------------------------------------------------------------------------------


def _samples(a: Side, b: Side) -> tuple[Samples, Samples]:
    """The samples of both sides, over the contexts that both runs have read."""
    one, other = a.cache.manifest, b.cache.manifest
    first, second = (np.concatenate([side.cache.hashes(half) for half in HALVES]) for side in (a, b))
    shared = np.intersect1d(first, second)
    if "stimuli" in (a.cache.measure, b.cache.measure):
        shared = _whole(a.cache, b.cache, shared)
        return _sampled(a, shared), _sampled(b, shared)
    if one["corpus"] != other["corpus"]:
        raise _Absent(
            f"the runs read different corpora ({_origin(one)} and {_origin(other)}, by their fingerprints)."
        )
    if any(one["settings"].get(name) != other["settings"].get(name) for name in CONTEXT_SETTINGS):
        raise _Absent("the runs cut their corpus into contexts of different lengths.")
    return _sampled(a, shared), _sampled(b, shared)


def _origin(manifest: Mapping[str, Any]) -> str:
    settings = manifest["settings"]
    return next(str(settings[name]) for name in ("corpus", "pictures", "stimuli") if settings.get(name))


def _whole(a: Cache, b: Cache, shared: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The stimuli that both runs know as a whole: a document that was cut shares the hash of its beginning.

    Raises:
        _Absent: there are too few.
    """
    pairs = ((digest, a.context(digest), b.context(digest)) for digest in shared.tolist())
    kept = [digest for digest, one, other in pairs if (one.picture and other.picture) or one.text == other.text]
    if len(kept) < SHARED:
        raise _Absent(
            f"the runs share {len(kept)} stimuli, {SHARED} are needed. A text is shared where it is a document of "
            "its own in the other run's corpus, and one context there (--context-chars)."
        )
    return np.array(kept, np.uint64)


def _sampled(side: Side, contexts: NDArray[np.uint64]) -> Samples:
    parts: list[list[tuple[Any, Any]]] = [[] for _ in HALVES]
    for site, rows in side.sites:
        for part, arrays in zip(parts, sketches(side.cache, site), strict=True):
            part.append((arrays["uniform_hashes"][rows], arrays["uniform_peaks"][rows]))
    halves = [tuple(map(np.concatenate, zip(*part, strict=True))) for part in parts]
    return Samples.of(halves, contexts)  # type: ignore[arg-type]
