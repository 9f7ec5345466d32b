"""The whole of `label` over a small collected run, explained and judged by a real server with a small model.

The labels may be poor. Every unit ends in a state with its reason, and each score stands beside a floor.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import neurogloss as ng
from neurogloss.engines.embedder import MiniLM
from neurogloss.records import Failure, Label, State
from neurogloss.store.index import Index

if TYPE_CHECKING:
    from conftest import VllmServer

# The first test waits for the server.
pytestmark = [pytest.mark.vllm, pytest.mark.model, pytest.mark.timeout(900)]

UNITS = 4
"""What `0-1` means at two hookpoints."""
SETTINGS = {"units": "0-1", "questions": 10, "candidates": 2, "prompts": 4, "min_active": 4}


@pytest.fixture(scope="module")
def run(collected: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(collected, tmp_path_factory.mktemp("copies") / "run"))


@pytest.fixture(scope="module")
def labels(run: Path, vllm_server: VllmServer) -> list[Label]:
    """Detection, fuzzing and intervention of each unit."""
    summary = ng.label(run, llm=vllm_server.url, **SETTINGS)
    found = list(ng.open_run(run).labels())
    assert summary.waiting == 0 and sum(summary.states.values()) == UNITS, [label.reason for label in found]
    return found


def test_every_unit_ends_in_a_state(labels: list[Label], vllm_server: VllmServer) -> None:
    assert len({label.unit for label in labels}) == UNITS
    for label in labels:
        assert label.state not in (State.EXPLAINED, State.TRANSPORT, State.DEAD)
        if label.state in (State.ACCEPTED, State.REJECTED):
            assert label.explanation is not None and label.explanation.text
            assert label.explanation.provenance["explainer"] == f"llm:{vllm_server.model}"
        else:
            assert label.reason
    assert any(label.explanation for label in labels)


def test_each_score_stands_beside_its_floor(run: Path, labels: list[Label], vllm_server: VllmServer) -> None:
    opened = ng.open_run(run)
    answered = 0
    for label in labels:
        if label.explanation is None:
            continue
        assert {score.scorer for score in label.scores} == {"detection", "fuzzing", "intervention"}
        for score in label.scores:
            assert score.judge == f"llm:{vllm_server.model}"
            assert set(score.failures) <= {failure.value for failure in Failure} - {"transport"}
            outcomes = opened.outcomes(label.explanation, score.scorer)
            own = [outcome for outcome in outcomes if outcome.asked == label.explanation.id]
            floor = [outcome for outcome in outcomes if outcome.asked != label.explanation.id]
            assert len(own) == len(floor) == score.n_questions
            assert sum(outcome.answer.failure is not None for outcome in own) == sum(score.failures.values())
            for outcome in outcomes:
                assert outcome.answer.probability in (0.0, 1.0) or outcome.answer.reason
            if score.score.defined and not score.failures and not any(o.answer.failure for o in floor):
                assert -1 <= score.score.value <= 1 and -1 <= score.floor.value <= 1
                answered += 1
    assert answered, "a server that keeps to the form answers some scorer in full"


def test_what_is_done_is_not_asked_again(run: Path, labels: list[Label], vllm_server: VllmServer) -> None:
    before = ng.open_run(run).status()
    summary = ng.label(run, llm=vllm_server.url, **SETTINGS)
    assert summary.waiting == 0 and ng.open_run(run).status() == before
    assert repr(list(ng.open_run(run).labels())) == repr(labels)


def test_labels_can_be_searched(run: Path, labels: list[Label]) -> None:
    opened = ng.open_run(run)
    with opened.ledger() as ledger, Index(opened.folder.index, MiniLM()) as index:
        assert index.check(ledger).ok
    explained = [label for label in labels if label.explanation]
    assert len(opened.search("words", k=10)) == len(explained)


def test_a_model_that_the_server_has_not_leaves_the_run_alone(
    run: Path, labels: list[Label], vllm_server: VllmServer, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    with pytest.raises(ng.UserError, match="has no model 'gpt-none'"):
        ng.label(copy, llm=vllm_server.url, model="gpt-none", **SETTINGS)
    assert repr(list(ng.open_run(copy).labels())) == repr(labels)
