"""From questions and answers to a score beside its floor.

1. The score is the scorer's headline metric over the questions that were answered, with a 95 % bootstrap interval.
2. The floor is the mean of the metric that explanations of other units reach; of a scorer that is told no
   explanation, what guessing reaches.
3. The excess is their difference: paired over the questions that all of them answered where all were asked the
   same, and otherwise between questions drawn apart.
4. Further floors, each by its name (a lexical predictor, say), stand among the further metrics.
5. Questions without an answer are counted by failure, and are in no metric.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np

from neurogloss.protocols import Answered
from neurogloss.records import Interval, Question, Score
from neurogloss.scorers import metrics
from neurogloss.scorers.resampling import Draws, Floats, correlation_of_means, interval, p_value

AT_DENSITY = ("precision", "f1", "mcc", "auprc")
"""Metrics that are shown at the unit's natural rate as well, of contexts as they come."""


@dataclass(frozen=True, eq=False)
class Metric:
    """A headline metric: a function of the mean of a table."""

    table: Callable[[Sequence[Answered]], Floats]
    """Of answers that are no failures."""
    axes: int = 1
    """How many axes of the table are questions."""
    finish: Callable[[Floats], Floats] = lambda means: means

    def value(self, table: Floats) -> float:
        """NaN without questions."""
        where = tuple(range(self.axes))
        return float(self.finish(table.mean(where))) if min(table.shape) else math.nan

    def questions(self, table: Floats) -> tuple[int, ...]:
        """How many there are to draw from, by axis."""
        return table.shape[: self.axes]

    def resampled(self, table: Floats, draws: Draws | None) -> Floats | None:
        return None if draws is None else self.finish(draws.means(table))

    def least(self, table: Floats) -> float:
        """The chance that a random order puts all true questions above all false ones, or that all signs agree."""
        if self.axes == 2:
            return 1 / math.comb(sum(table.shape), table.shape[0])
        return 0.5 ** len(table)


def _split(answered: Sequence[Answered]) -> tuple[list[bool], list[float]]:
    """Truths and probabilities."""
    return [q.truth for q, _ in answered], [_probability(a) for a in answered]


def _probability(answered: Answered) -> float:
    probability = answered[1].probability
    assert probability is not None
    return probability


def _products(answered: Sequence[Answered]) -> Floats:
    """Of each question: its tokens, and the sums of x, y, xx, yy, xy over them; x is activation, y answer."""
    rows = []
    for question, answer in answered:
        x, y = np.asarray(question.activations, float), np.asarray(answer.values, float)
        rows.append((len(x), x.sum(), y.sum(), x @ x, y @ y, x @ y))
    return np.array(rows, float).reshape(-1, 6)


def _gained(means: Floats) -> Floats:
    raised, clean = means[..., 0], means[..., 1]
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = np.where(clean < 1, np.maximum(raised - clean, 0) / (1 - clean), np.nan)
    return found


METRICS: Mapping[str, Metric] = {
    "auroc": Metric(lambda answered: metrics.comparisons(*_split(answered)), axes=2),
    # Share of questions in which the right one of several was named.
    "hit_rate": Metric(lambda answered: np.array([_probability(a) for a in answered])),
    # Mean of what was measured, in nats.
    "nats": Metric(lambda answered: np.array([answer.values[0] for _, answer in answered])),
    # Of texts written with the unit raised and without: how much of what could be gained in fitting ones was.
    "faithfulness": Metric(lambda answered: np.array([answer.values for _, answer in answered]), finish=_gained),
    # Pearson correlation over all tokens of all questions.
    "correlation": Metric(_products, finish=correlation_of_means),
}


def measure(
    scorer: str,
    judge: str,
    own: Sequence[Answered],
    floors: Sequence[Sequence[Answered]],
    density: float,
    seed: int,
    metric: str = "auroc",
    chance: float | None = None,
    others: Mapping[str, Sequence[Answered]] | None = None,
) -> Score:
    """The score of one explanation.

    Args:
        own: questions and answers for the explanation itself.
        floors: the same for each of several other units' explanations.
        density: the unit's natural rate, for the metrics there.
        seed: of the bootstrap.
        metric: one of METRICS.
        chance: what the metric is by guessing, where that is known. Without floors it is the floor, and no
        evidence
            for or against an explanation: the p-value is undefined.
        others: answers of further floors to the same questions, by name.
    """
    rng, kind = np.random.default_rng(seed), METRICS[metric]
    given = _given(own)
    table = kind.table(given)
    # Drawing costs most: what has as many questions shares its draws.
    draw = cache(lambda shape: Draws.of(shape, rng))
    score = interval(kind.value(table), kind.resampled(table, draw(kind.questions(table))))
    if floors or chance is None:
        floor, excess, p = _excess(kind, own, floors, draw, rng)
    else:
        floor, p = Interval(chance, chance, chance), math.nan
        excess = Interval(score.value - chance, score.low - chance, score.high - chance)
    further = _further(given, metric, density, chance)
    for name, answered in (others or {}).items():
        beside, _, worth = _excess(kind, own, [answered], draw, rng)
        further |= {f"{name}_floor": beside.value, f"{name}_floor_p": worth}
    failures = Counter(str(answer.failure) for _, answer in own if answer.failure is not None)
    return Score(scorer, judge, metric, score, floor, excess, p, further, len(own), dict(failures))


def accepted(scores: Sequence[Score], alpha: float) -> bool:
    """Whether some score exceeds its floor at level alpha, corrected over the scores (Bonferroni)."""
    tested = [score.p_value for score in scores if not math.isnan(score.p_value)]
    return any(p <= alpha / len(tested) for p in tested)


def _given(answered: Sequence[Answered]) -> list[Answered]:
    return [(question, answer) for question, answer in answered if answer.probability is not None]


def _excess(
    kind: Metric,
    own: Sequence[Answered],
    floors: Sequence[Sequence[Answered]],
    draw: Callable[[tuple[int, ...]], Draws | None],
    rng: np.random.Generator,
) -> tuple[Interval, Interval, float]:
    """Floor, excess and the chance of no excess; `draw` gives the draws that paired explanations share."""
    if not floors:
        return metrics.UNDEFINED, metrics.UNDEFINED, math.nan
    everyone = [own, *floors]
    paired = all([q for q, _ in one] == [q for q, _ in other] for one, other in pairwise(everyone))
    if paired:
        kept = [i for i in range(len(own)) if all(one[i][1].probability is not None for one in everyone)]
        everyone = [[one[i] for i in kept] for one in everyone]
    tables = [kind.table(_given(one)) for one in everyone]
    values = [kind.value(table) for table in tables]
    drawn = [
        kind.resampled(table, draw(kind.questions(table)) if paired else Draws.of(kind.questions(table), rng))
        for table in tables
    ]
    floor, excess = float(np.mean(values[1:])), values[0] - float(np.mean(values[1:]))
    if any(found is None for found in drawn):
        return interval(floor, None), interval(excess, None), math.nan
    floors_drawn = np.mean(np.stack(drawn[1:]), axis=0)  # type: ignore[arg-type]
    excess_drawn = drawn[0] - floors_drawn
    return (
        interval(floor, floors_drawn),
        interval(excess, excess_drawn),
        p_value(excess_drawn, kind.least(tables[0])),
    )


def _further(given: Sequence[Answered], metric: str, density: float, chance: float | None) -> dict[str, float]:
    """Further metrics, of those that mean something beside the headline."""
    truths, probabilities = _split(given)
    match metric:
        case "auroc":
            return {**_of_truths(given, density), **_of_pairs(given)}
        case "hit_rate":
            hits, n = sum(p > 0.5 for p in probabilities), len(given)
            exact = metrics.proportion(hits, n)
            tested = {} if chance is None else {"chance": chance, "chance_p": metrics.chance_of(hits, n, chance)}
            return {"hit_rate_low": exact.low, "hit_rate_high": exact.high, **tested}
        case "nats":
            raised, n = sum(answer.values[0] > 0 for _, answer in given), len(given)
            return {
                "share_raised": metrics.proportion(raised, n).value,
                "chance_p": metrics.chance_of(raised, n, 0.5),
            }
        case "correlation":
            return {"auroc": metrics.auroc(truths, probabilities)}
    return {}


def _of_truths(given: Sequence[Answered], density: float) -> dict[str, float]:
    truths, probabilities = _split(given)
    natural = metrics.classification(truths, probabilities, density)
    at_density = {name: natural[name] for name in AT_DENSITY} if _are_samples([q for q, _ in given]) else {}
    peaks = [(max(q.activations), _probability((q, a))) for q, a in given if q.activations]
    deciles = metrics.recalls(truths, probabilities, [q.stratum for q, _ in given])
    share = sum(truths) / len(truths) if truths else math.nan
    return {
        **metrics.classification(truths, probabilities),
        **metrics.prefixed(at_density, suffix="_at_density"),
        "majority_accuracy": max(share, 1 - share),
        "correlation": metrics.pearson([x for x, _ in peaks], [p for _, p in peaks]),
        "brier": metrics.brier(truths, probabilities),
        "calibration_error": metrics.calibration_error(truths, probabilities),
        **metrics.prefixed({s: r for s, r in deciles.items() if s.isdecimal()}, prefix="recall_decile_"),
    }


def _are_samples(questions: Sequence[Question]) -> bool:
    """Whether the true ones are active contexts of all strengths, and the false ones any that are silent.

    Reweighting means something of those alone: not of marks, pairs, hard negatives or texts that were written.
    """
    return all(
        len(q.passages) == 1
        and not q.passages[0].marks
        and (q.stratum.isdecimal() if q.truth else q.stratum == "silent")
        for q in questions
    )


def _of_pairs(given: Sequence[Answered]) -> dict[str, float]:
    """Of questions between two texts: the exact test against tossing a coin. An undecided answer is no hit."""
    if not given or any(len(question.passages) != 2 for question, _ in given):
        return {}
    hits = sum(p != 0.5 and (p > 0.5) == t for t, p in zip(*_split(given), strict=True))
    return {"chance_p": metrics.chance_of(hits, len(given), 0.5)}
