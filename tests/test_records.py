from __future__ import annotations

import dataclasses
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from neurogloss import errors
from neurogloss.ids import UnitId
from neurogloss.records import (
    Answer,
    Context,
    Example,
    Explanation,
    Failure,
    Interval,
    Label,
    Passage,
    Score,
    State,
    UnitStatistics,
)

UNIT = UnitId("subject", "hookpoint", "neurons", 3)


@pytest.mark.parametrize(
    ("marks", "expected"),
    [
        ((), "The old bridge fell."),
        ((0,), "<<The>> old bridge fell."),
        ((1, 2), "The<< old bridge>> fell."),
        ((0, 2, 3, 4), "<<The>> old<< bridge fell.>>"),
        ((2, 4), "The old<< bridge>> fell<<.>>"),
    ],
)
def test_marks_enclose_each_run(marks: tuple[int, ...], expected: str) -> None:
    passage = Passage(("The", " old", " bridge", " fell", "."), marks)
    assert passage.marked() == expected
    assert passage.text == "The old bridge fell."


@given(st.lists(st.tuples(st.text(max_size=4), st.booleans()), max_size=12))
def test_marks_change_nothing_else(tokens: list[tuple[str, bool]]) -> None:
    passage = Passage(
        tuple(token for token, _ in tokens), tuple(i for i, (_, marked) in enumerate(tokens) if marked)
    )
    # Private-use characters, so that nothing in the tokens looks like a mark.
    marked = passage.marked("\ue000", "\ue001").replace("\ue000", "").replace("\ue001", "")
    assert marked == passage.text.replace("\ue000", "").replace("\ue001", "")


def test_active_positions_are_those_near_the_peak() -> None:
    context = Context(id="0" * 16, tokens=("a", "b", "c", "d", "e"))
    example = Example(context, (0.0, 3.0, 2.9, 10.0, 0.0))
    assert example.peak == 10.0
    assert example.active_positions() == (1, 3)
    assert example.active_positions(fraction=1.0) == (3,)
    assert example.active_positions(fraction=0.0) == (1, 2, 3)
    assert Example(context, (0.0,) * 5).active_positions() == ()


def test_an_answer_is_a_probability_or_a_failure() -> None:
    assert Answer(0.0).probability == 0.0
    assert Answer(None, Failure.REFUSAL, "declined").failure is Failure.REFUSAL
    for probability, failure in ((None, None), (0.5, Failure.EMPTY)):
        with pytest.raises(ValueError, match="either a probability or a failure"):
            Answer(probability, failure)
    for probability in (-0.01, 1.01, math.nan):
        with pytest.raises(ValueError, match=r"lies in \[0, 1\]"):
            Answer(probability)


def test_every_failure_is_a_state_and_every_error_has_its_failure() -> None:
    assert {failure.value for failure in Failure} <= {state.value for state in State}
    assert {error.failure for error in errors.AnswerError.__subclasses__()} == {
        Failure.TRANSPORT,
        Failure.REFUSAL,
        Failure.EMPTY,
        Failure.UNPARSEABLE,
    }


def test_an_explanations_id_follows_what_it_says_and_not_its_score() -> None:
    one = Explanation(UNIT, "bridges", "method")
    assert dataclasses.replace(one, validation=0.7, provenance={"seed": 1}).id == one.id
    others = [
        dataclasses.replace(one, text="rivers"),
        dataclasses.replace(one, rank=1),
        dataclasses.replace(one, method="other"),
        dataclasses.replace(one, unit=dataclasses.replace(UNIT, sign=-1)),
    ]
    assert len({one.id, *(other.id for other in others)}) == 5


def test_an_undefined_interval_says_so() -> None:
    assert Interval(0.0, -1.0, 1.0).defined
    assert not Interval(math.nan, math.nan, math.nan).defined


def test_density_is_the_share_of_active_contexts() -> None:
    statistics = UnitStatistics(200, 50, 0.0, 4.0, 1.0, ())
    assert statistics.density == 0.25
    assert dataclasses.replace(statistics, n_contexts=0, n_active=0).density == 0.0


def test_records_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        UNIT.index = 4  # type: ignore[misc]


def test_in_json_an_undefined_number_is_null_and_a_unit_its_name() -> None:
    unit = UnitId("org/subject", "model.layers.3.mlp", "sae", 7, -1)
    interval = Interval(math.nan, -math.inf, 0.5)
    score = Score("detection", "llm", "auroc", interval, interval, interval, math.nan, {"mcc": math.nan}, 4, {})
    label = Label(unit, "pmi", State.ACCEPTED, explanation=Explanation(unit, "dates", "pmi"), scores=(score,))
    adapter = TypeAdapter(Label)
    written = json.loads(adapter.dump_json(label))
    assert written["unit"] == written["explanation"]["unit"] == str(unit)
    assert written["state"] == "accepted" and written["scores"][0]["metrics"] == {"mcc": None}
    assert written["scores"][0]["score"] == {"value": None, "low": None, "high": 0.5}
    read = adapter.validate_python(written)
    assert read.unit == unit and math.isnan(read.scores[0].score.low) and read.explanation == label.explanation
    schema = TypeAdapter(Interval).json_schema(mode="serialization")["properties"]["value"]
    assert schema["anyOf"] == [{"type": "number"}, {"type": "null"}]
