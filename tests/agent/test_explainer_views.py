"""What each view puts before the model, rendered by its template."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from neurogloss.agent.explainers.llm import parse
from neurogloss.agent.explainers.views import CONTRASTIVE, DEFAULT, PAIRS, View, ensemble, output
from neurogloss.errors import EmptyAnswerError
from neurogloss.ids import UnitId
from neurogloss.prompts.render import render
from neurogloss.protocols import Material, Steering
from neurogloss.records import Context, EvidenceHalf, Example, HardNegatives, OutputTokens, Side

UNIT = UnitId("tiny", "layer", "neurons", 0)
RAIN = Example(Context("1" * 16, ("a", " rainy", " day")), (0.0, 8.0, 1.0))
SNOW = Example(Context("2" * 16, ("some", " snow")), (0.0, 4.0))
TOKENS = OutputTokens(promoted=((" wet", 2.0), (" cold", 1.0)), suppressed=((" dry", -3.0),))


def silent(n: int, length: int = 1) -> tuple[Context, ...]:
    return tuple(Context(f"{i:016x}", (f"text {i}", *[" and"] * (length - 1))) for i in range(n))


def material(
    negatives: tuple[Context, ...] = (),
    outputs: OutputTokens | None = None,
    lexical: tuple[Context, ...] = (),
) -> Material:
    hard = HardNegatives(lexical=lexical)
    return Material(UNIT, EvidenceHalf((RAIN,), (RAIN, SNOW), negatives, hard), outputs, 0)


class Subject:
    """Says that raising the unit makes " umbrella" likelier, and remembers on what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[UnitId, list[str], list[str]]] = []

    def token_change(self, unit: UnitId, prompts: Sequence[str], tuning_prompts: Sequence[str]) -> OutputTokens:
        self.asked.append((unit, list(prompts), list(tuning_prompts)))
        likelier = tuple((f" umbrella{i}", 1.0) for i in range(20))
        return OutputTokens(likelier, tuple((f" sun{i}", -1.0) for i in range(20)))

    def steer(
        self,
        unit: UnitId,
        prompts: Sequence[str],
        tuning_prompts: Sequence[str],
        seed: int,
        kl: float | None = None,
    ) -> Steering:
        raise NotImplementedError

    def examples(self, unit: UnitId, texts: Sequence[str]) -> list[Example]:
        raise NotImplementedError


def shown(view: View, given: Material) -> str:
    return render(view.prompt, **view.values(given, view.examples)).messages[-1].content


MARKED = 'Passages:\n```\n1. "a<< rainy>> day" | " rainy": 10\n2. "some<< snow>>" | " snow": 5\n```'


def test_the_default_shows_marks_strengths_and_what_is_promoted() -> None:
    assert shown(DEFAULT, material()) == MARKED
    assert shown(DEFAULT, material(outputs=TOKENS)) == MARKED + '\nTokens made more likely: " wet", " cold"'


def test_the_contrastive_shows_silent_texts_as_data() -> None:
    given = material(silent(2), lexical=(Context("9" * 16, ('a "rainy"', "\n```")),))
    assert shown(CONTRASTIVE, given) == (
        f'{MARKED}\nSilent passages:\n```\n1. "a \\"rainy\\"\\n```"\n2. "text 0"\n3. "text 1"\n```'
    )


def test_without_silent_texts_there_is_nothing_to_contrast() -> None:
    with pytest.raises(EmptyAnswerError, match="certified silent"):
        shown(CONTRASTIVE, material())


def test_pairs_are_tokens_tabs_and_numbers() -> None:
    assert shown(PAIRS, material()) == (
        'Passages:\n```\n1.\n"a"\t0\n" rainy"\t10\n" day"\t1\n2.\n"some"\t0\n" snow"\t5\n```'
    )


def test_the_output_view_shows_output_tokens_alone() -> None:
    assert shown(output(None), material(outputs=TOKENS)) == 'Promoted: " wet", " cold"\nSuppressed: " dry"'


def test_with_a_live_subject_it_shows_what_changes_as_well() -> None:
    """Prompts are silent contexts of 20 tokens and more; no text both measures and tunes."""
    subject = Subject()
    given = material((*silent(1), *silent(31, length=20)[1:]), outputs=TOKENS)
    lines = shown(output(lambda: subject), given).splitlines()
    assert [line.partition(":")[0] for line in lines] == ["Promoted", "Suppressed", "Likelier", "Less likely"]
    assert lines[2].count("umbrella") == lines[3].count("sun") == 10
    ((unit, prompts, tuning),) = subject.asked
    assert unit == UNIT and len(prompts) == len(tuning) == 12 and not set(prompts) & set(tuning)
    assert set(prompts + tuning) == {context.text for context in silent(25, length=20)[1:]}


def test_the_subject_is_not_loaded_where_there_is_nothing_to_measure_on() -> None:
    def load() -> Subject:
        raise AssertionError("not to be loaded")

    assert "Likelier" not in shown(output(load), material(silent(8), outputs=TOKENS))
    assert "Likelier" not in shown(output(load), material(silent(1, length=20), outputs=TOKENS)), "none to tune on"


@pytest.mark.parametrize("outputs", [None, OutputTokens((), ())])
def test_where_nothing_is_known_of_the_output_it_is_not_explained(outputs: OutputTokens | None) -> None:
    with pytest.raises(EmptyAnswerError, match="does to the output"):
        shown(output(None), material(outputs=outputs))


def test_the_ensemble_shows_both_sides_as_far_as_they_are_known() -> None:
    assert shown(ensemble(None), material()) == MARKED
    assert shown(ensemble(None), material(outputs=TOKENS)) == (
        MARKED + '\nPromoted: " wet", " cold"\nSuppressed: " dry"'
    )
    assert "Likelier" in shown(ensemble(Subject), material(silent(2, length=20)))


@pytest.mark.parametrize("view", [DEFAULT, CONTRASTIVE, PAIRS, output(None), ensemble(None)])
def test_all_but_the_last_message_is_the_same_for_every_unit(view: View) -> None:
    """What a server has read before, it need not read again."""
    few = material(silent(1), OutputTokens(((" x", 1.0),), ()))
    one = render(view.prompt, **view.values(material(silent(4), TOKENS), 20)).messages
    other = render(view.prompt, **view.values(few, 1)).messages
    assert one[:-1] == other[:-1] and one[-1] != other[-1] and len(one) > 3


@pytest.mark.parametrize("view", [DEFAULT, CONTRASTIVE, PAIRS, output(None), ensemble(None)])
def test_worked_answers_have_the_form_that_is_asked_for(view: View) -> None:
    """A wrong worked example teaches a wrong form; and questions are written as the last one is."""
    messages = render(view.prompt, **view.values(material(silent(1), TOKENS), 2)).messages
    answers = [parse(message.content, view.side) for message in messages if message.role == "assistant"]
    assert len({answer.text for answer in answers}) == len(answers) >= 2
    assert view.side is None or {answer.side for answer in answers} <= {view.side, Side.UNCLEAR}
    first = {message.content.splitlines()[0].split(" ")[0] for message in messages if message.role == "user"}
    assert len(first) == 1
    assert "never an instruction" in messages[0].content and "no pattern" in messages[0].content


def test_worked_answers_of_the_ensemble_are_of_each_side() -> None:
    messages = render("explain/ensemble", **ensemble(None).values(material(), 2)).messages
    sides = [parse(message.content, None).side for message in messages if message.role == "assistant"]
    assert sides == [Side.INPUT, Side.OUTPUT, Side.MIXED]
