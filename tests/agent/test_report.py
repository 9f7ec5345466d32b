"""The page about a run: its numbers are the ledger's, and what a corpus says is text there."""

from __future__ import annotations

import math
import re
import shutil
from base64 import b64decode
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from markupsafe import escape

import neurogloss as ng
from neurogloss.ids import UnitId
from neurogloss.prompts.pictures import draw
from neurogloss.records import Context, Example, Explanation, Interval, Label, Score, State
from neurogloss.runs.report import figures, page
from neurogloss.runs.report.numbers import Numbers

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
    assert (detection.name, detection.summary.score.n) == ("detection", 3)
    assert detection.summary.score.mean.value == pytest.approx(2 / 3)
    assert detection.summary.excess.mean.value == pytest.approx(2 / 3 - 0.5)
    assert detection.recalls[0] == 0.5 and detection.recalls[9] == 1.0 and math.isnan(detection.recalls[4])
    assert fuzzing.values.tolist() == [[0.8, 0.5, 0.1], [0.7, 0.5, 0.01], [0.6, 0.5, 0.001]]


def test_agreement_is_a_rank_correlation_where_there_are_three_units() -> None:
    found = Numbers.of(LABELS).agreement()
    assert found == pytest.approx(np.ones((2, 2)))
    assert np.isnan(Numbers.of(LABELS[:2]).agreement()).all()


def test_a_floor_run_counts_where_it_was_scored_alike() -> None:
    others = [(label(0, detection=(0.5, 0.5), fuzzing=(0.6, 0.5)), 0.1), (label(1, detection=(0.4, 0.5)), 0.1)]
    detection, fuzzing = Numbers.of(LABELS).scorers(Numbers.of(others))
    assert (detection.others.tolist(), fuzzing.others.tolist()) == ([0.5, 0.4], [0.6])
    (score,) = others[1][0].scores
    nats = (replace(others[1][0], scores=(replace(score, metric="nats"),)), 0.1)
    assert Numbers.of(LABELS).scorers(Numbers.of([nats]))[0].others.tolist() == []
    assert figures.distributions([detection]) != figures.distributions(Numbers.of(LABELS).scorers()[:1])


def test_the_same_numbers_draw_the_same_picture() -> None:
    scorers = Numbers.of(LABELS).scorers()
    assert figures.distributions(scorers) == figures.distributions(scorers)
    assert figures.recalls([]) == ""
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
        beside=page.Beside(hostile, "m", "e", Numbers()),
        comparisons=[],
        pictures=[],
        usage=[],
        chosen=[("Best", [shown])],
    )
    assert hostile not in text and "&lt;script&gt;" in text


def test_images_are_drawn_with_what_activates_the_unit(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    image.new("RGB", (300, 200)).save(tmp_path / "cat.png")
    context = Context("c", ("a <cat>",), str(tmp_path / "cat.png"))
    example = Example(context, (0.0, 2.0, 0.1, 0.0), (2, 2))
    drawn = b64decode(page._picture(example).removeprefix("data:image/jpeg;base64,"))
    assert drawn == draw(context.picture, (1,), (2, 2))
    values = {"run": "r", "method": "m", "explainer": "e", "tokens": "t", "states": [], "scorers": [], "usage": []}
    shown = page.Shown(LABELS[0][0], (example,))
    text = page._template().render(**values, beside=None, comparisons=[], pictures=[], chosen=[("Best", [shown])])
    assert page._picture(example) in text and "a &lt;cat&gt;" in text


def test_a_run_without_scores_has_no_report(collected: Path, tmp_path: Path) -> None:
    with pytest.raises(ng.UserError, match="Expected labels in"):
        ng.report(collected, tmp_path / "report.html")


def test_the_page_stands_alone(run: Path, script: object, quick_embedder: None, tmp_path: Path) -> None:
    ng.label(run, llm=script(), units="0-3", scorers=("detection", "fuzzing"), questions=20, effort="low")  # type: ignore[operator]
    path = ng.report(run, units=1)
    assert path == run / "report.html"
    text = path.read_text(encoding="utf-8")
    # What is left are names of formats in the pictures.
    agreement = text.partition("Agreement between scorers")[2].partition("</table>")[0]
    assert re.findall("<th>([^<]+)</th>", agreement) == ["detection", "fuzzing"] and agreement.count("<td ") == 4
    assert "<script" not in text and not re.search(r'(src|href)="(?!#|data:)', text)
    texts = {each.explanation.text for each in ng.open_run(run).labels() if each.explanation}
    assert set(re.findall("<h3>(.*)</h3>", text)) <= {str(escape(each)) for each in texts}
    assert text.count("<article id=") == 3 and "Best by detection" in text and "Worst by detection" in text
    assert ng.report(run, units=1).read_text(encoding="utf-8") == text, "the same bytes"
    other = shutil.copytree(run, tmp_path / "random-floor")
    beside = ng.report(run, tmp_path / "beside.html", units=1, floor_run=other).read_text(encoding="utf-8")
    assert "Beside random-floor" in beside and "Beside" not in text
    # The run beside itself.
    assert re.search(r"<td>detection</td><td>\w+</td>.*<td class=\"n\">(-?0\.00) \[", beside)


def test_a_floor_run_without_the_same_scorers_is_none(run: Path, script: object, quick_embedder: None) -> None:
    ng.label(run, llm=script(), units="0-2", scorers=("detection",), questions=20, effort="low")  # type: ignore[operator]
    other = shutil.copytree(run, run.with_name("other"))
    with ng.open_run(other).ledger() as ledger:
        assert ledger.newest_method()
    ng.label(other, llm=script(), units="0-2", scorers=("fuzzing",), questions=20, effort="low")  # type: ignore[operator]
    with pytest.raises(ng.UserError, match=r"Expected scores of detection \(\w+\) in .*, found fuzzing "):
        ng.report(run, floor_run=other)
