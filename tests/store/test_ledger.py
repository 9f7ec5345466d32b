from __future__ import annotations

import math
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurogloss.accounts import Standing, Usage, Work
from neurogloss.errors import UserError
from neurogloss.ids import UnitId
from neurogloss.records import (
    Answer,
    Explanation,
    Facet,
    Failure,
    Interval,
    Label,
    Outcome,
    Passage,
    Question,
    Side,
    State,
    UnitStatistics,
)
from neurogloss.store.ledger import FAILURES, Ledger

NAN = math.nan


@pytest.fixture
def ledger(tmp_path, unit, statistics) -> Iterator[Ledger]:
    with Ledger(tmp_path / "run" / "ledger.sqlite") as ledger:
        ledger.add_method("m1", {"explainer": "pmi"})
        ledger.add_method("m0", {"explainer": "llm", "model": "x"})
        ledger.add_units((unit(i, sign), statistics) for i in (10, 2, 0) for sign in (-1, 1))
        yield ledger


# --- methods and units ----------------------------------------------------------------------------


def test_methods_keep_their_order_and_their_settings(ledger):
    ledger.add_method("m1", {"explainer": "pmi"})
    assert list(ledger.methods().items()) == [
        ("m1", {"explainer": "pmi"}),
        ("m0", {"explainer": "llm", "model": "x"}),
    ]
    assert ledger.newest_method() == "m0"
    with pytest.raises(ValueError, match="pmi"):
        ledger.add_method("m1", {"explainer": "other"})


def test_an_empty_ledger_has_nothing(tmp_path, unit):
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        assert ledger.newest_method() is None
        assert ledger.methods() == {} and list(ledger.units()) == [] and list(ledger.labels()) == []
        assert ledger.label(unit()) is None and ledger.statistics(unit()) is None
        assert ledger.standings("m", [unit()]) == {} and ledger.counts() == {} and len(ledger.documents) == 0


def test_units_come_by_number_and_positive_side_first(ledger, unit):
    assert list(ledger.units()) == [unit(i, sign) for i in (0, 2, 10) for sign in (1, -1)]


def test_statistics_round_trip_and_are_replaced(ledger, unit, statistics):
    assert ledger.statistics(unit(2)) == statistics
    other = UnitStatistics(9, 0, -math.inf, 0.0, NAN, ())
    ledger.add_units([(unit(2), other)])
    found = ledger.statistics(unit(2))
    assert math.isnan(found.mean)
    assert replace(found, mean=0.0) == replace(other, mean=0.0)
    assert len(list(ledger.units())) == 6


@pytest.mark.parametrize("bad", [UnitId("s", "h/k", "d", 1), UnitId("s", "h", "d", 1, sign=2)])
def test_a_unit_whose_id_does_not_read_back_is_refused(ledger, statistics, bad):
    with pytest.raises(ValueError, match="slash"):
        ledger.add_units([(bad, statistics)])


# --- recording ------------------------------------------------------------------------------------


def test_an_explained_unit_has_its_explanation_and_the_losers(ledger, unit, explanation):
    chosen = explanation(2, validation=0.75, provenance={"tokens": 12, "seed": {"a": [1, None]}})
    losers = [explanation(2, "nights", rank=1, validation=0.5), explanation(2, "digits", rank=2)]
    ledger.record_explained(chosen, losers[::-1])
    assert ledger.label(unit(2), "m1") == Label(unit(2), "m1", State.EXPLAINED, explanation=chosen)
    assert ledger.candidates(unit(2), "m1") == [chosen, *losers]
    assert ledger.explanation(losers[0].id) == losers[0]
    assert ledger.explanation("b2:none") is None
    assert len(ledger.documents) == 1


def test_explaining_again_is_idempotent_and_a_new_text_replaces_the_old(
    ledger, unit, explanation, score, outcomes
):
    chosen, loser = explanation(2), explanation(2, "nights", rank=1)
    ledger.record_explained(chosen, [loser])
    before = ledger.dump()
    ledger.record_explained(chosen, [loser])
    assert ledger.dump() == before

    ledger.record_scores(chosen, State.ACCEPTED, [score()], outcomes(chosen.id))
    new = explanation(2, "months")
    ledger.record_explained(new, [])
    assert ledger.candidates(unit(2), "m1") == [new]
    assert ledger.label(unit(2)) == Label(unit(2), "m1", State.EXPLAINED, explanation=new)
    assert ledger.outcomes(chosen.id, "detection") == []


def test_a_failure_counts_as_an_attempt_and_leaves_the_explanation(ledger, unit, explanation):
    ledger.record_failure(unit(2), "m1", State.TRANSPORT, "server down")
    assert ledger.label(unit(2)) == Label(unit(2), "m1", State.TRANSPORT, "server down")
    ledger.record_explained(explanation(2), [])
    assert ledger.label(unit(2)).reason == "" and ledger.standings("m1", [unit(2)])[unit(2)].attempts == 1
    ledger.record_failure(unit(2), "m1", State.REFUSAL, "no")
    assert ledger.standings("m1", [unit(2)])[unit(2)].attempts == 2
    assert ledger.label(unit(2)) == Label(unit(2), "m1", State.REFUSAL, "no", explanation(2))
    with pytest.raises(ValueError, match="accepted"):
        ledger.record_failure(unit(2), "m1", State.ACCEPTED, "")
    assert len(FAILURES) == 6


def test_scores_and_outcomes_round_trip_in_order(ledger, unit, explanation, score, outcomes):
    chosen = explanation(2)
    ledger.record_explained(chosen, [])
    undefined = replace(
        score("fuzzing"), score=Interval(NAN, NAN, NAN), floor=Interval(0.5, -math.inf, NAN), p_value=NAN
    )
    both = outcomes(chosen.id) + outcomes(chosen.id, "fuzzing")
    ledger.record_scores(chosen, State.REJECTED, [undefined, score()], both)

    label = ledger.label(unit(2))
    assert label.state is State.REJECTED
    assert repr(label.scores) == repr(
        (replace(score(), failures={"refusal": 1}), replace(undefined, failures={"refusal": 1}))
    )
    assert ledger.outcomes(chosen.id, "detection") == outcomes(chosen.id)
    assert ledger.outcomes(chosen.id, "fuzzing") == outcomes(chosen.id, "fuzzing")


def test_a_question_asked_twice_is_stored_once_and_equal_questions_stay_two(ledger, explanation):
    chosen = explanation(2)
    ledger.record_explained(chosen, [])
    question = Question((Passage(("x",)),), True)
    given = [Outcome("detection", asked, question, Answer(p)) for asked in ("own", "floor") for p in (0.1, 0.2)]
    ledger.record_scores(chosen, State.REJECTED, [], given)
    assert ledger.outcomes(chosen.id, "detection") == given
    stored = [line for line in ledger.dump().splitlines() if line.startswith(f"('{chosen.id}', 'detection'")]
    assert len(stored) == 2 + 4


def test_scoring_again_replaces_only_the_same_scorers(ledger, unit, explanation, score, outcomes):
    chosen = explanation(2)
    ledger.record_explained(chosen, [])
    ledger.record_scores(chosen, State.REJECTED, [score(), score("fuzzing")], outcomes(chosen.id))
    ledger.record_scores(chosen, State.ACCEPTED, [score(value=0.9)], outcomes(chosen.id)[:1])
    label = ledger.label(unit(2))
    assert [(s.scorer, s.score.value) for s in label.scores] == [("detection", 0.9), ("fuzzing", 0.8)]
    assert label.state is State.ACCEPTED
    assert len(ledger.outcomes(chosen.id, "detection")) == 1


def test_what_does_not_fit_together_is_refused_and_changes_nothing(ledger, explanation, score):
    ledger.record_explained(explanation(2), [explanation(2, "nights", rank=1)])
    before = ledger.dump()
    with pytest.raises(ValueError, match="not the explanation"):
        ledger.record_scores(explanation(2, "nights", rank=1), State.ACCEPTED, [score()], [])
    with pytest.raises(ValueError, match="one unit"):
        ledger.record_explained(explanation(2), [explanation(0, rank=1)])
    with pytest.raises(sqlite3.IntegrityError):
        ledger.record_explained(explanation(2), [explanation(2, "again")])
    with pytest.raises(sqlite3.IntegrityError):
        ledger.record_explained(explanation(77), [])
    with pytest.raises(sqlite3.IntegrityError):
        ledger.record_explained(explanation(2, method="unknown"), [])
    with pytest.raises(sqlite3.IntegrityError):
        ledger.record_scores(explanation(2), State.ACCEPTED, [score(), score()], [])
    assert ledger.dump() == before


# --- reading --------------------------------------------------------------------------------------


def test_labels_are_ordered_filtered_and_counted(ledger, unit, explanation, score):
    ledger.record_explained(explanation(10), [])
    ledger.record_explained(explanation(2, method="m0"), [])
    ledger.record_failure(unit(2, -1), "m1", State.DEAD, "never fired")
    ledger.record_explained(explanation(2), [])
    ledger.record_scores(explanation(2), State.ACCEPTED, [score()], [])

    every = [(label.method, label.unit) for label in ledger.labels()]
    assert every == [("m1", unit(2)), ("m1", unit(2, -1)), ("m1", unit(10)), ("m0", unit(2))]
    some = list(ledger.labels("m1", {State.ACCEPTED, State.DEAD}))
    assert some == [ledger.label(unit(2), "m1"), ledger.label(unit(2, -1))]
    assert [s.scorer for s in some[0].scores] == ["detection"]
    assert list(ledger.labels(states=[])) == []
    assert ledger.label(unit(2)).method == "m0" and ledger.label(unit(10)).method == "m1"
    assert ledger.label(unit(10), "m0") is None
    assert ledger.states("m1") == {
        unit(2): State.ACCEPTED,
        unit(2, -1): State.DEAD,
        unit(10): State.EXPLAINED,
    }
    assert ledger.counts() == {State.EXPLAINED: 2, State.ACCEPTED: 1, State.DEAD: 1}
    assert ledger.counts("m0") == {State.EXPLAINED: 1}


def test_labels_stream_over_pages_undisturbed_by_what_is_recorded_meanwhile(
    ledger, unit, statistics, explanation, score, monkeypatch
):
    monkeypatch.setattr("neurogloss.store.reading._PAGE", 3)
    ledger.add_units((unit(i), statistics) for i in range(10))
    for i in range(10):
        ledger.record_explained(explanation(i), [])
        ledger.record_scores(explanation(i), State.ACCEPTED, [score(value=i / 10)], [])
    seen = []
    for label in ledger.labels("m1", [State.ACCEPTED]):
        seen.append((label.unit, label.scores[0].score.value))
        for i in range(10):
            ledger.record_explained(explanation(i, "another"), [])
    assert seen == [(unit(i), i / 10) for i in range(10)]
    assert ledger.counts() == {State.EXPLAINED: 10}


def test_dump_tells_contents_apart_and_ignores_times_and_order(tmp_path, unit, statistics, explanation):
    def write(path: Path, order: list[int], text: str = "days") -> str:
        with Ledger(path) as ledger:
            ledger.add_method("m1", {"b": 1, "a": 2})
            ledger.add_units((unit(i), statistics) for i in order)
            for i in order:
                ledger.record_failure(unit(i), "m1", State.TRANSPORT, "")
                ledger.record_explained(explanation(i, text), [])
            return ledger.dump()

    first = write(tmp_path / "a", [1, 2])
    changed = "UPDATE labels SET changed_at = 'long ago'"
    with sqlite3.connect(tmp_path / "a") as connection:
        assert connection.execute(changed).rowcount == 2
    connection.close()
    with Ledger(tmp_path / "a", read_only=True) as ledger:
        assert ledger.dump() == first
    assert write(tmp_path / "b", [2, 1]) == first
    assert write(tmp_path / "c", [2, 1], "nights") != first


TEXTS = st.text(max_size=40)


@settings(max_examples=60, deadline=None)
@given(TEXTS, TEXTS, TEXTS, st.lists(TEXTS, min_size=1, max_size=4), st.floats(0, 1))
def test_any_text_and_number_comes_back_as_it_was(text, reason, stratum, tokens, probability):
    unit = UnitId("org/ß", "h\n'k", 'd"', 3, -1)
    chosen = Explanation(unit, text, "m", provenance={"prompt": reason}, validation=probability)
    outcome = Outcome(
        "s", chosen.id, Question((Passage(tuple(tokens), (0,)),), True, stratum), Answer(probability)
    )
    failed = Outcome("s", "other", outcome.question, Answer(None, Failure.EMPTY, reason))
    with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder) / "a?b #c") as ledger:
        ledger.add_method("m", {text: reason})
        ledger.add_units([(unit, UnitStatistics(1, 1, probability, probability, probability, (1,)))])
        ledger.record_explained(chosen, [])
        ledger.record_scores(chosen, State.REJECTED, [], [outcome, failed])
        ledger.record_failure(unit, "m", State.EMPTY, reason)
        assert next(ledger.labels()) == Label(unit, "m", State.EMPTY, reason, chosen)
        assert ledger.outcomes(chosen.id, "s") == [outcome, failed]
        assert ledger.statistics(unit).mean == probability and ledger.methods() == {"m": {text: reason}}


# --- files ----------------------------------------------------------------------------------------


def test_read_only_neither_makes_nor_writes(tmp_path, ledger, explanation):
    with pytest.raises(UserError, match="found nothing"):
        Ledger(tmp_path / "none" / "ledger.sqlite", read_only=True)
    assert not (tmp_path / "none").exists()
    with Ledger(ledger.path, read_only=True) as reader:
        ledger.record_explained(explanation(2), [])
        assert reader.dump() == ledger.dump()
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader.record_explained(explanation(0), [])


def test_a_ledger_in_a_folder_that_cannot_be_written_to_is_read(tmp_path, ledger, monkeypatch):
    ledger.close()
    copy = shutil.copytree(ledger.path.parent, tmp_path / "copy")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with Ledger(copy / "ledger.sqlite", read_only=True) as reader:
        assert len(list(reader.units())) == 6
    assert [path.name for path in copy.iterdir()] == ["ledger.sqlite"]


@pytest.mark.parametrize("read_only", [True, False])
def test_a_file_that_is_no_ledger_is_refused_and_left_alone(tmp_path, read_only):
    path = tmp_path / "notes.txt"
    path.write_text("not a database " * 100, encoding="utf-8")
    before = path.read_bytes()
    with pytest.raises(UserError, match="not a database"):
        Ledger(path, read_only=read_only)
    assert path.read_bytes() == before

    path = tmp_path / "other.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE recipes (name)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(UserError, match="recipes"):
        Ledger(path, read_only=read_only)
    assert path.read_bytes() == before


def test_a_folder_and_an_unfinished_ledger_are_refused(tmp_path):
    with pytest.raises(UserError, match="unable to open"):
        Ledger(tmp_path)
    (tmp_path / "empty").touch()
    with pytest.raises(UserError, match="unfinished"):
        Ledger(tmp_path / "empty", read_only=True)
    with Ledger(tmp_path / "empty") as ledger:
        assert ledger.counts() == {}


@pytest.mark.parametrize("read_only", [True, False])
def test_a_ledger_of_a_newer_version_is_refused(ledger, read_only):
    with sqlite3.connect(ledger.path) as connection:
        connection.execute("PRAGMA user_version = 3")
    connection.close()
    with pytest.raises(UserError, match=r"newer version .*format 3.*pip install --upgrade"):
        Ledger(ledger.path, read_only=read_only)


@pytest.mark.parametrize("read_only", [True, False])
def test_a_ledger_of_an_earlier_version_is_refused_with_the_way_out(tmp_path, read_only):
    path = tmp_path / "ledger.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE migrations (name TEXT PRIMARY KEY, applied_at TEXT)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"earlier version .*neurogloss export .* neurogloss import"):
        Ledger(path, read_only=read_only)
    assert path.read_bytes() == before


WRITER = """
import sys
from pathlib import Path
from neurogloss.ids import UnitId
from neurogloss.records import Answer, Explanation, Outcome, Passage, Question, State, UnitStatistics
from neurogloss.store.ledger import Ledger

with Ledger(Path(sys.argv[1])) as ledger:
    ledger.add_method("m", {})
    for i in range(1_000_000):
        unit = UnitId("s", "h", "d", i)
        ledger.add_units([(unit, UnitStatistics(1, 1, 0.0, 1.0, 1.0, (1,)))])
        chosen = Explanation(unit, f"text {i}", "m")
        ledger.record_explained(chosen, [Explanation(unit, "loser", "m", rank=1)])
        outcomes = [
            Outcome("detection", chosen.id, Question((Passage((str(n),)),), True), Answer(0.5))
            for n in range(50)
        ]
        ledger.record_scores(chosen, State.ACCEPTED, [], outcomes)
        print(i, flush=True)
"""


@pytest.mark.parametrize("acknowledged", [0, 7, 40])
def test_a_killed_writer_loses_nothing_it_acknowledged(tmp_path, acknowledged):
    path = tmp_path / "ledger.sqlite"
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as process:
        last = -1
        while last < acknowledged:
            last = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        last = max([last, *map(int, process.stdout.read().split())])

    with Ledger(path, read_only=True) as ledger:
        labels = list(ledger.labels())
        assert len(labels) >= last + 1
        assert {label.state for label in labels[: last + 1]} == {State.ACCEPTED}
        for label in labels:
            assert [e.rank for e in ledger.candidates(label.unit, "m")] == [0, 1]
            n = len(ledger.outcomes(label.explanation.id, "detection"))
            assert n == (50 if label.state is State.ACCEPTED else 0)
    with Ledger(path) as ledger, sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        ledger.add_method("m2", {})
    connection.close()


# --- standings, costs and traces ------------------------------------------------------------------


def test_standings_are_of_those_that_have_a_label(ledger, unit, explanation):
    ledger.record_explained(explanation(2), [])
    ledger.record_failure(unit(0), "m1", State.TRANSPORT, "timed out")
    found = ledger.standings("m1", [unit(0), unit(2), unit(10), unit(99)])
    assert found == {
        unit(0): Standing(State.TRANSPORT, 1, False),
        unit(2): Standing(State.EXPLAINED, 0, True),
    }
    assert ledger.standings("m0", [unit(0), unit(2)]) == {}
    assert ledger.unknown([unit(10), unit(99), unit(98), unit(10, -1)]) == [unit(99), unit(98)]


def test_costs_add_up_by_stage_and_the_last_trace_stays(ledger, unit, explanation):
    cost = Usage(requests=2, stored=1, prompt_tokens=300, cached_tokens=128, completion_tokens=9)
    ledger.record_failure(unit(2), "m1", State.TRANSPORT, "gone", Work("explain", cost, b"first"))
    ledger.record_explained(explanation(2), [], Work("explain", cost, b"second"))
    ledger.record_explained(explanation(0), [], Work("explain", Usage(1, 0, 10, 0, 1)))
    ledger.record_scores(explanation(2), State.ACCEPTED, [], [], work=Work("score", cost))
    assert ledger.usage("m1", unit(2)) == {"explain": cost + cost, "score": cost}
    assert ledger.usage("m1")["explain"] == Usage(5, 2, 610, 256, 19) and ledger.usage("m0") == {}
    assert ledger.trace(unit(2), "m1") == b"second"
    assert ledger.trace(unit(0), "m1") is None and ledger.trace(unit(2), "m0") is None


def test_sides_and_facets_come_back(ledger, unit, explanation):
    facets = (Facet("the days of the week", 0.6), Facet("French cities", 0.25))
    given = explanation(2, text="either days; or cities", side=Side.MIXED, facets=facets)
    ledger.record_explained(given, [])
    assert ledger.candidates(unit(2), "m1") == [given] and ledger.label(unit(2)).explanation == given


@pytest.fixture
def paged(ledger, unit, explanation, score) -> Ledger:
    """Explained, in order: 0, 0-, 2 (accepted), 2-; failed: 10 (refusal), 10-."""
    for index, sign in ((2, -1), (0, 1), (2, 1), (0, -1)):
        ledger.record_explained(explanation(index, sign=sign), [])
    ledger.record_scores(explanation(2), State.ACCEPTED, [score("fuzzing"), score("detection")], [])
    ledger.record_scores(explanation(0, sign=-1), State.REJECTED, [score("detection", 0.3)], [])
    ledger.record_failure(unit(10), "m1", State.REFUSAL, "would not")
    ledger.record_failure(unit(10, -1), "m1", State.EMPTY, "")
    return ledger


def test_failed_labels_come_in_pages_in_the_order_of_units(paged, unit):
    paged.record_failure(unit(2), "m1", State.TRANSPORT, "down")  # it keeps its explanation

    def ask(**more):
        labels, total = paged.failed("m1", **more)
        return [(label.unit.index, label.unit.sign) for label in labels], total

    assert ask() == ([(10, 1), (10, -1)], 2)
    assert ask(limit=1) == ([(10, 1)], 2)
    assert ask(after=unit(10)) == ([(10, -1)], 2)
    assert ask(after=unit(3)) == ([(10, 1), (10, -1)], 2)  # a unit without a label has its place, too
    assert ask(states=[State.REFUSAL]) == ([(10, 1)], 1)
    assert ask(states=[]) == ([], 0)
    assert paged.failed("m0") == ([], 0)


def test_scores_are_those_of_the_labels_in_their_order(paged):
    wanted = [(str(label.unit), score) for label in paged.labels("m1") for score in label.scores]
    assert repr(list(paged.scores("m1"))) == repr(wanted) and len(wanted) == 3  # by repr: NaN is not itself
    assert list(paged.scores("m0")) == []


def test_units_are_counted_by_place_and_found_by_their_end(paged, unit, statistics):
    paged.add_units([(unit(2, hookpoint="embed"), statistics)])
    assert paged.places() == {
        ("org/subject", "embed", "neurons"): 1,
        ("org/subject", "model.layers.14.mlp", "neurons"): 6,
    }
    assert paged.ending("/2", 9) == [unit(2, hookpoint="embed"), unit(2)]
    assert paged.ending("/2", 1) == [unit(2, hookpoint="embed")]
    assert paged.ending("mlp/neurons/10-", 9) == [unit(10, -1)]
    assert paged.ending("%/2", 9) == paged.ending("/3", 9) == []
