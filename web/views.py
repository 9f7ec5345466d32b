"""From records to what is answered, where that is more than their fields."""

from __future__ import annotations

import math
from array import array
from collections import defaultdict
from collections.abc import Iterator, Mapping
from heapq import heappush, heappushpop
from itertools import groupby
from operator import itemgetter
from typing import Any, Literal
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from neurogloss import records
from neurogloss.errors import UserError
from neurogloss.ids import UnitId, hash64, layer_of
from neurogloss.scorers.summary import by_scorer
from neurogloss.sources.evidence import evidence
from neurogloss.sources.sketch import histogram_edges
from neurogloss.store.ledger import Ledger
from neurogloss.web import schemas
from neurogloss.web.readers import Opened, Reader

POINTS = 2_000
"""Units in a picture of the scores."""
DECILES = 10
RECALLS = [f"recall_decile_{i + 1}" for i in range(DECILES)]


def image(reader: Reader, context: str | None) -> str | None:
    """Where the image of a context is sent from."""
    return f"/api/runs/{quote(reader.name, safe='')}/images/{context}" if context else None


def example(reader: Reader, seen: records.Example) -> schemas.Example:
    context = seen.context
    return schemas.Example(
        context=context.id,
        tokens=list(context.tokens),
        activations=list(seen.activations),
        peak=seen.peak,
        grid=seen.grid,
        image=image(reader, context.id if context.picture else None),
    )


def silent(reader: Reader, context: records.Context) -> schemas.Example:
    """A context that did not activate the unit."""
    shown = image(reader, context.id if context.picture else None)
    return schemas.Example(context=context.id, tokens=list(context.tokens), activations=[], peak=0.0, image=shown)


def hit(
    reader: Reader, ledger: Ledger, label: records.Label, similarity: float = math.nan, same: int = 1
) -> schemas.Hit:
    """A label with its unit's strongest context."""
    statistics = ledger.statistics(label.unit)
    return schemas.Hit(
        run=reader.name,
        label=label,
        density=statistics.density if statistics else None,
        similarity=similarity,
        same=same,
        strip=strongest(reader, label.unit),
    )


def strongest(reader: Reader, unit: UnitId) -> schemas.Example | None:
    """The context of the explain half that activates the unit most; None where that is not known."""
    cache = reader.cache
    try:
        found = cache.examples(unit, "explain", "top", n=1) if cache else []
    except UserError:
        return None  # imported beside what was collected
    return example(reader, found[0]) if found else None


def contexts(reader: Reader, unit: UnitId, half: Literal["explain", "score"], limit: int) -> schemas.Contexts:
    """What was seen of a unit in one half."""
    cache = reader.cache
    if cache is None:
        return schemas.Contexts(half=half, top=[], uniform=[], negatives=[])
    seen = evidence(cache, unit, negatives=limit)
    part = seen.score if half == "score" else seen.explain
    # Evenly by place: a sample by descending peak stays one of all peaks.
    places = np.unique(np.linspace(0, len(part.uniform) - 1, min(limit, len(part.uniform))).round().astype(int))
    return schemas.Contexts(
        half=half,
        top=[example(reader, each) for each in part.top[:limit]],
        uniform=[example(reader, part.uniform[i]) for i in places],
        negatives=[silent(reader, context) for context in part.negatives],
    )


def unit(reader: Reader, opened: Opened | None, wanted: UnitId) -> schemas.Unit:
    """A unit's page."""
    labels: list[records.Label] = []
    candidates: list[records.Explanation] = []
    statistics = None
    if opened is not None:
        found = [opened.ledger.label(wanted, method) for method, _ in _newest_first(opened.ledger)]
        labels = [label for label in found if label is not None]
        candidates = opened.ledger.candidates(wanted, labels[0].method) if labels else []
        statistics = opened.ledger.statistics(wanted)
    cache, activity, outputs = reader.cache, None, None
    try:
        if cache is not None:
            activity, outputs = cache.activity(wanted).value, cache.output_tokens(wanted)
            statistics = cache.statistics(wanted)
    except UserError:
        pass  # imported beside what was collected
    return schemas.Unit(
        unit=wanted,
        labels=labels,
        candidates=candidates,
        activity=activity,
        statistics=statistics,
        edges=histogram_edges().tolist() if activity else [],
        output_tokens=outputs,
        prediction=prediction(reader, wanted),
    )


def prediction(reader: Reader, unit: UnitId) -> schemas.Prediction | None:
    """What is known of a voxel; None of any other unit, and where responses were not predicted."""
    voxels = reader.voxels
    if voxels is None or "r" not in voxels.table or unit.index >= len(voxels.table["r"]):
        return None
    return schemas.Prediction(
        r=float(voxels.table["r"][unit.index]),
        ceiling=voxels.ceiling(unit.index),
        p_value=float(voxels.table["p"][unit.index]),
        rois=sorted(name for name, held in voxels.about["rois"].items() if unit.index in held),
    )


def answer(reader: Reader, outcome: records.Outcome) -> schemas.Answer:
    """A question and its answer."""
    probability, truth = outcome.answer.probability, outcome.question.truth
    passages = [
        schemas.Passage(
            tokens=list(passage.tokens),
            marks=list(passage.marks),
            grid=passage.grid,
            image=image(reader, reader.picture_id(passage.picture)),
        )
        for passage in outcome.question.passages
    ]
    return schemas.Answer(
        scorer=outcome.scorer,
        passages=passages,
        truth=truth,
        stratum=outcome.question.stratum,
        probability=probability,
        right=None if probability is None else right(outcome),
        failure=outcome.answer.failure,
        reason=outcome.answer.reason,
    )


def right(outcome: records.Outcome) -> bool:
    """Whether the judge said what is true; no answer is not right."""
    probability = outcome.answer.probability
    return probability is not None and (probability >= 0.5) == outcome.question.truth


# --- runs -------------------------------------------------------------------------------------------


def run(reader: Reader, live: bool) -> schemas.Run:
    """Where a run stands."""
    manifest = reader.manifest()
    with reader.opened() as opened:
        methods = [_method(opened.ledger, *each) for each in _newest_first(opened.ledger)] if opened else []
        places = opened.ledger.places() if opened and not manifest else {}
        fields = opened.ledger.documents.fields() if opened else {}
    if manifest:
        # A signed unit has two sides.
        sites = [(at["hookpoint"], at["dictionary"], at["units"] * (1 + at["signed"])) for at in manifest["sites"]]
    else:
        sites = [(hookpoint, dictionary, n) for (_, hookpoint, dictionary), n in places.items()]
    return schemas.Run(
        name=reader.name,
        subject=manifest["subject"]["name"] if manifest else ", ".join(dict.fromkeys(p[0] for p in places)),
        measure=manifest["measure"] if manifest else None,
        counts={name: n for name, n in manifest["counts"].items() if isinstance(n, int)} if manifest else {},
        complete=bool(manifest and manifest.get("complete")),
        sites=[schemas.Site(hookpoint=h, dictionary=d, units=n, layer=layer_of(h)) for h, d, n in sites],
        methods=methods,
        fields={name: "text" if kind is str else "number" for name, kind in fields.items()},
        live=live,
    )


def _newest_first(ledger: Ledger) -> list[tuple[str, Mapping[str, Any]]]:
    """Methods with their settings; imported ones last, as for `Ledger.newest_method`."""
    return sorted(reversed(ledger.methods().items()), key=lambda each: each[0].startswith("import-"))


def _method(ledger: Ledger, id: str, settings: Mapping[str, Any]) -> schemas.Method:
    explainer = settings.get("explainer")
    name = explainer.get("explainer") if isinstance(explainer, dict) else explainer
    states = {state.value: n for state, n in ledger.counts(id).items()}
    return schemas.Method(id=id, explainer=str(name or "import"), states=states, usage=dict(ledger.usage(id)))


def numbers(ledger: Ledger, method: str) -> schemas.Numbers:
    """What the scores of a method come to; of units only those that are drawn are kept in memory."""
    drawn: list[tuple[int, str, list[records.Score]]] = []
    recalls: dict[str, array[float]] = defaultdict(lambda: array("d"))

    def scores() -> Iterator[records.Score]:
        for unit, group in groupby(ledger.scores(method), key=itemgetter(0)):
            mine = [score for _, score in group]
            (heappushpop if len(drawn) == POINTS else heappush)(drawn, (-hash64(unit), unit, mine))
            for score in mine:
                recalls[score.scorer].extend(score.metrics.get(name, math.nan) for name in RECALLS)
                yield score

    scorers = by_scorer(scores())
    means = {scorer: _means(np.array(known).reshape(-1, DECILES)) for scorer, known in sorted(recalls.items())}
    shown = {scorer: some for scorer, some in means.items() if not all(map(math.isnan, some))}
    points = [_point(ledger, unit, score) for _, unit, mine in sorted(drawn, reverse=True) for score in mine]
    return schemas.Numbers(method=method, scorers=scorers, recalls=shown, points=points)


def _means(known: NDArray[np.float64]) -> list[float]:
    """Mean of each column over the rows that define it, NaN if none does."""
    sums, numbers = np.nansum(known, axis=0), np.isfinite(known).sum(axis=0)
    return [float(total / n) if n else math.nan for total, n in zip(sums, numbers, strict=True)]


def _point(ledger: Ledger, unit: str, score: records.Score) -> schemas.Point:
    found = UnitId.parse(unit)
    statistics = ledger.statistics(found)
    return schemas.Point(
        unit=found,
        scorer=score.scorer,
        score=score.score.value,
        floor=score.floor.value,
        density=statistics.density if statistics else None,
    )
