"""Whatever server and network do, each unit ends in a state with a reason, and no score is made of a failure."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import neurogloss as ng
from benchmarks.soak.checks import answers, dump, labels, outcomes
from benchmarks.soak.network import ANSWERS, HARMFUL, TRANSPORT, Proxy
from neurogloss.records import State

MakeProxy = Callable[..., Proxy]
# A hang ends here, and not after the whole session's patience.
pytestmark = pytest.mark.timeout(120)

SETTINGS = {"units": "0-5", "scorers": ("detection", "fuzzing"), "questions": 20, "effort": "low", "min_active": 5}
TWO = {**SETTINGS, "units": "0-1"}


@pytest.fixture(scope="module")
def undisturbed(
    collected: Path, healthy: str, quick_embedder: None, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The run as the healthy server labels it."""
    run = Path(shutil.copytree(collected, tmp_path_factory.mktemp("undisturbed") / "run"))
    summary = ng.label(run, llm=healthy, **SETTINGS)
    assert summary.waiting == summary.failed == 0
    return run


@pytest.fixture
def run(collected: Path, quick_embedder: None, tmp_path: Path) -> Path:
    return Path(shutil.copytree(collected, tmp_path / "run"))


@pytest.mark.parametrize("kind", HARMFUL)
def test_where_nothing_else_comes_back_every_unit_has_the_state_that_it_means(
    proxy: MakeProxy, run: Path, kind: str
) -> None:
    summary = ng.label(run, llm=proxy(0, (kind,), share=1.0).url, **TWO)
    found = labels(run)
    assert [label.state for label in found] == [HARMFUL[kind]] * 2 and all(label.reason for label in found)
    assert not any(label.explanation or label.scores for label in found)
    assert summary.waiting == (2 if HARMFUL[kind] is State.TRANSPORT else 0)


@pytest.mark.parametrize("kind", ANSWERS)
def test_no_score_is_made_where_no_judge_s_answer_can_be_used(proxy: MakeProxy, run: Path, kind: str) -> None:
    ng.label(run, llm=proxy(0, (kind,), share=1.0, of=b"exts:").url, **TWO)
    found = labels(run)
    assert len(found) == 2
    for label in found:
        assert label.explanation and label.state not in (State.ACCEPTED, State.EXPLAINED)
        for score in label.scores:
            assert not score.score.defined and not score.excess.defined and math.isnan(score.p_value)
            assert score.failures == {HARMFUL[kind].value: score.n_questions} and score.n_questions
        assert all(outcome.answer.reason for outcome in outcomes(run, label))


@pytest.mark.parametrize("seed", range(3))
def test_a_second_run_finishes_what_transport_failed(
    proxy: MakeProxy, healthy: str, run: Path, undisturbed: Path, seed: int
) -> None:
    between = proxy(seed, TRANSPORT)
    ng.label(run, llm=between.url, **SETTINGS)
    assert between.spoilt, "the proxy let everything pass"
    for label in labels(run):
        assert label.state is not State.TRANSPORT or label.reason
        assert label.state not in (State.REFUSAL, State.UNPARSEABLE, State.EMPTY), label.reason
    assert ng.label(run, llm=healthy, **SETTINGS).waiting == 0
    assert dump(run) == dump(undisturbed)


@pytest.mark.parametrize("seed", range(3))
def test_through_everything_at_once_an_answer_is_right_or_none(
    proxy: MakeProxy, healthy: str, run: Path, undisturbed: Path, seed: int
) -> None:
    ng.label(run, llm=proxy(seed, TRANSPORT + ANSWERS).url, **SETTINGS)
    first = {label.unit: label for label in labels(run)}
    assert ng.label(run, llm=healthy, **SETTINGS).waiting == 0
    right, compared = answers(undisturbed), 0
    for label in labels(run):
        before = first.get(label.unit)
        assert label.state is not State.TRANSPORT and (label.scores or label.reason)
        if before and before.state is not State.TRANSPORT and before.state is not State.EXPLAINED:
            assert label == before, "what was settled stays"
        if not label.explanation:
            continue
        given = outcomes(run, label)
        for outcome in given:
            asked = (outcome.scorer, outcome.asked, outcome.question)
            if asked in right and not outcome.answer.failure:
                assert outcome.answer.probability == right[asked]
                compared += 1
        for score in label.scores:
            own = [o.answer for o in given if (o.scorer, o.asked) == (score.scorer, label.explanation.id)]
            assert len(own) == score.n_questions
            assert sum(score.failures.values()) == sum(answer.failure is not None for answer in own)
    assert compared


def test_a_server_that_cannot_be_tried_leaves_the_run_alone(proxy: MakeProxy, run: Path) -> None:
    """Not even its features are found out."""
    between = proxy(0, ("drop",), share=1.0)
    between.spared = 0
    with pytest.raises(ng.UserError, match="could not be tried"):
        ng.label(run, llm=between.url, **TWO)
    assert not (run / "ledger.sqlite").exists() or labels(run) == []
