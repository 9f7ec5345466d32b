"""Two sets of units beside one another, of runs, hookpoints or dictionaries: joins cache, dictionaries and ledger.

1. A side is a run and a place in it. By text alone its units are those that have an explanation; otherwise those
   that were active in at least `min_active` contexts.
2. Each kind of evidence has its condition: explanations on both sides; dictionaries that write to one place of one
   subject; runs that read the same corpus in the same contexts, or some of the same stimuli. A kind whose
   condition fails is missing, with the reason; where none is left, that is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from neurogloss.agent.run import Run
from neurogloss.errors import UserError
from neurogloss.ids import UnitId
from neurogloss.protocols import Embedder, Float32
from neurogloss.records import Explanation
from neurogloss.sources.cache import Cache, Site, read_sketch, sketch_folder
from neurogloss.sources.contexts import HALVES
from neurogloss.sources.dictionaries import directions_of, open_dictionary
from neurogloss.store import similarity
from neurogloss.store.matching import Match
from neurogloss.store.measures import Directions, Int, Measure, Texts, unit_rows
from neurogloss.store.overlaps import Overlap, Samples
from neurogloss.store.similarity import Member, Similarity

By = Literal["text", "decoder", "coactivation", "correlation"]
"""Kinds of evidence."""
Place = tuple[str | None, str | None]
"""A hookpoint and a dictionary; None takes all."""
ANYWHERE: Place = (None, None)
MIN_ACTIVE = 5
"""Contexts in which a unit has to be active: two that were active in one each are alike by chance."""
SHARED = 20
"""Stimuli that two experiments, or an experiment and a model, have to share."""
CONTEXT_SETTINGS = ("context_chars", "context_tokens")


def similar(
    a: str | Path,
    b: str | Path,
    place_a: Place = ANYWHERE,
    place_b: Place = ANYWHERE,
    k: int = 1,
    *,
    by: Sequence[By] = ("text",),
    match: Match = "nearest",
    min_active: int = MIN_ACTIVE,
    seed: int = 0,
    embedder: Embedder | None = None,
) -> Similarity:
    """Match the units of `a` with those of `b`, each kind of evidence beside its floor.

    Args:
        a, b: run folders, which may be the same.
        place_a, place_b: only units of that hookpoint and that dictionary.
        k: neighbours a unit, of the matchings `nearest` and `clusters`.
        by: kinds of evidence, the first of which ranks where several cannot be combined.
        min_active: contexts in which a unit has to be active to be compared; not asked for by text alone.
        embedder: what explanations are compared by; MiniLM unless another is given.

    Raises:
        UserError: a run or place without units, or none of the kinds is at hand.
    """
    _check(by, match)
    sides = _side(Run(a, embedder), place_a, by, min_active), _side(Run(b, embedder), place_b, by, min_active)
    measures, missing = _measures(*sides, by)
    if not measures:
        reasons = " ".join(f"{kind}: {reason}" for kind, reason in missing.items())
        raise UserError(f"Expected evidence to compare by, found none. {reasons}")
    return similarity.compare(
        sides[0].members,
        sides[1].members,
        measures,
        match,
        k,
        seed,
        missing,
        {
            f"{name}: active in fewer than {min_active} contexts": side.rare
            for name, side in zip("ab", sides, strict=True)
        },
    )


@dataclass(frozen=True)
class Grid:
    """How alike places are: each cell compares one place of A with one of B."""

    kind: By
    rows: tuple[str, ...]
    """Places of A, `hookpoint/dictionary`."""
    columns: tuple[str, ...]
    means: NDArray[np.float64]
    """(rows, columns): mean over units of A of the largest value with one of B; NaN where the kind is missing."""
    floors: NDArray[np.float64]
    """Mean of the floor."""
    missing: tuple[str, ...]
    """Why cells are NaN, each reason once."""


def grid(
    a: str | Path,
    b: str | Path,
    place_a: Place = ANYWHERE,
    place_b: Place = ANYWHERE,
    *,
    by: By = "coactivation",
    min_active: int = MIN_ACTIVE,
    seed: int = 0,
    embedder: Embedder | None = None,
) -> Grid:
    """Place by place, how alike units of `a` are to the most alike of `b`: layers, seeds, dictionaries.

    Raises:
        UserError: as `similar`.
    """
    _check((by,), "nearest")
    runs = Run(a, embedder), Run(b, embedder)
    whole = [_side(run, place, (by,), min_active) for run, place in zip(runs, (place_a, place_b), strict=True)]
    places = [list(dict.fromkeys((m.unit.hookpoint, m.unit.dictionary) for m in side.members)) for side in whole]
    sides = [
        [_side(run, place, (by,), min_active) for place in found] for run, found in zip(runs, places, strict=True)
    ]
    means, floors = (np.full([len(of) for of in places], np.nan) for _ in range(2))
    missing: dict[str, None] = {}
    for i, j in np.ndindex(means.shape):
        measures, reasons = _measures(sides[0][i], sides[1][j], (by,))
        missing |= {reason: None for reason in reasons.values()}
        for measure in measures:
            means[i, j], floors[i, j] = similarity.alike(sides[0][i].members, sides[1][j].members, measure, seed)
    if np.isnan(means).all():
        raise UserError(f"Expected evidence to compare by, found none. {' '.join(missing)}")
    rows, columns = (tuple("/".join(place) for place in of) for of in places)
    return Grid(by, rows, columns, means, floors, tuple(missing))


def _check(by: Sequence[str], match: str) -> None:
    unknown = sorted(set(by) - set(get_args(By)))
    if unknown or not by or match not in get_args(Match):
        kinds, matches = ", ".join(get_args(By)), ", ".join(get_args(Match))
        found = ", ".join(unknown) or ("none" if not by else f"the matching {match!r}")
        raise UserError(f"Expected some of {kinds}, and a matching of {matches}; found {found}.")


@dataclass(frozen=True)
class _Side:
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


class _Absent(Exception):
    """A kind of evidence is not at hand; the message says why."""


def _side(run: Run, place: Place, by: Collection[By], min_active: int) -> _Side:
    if set(by) == {"text"}:
        texts = _texts(run)
        return _Side(run, [Member(u, texts[u]) for u in _at(place, list(texts), run, "explanations")], [])
    cache = run.cache
    sites = _at(place, cache.sites, run, "units")
    texts = _texts(run) if run.folder.ledger.is_file() else {}
    found, members, rare = [], [], 0
    for site in sites:
        active = np.add.reduce([arrays["n_active"] for arrays in _sketches(cache, site)])
        rows = np.flatnonzero(active >= min_active)
        rare += len(active) - len(rows)
        found.append((site, rows))
        for row in rows.tolist():
            sign = 1 if row < site.units else -1
            unit = UnitId(cache.subject, site.hookpoint, site.dictionary, row % site.units, sign)
            members.append(Member(unit, texts.get(unit)))
    if not members:
        raise UserError(
            f"Expected units of {run.folder.path} that were active in {min_active} contexts, found none of "
            f"{rare}. Ask for fewer, or collect more tokens."
        )
    return _Side(run, members, found, rare)


def _texts(run: Run) -> dict[UnitId, str]:
    """What is said of each unit that has an explanation."""
    return {label.unit: label.explanation.text for label in run.labels() if label.explanation is not None}


def _at(place: Place, where: Sequence[Any], run: Run, what: str) -> list[Any]:
    """Sites or units at that place. Raises UserError where there are none."""
    found = [each for each in where if place[0] in (None, each.hookpoint) and place[1] in (None, each.dictionary)]
    if not found:
        wanted = f"{place[0] or 'any hookpoint'}/{place[1] or 'any dictionary'}"
        known = ", ".join(sorted({f"{each.hookpoint}/{each.dictionary}" for each in where}))
        raise UserError(f"Expected {what} at {wanted}; {run.folder.path} has {known or 'none'}.")
    return found


def _measures(a: _Side, b: _Side, by: Sequence[By]) -> tuple[list[Measure], dict[str, str]]:
    """The measures at hand, and why the others are not."""
    make: dict[By, Callable[[_Side, _Side], Measure]] = {
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


def _by_text(a: _Side, b: _Side) -> Texts:
    for side in (a, b):
        if not any(member.text for member in side.members):
            raise _Absent(f"no unit of {side.run.folder.path} that is compared has an explanation.")
    embedder = a.run.embedder
    first, second = (_embedded([member.text for member in side.members], embedder) for side in (a, b))
    again = _embedded(_second_texts(a), embedder)
    return Texts("text", first, second, None if np.isnan(again).all() else again)


def _second_texts(side: _Side) -> list[str | None]:
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


def _by_decoder(a: _Side, b: _Side) -> Directions:
    written = [_directions(side) for side in (a, b)]
    (place_a, vectors_a), (place_b, vectors_b) = written
    if place_a != place_b:
        raise _Absent(
            f"cosines mean something in one space only; A writes to {_said(place_a)}, B to {_said(place_b)}."
        )
    return Directions("decoder", vectors_a, vectors_b)


def _said(place: tuple[str, str, str, int]) -> str:
    return f"{place[1]} of {place[0]} (width {place[3]})"


def _directions(side: _Side) -> tuple[tuple[str, str, str, int], Float32]:
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


def _samples(a: _Side, b: _Side) -> tuple[Samples, Samples]:
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


def _sampled(side: _Side, contexts: NDArray[np.uint64]) -> Samples:
    parts: list[list[tuple[Any, Any]]] = [[] for _ in HALVES]
    for site, rows in side.sites:
        for part, arrays in zip(parts, _sketches(side.cache, site), strict=True):
            part.append((arrays["uniform_hashes"][rows], arrays["uniform_peaks"][rows]))
    halves = [tuple(map(np.concatenate, zip(*part, strict=True))) for part in parts]
    return Samples.of(halves, contexts)  # type: ignore[arg-type]


def _sketches(cache: Cache, site: Site) -> list[dict[str, NDArray[Any]]]:
    """The arrays of both halves, mapped."""
    return [read_sketch(sketch_folder(cache.path, None) / f"{site.name}.{half}", mapped=True) for half in HALVES]
