"""From questions and answers to a score beside its floor.

1. The score is the headline metric over the questions that were answered, with a 95 % bootstrap interval. Of
   contexts as they come it is a correlation at the unit's natural rate, because what looks at true and false
   questions alike forgives labels that are too broad (Oikarinen et al. 2025, arXiv:2506.05774).
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
from numpy.typing import NDArray

from neurogloss.protocols import Answered
from neurogloss.records import Interval, Question, Score
from neurogloss.scorers import metrics
from neurogloss.scorers.metrics import Draws, Floats, correlation_of_means, interval, p_value

AT_DENSITY = ("precision", "f1", "mcc", "auprc")
"""Metrics that are shown at the unit's natural rate as well, of contexts as they come."""


Tables = tuple[Floats, ...]
"""A row a question; where true ones are told from false ones, a table of each."""


@dataclass(frozen=True, eq=False)
class Metric:
    """A headline metric: a function of the means of tables."""

    tables: Callable[[Sequence[Answered], float], Tables]
    """Of answers that are no failures, and the unit's natural rate."""
    finish: Callable[[Sequence[Floats]], Floats] = lambda means: means[0]

    def value(self, tables: Tables) -> float:
        """NaN without questions."""
        return float(self.finish([table.mean(0) for table in tables])) if all(map(len, tables)) else math.nan

    def resampled(self, tables: Tables, draws: Draws | None) -> Floats | None:
        return None if draws is None else self.finish(draws.means(tables))


def _least(tables: Tables) -> float:
    """The chance that a random order puts all true questions above all false ones, or that all signs agree."""
    n = _lengths(tables)
    return 1 / math.comb(sum(n), n[0]) if len(n) == 2 else 0.5 ** n[0]


def _lengths(tables: Tables) -> tuple[int, ...]:
    """Questions to draw from."""
    return tuple(map(len, tables))


def _split(answered: Sequence[Answered]) -> tuple[list[bool], list[float]]:
    """Truths and probabilities."""
    return [q.truth for q, _ in answered], [_probability(a) for a in answered]


def _probability(answered: Answered) -> float:
    probability = answered[1].probability
    assert probability is not None
    return probability


def _comparisons(answered: Sequence[Answered], _: float) -> Tables:
    """Which false questions each true one beats; and which false question each false one is."""
    matrix = metrics.comparisons(*_split(answered))
    return matrix, np.eye(matrix.shape[1])


def _area(means: Sequence[Floats]) -> Floats:
    """Under the ROC curve: how much each false question is beaten, by its share."""
    beaten, shares = means
    area: Floats = (beaten * shares).sum(-1)
    return area


def _moments(answered: Sequence[Answered], density: float) -> Tables:
    """Of truth x and probability y, at a rate: those of true questions sum up with those of false ones."""
    truths, p = _arrays(answered)
    x = truths.astype(float)
    rows = np.stack([np.ones_like(p), x, p, x, p * p, x * p], 1)
    return density * rows[truths], (1 - density) * rows[~truths]


def _agreement(means: Sequence[Floats]) -> Floats:
    # An answer that is always the same says nothing of the truth: 0, as the Matthews correlation has it.
    return np.nan_to_num(correlation_of_means(means[0] + means[1]))


def _arrays(answered: Sequence[Answered]) -> tuple[NDArray[np.bool_], Floats]:
    truths, probabilities = _split(answered)
    return np.array(truths, bool), np.array(probabilities, float)


def _products(answered: Sequence[Answered], _: float) -> Tables:
    """Of each question: its tokens, and the sums of x, y, xx, yy, xy over them; x is activation, y answer."""
    rows = []
    for question, answer in answered:
        x, y = np.asarray(question.activations, float), np.asarray(answer.values, float)
        rows.append((len(x), x.sum(), y.sum(), x @ x, y @ y, x @ y))
    return (np.array(rows, float).reshape(-1, 6),)


def _values(answered: Sequence[Answered], _: float) -> Tables:
    return (np.array([answer.values[0] for _, answer in answered]),)


def _gained(means: Sequence[Floats]) -> Floats:
    raised, clean = means[0][..., 0], means[0][..., 1]
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = np.where(clean < 1, np.maximum(raised - clean, 0) / (1 - clean), np.nan)
    return found


METRICS: Mapping[str, Metric] = {
    # Pearson correlation of the probability with the truth, at the unit's natural rate; of answers that are yes or
    # no, the Matthews correlation.
    "correlation_at_density": Metric(_moments, _agreement),
    "auroc": Metric(_comparisons, _area),
    # Share of questions in which the right one of several was named.
    "hit_rate": Metric(lambda answered, _: (np.array([_probability(a) for a in answered]),)),
    # Mean of what was measured, in nats; in standard deviations.
    "nats": Metric(_values),
    "sigma": Metric(_values),
    # Of texts written with the unit raised and without: how much of what could be gained in fitting ones was.
    "faithfulness": Metric(lambda answered, _: (np.array([answer.values for _, answer in answered]),), _gained),
    # Pearson correlation over all tokens of all questions.
    "correlation": Metric(_products, lambda means: correlation_of_means(means[0])),
}


def headline(questions: Sequence[Question], density: float) -> str:
    """The metric of questions that a judge answers: at the natural rate where they are contexts as they come."""
    return "correlation_at_density" if _are_samples(questions) and 0 < density < 1 else "auroc"


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
    tables = kind.tables(given, density)
    # Drawing costs most: what has as many questions shares its draws.
    draw = cache(lambda lengths: Draws.of(lengths, rng))
    score = interval(kind.value(tables), kind.resampled(tables, draw(_lengths(tables))))
    if floors or chance is None:
        floor, excess, p = _excess(kind, own, floors, density, draw, rng)
    else:
        floor, p = Interval(chance, chance, chance), math.nan
        excess = Interval(score.value - chance, score.low - chance, score.high - chance)
    further = _further(given, metric, density, chance)
    for name, answered in (others or {}).items():
        beside, _, worth = _excess(kind, own, [answered], density, draw, rng)
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
    density: float,
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
    tables = [kind.tables(_given(one), density) for one in everyone]
    values = [kind.value(each) for each in tables]
    drawn = [
        kind.resampled(each, draw(_lengths(each)) if paired else Draws.of(_lengths(each), rng)) for each in tables
    ]
    floor, excess = float(np.mean(values[1:])), values[0] - float(np.mean(values[1:]))
    if any(found is None for found in drawn):
        return interval(floor, None), interval(excess, None), math.nan
    floors_drawn = np.mean(np.stack(drawn[1:]), axis=0)  # type: ignore[arg-type]
    excess_drawn = drawn[0] - floors_drawn
    return (
        interval(floor, floors_drawn),
        interval(excess, excess_drawn),
        p_value(excess_drawn, _least(tables[0])),
    )


def _further(given: Sequence[Answered], metric: str, density: float, chance: float | None) -> dict[str, float]:
    """Further metrics, of those that mean something beside the headline."""
    truths, probabilities = _split(given)
    match metric:
        case "auroc":
            return {**_of_truths(given, density), **_of_pairs(given)}
        case "correlation_at_density":
            return {"auroc": metrics.auroc(truths, probabilities), **_of_truths(given, density)}
        case "hit_rate":
            hits, n = sum(p > 0.5 for p in probabilities), len(given)
            exact = metrics.proportion(hits, n)
            tested = {} if chance is None else {"chance": chance, "chance_p": metrics.chance_of(hits, n, chance)}
            return {"hit_rate_low": exact.low, "hit_rate_high": exact.high, **tested}
        case "nats" | "sigma":
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
