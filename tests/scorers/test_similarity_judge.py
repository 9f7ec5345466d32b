"""Nearness worked out by hand on two-dimensional vectors, and what it says with the real embedding model."""

from __future__ import annotations

import asyncio
import json
import math
import warnings
from collections.abc import Sequence

import numpy as np
import pytest

from neurogloss.engines.embedder import MiniLM
from neurogloss.protocols import Embedder, Float32, Judge, TokenVectors
from neurogloss.records import Answer, Passage, Question
from neurogloss.scorers.judges.embedded import SimilarityJudge

TEXTS = (
    "The meeting was moved to Thursday because the room was taken.",
    "She poured the milk into the bowl and stirred the flour.",
    "def main(argv):\n    return run(argv[1:])",
    "The court finds that the contract was never signed.",
    "Rain fell over the hills, and the river rose by a metre.",
    "Dear Mr Novak, thank you for your letter of 3 May.",
    "He ran down the stairs, out of the door and into the street.",
    "The patient complained of pain in the left knee.",
)
BACKGROUND = [Passage((text,)) for text in TEXTS]


class Flat:
    """A character is a piece: x lies along one axis, y along the other, z between them; others are no piece."""

    name = "flat"
    dimension = 2
    vectors = {"x": (1.0, 0.0), "y": (0.0, 1.0), "z": (0.6, 0.8)}

    def embed(self, texts: Sequence[str]) -> Float32:
        raise NotImplementedError

    def embed_tokens(self, texts: Sequence[str]) -> list[TokenVectors]:
        return [self._pieces(text) for text in texts]

    def _pieces(self, text: str) -> TokenVectors:
        at = [i for i, character in enumerate(text) if character in self.vectors]
        vectors = np.array([self.vectors[text[i]] for i in at], np.float32).reshape(len(at), 2)
        return TokenVectors(vectors, np.array([(i, i + 1) for i in at], np.int64).reshape(len(at), 2))


@pytest.fixture(scope="module")
def minilm() -> MiniLM:
    return MiniLM()


def one(text: str) -> Question:
    return Question((Passage((text,)),), True)


def marked(*tokens: str) -> Question:
    """The token that stands in capitals is the marked one; it is given to the judge in lower case."""
    marks = tuple(i for i, token in enumerate(tokens) if token.isupper())
    return Question((Passage(tuple(token.lower() for token in tokens), marks),), True)


def pair(first: str, second: str) -> Question:
    return Question((Passage((first,)), Passage((second,))), True)


def probabilities(
    embedder: Embedder,
    explanation: str,
    *questions: Question,
    background: Sequence[Passage] = BACKGROUND,
    seed: int = 0,
) -> list[float]:
    judge: Judge = SimilarityJudge(embedder, background, seed)
    answers = asyncio.run(judge.ask("task", explanation, questions))
    assert len(answers) == len(questions)
    return [answer.probability for answer in answers if answer.probability is not None]


def logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


def test_nearness_is_standardised_against_the_background() -> None:
    """Each of x and y takes its nearest piece: to "x" that is 1 and 0, to "z" 0.6 and 0.8, to "xy" 1 and 1.

    The background is at 0.5 and 1: mean 0.75, standard deviation 0.25.
    """
    background = [Passage(("x",)), Passage(("xy",))]
    found = probabilities(Flat(), "xy", one("xy"), one("y.y"), one("z"), one("zx"), background=background)
    expected = [(1 - 0.75) / 0.25, (0.5 - 0.75) / 0.25, (0.7 - 0.75) / 0.25, (0.9 - 0.75) / 0.25]
    assert [logit(p) for p in found] == pytest.approx(expected, abs=1e-5)


def test_of_two_passages_the_nearer_is_preferred() -> None:
    background = [Passage(("x",)), Passage(("xy",))]
    found = probabilities(Flat(), "xy", pair("xy", "y"), pair("z", "xz"), background=background)
    assert [logit(p) for p in found] == pytest.approx([(1 - 0.5) / 0.25, (0.7 - 0.9) / 0.25], abs=1e-5)


def test_only_marked_pieces_count_and_the_background_is_marked_too() -> None:
    """One mark falls on x or on y of each background text: nearness to x is 1 or 0, whatever else stands there."""
    background = [Passage(("x", "y"))] * 400
    found = probabilities(
        Flat(), "x", marked("X", "y"), marked("x", "Y"), marked("y", "XY"), marked("x", " "), background=background
    )
    assert [logit(p) for p in found[:3]] == pytest.approx([1, -1, 1], abs=0.25), (
        "mean and deviation of a fair coin"
    )
    assert found[3] > 0.7, "nothing is marked there, so that all pieces count"


def test_all_marks_of_a_passage_count() -> None:
    """To x and y, both marked, x and y are at 1; to one of them at 0.5."""
    first, last, both, apart = probabilities(
        Flat(), "xy", marked("X", "y"), marked("x", "Y"), marked("X", "Y"), marked("X", "z", "Y")
    )
    assert first == last < both == apart


def test_a_mark_without_a_piece_is_near_to_nothing() -> None:
    question = Question((Passage(("x", " . "), (1,)),), True)
    (nothing, elsewhere) = probabilities(
        Flat(), "x", question, marked("x", "Y"), background=[Passage(("x", "y"))] * 50
    )
    assert nothing == elsewhere < 0.5


def test_the_background_marks_are_drawn_with_the_seed() -> None:
    background = [Passage(("x", "y", "z"))] * 10
    first, again, other = (
        probabilities(Flat(), "x", marked("x", "Z"), background=background, seed=s) for s in (1, 1, 2)
    )
    assert first == again != other


def test_what_holds_the_word_is_nearer_than_what_does_not(minilm: MiniLM) -> None:
    with_word, akin, without = probabilities(
        minilm,
        "coffee",
        one("They drank their coffee on the balcony."),
        one("He ordered an espresso at the bar."),
        one("The train to Leeds leaves at noon."),
    )
    assert with_word > akin > without
    assert with_word > 0.9


def test_in_the_same_text_the_marks_decide(minilm: MiniLM) -> None:
    animal, bank = probabilities(
        minilm,
        "animals such as dogs",
        marked("the", " DOG", " slept", " beside", " the", " bank", "."),
        marked("the", " dog", " slept", " beside", " the", " BANK", "."),
    )
    assert animal > 0.5 > bank


def test_a_mark_on_a_part_of_a_word_takes_the_piece_it_touches(minilm: MiniLM) -> None:
    whole, part = probabilities(
        minilm, "animals", marked("the", " ELEPHANT", " slept"), marked("the", " ele", "PHANT", " slept")
    )
    assert whole == part


def test_two_passages_change_sides_with_their_places(minilm: MiniLM) -> None:
    texts = ["Coffee and cake.", "The judge left.", "", "Ünïcode ☕ 咖啡"]
    questions = [pair(a, b) for a in texts for b in texts]
    turned = [pair(b, a) for a in texts for b in texts]
    found, back = (probabilities(minilm, "coffee", *asked) for asked in (questions, turned))
    assert found == pytest.approx([1 - p for p in back], abs=1e-6)
    assert found[0] == 0.5 and found[1] > 0.5


@pytest.mark.parametrize("explanation", ["", "☕ 咖啡 naïve", "words " * 40])
def test_any_text_gets_a_probability(minilm: MiniLM, explanation: str) -> None:
    texts = ["", " ", "\n\n", "咖啡 ☕️ é", "\u200b\ufeff", "a" * 3000]
    marked_texts = [Question((Passage(("before ", text, " after"), (1,)),), True) for text in texts]
    for questions in ([one(text) for text in texts], marked_texts):
        found = probabilities(minilm, explanation, *questions)
        assert len(found) == len(texts) and all(0 <= p <= 1 for p in found)


def test_a_background_without_spread_neither_warns_nor_leaves_the_range() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = probabilities(Flat(), "x", one("x"), one("y"), one("z"), background=[Passage(("z",))] * 3)
    assert found == [1, 0, 0.5]


def test_an_answer_does_not_depend_on_what_else_is_asked(minilm: MiniLM) -> None:
    questions = [one(text) for text in ("A cup of coffee.", "The long road " * 20, "Tea?")]
    together = probabilities(minilm, "coffee", *questions)
    alone = [probabilities(minilm, "coffee", question)[0] for question in questions]
    assert together == pytest.approx(alone, abs=1e-4)


def test_no_question_needs_no_embedding() -> None:
    answers: list[Answer] = asyncio.run(SimilarityJudge(Flat(), BACKGROUND).ask("detection", "x", []))
    assert answers == []


def test_it_says_what_decides_its_answers() -> None:
    judge: Judge = SimilarityJudge(Flat(), BACKGROUND)
    assert judge.name == "similarity:flat"
    assert json.loads(json.dumps(judge.settings)) == {"judge": "similarity:flat", "background": 8}


def test_one_text_is_no_background() -> None:
    with pytest.raises(ValueError, match="at least two"):
        SimilarityJudge(Flat(), BACKGROUND[:1])
