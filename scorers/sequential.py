"""Asking a judge no more than a score needs: intervals that hold whenever one stops.

1. Questions come in pairs, a true one and a false one, in the order to which the scorer has shuffled them. A pair
   is worth the share of its two answers that are right, in [0, 1]; the mean over pairs is the balanced accuracy.
2. A gambler bets against each possible mean m, after each pair, as its estimates of mean and variance so far say:
   lambda_t = sqrt(2 log(2 / error) / (variance_{t-1} t log(t + 1))), at most C / m or C / (1 - m). The product of
   1 + lambda_t (x_t - m) is a martingale where m is the mean, and so is that of the opposite bets. The interval is
   all m against which neither half of the stake has ever grown 1 / error times: it holds the mean at all times at
   once, with probability 1 - error (the hedged capital process of Waudby-Smith & Ramdas 2023, arXiv:2010.09686,
   theorem 3, with predictable plug-in bets).
3. The same of the excess over the floors, paired over questions, moved from [-1, 1] to [0, 1].
4. Asking stops, after a batch, where the interval is narrow enough (`width`), or where that of the excess lies
   wholly above or below 0 (`settled`); otherwise all questions are asked.
5. The p-value is one over the largest capital won against no excess: it holds at all times, too (Ville 1939).

Question scorers alone can be asked so. Intervals from resampling do not hold where one may stop when they please.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from neurogloss.protocols import Answered
from neurogloss.records import Interval, Question, Score
from neurogloss.scorers.metrics import UNDEFINED

Floats = NDArray[np.float64]
GRID = np.linspace(0.0, 1.0, 1001)
"""Means that are bet against. An interval is wider than what they say by one step to each side."""
C = 0.75
"""Share of the capital that a bet can lose at most."""
LIKELY = 0.5
"""A probability above it is a yes."""


@dataclass(frozen=True, slots=True)
class Stop:
    """When enough was asked."""

    rule: Literal["width", "settled"]
    error: float = 0.05
    """Chance that an interval does not hold its mean, at any time."""
    width: float = 0.2
    """Of the balanced accuracy's interval, at which `width` stops."""
    batch: int = 10
    """Questions between two looks, even."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """JSON of what decides when it stops."""
        narrow = {"width": self.width} if self.rule == "width" else {}
        return {"rule": self.rule, "error": self.error, "batch": self.batch, **narrow}

    def batches(self, questions: Sequence[Question]) -> Iterator[list[Question]]:
        """Each question once; as many true as false ones in a batch, while there are both."""
        kinds = [[i for i, question in enumerate(questions) if question.truth is kind] for kind in (True, False)]
        order = [i for pair in zip_longest(*kinds) for i in pair if i is not None]
        for start in range(0, len(order), self.batch):
            # As they were shuffled: pairs stand side by side in no batch.
            yield [questions[i] for i in sorted(order[start : start + self.batch])]

    def reached(self, own: Sequence[Answered], floors: Sequence[Sequence[Answered]]) -> bool:
        """Whether what was answered so far is enough."""
        if self.rule == "width":
            found = mean_interval(_pairs(own), self.error)
            return found.high - found.low <= self.width
        excess = _excess(own, floors, self.error)
        return excess.low > 0 or excess.high < 0

    def score(
        self, fixed: Score, own: Sequence[Answered], floors: Sequence[Sequence[Answered]], possible: int
    ) -> Score:
        """The score as balanced accuracy, with intervals that hold whenever it was stopped.

        Args:
            fixed: what the same answers come to as a sample of fixed size; its metrics are kept, its tests not.
            possible: questions that could have been asked.
        """
        excess = _excess(own, floors, self.error)
        floor = mean_interval(_mean_of([_pairs(each) for each in _common([own, *floors])[1:]]), self.error)
        return replace(
            fixed,
            metric="balanced_accuracy",
            score=mean_interval(_pairs(own), self.error),
            floor=floor,
            excess=excess,
            p_value=_p_value(_differences(own, floors), self.error),
            metrics={
                # A test of a sample of fixed size does not hold where one may stop.
                **{name: value for name, value in fixed.metrics.items() if not name.endswith("_p")},
                fixed.metric: fixed.score.value,
                "questions_spared": float(possible - len(own)),
                "interval_error": self.error,
            },
        )


def mean_interval(values: Sequence[float] | Floats, error: float) -> Interval:
    """The mean of draws from [0, 1], with an interval that holds at all times; all NaN without draws.

    The limits alone are NaN where every mean was ruled out, which draws of one mean make less likely than `error`.
    """
    x = np.asarray(values, float)
    if not len(x):
        return UNDEFINED
    up, down = _capitals(x, GRID, error)
    stake = np.maximum(up, down).max(0) - math.log(2)
    possible = GRID[stake < -math.log(error)]
    if not len(possible):
        return Interval(float(x.mean()), math.nan, math.nan)
    step = float(GRID[1])
    return Interval(float(x.mean()), max(0.0, float(possible[0]) - step), min(1.0, float(possible[-1]) + step))


def _capitals(x: Floats, means: Floats, error: float) -> tuple[Floats, Floats]:
    """Logarithms of what bets on a larger and on a smaller mean have grown to, (n, means) each."""
    t = np.arange(1, len(x) + 1)
    centre = (0.5 + np.cumsum(x)) / (t + 1)
    variance = (0.25 + np.cumsum((x - centre) ** 2)) / (t + 1)
    # A bet knows what came before it alone.
    before = np.concatenate([[0.25], variance[:-1]])
    bet = np.sqrt(2 * math.log(2 / error) / (before * t * np.log(t + 1)))[:, None]
    away = x[:, None] - means
    with np.errstate(divide="ignore"):
        up, down = np.minimum(bet, C / means), np.minimum(bet, C / (1 - means))
    return np.cumsum(np.log1p(up * away), 0), np.cumsum(np.log1p(-down * away), 0)


def _p_value(differences: Floats, error: float) -> float:
    if not len(differences):
        return math.nan
    up, _ = _capitals((differences + 1) / 2, np.array([0.5]), error)
    return min(1.0, math.exp(-float(up.max())))


def _excess(own: Sequence[Answered], floors: Sequence[Sequence[Answered]], error: float) -> Interval:
    found = mean_interval((_differences(own, floors) + 1) / 2, error)
    return Interval(*(2 * value - 1 for value in (found.value, found.low, found.high)))


def _differences(own: Sequence[Answered], floors: Sequence[Sequence[Answered]]) -> Floats:
    """Own less floors, pair by pair, in [-1, 1]; empty without floors."""
    mine, *theirs = [_pairs(each) for each in _common([own, *floors])]
    return mine - _mean_of(theirs) if theirs else np.empty(0)


def _common(everyone: Sequence[Sequence[Answered]]) -> list[list[Answered]]:
    """Of those who were asked the same, what all of them answered."""
    kept = [i for i in range(len(everyone[0])) if all(one[i][1].probability is not None for one in everyone)]
    return [[one[i] for i in kept] for one in everyone]


def _pairs(answered: Sequence[Answered]) -> Floats:
    """The share of right answers in each pair that was answered, in [0, 1]."""
    kinds: dict[bool, list[float]] = {True: [], False: []}
    for question, answer in answered:
        if answer.probability is not None:
            kinds[question.truth].append(float((answer.probability > LIKELY) is question.truth))
    return np.array([(hit + miss) / 2 for hit, miss in zip(*kinds.values(), strict=False)])


def _mean_of(columns: Sequence[Floats]) -> Floats:
    return np.mean(columns, axis=0) if columns else np.empty(0)
