"""Two sets of units to compare, and the evidence to compare them by.

A side is a run and a place in it. By text alone it holds the units with an explanation, otherwise the units that
were active in some contexts. Each kind of evidence has a condition, and is missing with a reason if it fails:

- text: both sides have explanations
- decoder: the dictionaries write to one place of one subject
- coactivation, correlation: the runs read the same corpus in the same contexts, or some of the same stimuli
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurogloss.errors import UserError
from neurogloss.ids import UnitId
from neurogloss.protocols import Embedder, Float32
from neurogloss.records import Explanation
from neurogloss.runs.run import Run
from neurogloss.sources.brain.voxels import NAME as VOXELS
from neurogloss.sources.brain.voxels import Voxels
from neurogloss.sources.cache import Cache, Site, read_sketch, sketch_folder
from neurogloss.sources.contexts import HALVES
from neurogloss.sources.dictionaries import directions_of, open_dictionary
from neurogloss.store.index import Index
from neurogloss.store.measures import Directions, Int, Measure, Texts, unit_rows
from neurogloss.store.overlaps import Overlap, Samples
from neurogloss.store.similarity import Member

SHARED = 20
"""Stimuli that two experiments, or an experiment and a model, have to share."""
CONTEXT_SETTINGS = ("context_chars", "context_tokens")
By = Literal["text", "decoder", "coactivation", "correlation"]
"""Kinds of evidence."""


class Place(NamedTuple):
    """Which units of a run; None takes all. Any tuple of its first parts will do."""

    hookpoint: str | None = None
    dictionary: str | None = None
    roi: str | None = None
    """Regions of the brain, separated by commas: voxels in one of them."""

    def holds(self, run: Run) -> NDArray[np.int64] | None:
        """Indices of the voxels in the region; None: all units. Raises UserError where there is no such region."""
        if self.roi is None:
            return None
        voxels = Voxels.of(run.cache)
        if voxels is None:
            raise UserError(
                f"Expected voxels, which regions are of, in {run.folder.path}, found none. Leave out --roi."
            )
        return voxels.within(self.roi.split(","))


Where = tuple[str | None, ...]
ANYWHERE: Where = Place()


@dataclass(frozen=True)
class Side:
    """A run's units that are compared."""

    run: Run
    members: list[Member]
    sites: list[tuple[Site, Int]]
    """Each site with the rows of its sides that are compared, in the order of the members; empty by text alone."""
    rare: int = 0
    """Units that were left out."""

    @cached_property
    def cache(self) -> Cache:
        return self.run.cache


def side_of(run: Run, where: Where, by: Collection[By], min_active: int) -> Side:
    """The units of a run at that place. Raises UserError where there are none."""
    place = Place(*where)
    held = place.holds(run)
    if set(by) == {"text"}:
        texts = _texts(run)
        units = [u for u in texts if held is None or (u.dictionary == VOXELS and u.index in held)]
        return Side(run, [Member(u, *texts[u]) for u in _at(place, units, run, "explanations")], [])
    cache = run.cache
    sites = _at(place, cache.sites, run, "units")
    texts = _texts(run) if run.folder.ledger.is_file() else {}
    found, members, rare = [], [], 0
    for site in sites:
        active = np.add.reduce([arrays["n_active"] for arrays in sketches(cache, site)])
        looked_at = np.arange(len(active))
        if held is not None:
            looked_at = looked_at[np.isin(looked_at % site.units, held) & (site.dictionary == VOXELS)]
        rows = looked_at[active[looked_at] >= min_active]
        rare += len(looked_at) - len(rows)
        found.append((site, rows))
        for row in rows.tolist():
            sign = 1 if row < site.units else -1
            unit = UnitId(cache.subject, site.hookpoint, site.dictionary, row % site.units, sign)
            members.append(Member(unit, *texts.get(unit, ())))
    if not members:
        raise UserError(
            f"Expected units of {run.folder.path} that were active in {min_active} contexts, found none of "
            f"{rare}. Ask for fewer, or collect more tokens."
        )
    return Side(run, members, found, rare)


def _texts(run: Run) -> dict[UnitId, tuple[str, str]]:
    """Text and id of the explanation of each unit that has one."""
    found = ((label.unit, label.explanation) for label in run.labels())
    return {unit: (explanation.text, explanation.id) for unit, explanation in found if explanation is not None}


def _at(place: Place, where: Sequence[Any], run: Run, what: str) -> list[Any]:
    """Sites or units at that place. Raises UserError where there are none."""
    hookpoint, dictionary, _ = place
    found = [
        each for each in where if hookpoint in (None, each.hookpoint) and dictionary in (None, each.dictionary)
    ]
    if not found:
        wanted = f"{hookpoint or 'any hookpoint'}/{dictionary or 'any dictionary'}"
        known = ", ".join(sorted({f"{each.hookpoint}/{each.dictionary}" for each in where}))
        raise UserError(f"Expected {what} at {wanted}; {run.folder.path} has {known or 'none'}.")
    return found


def sketches(cache: Cache, site: Site) -> list[dict[str, NDArray[Any]]]:
    """The arrays of both halves, mapped."""
    return [read_sketch(sketch_folder(cache.path, None) / f"{site.name}.{half}", mapped=True) for half in HALVES]


# --- kinds of evidence ----------------------------------------------------------------------------


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
    known = _indexed(a, embedder) | _indexed(b, embedder)
    first, second = (_embedded([member.text for member in side.members], embedder, known) for side in (a, b))
    again = _embedded(_second_texts(a), embedder, known)
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


def _indexed(side: Side, embedder: Embedder) -> dict[str, Float32]:
    """Vectors by text that the index of the side's run has, made with this embedder."""
    said = {member.document: member.text for member in side.members if member.document and member.text}
    index = Index(side.run.folder.index, embedder)
    if not said or not index.exists():
        return {}
    try:
        with index, side.run.ledger() as ledger:
            return {said[id]: vector for id, vector in index.vectors(ledger.documents, said).items()}
    except UserError:
        return {}  # another embedder made it, or it is damaged: the texts are embedded anew


def _embedded(texts: Sequence[str | None], embedder: Embedder, known: Mapping[str, Float32]) -> Float32:
    """(len(texts), d): vectors that are known, each other text embedded once; NaN where there is no text."""
    new = [text for text in dict.fromkeys(texts) if text and text not in known]
    vectors = {**known, **dict(zip(new, embedder.embed(new) if new else (), strict=True))}
    nothing = np.full(embedder.dimension, np.nan, np.float32)
    return np.stack([vectors[text] if text else nothing for text in texts]).astype(np.float32)


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
