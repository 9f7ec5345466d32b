"""Records as people and programs are shown them, worked by hand."""

from __future__ import annotations

import io
import json
import math
from dataclasses import dataclass

import pytest
from rich.console import Console, RenderableType

from neurogloss.cli import render
from neurogloss.ids import UnitId
from neurogloss.records import Context, Example, Explanation, Interval, Label, Score, State

NAN = math.nan
UNDEFINED = Interval(NAN, NAN, NAN)
UNIT = UnitId("model", "model.layers.3.mlp", "neurons", 8)


def printed(item: RenderableType, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width, markup=False, emoji=False)
    console.print(item)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def example(*tokens: tuple[str, float]) -> Example:
    return Example(Context("00", tuple(text for text, _ in tokens)), tuple(value for _, value in tokens))


def score(
    scorer: str, value: float, floor: float, excess: Interval, failures: dict[str, int] | None = None
) -> Score:
    def exact(x: float) -> Interval:
        return Interval(x, x, x)

    return Score(scorer, "judge", "auroc", exact(value), exact(floor), excess, 0.04, {}, 30, failures or {})


def label(text: str, state: State = State.ACCEPTED, *scores: Score, unit: UnitId = UNIT) -> Label:
    return Label(unit, "method", state, "", Explanation(unit, text, "method"), scores)


# --- pieces ---------------------------------------------------------------------------------------


def test_bars_leave_out_empty_ends() -> None:
    assert render.bars([0, 0, 1, 0, 8, 4, 0]) == "▁ █▄"
    assert render.bars([0, 1000, 1]) == "█▁"
    assert render.bars([0, 0]) == render.bars([]) == ""


def test_of_an_image_path_caption_and_cells_are_printed() -> None:
    """Of 2 x 3 cells two reach three tenths of the peak: the last one, and the second of the first row."""
    cat = Example(Context("00", ("a \x1bcat",), "pictures/cat.png"), (0.0, 2.5, 0.0, 1.0, 0.0, 5.0), (2, 3))
    whole = Example(Context("01", (), "pictures/dog.png"), (3.0,), (1, 1))
    assert printed(render.contexts_table([cat, whole], marked=True)) == [
        "5.00 pictures/cat.png  a ␛cat  cells of 2 x 3: 2|3 5.00, 1|2 2.50",
        "3.00 pictures/dog.png",
    ]


def test_numbers_and_intervals() -> None:
    assert (render.number(0.606), render.number(-0.5), render.number(NAN)) == ("0.61", "-0.50", "–")
    assert render.interval(Interval(0.61, 0.5, 0.7)) == "0.61 [0.50, 0.70]"
    # A value of few questions has no limits.
    assert render.interval(Interval(1.0, NAN, NAN)) == "1.00"
    assert render.interval(UNDEFINED) == "–"


def test_a_score_stands_beside_its_floor_and_is_bold_above_it() -> None:
    above, level = Interval(0.2, 0.1, 0.3), Interval(0.2, 0.0, 0.4)
    for excess, style in ((above, "bold"), (level, ""), (UNDEFINED, "")):
        cell = render.score_cell(score("detection", 0.7, 0.5, excess))
        assert cell.plain == "0.70/0.50"
        assert [str(span.style) for span in cell.spans if span.start == 0 and str(span.style)] == (
            [style] if style else []
        )
    assert render.score_cell(score("detection", NAN, NAN, UNDEFINED)).plain == "–/–"
    assert render.score_cell(None).plain == "–"


# --- contexts -------------------------------------------------------------------------------------


def test_every_token_is_there_shaded_by_its_share_of_the_peak() -> None:
    shown = render.highlighted(example((" The", 0.0), (" cat", 10.0), (" s", 3.9), ("at", 4.0), (".", 9.9)))
    assert shown.plain == " The cat sat."
    shades = {shown.plain[span.start : span.end]: str(span.style) for span in shown.spans}
    assert shades == {
        " cat": render.SHADES[4],
        " s": render.SHADES[1],
        "at": render.SHADES[2],
        ".": render.SHADES[4],
    }


def test_without_colours_active_tokens_are_marked() -> None:
    shown = render.highlighted(example(("a", 3.0), ("b", 10.0), ("c", 2.9), ("d", 4.0)), marked=True)
    assert shown.plain == "«ab»c«d»"


def test_a_context_that_is_not_active_is_plain() -> None:
    shown = render.highlighted(example(("a", 0.0), ("b", 0.0)), marked=True)
    assert (shown.plain, shown.spans) == ("ab", [])


def test_control_characters_reach_no_terminal() -> None:
    shown = render.highlighted(
        example(("if x:\r\n", 1.0), ("\ty", 0.0), ("\x1b[2J", 0.0), ("\u202e", 0.0), ("\x9b", 0.0))
    )
    assert shown.plain == "if x:⏎ y␛[2J\ufffd\ufffd"


def test_long_contexts_hang_below_themselves() -> None:
    lines = printed(
        render.contexts_table([example(("word " * 12, 2.5)), example(("end", 12.0))], marked=False), 40
    )
    assert lines[:2] == [" 2.50 " + "word " * 6 + "word", "      " + "word " * 4 + "word"]
    assert lines[-1] == "12.00 end"


# --- tables ---------------------------------------------------------------------------------------


def test_labels_table_at_80_columns() -> None:
    excess = Interval(0.2, 0.1, 0.3)
    scores = [score(name, 0.71, 0.52, excess) for name in ("detection", "fuzzing", "intervention")]
    other = UnitId("model", "model.layers.12.mlp", "neurons", 1803, -1)
    labels = [
        label("words that [bold]people[/bold] use :smile: for the parts of a day", State.ACCEPTED, *scores),
        label("many a verb", State.REJECTED, *scores[:1], unit=other),
        Label(UNIT, "method", State.TOO_LITTLE_EVIDENCE, "3 active contexts in a half, 10 needed"),
    ]
    lines = printed(render.labels_table(labels, "the [title]", (0.5, 0.25, NAN)))
    assert lines[0] == "the [title]"
    assert all(len(line) <= 80 and "…" not in line for line in lines)
    (row,) = (line for line in lines if "12/1803-" in line)
    assert row.split() == ["0.25", "12/1803-", "many", "a", "verb", "0.71/0.52", "–", "–", "rejected"]
    assert [line.split()[-1] for line in lines if line.endswith(("little", "evidence"))] == ["little", "evidence"]
    assert lines[-1] == "units of model/model.layers.*.mlp/neurons"
    assert any("[bold]people[/bold] use :smile:" in line for line in printed(render.labels_table(labels), 200))


def test_a_table_without_labels_is_printed() -> None:
    assert "explanation" in " ".join(printed(render.labels_table([])))


def test_scores_table_holds_score_floor_and_difference() -> None:
    few = score("intervention", 1.0, 0.5, Interval(0.5, NAN, NAN))
    lines = printed(render.scores_table([score("detection", 0.7, 0.5, Interval(0.2, 0.1, 0.3)), few]))
    assert lines[2].split() == [
        "detection",
        "auroc",
        "0.70",
        "[0.70,",
        "0.70]",
        "0.50",
        "0.20",
        "[0.10,",
        "0.30]",
        "0.040",
        "30",
    ]
    assert lines[3].split()[-3:] == ["0.50", "0.040", "30"]
    assert "unanswered" not in lines[0]


def test_scores_table_counts_what_was_not_answered() -> None:
    silent = score("detection", NAN, NAN, UNDEFINED, {"refusal": 2, "unparseable": 28})
    lines = printed(render.scores_table([silent, score("fuzzing", 0.7, 0.5, UNDEFINED)]), 120)
    assert lines[0].split()[-1] == "unanswered"
    assert lines[2].endswith("2 refusal, 28 unparseable")
    assert lines[3].split()[-2:] == ["30", "0"]


# --- JSON -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    unit: UnitId
    state: State
    values: tuple[float, ...]
    counts: dict[State, int]
    text: str


def test_json_is_one_ascii_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    text = "a :smile: [bold]ü[/bold]\n\u2028 " + "long " * 100
    row = Row(UNIT, State.DEAD, (0.5, NAN, math.inf), {State.DEAD: 2}, text)
    render.print_json([row, {"n": 1}])
    first, second = capsys.readouterr().out.splitlines()
    assert first.isascii()
    assert json.loads(first) == {
        "unit": "model/model.layers.3.mlp/neurons/8",
        "state": "dead",
        "values": [0.5, None, None],
        "counts": {"dead": 2},
        "text": text,
    }
    assert json.loads(second) == {"n": 1}
