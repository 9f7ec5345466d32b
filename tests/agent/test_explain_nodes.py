"""gather, explain and screen: what each adds to the state, and when it ends a unit."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from neurogloss.agent.nodes.explain import Explain
from neurogloss.agent.nodes.gather import Gather, split
from neurogloss.agent.nodes.screen import Screen
from neurogloss.agent.state import ExplainState, Setback
from neurogloss.errors import (
    AnswerError,
    EmptyAnswerError,
    RefusalError,
    TransportError,
    UnparseableError,
    UserError,
)
from neurogloss.ids import UnitId, derive_seed
from neurogloss.protocols import Material
from neurogloss.records import (
    Answer,
    Context,
    EvidenceHalf,
    Example,
    Failure,
    OutputTokens,
    Passage,
    Question,
    UnitStatistics,
)

UNIT = UnitId("tiny", "layer", "neurons", 3, -1)


def statistics(maximum: float) -> UnitStatistics:
    return UnitStatistics(50, 20 if maximum else 0, 0.5, maximum, maximum / 2, ())


def example(text: str, peak: float = 1.0) -> Example:
    return Example(Context(f"id of {text}", tuple(text.split(" "))), (peak,) * len(text.split(" ")))


def silent(*texts: str) -> tuple[Context, ...]:
    return tuple(Context(f"silent id of {i} {text}", (text,)) for i, text in enumerate(texts))


def half(n_active: int, n_silent: int = 30) -> EvidenceHalf:
    uniform = tuple(example(f"active {i}", float(n_active - i)) for i in range(n_active))
    return EvidenceHalf(uniform[:3], uniform, silent(*(f"silent {i}" for i in range(n_silent))))


def state(explain_half: EvidenceHalf, score_active: int = 99, maximum: float = 9.0) -> ExplainState:
    return {
        "unit": UNIT,
        "statistics": statistics(maximum),
        "half": explain_half,
        "score_active": score_active,
    }


def gather(min_active: int, seed: int, given: ExplainState) -> ExplainState:
    return asyncio.run(Gather(min_active, seed)(given))


def texts(evidence: EvidenceHalf) -> list[str]:
    return [e.context.text for e in (*evidence.top, *evidence.uniform)] + [c.text for c in evidence.negatives]


def test_every_second_example_and_negative_validates() -> None:
    given = half(6, 5)
    shown, kept = split(given)
    assert shown.uniform == given.uniform[::2] and kept.uniform == given.uniform[1::2]
    assert shown.negatives == given.negatives[::2] and kept.negatives == given.negatives[1::2]
    assert shown.top == (given.top[0], given.top[2]), "the second of the top is in the validation slice"
    assert kept.top == ()


def test_no_text_is_in_both_even_where_texts_repeat() -> None:
    uniform = tuple(example(text) for text in ("one", "two", "two", "three", "four", "one", "five"))
    negatives = silent("a", "b", "b", "c", "one", "d", "e")
    shown, kept = split(EvidenceHalf((example("three"), example("five")), uniform, negatives))
    assert not set(texts(shown)) & set(texts(kept))
    assert texts(kept) == ["two", "three", "one", "b", "c", "d"]
    assert texts(shown) == ["five", "four", "five", "a", "e"]


def test_gather_gives_the_explainer_its_material_and_the_rest_to_validation() -> None:
    gathered = gather(10, 7, state(half(20)))
    material, questions = gathered["material"], gathered["validation"]
    assert "setback" not in gathered
    assert (material.unit, material.promoted) == (UNIT, ())
    assert material.half == split(half(20))[0]
    asked = {question.passages[0].text for question in questions}
    assert not asked & {text.replace(" ", "") for text in texts(material.half)} and len(asked) == 20
    assert Counter(question.truth for question in questions) == {True: 10, False: 10}


def test_the_seed_is_the_units_own() -> None:
    first, again = (gather(10, 7, state(half(20))) for _ in range(2))
    assert first == again
    assert first["material"].seed == derive_seed(7, str(UNIT))
    other = gather(10, 7, {**state(half(20)), "unit": UnitId("tiny", "layer", "neurons", 3)})
    assert other["material"].seed != first["material"].seed
    assert other["validation"] != first["validation"], "in another order"


def test_promoted_tokens_go_along() -> None:
    tokens = OutputTokens(((" cat", 3.0), (" dog", 2.0)), ((" the", -1.0),))
    gathered = gather(4, 0, {**state(half(8)), "output_tokens": tokens})
    assert gathered["material"].promoted == (" cat", " dog")


def test_a_unit_that_never_fired_is_dead() -> None:
    assert gather(10, 0, state(half(0), 0, maximum=0.0)) == {
        "setback": Setback(Failure.DEAD, "never active in 50 contexts")
    }


@pytest.mark.parametrize(("explain", "score", "found"), [(9, 50, 9), (50, 9, 9), (0, 0, 0)])
def test_too_little_in_either_half_ends_the_unit(explain: int, score: int, found: int) -> None:
    setback = gather(10, 0, state(half(explain), score))["setback"]
    assert setback == Setback(Failure.TOO_LITTLE_EVIDENCE, f"{found} active contexts in a half, 10 needed")


def test_as_much_as_needed_is_enough() -> None:
    assert "setback" not in gather(10, 0, state(half(10), 10))


class Writer:
    """An explainer that gives what it was made with."""

    name = "writer"
    settings: Mapping[str, Any] = {}

    def __init__(self, *candidates: str, error: Exception | None = None) -> None:
        self.given, self.error = list(candidates), error

    async def candidates(self, material: Material) -> list[str]:
        if self.error:
            raise self.error
        return self.given


MATERIAL = Material(UNIT, half(4), (), 11)


def test_explain_adds_the_candidates() -> None:
    assert asyncio.run(Explain(Writer("b", "a"))({"material": MATERIAL})) == {"candidates": ["b", "a"]}


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (TransportError("timed out"), Failure.TRANSPORT),
        (RefusalError("will not"), Failure.REFUSAL),
        (EmptyAnswerError("nothing"), Failure.EMPTY),
        (UnparseableError("not JSON"), Failure.UNPARSEABLE),
    ],
)
def test_no_explanation_is_a_setback_with_its_reason(error: AnswerError, failure: Failure) -> None:
    found = asyncio.run(Explain(Writer(error=error))({"material": MATERIAL}))
    assert found == {"setback": Setback(failure, str(error))}


def test_what_the_user_can_mend_is_no_setback() -> None:
    with pytest.raises(UserError):
        asyncio.run(Explain(Writer(error=UserError("no such model")))({"material": MATERIAL}))


QUESTIONS = [Question((Passage((f"text {i}",)),), i < 2) for i in range(4)]
"""Two true ones, then two false ones."""
RIGHT, EVEN, WRONG = (0.9, 0.8, 0.2, 0.1), (0.5, 0.5, 0.5, 0.5), (0.1, 0.2, 0.8, 0.9)


class Knowing:
    """A judge with written answers: probabilities, failures, or an error for the whole request."""

    name = "knowing"
    settings: Mapping[str, Any] = {}

    def __init__(self, **answers: Sequence[float | None] | Exception) -> None:
        self.answers = answers
        self.asked: list[str] = []

    async def ask(self, task: str, explanation: str, questions: Sequence[Question]) -> list[Answer]:
        assert task == "detection"
        self.asked.append(explanation)
        answers = self.answers[explanation]
        if isinstance(answers, Exception):
            raise answers
        return [Answer(None, Failure.REFUSAL) if p is None else Answer(p) for p in answers[: len(questions)]]


def screened(judge: Knowing, *candidates: str, questions: Sequence[Question] = QUESTIONS) -> ExplainState:
    given: ExplainState = {
        "unit": UNIT,
        "material": MATERIAL,
        "validation": list(questions),
        "candidates": list(candidates),
    }
    return asyncio.run(Screen(judge, Writer(), "writer-1")(given))


def test_screen_ranks_by_the_validation_questions() -> None:
    judge = Knowing(wrong=WRONG, even=EVEN, right=RIGHT)
    found = screened(judge, "wrong", "even", "right")["explanations"]
    assert [(e.text, e.rank, e.validation) for e in found] == [
        ("right", 0, 1.0),
        ("even", 1, 0.5),
        ("wrong", 2, 0.0),
    ]
    assert [e.provenance["place"] for e in found] == [2, 1, 0]
    assert judge.asked == ["wrong", "even", "right"]
    for explanation in found:
        assert (explanation.unit, explanation.method) == (UNIT, "writer-1")
        assert {**explanation.provenance, "place": 0} == {
            "explainer": "writer",
            "place": 0,
            "validated_on": 4,
            "seed": 11,
        }


def test_ties_keep_the_explainers_order() -> None:
    judge = Knowing(b=EVEN, c=RIGHT, a=EVEN, d=RIGHT)
    assert [e.text for e in screened(judge, "b", "c", "a", "d")["explanations"]] == ["c", "d", "b", "a"]


def test_one_candidate_is_not_screened() -> None:
    judge = Knowing()
    (only,) = screened(judge, "only")["explanations"]
    assert judge.asked == []
    assert (only.text, only.rank, only.validation, only.provenance["validated_on"]) == ("only", 0, None, 0)


def test_a_question_without_an_answer_is_in_no_validation() -> None:
    judge = Knowing(half=(None, 0.3, 0.6, 0.1), even=EVEN)
    found = screened(judge, "even", "half")["explanations"]
    assert [(e.text, e.validation) for e in found] == [("even", 0.5), ("half", 0.5)], "0.3 against 0.6 and 0.1"


def test_candidates_that_could_not_be_judged_come_last() -> None:
    judge = Knowing(silent=(None,) * 4, partly=(0.9, None, None, None), wrong=WRONG)
    found = screened(judge, "silent", "partly", "wrong")["explanations"]
    assert [(e.text, e.validation) for e in found] == [("wrong", 0.0), ("silent", None), ("partly", None)]


def test_without_validation_questions_the_explainers_order_holds() -> None:
    found = screened(Knowing(b=(), a=()), "b", "a", questions=[])["explanations"]
    assert [(e.text, e.rank, e.validation) for e in found] == [("b", 0, None), ("a", 1, None)]


def test_a_transport_error_is_a_setback_and_no_ranking() -> None:
    judge = Knowing(a=RIGHT, b=TransportError("connection refused"), c=RIGHT)
    found = screened(judge, "a", "b", "c")
    assert found == {"setback": Setback(Failure.TRANSPORT, "connection refused")}
    assert judge.asked == ["a", "b"]
