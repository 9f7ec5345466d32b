"""Judges that read words are asked about images by their captions, and not about what has none."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from neurogloss.ids import UnitId
from neurogloss.llm import Likelihood
from neurogloss.protocols import DirectScorer, HeldOut, Instruments
from neurogloss.records import Answer, Context, EvidenceHalf, Example, Failure, Passage, Question
from neurogloss.scorers.answering import UNWORDED, ask_in_words
from neurogloss.scorers.embedding import Embedding, Surprisal
from neurogloss.scorers.judges.embedded import LexicalJudge, LikelihoodJudge

GRID = (2, 2)
UNIT = UnitId("cnn", "layer", "neurons", 0)


def image(caption: str, *marks: int) -> Question:
    tokens = (caption,) if caption else ()
    return Question((Passage(tokens, marks, f"{caption}.png", GRID),), True)


def test_answers_stand_where_their_questions_stood() -> None:
    asked: list[Question] = []

    async def ask(questions: Sequence[Question]) -> list[Answer]:
        asked.extend(questions)
        return [Answer(i / 10) for i, _ in enumerate(questions)]

    questions = [image(""), image("a cat"), image("a dog", 1), Question((Passage(("text",)),), False)]
    answers = asyncio.run(ask_in_words(ask, questions))
    assert answers == [UNWORDED, Answer(0.0), UNWORDED, Answer(0.1)]
    assert UNWORDED.failure is Failure.TOO_LITTLE_EVIDENCE
    assert [question.passages for question in asked] == [(Passage(("a cat",)),), (Passage(("text",)),)]


def test_the_words_of_captions_are_a_floor() -> None:
    def context(caption: str) -> Context:
        return Context(f"{len(caption):016x}", (caption,) if caption else (), f"{caption}.png")

    active = tuple(
        Example(context(caption), (1.0, 0.0, 0.0, 2.0), GRID) for caption in ("a cat", "two cats, a cat", "")
    )
    half = EvidenceHalf((), active, tuple(map(context, ("a dog", "a big dog", ""))))
    judge = LexicalJudge(half)
    assert judge.settings["contexts"] == 4, "those with words"
    cat, dog, none = asyncio.run(judge.ask("detection", "", [image("cat"), image("dog"), image("")]))
    assert cat.probability is not None and dog.probability is not None
    assert cat.probability > 0.5 > dog.probability and none == UNWORDED


def test_images_without_captions_alone_have_no_lexical_floor() -> None:
    blank = Context("0" * 16, (), "a.png")
    with pytest.raises(ValueError, match="active and silent"):
        LexicalJudge(EvidenceHalf((), (Example(blank, (1.0,), (1, 1)),), (blank,)))


class Length:
    """Longer texts are less likely."""

    name = "length"

    async def likelihoods(self, prefix: str, continuations: Sequence[str]) -> list[Likelihood]:
        return [Likelihood(-float(len(prefix) * len(text)), 1) for text in continuations]


def test_a_causal_model_reads_captions() -> None:
    judge: Any = LikelihoodJudge(Length(), [Passage(("one",)), Passage(("another",))])
    seen, read, none = asyncio.run(
        judge.ask("detection", "cats", [image("a cat"), Question((Passage(("a cat",)),), True), image("")])
    )
    assert seen == read and none == UNWORDED


class Ones:
    """Every text is the same vector."""

    name, dimension = "ones", 2

    def embed(self, texts: Sequence[str]) -> Any:
        assert all(text.strip() for text in texts)
        return np.tile(np.array([1, 0], np.float32), (len(texts), 1))


@pytest.mark.parametrize("scorer", [Embedding(4), Surprisal(4)])
def test_what_measures_words_itself_leaves_out_images_without_any(scorer: DirectScorer) -> None:
    def context(number: int, caption: str) -> Context:
        return Context(f"{number:016x}", (caption,) if caption else (), f"{number}.png")

    active = tuple(Example(context(i, said), (1.0, 0.0, 0.0, 0.0), GRID) for i, said in enumerate(("a cat", "")))
    held_out = HeldOut(UNIT, EvidenceHalf((), active, (context(8, "a dog"), context(9, ""))), (), 0)
    instruments: Any = Instruments(causal=Length(), embedder=Ones())  # type: ignore[arg-type]
    answered = asyncio.run(scorer.answered("cats", held_out, instruments))
    assert len(answered) == 4
    for question, answer in answered:
        assert (answer == UNWORDED) is not bool(question.passages[0].text)
