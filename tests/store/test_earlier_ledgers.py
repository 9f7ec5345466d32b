"""Ledgers as earlier versions wrote them, of two units that a script labelled, with eight questions a scorer."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from neurogloss.agent.trace import unpack
from neurogloss.errors import UserError
from neurogloss.records import Side, State
from neurogloss.store.ledger import Ledger

WRITTEN = sorted((Path(__file__).parent / "formats").glob("ledger-*.sql"))
TEXTS = {"14-": "the words l, a, c", "18": "the words v, ee, c"}


@pytest.fixture(params=WRITTEN, ids=lambda path: path.stem)
def written(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """The name of the last step that it had seen, and the file."""
    path = tmp_path / "ledger.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(request.param.read_text(encoding="utf-8"))
        [(step,)] = connection.execute("SELECT max(name) FROM migrations").fetchall()
    assert request.param.stem.removeprefix("ledger-") == step[:4]
    return step, path


def test_all_that_they_say_is_read(written: tuple[str, Path]) -> None:
    step, path = written
    if step == "0001_initial":
        with pytest.raises(UserError, match="Bring it up to date with:  neurogloss index rebuild"):
            Ledger(path, read_only=True)
    Ledger(path).close()
    with Ledger(path, read_only=True) as ledger:
        labels = list(ledger.labels())
        explanations = {str(label.unit).rpartition("/")[2]: label.explanation for label in labels}
        assert {name: each and each.text for name, each in explanations.items()} == TEXTS
        for label in labels:
            assert label.state is State.REJECTED and label.explanation
            assert label.explanation.side is Side.INPUT and label.explanation.provenance["explainer"]
            assert ledger.candidates(label.unit, label.explanation.method)[0] == label.explanation
            assert (statistics := ledger.statistics(label.unit)) and statistics.n_active > 0
            assert [(score.scorer, score.score.value, score.n_questions) for score in label.scores] == [
                ("detection", 0.5, 8),
                ("fuzzing", 0.5, 8),
            ]
            for scorer in ("detection", "fuzzing"):
                outcomes = ledger.outcomes(label.explanation.id, scorer)
                assert sum(outcome.question.truth for outcome in outcomes) * 2 == len(outcomes) > 0
                assert all(passage.text for outcome in outcomes for passage in outcome.question.passages)
            trace = ledger.trace(label.unit, label.explanation.method)
            if step == "0001_initial":
                assert trace is None
            else:
                assert trace and unpack(trace)[0]["node"] == "gather"


def test_they_take_what_is_new(written: tuple[str, Path]) -> None:
    _, path = written
    with Ledger(path) as ledger:
        [method] = ledger.methods()
        [first, _] = ledger.units()
        ledger.add_method("later", {"explainer": "pmi"})
        ledger.record_failure(first, "later", State.REFUSAL, "it declined")
        assert ledger.states("later") == {first: State.REFUSAL}
        assert set(ledger.states(method).values()) == {State.REJECTED}
