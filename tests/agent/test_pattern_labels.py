"""Labels of `--explainer pattern` are judged by their patterns, run as programs."""

from __future__ import annotations

from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurogloss.folder import RunFolder
from neurogloss.ids import UnitId, derive_seed
from neurogloss.protocols import HeldOut
from neurogloss.records import Label, Outcome, State
from neurogloss.runs.label import label, score
from neurogloss.scorers.detection import Detection
from neurogloss.scorers.patterns.language import Pattern, pattern_of
from neurogloss.settings import LabelSettings
from neurogloss.sources.cache import Cache
from neurogloss.sources.evidence import evidence
from neurogloss.store.ledger import Ledger

pytestmark = pytest.mark.usefixtures("quick_embedder")

SETTINGS: dict[str, Any] = {"units": "0-11", "min_active": 4, "questions": 20, "prompts": 4}
DYING = """
import os, signal
import neurogloss as ng
from neurogloss.protocols import Quiet

class Dying(Quiet):
    steps = 0

    def advance(self, n=1):
        self.steps += 1
        if self.steps == 3:
            os.kill(os.getpid(), signal.SIGKILL)

ng.score(run, progress=Dying(), scorers=("detection",), **settings)
"""
"""Scores detection and kills itself at the third unit."""

Start = Callable[..., ForkServerProcess]


def labels(run: Path) -> tuple[dict[UnitId, Label], dict[str, Pattern], dict[UnitId, list[Outcome]]]:
    """Explained units, their patterns by the explanation's id, and what detection was answered."""
    with Ledger(RunFolder(run).ledger, read_only=True) as ledger:
        method = ledger.newest_method()
        assert method is not None and method.startswith("pattern-")
        found = {each.unit: each for each in ledger.labels(method) if each.explanation}
        patterns = {
            e.id: pattern_of(e.provenance["pattern"]) for e in (x.explanation for x in found.values()) if e
        }
        ids = {unit: each.explanation.id for unit, each in found.items() if each.explanation}
        return found, patterns, {unit: ledger.outcomes(id, "detection") for unit, id in ids.items()}


def at_density(run: Path, unit: UnitId, pattern: Pattern) -> float:
    """Correlation of the pattern's chances with the truth on the score split, weighted to the natural rate."""
    found = evidence(Cache(RunFolder(run).cache), unit)
    held_out = HeldOut(unit, found.score, (), derive_seed(LabelSettings().seed, str(unit)))
    questions = Detection(SETTINGS["questions"]).questions(held_out)
    truths = np.array([question.truth for question in questions])
    chances = np.array([pattern.chance(question.passages[0].tokens) for question in questions])
    rate = found.statistics.density
    weights = np.where(truths, rate / truths.sum(), (1 - rate) / (~truths).sum())
    covariance = np.cov(truths, chances, aweights=weights)
    return float(covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])) if np.ptp(chances) else 0.0


def judges(label: Label) -> dict[str, str]:
    return {score.scorer: score.judge for score in label.scores}


def test_a_pattern_is_its_own_judge_and_floors_are_run_too(run: Path) -> None:
    label(run, explainer="pattern", **SETTINGS)
    found, patterns, outcomes = labels(run)
    assert len(found) > 3
    for unit, each in found.items():
        assert each.explanation is not None and each.state in (State.ACCEPTED, State.REJECTED)
        assert judges(each) == {
            "detection": "pattern",
            "fuzzing": "pattern",
            "intervention": "similarity:all-MiniLM-L6-v2",
        }
        detection = next(score for score in each.scores if score.scorer == "detection")
        assert detection.score.value == pytest.approx(at_density(run, unit, patterns[each.explanation.id]))
        assert len({one.asked for one in outcomes[unit]}) == 6
        for one in outcomes[unit]:
            pattern = patterns.get(one.asked)
            if pattern is not None:
                assert one.answer.probability == pattern.chance(one.question.passages[0].tokens)
            assert one.answer.failure is None


def test_a_score_that_was_killed_runs_patterns_when_it_is_resumed(run: Path, execute: Start) -> None:
    label(run, explainer="pattern", scorers=("fuzzing",), **SETTINGS)
    process = execute(DYING, run=str(run), settings=SETTINGS)
    process.join()
    found, patterns, _ = labels(run)
    assert 0 < sum("detection" in judges(each) for each in found.values()) < len(found)
    score(run, scorers=("detection",), **SETTINGS)
    found, patterns, _ = labels(run)
    for unit, each in found.items():
        assert each.explanation is not None and judges(each) == {"detection": "pattern", "fuzzing": "pattern"}
        detection = next(score for score in each.scores if score.scorer == "detection")
        assert detection.score.value == pytest.approx(at_density(run, unit, patterns[each.explanation.id]))


def test_a_judge_that_is_named_is_asked_instead(run: Path) -> None:
    label(run, explainer="pattern", judge="similarity", scorers=("detection",), **SETTINGS)
    found, _, _ = labels(run)
    assert {judges(each)["detection"] for each in found.values()} == {"similarity:all-MiniLM-L6-v2"}


def test_words_without_a_pattern_are_not_answered_by_the_pattern_judge(
    run: Path, script: Callable[..., str]
) -> None:
    label(run, llm=script(), judge="pattern", scorers=("detection",), effort="low", **{**SETTINGS, "units": "0"})
    with Ledger(RunFolder(run).ledger, read_only=True) as ledger:
        assert {each.state for each in ledger.labels()} == {State.UNPARSEABLE}
