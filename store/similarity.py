"""What two sets of units have in common: evidence of several kinds, floors, a matching, what is left over.

1. Of each kind of evidence (`neurogloss.store.measures`, `neurogloss.store.overlaps`), each unit's most alike of
   the other set, in both directions: the candidates. All kinds are measured on all of them.
2. The floor of each kind: what it is where there is nothing in common. Its 95th percentile is the limit above
   which two units count as alike by that kind.
3. A probability that a pair is one and the same unit, from all kinds (`neurogloss.store.calibration`).
4. One kind ranks by itself. Several rank by the probability, with 0.5 as the limit, or where there is none, by the
   first kind.
5. The matching (`neurogloss.store.matching`). A unit that is in no pair above the limit is unmatched; one that is
   like no unit of the other set above the limit is distinctive, whatever the matching.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from neurogloss.ids import UnitId, canonical_json
from neurogloss.protocols import Float32
from neurogloss.records import Number
from neurogloss.store import matching
from neurogloss.store.calibration import Calibration, calibrate
from neurogloss.store.exchange.columns import arrow
from neurogloss.store.exchange.files import new_file, plain
from neurogloss.store.matching import Match
from neurogloss.store.measures import Edges, Int, Measure, blocks, nearest

CANDIDATES = 10
"""Most alike units of each, of every kind and direction."""
LIMIT = 0.95
"""Quantile of the floor that is the limit."""
PROBABILITY = "probability"


@dataclass(frozen=True, slots=True)
class Member:
    """A unit of a set, and what is said of it."""

    unit: UnitId
    text: str | None = None
    """None if it has no explanation."""
    document: str | None = None
    """The explanation's id, by which its vector is found in the run's index."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A unit of A and one of B that the matching put together."""

    a: Member
    b: Member
    similarity: Number
    """What the matching ranked by."""
    matched: bool
    """Whether that lies above the limit."""
    values: Mapping[str, Number]
    """By kind of evidence; NaN where it says nothing of this pair."""
    probability: Number
    """That both are the same; NaN where it could not be calibrated."""
    cluster: int | None = None


@dataclass(frozen=True, slots=True)
class Lone:
    """A unit that is like none of the other set above the limit."""

    unit: UnitId
    text: str | None
    similarity: Number
    """To the most alike; NaN where there was nothing to compare with."""


@dataclass(frozen=True, slots=True)
class Level:
    """One kind of evidence over a whole comparison."""

    kind: str
    pairs: int
    """Of the matching, that have it."""
    mean: Number
    """Over those pairs; NaN where there are none."""
    floor: Number
    """Mean of the floor."""
    limit: Number
    """95th percentile of the floor."""
    share_a: Number
    """Units of A that are like one of B above the limit, by this kind, among those that have it."""
    share_b: Number
    floor_is: str


@dataclass(frozen=True, slots=True)
class Similarity:
    """What two sets of units have in common."""

    pairs: tuple[Pair, ...]
    """By unit of A, in its order; of `nearest` the most alike first."""
    match: Match
    ranked_by: str
    """A kind, or `probability`."""
    limit: float
    levels: tuple[Level, ...]
    missing: Mapping[str, str]
    """Kinds that were asked for and are not at hand, and why."""
    units: tuple[int, int]
    """Units of A and of B that were compared."""
    matched: tuple[int, int]
    """Those that are in a pair above the limit."""
    distinctive: tuple[tuple[Lone, ...], tuple[Lone, ...]]
    """Of A and of B: those with an explanation first, the least alike first."""
    calibration: Calibration
    floors: Mapping[str, Float32]
    """Values of each kind's floor."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Units that were not compared, by reason."""

    @property
    def unmatched(self) -> tuple[int, int]:
        """Units of A and of B in no pair above the limit."""
        return self.units[0] - self.matched[0], self.units[1] - self.matched[1]

    def summary(self, distinctive: int = 5) -> dict[str, Any]:
        """All but the pairs, as JSON has it; so many of each side's distinctive units."""

        def sided(both: tuple[Any, Any]) -> dict[str, Any]:
            return dict(zip("ab", both, strict=True))

        def first(lone: tuple[Lone, ...]) -> dict[str, Any]:
            return {
                "units": len(lone),
                "first": [asdict(each) | {"unit": str(each.unit)} for each in lone[:distinctive]],
            }

        found = {
            "match": self.match,
            "ranked_by": self.ranked_by,
            "limit": self.limit,
            "units": sided(self.units),
            "matched": sided(self.matched),
            "unmatched": sided(self.unmatched),
            "kinds": [asdict(level) for level in self.levels],
            "missing": dict(self.missing),
            "left_out": dict(self.left_out),
            "calibration": {
                "pairs": self.calibration.pairs,
                "brier": self.calibration.brier,
                "brier_floor": self.calibration.brier_floor,
                "without": dict(self.calibration.missing),
            },
            "distinctive": sided((first(self.distinctive[0]), first(self.distinctive[1]))),
        }
        result: dict[str, Any] = plain(found)
        return result


def compare(
    a: Sequence[Member],
    b: Sequence[Member],
    measures: Sequence[Measure],
    match: Match = "nearest",
    k: int = 1,
    seed: int = 0,
    missing: Mapping[str, str] | None = None,
    left_out: Mapping[str, int] | None = None,
) -> Similarity:
    """Match the units of A with those of B by what the measures say; a unit is not matched with itself.

    Args:
        measures: over A and B, at least one.
        k: neighbours a unit, of `nearest` and `clusters`.
        missing, left_out: handed on.

    Raises:
        ValueError: no measure, or k less than 1.
    """
    if not measures:
        raise ValueError("expected at least one measure")
    shape = len(a), len(b)
    twins = _twins(a, b)
    near = [_both_ways(measure, max(k, CANDIDATES), twins) for measure in measures]
    floors = {measure.name: measure.floor(seed, twins) for measure in measures}
    limits = {name: float(np.quantile(floor, LIMIT)) if len(floor) else math.nan for name, floor in floors.items()}
    alone = len(measures) == 1 and shape[0] * shape[1] <= matching.EXACT_CELLS
    exact = _exact(measures[0], limits[measures[0].name], twins) if match == "one-to-one" and alone else None
    candidates = [*(each for both in near for each in both), *([exact] if exact else [])]
    keys = np.unique(np.concatenate([each.keys(shape[1]) for each in candidates]))
    rows, columns = np.divmod(keys, shape[1])
    values = np.stack([measure.at(rows, columns) for measure in measures], 1)
    calibration = calibrate(measures, seed)
    probability = calibration.probability(values)
    if len(measures) > 1 and not np.isnan(probability).all():
        ranked_by, limit, ranks = PROBABILITY, 0.5, probability
    else:
        ranked_by, ranks = measures[0].name, values[:, 0]
        limit = limits[ranked_by]
    edges = Edges(rows, columns, ranks)
    clusters = None
    if exact is not None:
        chosen = np.flatnonzero(np.isin(keys, exact.keys(shape[1])))
    else:
        chosen, clusters = _matched(edges, shape, match, k, limit)
    pairs = tuple(
        Pair(
            a[rows[p]],
            b[columns[p]],
            float(ranks[p]),
            bool(ranks[p] > limit),
            {measure.name: float(value) for measure, value in zip(measures, values[p], strict=True)},
            float(probability[p]),
            None if clusters is None else int(clusters[place]),
        )
        for place, p in enumerate(chosen)
    )
    above = chosen[ranks[chosen] > limit]
    return Similarity(
        pairs=pairs,
        match=match,
        ranked_by=ranked_by,
        limit=limit,
        levels=tuple(
            _level(measure, values[chosen, i], floors[measure.name], limits[measure.name], near[i])
            for i, measure in enumerate(measures)
        ),
        missing=dict(missing or {}),
        units=shape,
        matched=(len(np.unique(rows[above])), len(np.unique(columns[above]))),
        distinctive=(_distinctive(a, rows, ranks, limit), _distinctive(b, columns, ranks, limit)),
        calibration=calibration,
        floors=floors,
        left_out=dict(left_out or {}),
    )


def alike(a: Sequence[Member], b: Sequence[Member], measure: Measure, seed: int = 0) -> tuple[float, float]:
    """Mean over the units of A of what the most alike of B is to them, and the mean of the floor."""
    twins = _twins(a, b)
    return _mean(nearest(measure, 1, twins).values), _mean(measure.floor(seed, twins))


def _twins(a: Sequence[Member], b: Sequence[Member]) -> Int:
    place = {member.unit: j for j, member in enumerate(b)}
    return np.array([place.get(member.unit, -1) for member in a], np.int64)


def _both_ways(measure: Measure, k: int, twins: Int) -> tuple[Edges, Edges]:
    """Each unit's most alike, of A and of B; both as edges from A to B."""
    back = np.full(measure.shape[1], -1)
    back[twins[twins >= 0]] = np.flatnonzero(twins >= 0)
    return nearest(measure, k, twins), nearest(measure.swapped(), k, back).swapped


def _exact(measure: Measure, limit: float, twins: Int) -> Edges:
    whole = np.concatenate([measure.block(rows) for rows in blocks(measure)])
    own = np.flatnonzero(twins >= 0)
    whole[own, twins[own]] = -np.inf
    return matching.one_to_one_exact(whole, limit)


def _matched(edges: Edges, shape: tuple[int, int], match: Match, k: int, limit: float) -> tuple[Int, Int | None]:
    """Positions of the edges that are chosen, and their clusters where there are such."""
    known = np.flatnonzero(~np.isnan(edges.values))
    some = edges.take(known)
    if match == "clusters":
        chosen, clusters = matching.clusters(some, shape, k, limit)
        return known[chosen], clusters
    if match == "one-to-one":
        return known[matching.one_to_one(some, shape, limit)], None
    return known[matching.mutual(some) if match == "mutual" else matching.nearest(some, k)], None


def _level(measure: Measure, values: Float32, floor: Float32, limit: float, near: tuple[Edges, Edges]) -> Level:
    known = values[~np.isnan(values)]
    return Level(
        kind=measure.name,
        pairs=len(known),
        mean=_mean(known),
        floor=_mean(floor),
        limit=limit,
        share_a=_share(near[0].rows, near[0].values, limit),
        share_b=_share(near[1].columns, near[1].values, limit),
        floor_is=measure.floor_is,
    )


def _share(units: Int, values: Float32, limit: float) -> float:
    """Of the units, those with a value above the limit."""
    return len(np.unique(units[values > limit])) / len(np.unique(units)) if len(units) else math.nan


def _mean(values: Float32) -> float:
    return float(values.mean()) if len(values) else math.nan


def _distinctive(members: Sequence[Member], units: Int, ranks: Float32, limit: float) -> tuple[Lone, ...]:
    best = np.full(len(members), np.nan, np.float32)
    np.fmax.at(best, units, ranks)
    lone = [
        Lone(members[i].unit, members[i].text, float(best[i])) for i in np.flatnonzero(~(best > limit)).tolist()
    ]
    return tuple(sorted(lone, key=lambda each: (each.text is None, math.isnan(each.similarity), each.similarity)))


def write_parquet(path: Path, similarity: Similarity) -> None:
    """A row a pair, a column a kind, the summary as JSON in the file's metadata.

    Raises:
        UserError: something is at `path` already.
        MissingExtra: pyarrow is not installed.
    """
    pa = arrow()
    pairs = similarity.pairs
    text, number = pa.string(), pa.float64()
    columns = {
        "unit_a": pa.array([str(pair.a.unit) for pair in pairs], text),
        "explanation_a": pa.array([pair.a.text for pair in pairs], text),
        "unit_b": pa.array([str(pair.b.unit) for pair in pairs], text),
        "explanation_b": pa.array([pair.b.text for pair in pairs], text),
        "similarity": pa.array([pair.similarity for pair in pairs], number),
        "matched": pa.array([pair.matched for pair in pairs], pa.bool_()),
        "probability": pa.array([pair.probability for pair in pairs], number, from_pandas=True),
        "cluster": pa.array([pair.cluster for pair in pairs], pa.int64()),
    }
    for level in similarity.levels:
        columns[level.kind] = pa.array([pair.values[level.kind] for pair in pairs], number, from_pandas=True)
    metadata = {"neurogloss.similarity": canonical_json(similarity.summary())}
    with new_file(path) as file:
        importlib.import_module("pyarrow.parquet").write_table(
            pa.table(columns).replace_schema_metadata(metadata), file, compression="zstd"
        )
