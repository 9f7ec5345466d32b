"""Whether scores fall where an explanation is wrong: too narrow, too broad, related, or of another unit.

    python -m benchmarks.validity [--units N] [--each N] [--questions N] [--json]

Corruption (after Oikarinen et al. 2025, arXiv:2506.05774): units of natural rates 0.1, 0.01 and 0.001, an oracle
judge, and explanations that are right, hold of half of the unit's contexts (too narrow), or of as many others
besides (too broad). The figure is the mean drop of a metric over units as a scorer measures them, on 50 active and
50 silent contexts; beside it is the drop over a whole population. The headline of detection has to drop on both.

Order: planted units (`benchmarks.planted`) and the headline of every scorer that can be asked about texts. The
figure is the share of units in which it holds before an oracle judge, beside it before the embedded one: right
first; or right > too broad, too narrow > related > of another unit. Scorers that need a causal language model are
left out, for the time they would take.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    f1_score,
    precision_score,
    roc_auc_score,
)
from threadpoolctl import threadpool_limits

from benchmarks.agent import sample
from benchmarks.planted.order import shares
from benchmarks.planted.run import collect
from benchmarks.table import Row, report
from neurogloss.folder import RunFolder
from neurogloss.ids import UnitId, derive_seed
from neurogloss.protocols import HeldOut
from neurogloss.records import Answer, Context, EvidenceHalf, Example
from neurogloss.scorers.detection import Detection
from neurogloss.scorers.measure import headline, measure
from neurogloss.scorers.metrics import mean_interval

Bools, Floats = NDArray[np.bool_], NDArray[np.float64]
RATES = (0.1, 0.01, 0.001)
HEADLINE = "correlation_at_density"
POPULATION = 200_000
"""Contexts over which a drop is exact."""
CORRUPTIONS = ("too narrow", "too broad")
WHOLE: Mapping[str, Callable[..., float]] = {
    "balanced_accuracy": balanced_accuracy_score,
    "auroc": roc_auc_score,
    "precision_at_density": precision_score,
    "f1_at_density": f1_score,
    "auprc_at_density": average_precision_score,
    HEADLINE: lambda truths, said: float(np.corrcoef(truths, said)[0, 1]),
}
"""The metrics, as scikit-learn and numpy have them over a population."""
SURE, TIED, MOST = ("detection", "fuzzing"), "right first, ties allowed", 0.95
"""Scorers that put no wrong explanation above the right one, in so many units, where a judge does not err."""
GOAL = "interval above 0"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--units", type=int, default=300, help="units of each rate")
    parser.add_argument("--each", type=int, default=3, help="planted units of each family at most")
    parser.add_argument("--questions", type=int, default=40, help="a scorer and planted unit")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    planted = sample(arguments.each)
    with threadpool_limits(1), tempfile.TemporaryDirectory() as folder:
        cache = collect(RunFolder(Path(folder) / "run"), planted)
        found = asyncio.run(shares(cache, planted, arguments.questions))
    rows = [*corruption(arguments.units), *order(found)]
    title = (
        f"drops of metrics, beside those over a population; order on {len(planted)} units, oracle beside embedded"
    )
    return report(title, rows, arguments.json)


def corruption(n_units: int) -> list[Row]:
    """A row for each rate, corruption and metric."""
    return [row for rate in RATES for row in _at_rate(rate, n_units)]


def _at_rate(rate: float, n_units: int) -> list[Row]:
    found = [_measured(rate, seed) for seed in range(n_units)]
    rows = []
    for corrupted in CORRUPTIONS:
        for metric in WHOLE:
            drops = [values["right"][metric] - values[corrupted][metric] for values in found]
            whole = _whole(rate, "right", metric) - _whole(rate, corrupted, metric)
            mean = mean_interval(drops, np.random.default_rng(0))
            head = metric == HEADLINE
            what = f"{metric}, {corrupted}, rate {rate}"
            rows.append(
                Row(
                    what,
                    mean.value,
                    whole,
                    low=mean.low,
                    high=mean.high,
                    goal=GOAL if head else "",
                    met=mean.low > 0 if head else None,
                )
            )
            if head:
                rows.append(Row("… share of units in which it drops", float(np.mean(np.array(drops) > 0))))
    return rows


def _said(explanation: str, rate: float, truths: Bools, draws: Floats) -> Floats:
    """1 where it holds of a context, 0 where not; draws in [0, 1) are the contexts' own.

    The unit's contexts are the rate's share of all, so that as many others are rate / (1 - rate) of the others.
    """
    of_active = draws < 0.5 if explanation == "too narrow" else np.ones_like(truths)
    of_silent = draws < rate / (1 - rate) if explanation == "too broad" else np.zeros_like(truths)
    return np.where(truths, of_active, of_silent).astype(float)


def _whole(rate: float, explanation: str, metric: str) -> float:
    n = round(POPULATION * rate)
    truths = np.arange(POPULATION) < n
    draws = np.concatenate([np.arange(n) / n, np.arange(POPULATION - n) / (POPULATION - n)])
    return float(WHOLE[metric](truths, _said(explanation, rate, truths, draws)))


def _measured(rate: float, seed: int) -> dict[str, dict[str, float]]:
    """Metrics by explanation, of one unit as detection has it."""
    rng = np.random.default_rng(derive_seed(seed, str(rate)))
    contexts = [Context(f"{i:016x}", (f" {i}",)) for i in range(100)]
    half = EvidenceHalf((), tuple(Example(c, (1.0,)) for c in contexts[:50]), tuple(contexts[50:]))
    questions = Detection().questions(HeldOut(UnitId("whole", "text", "rates", seed), half, (), seed))
    truths = np.array([question.truth for question in questions])
    draws = rng.random(len(questions))
    found = {}
    for explanation in ("right", *CORRUPTIONS):
        answers = [Answer(said) for said in _said(explanation, rate, truths, draws).tolist()]
        given = list(zip(questions, answers, strict=True))
        score = measure("detection", "oracle", given, [], rate, seed, headline(questions, rate))
        found[explanation] = {**score.metrics, score.metric: score.score.value}
    return found


def order(found: Mapping[str, Mapping[str, Mapping[str, float]]]) -> list[Row]:
    """A row for each scorer and relation."""
    rows = []
    for scorer, relations in found.items():
        for relation, by_judge in relations.items():
            oracle, goal = by_judge.get("oracle", math.nan), scorer in SURE and relation == TIED
            rows.append(
                Row(
                    f"{scorer}: {relation}",
                    oracle,
                    by_judge.get("embedded", math.nan),
                    goal=f"{MOST}" if goal else "",
                    met=oracle >= MOST if goal else None,
                )
            )
    return rows


if __name__ == "__main__":
    sys.exit(main())
