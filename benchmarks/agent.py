"""Whether labels name the right rule: planted units over real text, and a language model that answers by rule.

    python -m benchmarks.agent [--each N] [--json]

Units of eleven families (`benchmarks.planted`) are labelled by the project's own explainers, screening, refinement
and experiments, with an oracle that sees prompts alone and, as a judge, errs in one answer of twenty. A label is
right where it names the unit's rule, and right by extension where that rule's tokens agree with the unit's on
held-out text (F1 of at least 0.9). Intervals are bootstraps over units, paired where two ways are compared.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.planted.labelling import Labelled, label
from benchmarks.planted.oracle import Oracle
from benchmarks.planted.rules import Rule
from benchmarks.planted.run import collect, unit_id
from benchmarks.planted.units import Unit, units
from benchmarks.table import Row, report
from neurogloss.folder import RunFolder
from neurogloss.ids import derive_seed
from neurogloss.protocols import HeldOut, Judge, QuestionScorer
from neurogloss.scorers.detection import Detection, Fuzzing
from neurogloss.scorers.judges.llm import LLMJudge
from neurogloss.scorers.metrics import auroc
from neurogloss.sources.cache import Cache
from neurogloss.sources.evidence import evidence

ERROR = 0.05
"""Share of wrong answers of the judge while units are labelled."""
QUESTIONS = 20
"""A scorer, while units are labelled; what is right is measured by rule."""
WAYS: Mapping[str, Mapping[str, Any]] = {
    "one call": {"effort": "low"},
    "three candidates, screened": {"effort": "medium", "refinements": 0},
    "these and one refinement": {"effort": "medium"},
    "these and experiments": {"effort": "high", "refinements": 0},
    "these and both": {"effort": "high"},
}
BESIDE = {
    "three candidates, screened": "one call",
    "these and one refinement": "three candidates, screened",
    "these and experiments": "three candidates, screened",
    "these and both": "these and one refinement",
}
EFFORTS = {"low": "one call", "medium": "these and one refinement", "high": "these and both"}
RAISES = ("these and one refinement", "these and experiments")
"""What has to name more rules than candidates alone."""
GOAL = "interval above 0"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=sys.maxsize, help="units of each family at most")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    planted = sample(arguments.each)
    with tempfile.TemporaryDirectory() as folder:
        cache = collect(RunFolder(Path(folder) / "run"), planted)
        rows = asyncio.run(_rows(cache, planted, Path(folder)))
    return report(f"{len(planted)} planted units; shares of units unless said otherwise", rows, arguments.json)


def sample(each: int) -> list[Unit]:
    """The first so many units of each family."""
    seen: Counter[str] = Counter()
    chosen = []
    for unit in units():
        seen[unit.family] += 1
        if seen[unit.family] <= each:
            chosen.append(unit)
    return chosen


async def _rows(cache: Cache, planted: Sequence[Unit], folder: Path) -> list[Row]:
    async def way(name: str, among: Sequence[int] | None = None, **values: Any) -> Labelled:
        return await label(cache, planted, folder / f"{name}.sqlite", ERROR, among, questions=QUESTIONS, **values)

    found = {name: await way(name, **values) for name, values in WAYS.items()}
    several = [i for i, unit in enumerate(planted) if unit.family == "two-facet"]
    single = [next(i for i, unit in enumerate(planted) if unit.family == name) for name in _single(planted)]
    plain = await way("plain", several, refinements=0)
    split = await way("facets", several, explainer="facets", refinements=0)
    whole = await way("whole", single, explainer="facets", refinements=0)
    unsplit = found["three candidates, screened"].by_extension
    return [
        *_steps("names the right rule", {name: way.exact for name, way in found.items()}),
        *_steps("right by extension", {name: way.by_extension for name, way in found.items()}),
        _shares(
            "two facets, by extension: facets, beside one explanation",
            split.by_extension,
            plain.by_extension,
            GOAL,
        ),
        _shares("one unit of each other family: the same", whole.by_extension, [unsplit[i] for i in single]),
        *await _wrong(cache, planted),
        *(Row(f"tokens a unit, effort {effort}", found[name].tokens) for effort, name in EFFORTS.items()),
    ]


def _steps(what: str, found: Mapping[str, Sequence[bool]]) -> list[Row]:
    """Each way, beside the one that it adds something to."""
    first, *_ = found
    rows = [_shares(f"{what}: {first}", found[first])]
    for name, before in BESIDE.items():
        goal = GOAL if name in RAISES else ""
        rows.append(_shares(f"… {name}, beside {before}", found[name], found[before], goal))
    return rows


def _single(planted: Sequence[Unit]) -> list[str]:
    return [name for name in dict.fromkeys(unit.family for unit in planted) if name != "two-facet"]


def _shares(what: str, figures: Sequence[bool], beside: Sequence[bool] | None = None, goal: str = "") -> Row:
    """The share of units, and its paired difference from another."""
    own = np.array(figures, float)
    if beside is None:
        return Row(what, float(own.mean()))
    difference = own - np.array(beside, float)
    low, high = _interval(difference)
    return Row(
        what,
        float(own.mean()),
        float(np.mean(beside)),
        difference=float(difference.mean()),
        low=low,
        high=high,
        goal=goal,
        met=low > 0 if goal else None,
    )


def _interval(values: Sequence[float] | NDArray[np.float64]) -> tuple[float, float]:
    """95 % bootstrap interval of the mean."""
    rng = np.random.default_rng(0)
    means = rng.choice(np.asarray(values), (5_000, len(values))).mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


async def _wrong(cache: Cache, planted: Sequence[Unit]) -> list[Row]:
    """The right explanation of each unit against wrong ones, before a judge that goes by rule without error."""
    judge = LLMJudge(Oracle(), per_prompt=25)
    scorers: list[QuestionScorer] = [Detection(), Fuzzing(), Fuzzing(negatives="active")]
    margins: dict[str, list[float]] = {}
    better, pairs = 0, 0
    for i, unit in enumerate(planted):
        held_out = HeldOut(unit_id(i), evidence(cache, unit_id(i)).score, (), derive_seed(0, i))
        stranger = planted[(i + len(planted) // 2) % len(planted)].rule
        wrong = {
            "broader": unit.broader,
            "narrower": unit.narrower,
            "related": unit.related,
            "of another unit": stranger,
        }
        right = await _score(judge, scorers, unit.rule, held_out)
        for kind, rule in wrong.items():
            other = await _score(judge, scorers, rule, held_out)
            margins.setdefault(kind, []).append(float(np.mean(right) - np.mean(other)))
            better += sum(theirs > mine for mine, theirs in zip(right, other, strict=True))
            pairs += len(right)
    rows = [Row(f"wrong above right, of {pairs} scores", better, goal="0", met=better == 0)]
    for kind, values in margins.items():
        low, high = _interval(values)
        mean = float(np.mean(values))
        rows.append(Row(f"AUROC lost by an explanation: {kind}", mean, low=low, high=high, goal=GOAL, met=low > 0))
    return rows


async def _score(judge: Judge, scorers: Sequence[QuestionScorer], rule: Rule, held_out: HeldOut) -> list[float]:
    """The AUROC by each scorer that has questions of this unit."""
    found = []
    for scorer in scorers:
        questions = scorer.questions(held_out)
        answers = await judge.ask(scorer.task, rule.words, questions)
        value = auroc([q.truth for q in questions], [answer.probability or 0.0 for answer in answers])
        found += [] if math.isnan(value) else [value]
    return found


if __name__ == "__main__":
    sys.exit(main())
