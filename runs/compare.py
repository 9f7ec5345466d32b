"""Compare two sets of units: of two runs, hookpoints or dictionaries.

1. Take both sides and the evidence that both have (`neurogloss.runs.sides`). No evidence at all is an error.
2. Match the units by that evidence (`neurogloss.store.similarity`), here or on the workers of a Ray cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from neurogloss.errors import UserError
from neurogloss.protocols import Embedder
from neurogloss.runs.cluster.comparing import spreading
from neurogloss.runs.cluster.connection import LOCAL
from neurogloss.runs.run import Run
from neurogloss.runs.sides import ANYWHERE, By, Where, measures_at_hand, side_of
from neurogloss.store import similarity
from neurogloss.store.matching import Match
from neurogloss.store.measures import Measure
from neurogloss.store.similarity import Similarity

Spread = Callable[[Sequence[Measure]], Sequence[Measure]]
MIN_ACTIVE = 5
"""Contexts in which a unit has to be active: two that were active in one each are alike by chance."""


def similar(
    a: str | Path,
    b: str | Path,
    place_a: Where = ANYWHERE,
    place_b: Where = ANYWHERE,
    k: int = 1,
    *,
    by: Sequence[By] = ("text",),
    match: Match = "nearest",
    min_active: int = MIN_ACTIVE,
    seed: int = 0,
    embedder: Embedder | None = None,
    engine: str = LOCAL,
) -> Similarity:
    """Match the units of `a` with those of `b`, each kind of evidence beside its floor.

    Args:
        a, b: run folders, which may be the same.
        place_a, place_b: only units of that hookpoint, dictionary and region (`neurogloss.runs.sides.Place`).
        k: neighbours a unit, of the matchings `nearest` and `clusters`.
        by: kinds of evidence, the first of which ranks where several cannot be combined.
        min_active: contexts in which a unit has to be active to be compared; not asked for by text alone.
        embedder: what explanations are compared by; MiniLM unless another is given.
        engine: `local`: this process. `ray`: workers of a Ray cluster; `ray:ADDRESS` of the one at that address.

    Raises:
        UserError: a run or place without units, none of the kinds is at hand, or no such cluster.
    """
    _check(by, match)
    with _computing(engine) as spread:
        sides = [side_of(Run(run, embedder), place, by, min_active) for run, place in ((a, place_a), (b, place_b))]
        measures, missing = measures_at_hand(sides[0], sides[1], by)
        if not measures:
            reasons = " ".join(f"{kind}: {reason}" for kind, reason in missing.items())
            raise UserError(f"Expected evidence to compare by, found none. {reasons}")
        return similarity.compare(
            sides[0].members,
            sides[1].members,
            spread(measures),
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
    place_a: Where = ANYWHERE,
    place_b: Where = ANYWHERE,
    *,
    by: By = "coactivation",
    min_active: int = MIN_ACTIVE,
    seed: int = 0,
    embedder: Embedder | None = None,
    engine: str = LOCAL,
) -> Grid:
    """Place by place, how alike units of `a` are to the most alike of `b`: layers, seeds, dictionaries.

    Raises:
        UserError: as `similar`.
    """
    _check((by,), "nearest")
    with _computing(engine) as spread:
        runs, within = (Run(a, embedder), Run(b, embedder)), (place_a, place_b)
        whole = [side_of(run, place, (by,), min_active) for run, place in zip(runs, within, strict=True)]
        places = [
            list(dict.fromkeys((m.unit.hookpoint, m.unit.dictionary) for m in side.members)) for side in whole
        ]
        first, second = (
            [side_of(run, (*place, *of[2:]), (by,), min_active) for place in found]
            for run, found, of in zip(runs, places, within, strict=True)
        )
        means, floors = (np.full((len(first), len(second)), np.nan) for _ in range(2))
        missing: dict[str, None] = {}
        for (i, one), (j, other) in product(enumerate(first), enumerate(second)):
            measures, reasons = measures_at_hand(one, other, (by,))
            missing |= {reason: None for reason in reasons.values()}
            for measure in spread(measures):
                means[i, j], floors[i, j] = similarity.alike(one.members, other.members, measure, seed)
    if np.isnan(means).all():
        raise UserError(f"Expected evidence to compare by, found none. {' '.join(missing)}")
    rows, columns = (tuple("/".join(place) for place in of) for of in places)
    return Grid(by, rows, columns, means, floors, tuple(missing))


def _computing(engine: str) -> AbstractContextManager[Spread]:
    """Where measures are computed: in this process, or by the workers of a cluster."""
    return nullcontext(lambda measures: measures) if engine == LOCAL else spreading(engine)


def _check(by: Sequence[str], match: str) -> None:
    unknown = sorted(set(by) - set(get_args(By)))
    if unknown or not by or match not in get_args(Match):
        kinds, matches = ", ".join(get_args(By)), ", ".join(get_args(Match))
        found = ", ".join(unknown) or ("none" if not by else f"the matching {match!r}")
        raise UserError(f"Expected some of {kinds}, and a matching of {matches}; found {found}.")
