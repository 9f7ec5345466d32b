"""Judge calls saved by stopping where a score is settled.

    python -m benchmarks.sequential [--each N] [--json]

Planted units (`benchmarks.planted`), detection on 100 contexts, five a prompt, one floor, and an oracle judge that
errs in one answer of ten.

Each unit's right explanation, and that of another unit, are scored on all questions, until the score is
settled, and until its interval is narrow. Beside each figure stands that of all questions: requests, and the share
accepted at 0.05. All questions have a bootstrap p-value, which would not hold its level if it was looked at after
each batch; that of a score that may stop does.
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
from neurogloss.agent.models import Hard
from neurogloss.agent.nodes.score import Score as ScoreNode
from neurogloss.agent.state import ScorerState
from neurogloss.engines.usage import RecordedModel
from neurogloss.folder import RunFolder
from neurogloss.ids import derive_seed
from neurogloss.protocols import HeldOut
from neurogloss.records import Explanation
from neurogloss.scorers.choice import Floor
from neurogloss.scorers.detection import Detection
from neurogloss.scorers.judges.llm import LLMJudge
from neurogloss.scorers.measure import accepted
from neurogloss.scorers.sequential import Stop
from neurogloss.settings import LabelSettings
from neurogloss.sources.cache import Cache

ERROR = 0.1
"""Share of the judge's answers that are wrong."""
ALPHA = 0.05
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
        rows = asyncio.run(stopping(cache, planted))
    return report(f"judge calls saved, {len(planted)} planted units, detection", rows, arguments.json)


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


if __name__ == "__main__":
    sys.exit(main())
