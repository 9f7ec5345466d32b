"""What has to hold of a labelled run, whatever befell it."""

from __future__ import annotations

import contextlib
import math
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import neurogloss as ng
from neurogloss.folder import RunFolder
from neurogloss.records import Label, Outcome, Question, State
from neurogloss.store.index import Index
from neurogloss.store.ledger import Ledger

SETTLED = frozenset(State) - {State.TRANSPORT, State.EXPLAINED}
"""What a unit of a finished run is in."""


def dump(run: Path) -> str:
    """The ledger but for how often a unit was tried, which is history."""
    with contextlib.closing(sqlite3.connect(shutil.copy(run / "ledger.sqlite", run / "copy.sqlite"))) as copy:
        copy.execute("UPDATE labels SET attempts = 0")
        copy.commit()
    with Ledger(run / "copy.sqlite") as ledger:
        return ledger.dump()


def labels(run: Path) -> list[Label]:
    return list(ng.open_run(run).labels())


def outcomes(run: Path, label: Label) -> list[Outcome]:
    opened = ng.open_run(run)
    assert label.explanation
    return [found for score in label.scores for found in opened.outcomes(label.explanation, score.scorer)]


def answers(run: Path) -> dict[tuple[str, str, Question], float | None]:
    """By scorer, explanation and question."""
    found = (outcome for label in labels(run) if label.explanation for outcome in outcomes(run, label))
    return {(each.scorer, each.asked, each.question): each.answer.probability for each in found}


def problems(run: Path, undisturbed: Path, spoilt: bool) -> Iterator[str]:
    """What is wrong with a finished run, each with the kind of wrong before a colon.

    Args:
        spoilt: some answers said something of the model that it did not say: then some units failed, and what is
            not a failure has to be as in the undisturbed run.
    """
    found = labels(run)
    units = Counter(label.unit for label in found)
    expected = [label.unit for label in labels(undisturbed)]
    if sorted(map(str, units.elements())) != sorted(map(str, expected)):
        yield f"state: {sum(units.values())} labels of {len(units)} units, expected one each of {len(expected)}"
    for label in found:
        if label.state not in SETTLED or not (label.scores or label.reason):
            yield f"state: {label.unit} is {label.state.value}, {label.reason or 'without a reason'}"
    right = answers(undisturbed)
    for label in found:
        if label.explanation:
            yield from (f"score: {label.unit}, {wrong}" for wrong in _wrong(label, outcomes(run, label), right))
    folder = RunFolder(run)
    with Ledger(folder.ledger, read_only=True) as ledger, Index(folder.index, ng.open_run(run).embedder) as index:
        if not (compared := index.check(ledger)).ok:
            yield f"index: {compared}"
    with contextlib.closing(sqlite3.connect(folder.ledger)) as connection:
        [behind] = connection.execute(
            "SELECT count(*) FROM documents d JOIN labels l USING (explanation) WHERE d.state <> l.state"
        ).fetchone()
    if behind:
        yield f"index: {behind} documents have another state than their label"
    if not spoilt and dump(run) != dump(undisturbed):
        yield "ledger: it differs from that of the undisturbed run"


def _wrong(
    label: Label, given: list[Outcome], right: dict[tuple[str, str, Question], float | None]
) -> Iterator[str]:
    """Where scores are not made of the answers that were given, or answers are not those of the server."""
    assert label.explanation
    for outcome in given:
        asked = (outcome.scorer, outcome.asked, outcome.question)
        if outcome.answer.failure is None and right.get(asked, outcome.answer.probability) != (
            outcome.answer.probability
        ):
            yield f"{outcome.scorer}: an answer of {outcome.answer.probability}, expected {right[asked]}"
    for score in label.scores:
        own = [o.answer for o in given if (o.scorer, o.asked) == (score.scorer, label.explanation.id)]
        failed = [answer for answer in own if answer.failure is not None]
        if len(own) != score.n_questions or len(failed) != sum(score.failures.values()):
            yield f"{score.scorer}: {len(own)} answers, {len(failed)} failures; it counts {score.n_questions}"
        if len(failed) == len(own) and (score.score.defined or not math.isnan(score.p_value)):
            yield f"{score.scorer}: a score where every answer failed"
