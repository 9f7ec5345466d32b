"""From outcomes to a score beside its floor.

1. The headline metric is the AUROC of the judge's probabilities, over the questions that were answered.
2. The floor is the mean AUROC that explanations of other units reach on the same questions.
3. The excess is their difference, paired: the same questions are resampled for both (95 % bootstrap interval).
4. Questions without an answer are counted by failure, and are in no metric.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from neurogloss.records import Answer, Interval, Question, Score
from neurogloss.scorers import metrics


def measure(
    scorer: str,
    judge: str,
    questions: Sequence[Question],
    answers: Sequence[Answer],
    floors: Sequence[Sequence[Answer]],
    density: float,
    seed: int,
) -> Score:
    """The score of one explanation.

    Args:
        answers: one a question, for the explanation itself.
        floors: for each of several other units' explanations, one answer a question.
        density: the unit's natural rate, for the precision there.
        seed: of the bootstrap.
    """
    rng = np.random.default_rng(seed)
    truths, probabilities = _answered(questions, answers)
    score, _ = metrics.mean_interval(metrics.comparisons(truths, probabilities), rng)
    floor, excess, p_value = _against_floor(questions, answers, floors, rng)
    return Score(
        scorer=scorer,
        judge=judge,
        metric="auroc",
        score=score,
        floor=floor,
        excess=excess,
        p_value=p_value,
        metrics={
            **metrics.classification(truths, probabilities),
            "precision_at_density": metrics.precision_at_rate(truths, probabilities, density),
        },
        n_questions=len(questions),
        failures=_failures(answers),
    )


def accepted(scores: Sequence[Score], alpha: float) -> bool:
    """Whether some score exceeds its floor at level alpha, corrected over the scores (Bonferroni)."""
    tested = [score.p_value for score in scores if not math.isnan(score.p_value)]
    return any(p <= alpha / len(tested) for p in tested)


def _answered(questions: Sequence[Question], answers: Sequence[Answer]) -> tuple[list[bool], list[float]]:
    pairs = [
        (question.truth, answer.probability)
        for question, answer in zip(questions, answers, strict=True)
        if answer.probability is not None
    ]
    return [truth for truth, _ in pairs], [probability for _, probability in pairs]


def _against_floor(
    questions: Sequence[Question],
    answers: Sequence[Answer],
    floors: Sequence[Sequence[Answer]],
    rng: np.random.Generator,
) -> tuple[Interval, Interval, float]:
    """Floor, excess and the chance of no excess, over the questions that all of them answered."""
    if not floors:
        return metrics.UNDEFINED, metrics.UNDEFINED, math.nan
    everyone = [answers, *floors]
    kept = [i for i in range(len(questions)) if all(a[i].probability is not None for a in everyone)]
    truths = [questions[i].truth for i in kept]
    own, *others = [metrics.comparisons(truths, [a[i].probability or 0.0 for i in kept]) for a in everyone]
    floor = np.mean(others, axis=0)
    floor_interval, _ = metrics.mean_interval(floor, rng)
    excess, p_value = metrics.mean_interval(own - floor, rng)
    return floor_interval, excess, p_value


def _failures(answers: Sequence[Answer]) -> Mapping[str, int]:
    return dict(Counter(str(answer.failure) for answer in answers if answer.failure is not None))
