"""Judge calls saved: by stopping where a score is settled, and by asking about several explanations at once.

    python -m benchmarks.sequential [--each N] [--json]

Planted units (`benchmarks.planted`), detection on 100 contexts, five a prompt, one floor, and an oracle judge that
errs in one answer of ten.

Stopping: each unit's right explanation, and that of another unit, are scored on all questions, until the score is
settled, and until its interval is narrow. Beside each figure stands that of all questions: requests, and the share
accepted at 0.05. All questions have a bootstrap p-value, which would not hold its level if it was looked at after
each batch; that of a score that may stop does.

At once: the explanations of a dozen units in one prompt; beside its figures stand those of one a prompt.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from threadpoolctl import threadpool_limits

from benchmarks.agent import sample
from benchmarks.planted.labelling import PlantedModels
from benchmarks.planted.oracle import Oracle
from benchmarks.planted.run import collect, unit_id
from benchmarks.planted.units import Unit
from benchmarks.table import Row, report
from neurogloss.accounts import Usage, Work
from neurogloss.agent import tools
from neurogloss.agent.models import Hard
from neurogloss.agent.nodes.score import Score as ScoreNode
from neurogloss.agent.state import ScorerState
from neurogloss.engines.usage import RecordedModel
from neurogloss.folder import RunFolder
from neurogloss.ids import UnitId, derive_seed
from neurogloss.protocols import HeldOut, Quiet
from neurogloss.records import Explanation, Label, Score
from neurogloss.runs.inverted import GroupScoring
from neurogloss.runs.results import Here, Workers, in_flight
from neurogloss.runs.scoring import unit_workers
from neurogloss.runs.sweeps import Sweeps
from neurogloss.scorers.detection import Detection
from neurogloss.scorers.floors import Floor
from neurogloss.scorers.inverted import DETECTION, DISCRIMINATION
from neurogloss.scorers.judges.llm import LLMJudge
from neurogloss.scorers.measure import accepted
from neurogloss.scorers.sequential import Stop
from neurogloss.settings import LabelSettings
from neurogloss.sources.cache import Cache
from neurogloss.store.ledger import Ledger

ERROR = 0.1
"""Share of the judge's answers that are wrong."""
ALPHA = 0.05
GROUP = 12
"""Explanations at once."""
RIGHT, OTHER = "the right explanation", "that of another unit"
STOPS: Mapping[str, Stop | None] = {
    "all questions": None,
    "settled": Stop("settled", ALPHA),
    "width 0.3": Stop("width", ALPHA, 0.3),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=sys.maxsize, help="planted units of each family at most")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    planted = sample(arguments.each)
    with threadpool_limits(1), tempfile.TemporaryDirectory() as folder:
        cache = collect(RunFolder(Path(folder) / "run"), planted)
        rows = [*asyncio.run(stopping(cache, planted)), *asyncio.run(at_once(cache, planted, Path(folder)))]
    return report(f"judge calls saved, {len(planted)} planted units, detection", rows, arguments.json)


# --- stopping ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """What scoring the explanations of one kind came to, means over units."""

    requests: float
    """An explanation, floor included."""
    accepted: float
    """The share above its floor."""


async def stopping(cache: Cache, planted: Sequence[Unit]) -> list[Row]:
    """Requests and decisions, beside those of all questions."""
    found = {name: await _scored(cache, planted, stop) for name, stop in STOPS.items()}
    whole = found.pop("all questions")
    rows = []
    for name, by_kind in found.items():
        for whose, each in by_kind.items():
            ratio = whole[whose].requests / each.requests
            goal = (name, whose) == ("settled", RIGHT)
            rows += [
                Row(
                    f"{name}: requests, {whose}",
                    each.requests,
                    whole[whose].requests,
                    ratio,
                    goal="ratio 1.5" if goal else "",
                    met=ratio >= 1.5 if goal else None,
                ),
                Row(f"{name}: accepted, {whose}", each.accepted, whole[whose].accepted),
            ]
    return rows


async def _scored(cache: Cache, planted: Sequence[Unit], stop: Stop | None) -> dict[str, Found]:
    """By whose explanation it is."""
    models, n = PlantedModels(cache, LabelSettings(), planted), len(planted)
    found = {}
    for whose, shift in ((RIGHT, 0), (OTHER, n // 3)):
        chat, hits = RecordedModel(Oracle(ERROR)), 0
        node = ScoreNode(LLMJudge(chat), stop=stop)
        for i in range(n):
            own, floor = (planted[(i + k) % n].rule.words for k in (shift, 2 * n // 3))
            evidence = models.evidence(unit_id(i), Hard())
            state = ScorerState(
                scorer=Detection(),
                explanation=Explanation(unit_id(i), own, "planted"),
                held_out=HeldOut(unit_id(i), evidence.score, (), derive_seed(0, i)),
                density=evidence.statistics.density,
                floors=[Floor("floor", floor)],
                effect={},
            )
            hits += accepted((await node(state))["scores"], ALPHA)
        found[whose] = Found(chat.usage.requests / n, hits / n)
    return found


# --- several explanations at once ----------------------------------------------------------------------


async def at_once(cache: Cache, planted: Sequence[Unit], folder: Path) -> list[Row]:
    """Requests, agreement and scores, beside those of a prompt an explanation."""
    plain, plain_usage = await _labelled(cache, planted, folder / "plain.sqlite", 1)
    inverted, usage = await _labelled(cache, planted, folder / "inverted.sqlite", GROUP)
    n, pairs = len(planted), list(zip(plain, inverted, strict=True))
    same = [a == b for old, new in pairs for a, b in zip(old["detection"][1], new[DETECTION][1], strict=True)]
    areas = [
        sum(each[name][0].score.value if name == DISCRIMINATION else _area(each[name][0]) for each in some) / n
        for some, name in ((inverted, DETECTION), (plain, "detection"), (inverted, DISCRIMINATION))
    ]
    return [
        _fewer("at once: requests a unit", usage.requests / n, plain_usage.requests / n),
        _fewer("… prompt tokens a unit", usage.prompt_tokens / n, plain_usage.prompt_tokens / n),
        Row("… share of answers that are the same", sum(same) / len(same), goal="1", met=all(same)),
        Row("… detection, mean AUROC", areas[0], areas[1]),
        Row("… discrimination at no cost, mean AUROC; chance", areas[2], 0.5),
    ]


def _fewer(what: str, figure: float, beside: float) -> Row:
    return Row(what, figure, beside, beside / figure, goal="ratio 2", met=beside / figure >= 2)


def _area(score: Score) -> float:
    return score.score.value if score.metric == "auroc" else score.metrics["auroc"]


Answers = tuple[Score, Sequence[float | None]]
"""A score, and the probabilities that the unit's own explanation got, by text."""


async def _labelled(
    cache: Cache, planted: Sequence[Unit], path: Path, together: int
) -> tuple[list[dict[str, Answers]], Usage]:
    """What the project's own scoring records of the right explanations, by scorer, unit by unit."""
    settings = LabelSettings(llm="oracle", scorers=("detection",), together=together)
    models, chat = PlantedModels(cache, settings, planted), RecordedModel(Oracle(ERROR))
    scoring, ids = tools.build_scoring(settings, cache, models, chat), [unit_id(i) for i in range(len(planted))]
    with Ledger(path) as ledger:
        ledger.add_method("planted", {})
        ledger.add_units((id, cache.statistics(id)) for id in ids)
        for id, unit in zip(ids, planted, strict=True):
            ledger.record_explained(Explanation(id, unit.rule.words, "planted"), [], Work("explain", Usage()))
        sweeps = Sweeps(ledger, "planted", settings, ids, Quiet())

        def workers() -> Workers[Label]:
            if together > 1:
                return Here(GroupScoring(sweeps, scoring, models, cache), in_flight(settings))
            return unit_workers(sweeps, scoring, models)

        await sweeps.run("scoring", lambda standing: True, sweeps.explained, workers)
        return [_of(ledger, id) for id in ids], chat.usage


def _of(ledger: Ledger, id: UnitId) -> dict[str, Answers]:
    label = ledger.label(id, "planted")
    assert label is not None and label.explanation is not None
    found = {}
    for score in label.scores:
        outcomes = ledger.outcomes(label.explanation.id, score.scorer)
        own = [o for o in outcomes if o.asked == label.explanation.id]
        by_text = sorted((o.question.passages[0].text, o.answer.probability or 0.0) for o in own)
        found[score.scorer] = (score, [probability for _, probability in by_text])
    return found


if __name__ == "__main__":
    sys.exit(main())
