"""Metrics against scikit-learn, and against examples worked out by hand."""

from __future__ import annotations

import math
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, pearsonr
from sklearn import metrics as sklearn_metrics
from sklearn.metrics import roc_auc_score

from neurogloss.scorers import metrics

GRID = st.integers(0, 16).map(lambda i: i / 16)
"""Sixteenths: many ties, and 1 - p is exact."""
ANSWERED = st.lists(st.tuples(st.booleans(), GRID), min_size=1, max_size=40)
BOTH_KINDS = ANSWERED.filter(lambda answered: len({truth for truth, _ in answered}) == 2)


def split(answered: list[tuple[bool, float]]) -> tuple[list[bool], list[float]]:
    return [truth for truth, _ in answered], [p for _, p in answered]


@settings(deadline=None)
@given(BOTH_KINDS)
def test_auroc_is_that_of_scikit_learn(answered: list[tuple[bool, float]]) -> None:
    truths, probabilities = split(answered)
    assert metrics.auroc(truths, probabilities) == pytest.approx(roc_auc_score(truths, probabilities), abs=1e-12)


@settings(deadline=None)
@given(BOTH_KINDS)
def test_auroc_turns_over_with_the_truths_or_with_the_probabilities(answered: list[tuple[bool, float]]) -> None:
    truths, probabilities = split(answered)
    value = metrics.auroc(truths, probabilities)
    assert metrics.auroc([not t for t in truths], probabilities) == pytest.approx(1 - value)
    assert metrics.auroc(truths, [1 - p for p in probabilities]) == pytest.approx(1 - value)


def test_comparisons_by_hand() -> None:
    truths = [True, False, True, False, False]
    matrix = metrics.comparisons(truths, [0.5, 0.5, 0.9, 0.2, 0.7])
    assert matrix.tolist() == [[0.5, 1, 0], [1, 1, 1]]
    assert metrics.auroc(truths, [0.5, 0.5, 0.9, 0.2, 0.7]) == pytest.approx(4.5 / 6)


@pytest.mark.parametrize("truths", [[], [True, True], [False, False, False]])
def test_one_kind_of_truth_leaves_every_metric_undefined(truths: list[bool]) -> None:
    probabilities = [0.3] * len(truths)
    for rate in (None, 0.1):
        found = metrics.classification(truths, probabilities, rate)
        assert len(found) == 7 and all(math.isnan(value) for value in found.values())
    assert math.isnan(metrics.auroc(truths, probabilities))


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_a_rate_at_which_one_kind_is_missing_leaves_every_metric_undefined(rate: float) -> None:
    found = metrics.classification([True, False], [0.9, 0.1], rate)
    assert all(math.isnan(value) for value in found.values())


@settings(deadline=None, max_examples=60)
@given(BOTH_KINDS, st.one_of(st.none(), st.sampled_from([0.001, 0.1, 0.7])))
def test_classification_is_that_of_scikit_learn(answered: list[tuple[bool, float]], rate: float | None) -> None:
    truths, probabilities = split(answered)
    said = [p > 0.5 for p in probabilities]
    share = sum(truths) / len(truths)
    wanted = share if rate is None else rate
    weights = [wanted / share if truth else (1 - wanted) / (1 - share) for truth in truths]
    found = metrics.classification(truths, probabilities, rate)
    judge = {
        "accuracy": sklearn_metrics.accuracy_score(truths, said, sample_weight=weights),
        "balanced_accuracy": sklearn_metrics.balanced_accuracy_score(truths, said),
        "precision": sklearn_metrics.precision_score(truths, said, sample_weight=weights, zero_division=math.nan),
        "recall": sklearn_metrics.recall_score(truths, said),
        "f1": sklearn_metrics.f1_score(truths, said, sample_weight=weights, zero_division=0.0),
        "mcc": sklearn_metrics.matthews_corrcoef(truths, said, sample_weight=weights),
        "auprc": sklearn_metrics.average_precision_score(truths, probabilities, sample_weight=weights),
    }
    assert found == pytest.approx(judge, abs=1e-9, nan_ok=True)


def test_classification_by_hand() -> None:
    """Two true positives, one false negative, one false positive, one true negative."""
    found = metrics.classification([True, True, True, False, False], [0.9, 0.6, 0.2, 0.7, 0.1])
    assert found == pytest.approx(
        {
            "accuracy": 3 / 5,
            "balanced_accuracy": (2 / 3 + 1 / 2) / 2,
            "precision": 2 / 3,
            "recall": 2 / 3,
            "f1": 2 * 2 / (2 * 2 + 1 + 1),
            "mcc": (2 * 1 - 1 * 1) / math.sqrt(3 * 3 * 2 * 2),
            "auprc": (1 / 1 + 2 / 3 + 3 / 4) / 3,
        }
    )


def test_one_half_is_no() -> None:
    """A judge that never says yes, not even at one half, is at chance; nothing warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = metrics.classification([True, False], [0.5, 0.5])
    assert math.isnan(found.pop("precision"))
    assert found == {
        "accuracy": 0.5,
        "balanced_accuracy": 0.5,
        "recall": 0.0,
        "f1": 0.0,
        "mcc": 0.0,
        "auprc": 0.5,
    }


def test_precision_at_a_low_rate_by_hand() -> None:
    """7 of 10 true ones found and 1 of 10 false ones taken for true: at a rate of 0.001 that is 0.7 %."""
    truths = [True] * 10 + [False] * 10
    probabilities = [0.9] * 7 + [0.1] * 3 + [0.9] + [0.1] * 9
    found = metrics.classification(truths, probabilities, 0.001)
    assert found["precision"] == pytest.approx(0.0007 / (0.0007 + 0.0999))
    assert found["recall"] == 0.7 and found["balanced_accuracy"] == pytest.approx(0.8)
    assert round(found["precision"], 3) == 0.007


def test_recalls_by_hand() -> None:
    truths = [True, True, True, False, True]
    found = metrics.recalls(truths, [0.9, 0.2, 0.6, 0.9, 0.5], ["10", "10", "9", "silent", "1"])
    assert found == {"1": 0.0, "10": 0.5, "9": 1.0}


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=2, max_size=20))
def test_pearson_is_that_of_scipy(pairs: list[tuple[int, int]]) -> None:
    xs, ys = [x for x, _ in pairs], [y for _, y in pairs]
    found = metrics.pearson(xs, ys)
    if len(set(xs)) == 1 or len(set(ys)) == 1:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(pearsonr(xs, ys).statistic, abs=1e-9)


def test_pearson_of_one_pair_is_undefined() -> None:
    assert math.isnan(metrics.pearson([1.0], [2.0])) and math.isnan(metrics.pearson([], []))


@settings(deadline=None, max_examples=40)
@given(ANSWERED)
def test_brier_is_that_of_scikit_learn(answered: list[tuple[bool, float]]) -> None:
    truths, probabilities = split(answered)
    judge = sklearn_metrics.brier_score_loss(truths, probabilities, labels=[False, True])
    assert metrics.brier(truths, probabilities) == pytest.approx(judge)


def test_calibration_error_by_hand() -> None:
    """Of four answers of 0.75 three are true, of two of 0.25 both: the gaps are 0 (of 4) and 0.75 (of 2)."""
    truths = [True, True, True, False, True, True]
    assert metrics.calibration_error(truths, [0.75] * 4 + [0.25] * 2) == pytest.approx(0.75 * 2 / 6)
    assert metrics.calibration_error([True, False], [1.0, 0.0]) == 0.0
    assert math.isnan(metrics.calibration_error([], [])) and math.isnan(metrics.brier([], []))


def test_the_exact_interval_is_that_of_clopper_and_pearson() -> None:
    """With no hit in n the upper limit solves (1 - p)^n = 0.025."""
    found = metrics.proportion(0, 10)
    assert (found.value, found.low) == (0.0, 0.0) and found.high == pytest.approx(1 - 0.025**0.1)
    assert not metrics.proportion(0, 0).defined


@pytest.mark.parametrize(("hits", "n", "chance"), [(8, 10, 0.5), (3, 5, 0.2), (0, 4, 1 / 3)])
def test_the_chance_of_as_many_hits_is_the_binomial_tail(hits: int, n: int, chance: float) -> None:
    assert metrics.chance_of(hits, n, chance) == pytest.approx(float(binom.sf(hits - 1, n, chance)))


def test_without_questions_there_is_no_chance() -> None:
    assert math.isnan(metrics.chance_of(0, 0, 0.5))


@pytest.mark.parametrize("rate", [0.1, 0.01, 0.001])
def test_a_label_that_is_too_broad_or_too_narrow_costs_more_at_the_natural_rate(rate: float) -> None:
    """Half the extension misses half; double the extension is wrong as often as right (Oikarinen et al. 2025).

    Balanced questions hide the second: at a rate of 0.001 balanced accuracy loses 0.0005, F1 there a third.
    """
    n = 100_000
    truths = [True] * n + [False] * n
    alarms = round(n * rate / (1 - rate))
    exact = [1.0] * n + [0.0] * n
    narrow = [1.0] * (n // 2) + [0.0] * (n // 2) + [0.0] * n
    broad = [1.0] * n + [1.0] * alarms + [0.0] * (n - alarms)
    right, half, double = (metrics.classification(truths, p, rate) for p in (exact, narrow, broad))
    for name in ("f1", "mcc", "auprc"):
        assert right[name] == pytest.approx(1.0)
        assert half[name] < 0.8 and double[name] < 0.8
    assert half["balanced_accuracy"] == pytest.approx(0.75)
    assert double["balanced_accuracy"] == pytest.approx(1 - rate / (1 - rate) / 2, abs=1e-4)
