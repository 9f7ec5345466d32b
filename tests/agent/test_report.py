"""The page about a run: its numbers are the ledger's, and what a corpus says is text there."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
from markupsafe import escape

import neurogloss as ng
from neurogloss.agent.report import figures, page
from neurogloss.agent.report.numbers import Numbers
from neurogloss.ids import UnitId
from neurogloss.records import Context, Example, Explanation, Interval, Label, Score, State

pytest.importorskip("matplotlib")


def label(index: int, state: State = State.ACCEPTED, **scores: tuple[float, float]) -> Label:
    """Scores by scorer: value and floor."""
    unit = UnitId("tiny", "model.layers.0", "sae", index)

    def score(name: str, value: float, floor: float) -> Score:
        sure = (Interval(x, x - 0.1, x + 0.1) for x in (value, floor, value - floor))
        return Score(
            name, "judge", "auroc", *sure, 0.01, {"recall_decile_10": 1.0, "recall_decile_1": 0.5}, 20, {}
        )

    found = tuple(score(name, *values) for name, values in scores.items())
    return Label(unit, "m", state, explanation=Explanation(unit, f"words {index}", "m"), scores=found)


LABELS = [
    (label(0, detection=(0.9, 0.5), fuzzing=(0.8, 0.5)), 0.1),
    (label(1, detection=(0.7, 0.5), fuzzing=(0.7, 0.5)), 0.01),
    (label(2, State.REJECTED, detection=(0.4, 0.5), fuzzing=(0.6, 0.5)), 0.001),
    (label(3, State.DEAD), 0.0),
]


def test_numbers_are_means_over_the_units_that_have_them() -> None:
    numbers = Numbers.of(LABELS)
    assert numbers.states == {State.ACCEPTED: 2, State.REJECTED: 1, State.DEAD: 1}
    detection, fuzzing = numbers.scorers()
    assert (detection.name, detection.score.n, detection.score.mean.value) == (
        "detection",
        3,
        pytest.approx(2 / 3),
    )
    assert detection.above.excess.mean.value == pytest.approx(2 / 3 - 0.5)
    assert detection.recalls[0] == 0.5 and detection.recalls[9] == 1.0 and math.isnan(detection.recalls[4])
    assert fuzzing.values.tolist() == [[0.8, 0.5, 0.1], [0.7, 0.5, 0.01], [0.6, 0.5, 0.001]]


def test_agreement_is_a_rank_correlation_where_there_are_three_units() -> None:
    found = Numbers.of(LABELS).agreement(["detection", "fuzzing"])
    assert found == pytest.approx(np.ones((2, 2)))
    assert np.isnan(Numbers.of(LABELS[:2]).agreement(["detection", "fuzzing"])).all()


def test_the_same_numbers_draw_the_same_picture() -> None:
    scorers = Numbers.of(LABELS).scorers()
    assert figures.distributions(scorers) == figures.distributions(scorers)
    assert figures.agreement(["one"], np.ones((1, 1))) == "" and figures.recalls([]) == ""
    assert figures.densities(scorers).startswith("<svg")


def test_what_a_corpus_holds_is_text() -> None:
    hostile = "<script>alert(1)</script>"
    example = Example(Context("c", (hostile, " end")), (1.0, 0.26))
    assert page._shades(example) == [(hostile, 1.0), (" end", 0.3)]
    shown = page.Shown(LABELS[0][0], (example,))
    text = page._template().render(
        run=hostile,
        method="m",
        explainer="e",
        tokens="t",
        states=[],
        scorers=[],
        pictures=[],
        usage=[],
        chosen=[("Best", [shown])],
    )
    assert hostile not in text and "&lt;script&gt;" in text


def test_a_run_without_scores_has_no_report(collected: Path, tmp_path: Path) -> None:
    with pytest.raises(ng.UserError, match="Expected labels in"):
        ng.report(collected, tmp_path / "report.html")


def test_the_page_stands_alone(run: Path, script: object, quick_embedder: None, tmp_path: Path) -> None:
    ng.label(run, llm=script(), units="0-3", scorers=("detection", "fuzzing"), questions=20, effort="low")  # type: ignore[operator]
    path = ng.report(run, units=1)
    assert path == run / "report.html"
    text = path.read_text(encoding="utf-8")
    # What is left are names of formats in the pictures.
    assert "<script" not in text and not re.search(r'(src|href)="(?!#|data:)', text)
    texts = {each.explanation.text for each in ng.open_run(run).labels() if each.explanation}
    assert set(re.findall("<h3>(.*)</h3>", text)) <= {str(escape(each)) for each in texts}
    assert text.count("<article>") == 3 and "Best by detection" in text and "Worst by detection" in text
    assert ng.report(run, units=1).read_text(encoding="utf-8") == text, "the same bytes"
