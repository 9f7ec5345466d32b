"""A score beside its floor: paired, honest about what was not answered, accepted only above the floor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, replace
from typing import Any

import numpy as np
import pytest

from neurogloss.records import Answer, Failure, Passage, Question, Score
from neurogloss.scorers import metrics
from neurogloss.scorers.measure import accepted, headline, measure

FAILED = Answer(None, Failure.UNPARSEABLE, "not JSON")
REFUSED = Answer(None, Failure.REFUSAL, "no")
TRUTHS = [True, False] * 10


def questions(truths: Sequence[bool]) -> list[Question]:
    strata = {True: "5", False: "silent"}
    return [Question((Passage((f"text {i}",)),), truth, strata[truth]) for i, truth in enumerate(truths)]


def answers(probabilities: Sequence[float | None]) -> list[Answer]:
    return [FAILED if p is None else Answer(p) for p in probabilities]


def score(
    truths: Sequence[bool], own: Sequence[Answer], *floors: Sequence[Answer], density: float = 0.1, seed: int = 0
) -> Score:
    asked = questions(truths)
    given = [list(zip(asked, answers, strict=True)) for answers in (own, *floors)]
    return measure("detection", "judge", given[0], given[1:], density, seed)


PERFECT = answers([float(truth) for truth in TRUTHS])
GUESSED = answers(np.random.default_rng(0).random(len(TRUTHS)).tolist())


def test_a_perfect_explanation_above_a_guessing_floor_is_accepted() -> None:
    found = score(TRUTHS, PERFECT, GUESSED)
    assert found.score.value == 1 and found.metrics["f1"] == 1
    assert found.excess.value == pytest.approx(1 - found.floor.value)
    assert 0 < found.excess.low <= found.excess.value <= found.excess.high
    assert accepted([found], 0.05)


@pytest.mark.parametrize("own", [PERFECT, GUESSED])
def test_an_explanation_that_answers_as_its_floor_has_no_excess(own: list[Answer]) -> None:
    found = score(TRUTHS, own, own)
    assert astuple(found.excess) == (0, 0, 0) and found.p_value == 1
    assert not accepted([found], 0.05)


def test_an_explanation_below_its_floor_is_not_accepted() -> None:
    found = score(TRUTHS, GUESSED, PERFECT)
    assert found.excess.high < 0 and found.p_value > 0.99
    assert not accepted([found], 0.05)


def test_without_floors_there_is_a_score_and_no_excess() -> None:
    found = score(TRUTHS, PERFECT)
    assert found.score.value == 1
    assert not found.floor.defined and not found.excess.defined and math.isnan(found.p_value)
    assert not accepted([found], 0.05)


def test_the_floor_is_the_mean_of_the_floors() -> None:
    always_wrong = answers([1.0 - truth for truth in TRUTHS])
    found = score(TRUTHS, PERFECT, PERFECT, always_wrong, always_wrong, always_wrong)
    assert found.floor.value == pytest.approx((1 + 0 + 0 + 0) / 4)
    assert found.excess.value == pytest.approx(0.75)


def test_failures_are_counted_and_in_no_metric() -> None:
    own = [Answer(0.8), FAILED, Answer(0.6), REFUSED, Answer(0.7), FAILED, Answer(0.1)]
    truths = [True, True, True, False, False, False, False]
    found = score(truths, own)
    assert found.n_questions == 7
    assert found.failures == {"unparseable": 2, "refusal": 1}
    assert found.score.value == pytest.approx(3 / 4), "0.8 and 0.6 against 0.7 and 0.1: one of four is wrong"
    answered = score([True, True, False, False], answers([0.8, 0.6, 0.7, 0.1]))
    assert found.metrics == pytest.approx(answered.metrics, nan_ok=True) and found.score == answered.score


def test_floors_are_compared_on_the_questions_that_all_answered() -> None:
    """The first two questions are in the score, and in neither floor nor excess."""
    truths = [True, False, True, True, False, False]
    own = answers([0.1, 0.9, 0.9, 0.8, 0.2, 0.1])
    floor = answers([None, 0.0, 0.6, 0.2, 0.4, 0.4])
    other = answers([1.0, None, 0.5, 0.5, 0.5, 0.5])
    found = score(truths, own, floor, other)
    assert found.score.value == pytest.approx((0.5 + 2.5 + 2) / 9), "0.1, 0.9 and 0.8 against 0.9, 0.2 and 0.1"
    assert found.floor.value == pytest.approx((2 / 4 + 1 / 2) / 2)
    assert found.excess.value == pytest.approx(1 - 0.5)
    assert found.failures == {}, "failures of the floors are not the explanation's"


def test_floors_without_any_answer_leave_the_excess_undefined() -> None:
    found = score(TRUTHS, PERFECT, [REFUSED] * len(TRUTHS))
    assert found.score.value == 1 and not found.floor.defined and math.isnan(found.p_value)


def test_no_question_leaves_all_undefined() -> None:
    found = score([], [], [])
    assert found.n_questions == 0 and not found.score.defined and not found.excess.defined
    assert found.metrics and all(math.isnan(value) for value in found.metrics.values())


def test_metrics_at_the_density_are_those_of_reweighted_questions() -> None:
    rare, even = (score(TRUTHS, GUESSED, density=density).metrics for density in (0.01, 0.5))
    p = [answer.probability or 0.0 for answer in GUESSED]
    for density, found in ((0.01, rare), (0.5, even)):
        judge = metrics.classification(TRUTHS, p, density)
        for name in ("precision", "f1", "mcc", "auprc"):
            assert found[f"{name}_at_density"] == judge[name]
    assert rare["precision_at_density"] < even["precision_at_density"]
    assert (rare["f1"], rare["brier"]) == (even["f1"], even["brier"]) and rare["majority_accuracy"] == 0.5


def test_the_seed_decides_the_intervals_and_nothing_else() -> None:
    first, again, other = (score(TRUTHS, GUESSED, PERFECT[::-1], seed=seed) for seed in (1, 1, 2))
    assert first.score == again.score and first.excess == again.excess
    assert first.score != other.score and first.score.value == other.score.value
    assert first.metrics == pytest.approx(other.metrics, nan_ok=True)


def with_p(p_value: float) -> Score:
    return replace(score([], []), p_value=p_value)


@pytest.mark.parametrize(
    ("p_values", "expected"),
    [
        ([0.05], True),
        ([0.051], False),
        ([0.02, 0.9], True),
        ([0.02, 0.9, 0.9], False),
        ([0.9, 0.016, 0.9], True),
        ([0.02, 0.9, math.nan], True),
        ([math.nan], False),
        ([], False),
    ],
)
def test_accepted_is_corrected_over_the_scores_that_were_tested(p_values: list[float], expected: bool) -> None:
    """At 0.05: one score needs 0.05, two need 0.025, three 0.0167; undefined ones are no test."""
    assert accepted([with_p(p) for p in p_values], 0.05) is expected


@pytest.mark.parametrize("stratum", ["neighbours", "written"])
def test_what_is_no_sample_of_silent_contexts_is_not_reweighted(stratum: str) -> None:
    asked = [replace(q, stratum=q.stratum if q.truth else stratum) for q in questions(TRUTHS)]
    found = measure("own", "judge", list(zip(asked, PERFECT, strict=True)), [], 0.1, 0)
    assert "f1_at_density" not in found.metrics and found.metrics["f1"] == 1.0


# --- other metrics than AUROC --------------------------------------------------------------------------


def measured(given: list[tuple[Question, Answer]], *floors: list[tuple[Question, Answer]], **more: Any) -> Score:
    return measure("own", "judge", given, floors, 0.1, 0, **more)


def picked(*hits: float) -> list[tuple[Question, Answer]]:
    return list(zip(questions([True] * len(hits)), answers(hits), strict=True))


def test_a_hit_rate_stands_beside_chance_with_an_exact_test() -> None:
    found = measured(picked(1, 1, 1, 0), metric="hit_rate", chance=0.2)
    assert (found.score.value, found.floor.value) == (0.75, 0.2) and found.excess.value == pytest.approx(0.55)
    assert found.metrics["chance_p"] == pytest.approx(4 * 0.2**3 * 0.8 + 0.2**4)
    exact = metrics.proportion(3, 4)
    assert (found.metrics["hit_rate_low"], found.metrics["hit_rate_high"]) == (exact.low, exact.high)
    assert math.isnan(found.p_value) and not accepted([found], 0.05), "no explanation was tested"


def test_a_hit_rate_with_floors_is_compared_with_them() -> None:
    found = measured(picked(1, 1, 1, 1, 1, 1), picked(0, 1, 0, 0, 0, 0), metric="hit_rate", chance=1 / 3)
    assert found.floor.value == pytest.approx(1 / 6) and found.excess.value == pytest.approx(5 / 6)
    assert found.p_value == pytest.approx(1 / 2**6), "as many signs that agree are no less likely"


def test_nats_are_a_mean_with_a_sign_test() -> None:
    given = [
        (q, Answer(0.5, values=(v,))) for q, v in zip(questions([True] * 4), (1.0, 2.0, -0.5, 1.5), strict=True)
    ]
    found = measured(given, metric="nats")
    assert found.score.value == 1.0
    assert found.metrics == {"share_raised": 0.75, "chance_p": pytest.approx(5 / 16)}


def test_a_correlation_is_pooled_over_tokens() -> None:
    """Not the mean of correlations: one context alone has r = 1, the other r = -1."""
    pairs = [((0.0, 1.0), (0.0, 1.0)), ((5.0, 6.0), (6.0, 5.0))]
    given = [(Question((Passage(("a", "b")),), True, "", x), Answer(0.5, values=y)) for x, y in pairs]
    found = measured(given, metric="correlation")
    assert found.score.value == pytest.approx(np.corrcoef([0, 1, 5, 6], [0, 1, 6, 5])[0, 1])


def test_faithfulness_is_the_share_of_what_could_be_gained() -> None:
    values = [(1.0, 0.0), (1.0, 1.0), (0.0, 0.0), (1.0, 0.0)]
    given = [(q, Answer(0.5, values=v)) for q, v in zip(questions([True] * 4), values, strict=True)]
    assert measured(given, metric="faithfulness").score.value == pytest.approx((3 / 4 - 1 / 4) / (1 - 1 / 4))
    lost = [(q, Answer(0.5, values=(0.0, 1.0 * (i == 0)))) for i, (q, _) in enumerate(given)]
    assert measured(lost, metric="faithfulness").score.value == 0.0
    full = [(q, Answer(0.5, values=(1.0, 1.0))) for q, _ in given]
    assert not measured(full, metric="faithfulness").score.defined, "nothing was left to gain"


def test_floors_that_were_asked_other_questions_are_compared_unpaired() -> None:
    own = list(zip(questions(TRUTHS), PERFECT, strict=True))
    other = [
        (replace(q, stratum="written for another"), a) for q, a in zip(questions(TRUTHS), GUESSED, strict=True)
    ]
    paired, unpaired = measured(own, list(zip(questions(TRUTHS), GUESSED, strict=True))), measured(own, other)
    assert unpaired.excess.value == pytest.approx(paired.excess.value)
    assert unpaired.excess.low != paired.excess.low and not math.isnan(unpaired.p_value)


def test_a_further_floor_has_its_value_and_its_test_among_the_metrics() -> None:
    given = list(zip(questions(TRUTHS), PERFECT, strict=True))
    lexical = list(zip(questions(TRUTHS), GUESSED, strict=True))
    found = measured(given, others={"lexical": lexical})
    p = [answer.probability or 0.0 for answer in GUESSED]
    assert found.metrics["lexical_floor"] == pytest.approx(metrics.auroc(TRUTHS, p))
    assert found.metrics["lexical_floor_p"] < 0.05
    assert measured(lexical, others={"lexical": lexical}).metrics["lexical_floor_p"] == 1.0


def test_where_activations_are_known_they_are_correlated_with_the_answers() -> None:
    peaks, p = [3.0, 1.0, 0.0, 0.0], [0.9, 0.6, 0.5, 0.1]
    given = [
        (Question((Passage(("a", "b")),), x > 0, "10" if x > 0 else "silent", (0.0, x)), Answer(y))
        for x, y in zip(peaks, p, strict=True)
    ]
    found = measured(given).metrics
    assert found["correlation"] == pytest.approx(np.corrcoef(peaks, p)[0, 1])
    assert found["recall_decile_10"] == 1.0 and "recall_decile_silent" not in found


def test_two_alternatives_are_tested_against_a_coin() -> None:
    both = (Passage(("a",)), Passage(("b",)))
    given = [(Question(both, i % 2 == 0), Answer(float(i % 2 == 0) if i else 0.5)) for i in range(6)]
    assert measured(given).metrics["chance_p"] == pytest.approx(metrics.chance_of(5, 6, 0.5)), "undecided: no hit"
    assert "chance_p" not in score(TRUTHS, PERFECT).metrics


# --- at the natural rate -------------------------------------------------------------------------------


def at_density(p: Sequence[float], density: float, truths: Sequence[bool] = TRUTHS) -> Score:
    given = list(zip(questions(truths), answers(p), strict=True))
    return measure("detection", "judge", given, [], density, 0, "correlation_at_density")


@pytest.mark.parametrize("density", [0.3, 0.01])
def test_the_headline_of_contexts_is_the_correlation_of_a_population_with_that_rate(density: float) -> None:
    p = np.random.default_rng(0).random(len(TRUTHS))
    weights = np.where(TRUTHS, density, 1 - density)
    centred = [x - np.average(x, weights=weights) for x in (np.array(TRUTHS, float), p)]
    xy, xx, yy = (
        (weights * a * b).sum() for a, b in ((centred[0], centred[1]), [centred[0]] * 2, [centred[1]] * 2)
    )
    found = at_density(p.tolist(), density)
    assert found.score.value == pytest.approx(xy / math.sqrt(xx * yy))
    assert found.metrics["auroc"] == metrics.auroc(TRUTHS, p.tolist())


def test_of_yes_and_no_it_is_the_matthews_correlation() -> None:
    p = [float(i % 3 == 0) for i in range(len(TRUTHS))]
    assert at_density(p, 0.05).score.value == pytest.approx(at_density(p, 0.05).metrics["mcc_at_density"])


def test_it_falls_by_three_tenths_for_half_the_contexts_and_for_twice_as_many() -> None:
    """Where one in eleven is active, the broad one is wrong about one in ten of the others."""
    truths = [True] * 10 + [False] * 10
    right, narrow, broad = ([1.0] * n + [0.0] * (20 - n) for n in (10, 5, 11))
    values = [at_density(p, 1 / 11, truths).score.value for p in (right, narrow, broad)]
    assert values == pytest.approx([1, math.sqrt(10 / 21), math.sqrt(9 / 20)])
    halves = [
        measure("d", "j", list(zip(questions(truths), answers(p), strict=True)), [], 1 / 11, 0)
        for p in (right, narrow, broad)
    ]
    assert [score.score.value for score in halves] == pytest.approx([1, 0.75, 0.95])


def test_an_answer_that_is_always_the_same_has_no_correlation_and_an_interval() -> None:
    assert astuple(at_density([1.0] * 20, 0.1).score) == (0, 0, 0)
    assert not at_density([], 0.1, []).score.defined


@pytest.mark.parametrize("density, expected", [(0.1, "correlation_at_density"), (0.0, "auroc"), (1.0, "auroc")])
def test_where_there_is_no_natural_rate_the_headline_is_the_area(density: float, expected: str) -> None:
    asked = questions(TRUTHS)
    assert headline(asked, density) == expected
    assert headline([replace(q, stratum="neighbours") if not q.truth else q for q in asked], density) == "auroc"
