"""A pattern run as its own judge is exact."""

from __future__ import annotations

import asyncio

from neurogloss.ids import UnitId
from neurogloss.protocols import HeldOut
from neurogloss.records import Answer, Context, EvidenceHalf, Example, Failure, Passage, Question
from neurogloss.scorers.detection import Detection, Fuzzing
from neurogloss.scorers.judges.pattern import PatternJudge
from neurogloss.scorers.metrics import auroc

UNIT = UnitId("tiny", "layer", "neurons", 0)


def ask(explanation: str, *questions: Question) -> list[Answer]:
    return asyncio.run(PatternJudge().ask("detection", explanation, questions))


def half() -> EvidenceHalf:
    """Active at "here", silent elsewhere."""
    active = tuple(
        Example(Context(f"{i:016x}", (f"w{i}", " is", " here", ".")), (0.0, 0.0, 1.0 + i, 0.0)) for i in range(20)
    )
    silent = tuple(Context(f"{i + 100:016x}", (f"v{i}", " is", " gone", ".")) for i in range(20))
    return EvidenceHalf(active[:2], active, silent)


def test_the_right_pattern_is_always_right_and_another_never() -> None:
    held_out = HeldOut(UNIT, half(), (), 0)
    for scorer in (Detection(), Fuzzing(), Fuzzing(negatives="active")):
        questions = scorer.questions(held_out)
        truths = [question.truth for question in questions]
        right = [answer.probability or 0.0 for answer in ask("word:here", *questions)]
        assert auroc(truths, right) == 1.0 and {p > 0.5 for p, t in zip(right, truths, strict=True) if t} == {True}
        wrong = [answer.probability or 0.0 for answer in ask("word:there", *questions)]
        assert auroc(truths, wrong) == 0.5


def test_marks_are_graded_by_what_they_cover() -> None:
    passage = Passage((" go", " here", " now"), (0, 1))
    assert ask("word:here @0.8/1.0", Question((passage,), True))[0].probability == 0.4


def test_of_two_passages_the_surer_is_preferred() -> None:
    here, gone = Passage((" here",)), Passage((" gone",))
    assert ask("word:here", Question((here, gone), True))[0].probability == 1.0
    assert ask("word:here", Question((gone, here), False))[0].probability == 0.0
    assert ask("word:there", Question((gone, here), False))[0].probability == 0.5


def test_what_is_no_pattern_or_has_no_words_is_not_answered() -> None:
    question = Question((Passage((" here",)),), True)
    assert ask("the word here", question)[0].failure is Failure.UNPARSEABLE
    assert ask("word:here", Question((Passage(()),), True))[0].failure is Failure.EMPTY
