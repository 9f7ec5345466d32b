"""Information gains worked out by hand, on a model whose likelihoods are written down."""

from __future__ import annotations

import asyncio
import json
import math
import warnings
from collections.abc import Mapping, Sequence

import pytest

from neurogloss.llm import Likelihood
from neurogloss.protocols import Judge
from neurogloss.records import Passage, Question
from neurogloss.scorers.judges.embedded import GENERIC, PREFIX, LikelihoodJudge


class Written:
    """Mean log probability of a text: -5, and more by its gain where the prefix speaks of cats."""

    name = "written"

    def __init__(self, gains: Mapping[str, float]) -> None:
        self.gains = gains
        self.asked: list[tuple[str, list[str]]] = []

    async def likelihoods(self, prefix: str, continuations: Sequence[str]) -> list[Likelihood]:
        self.asked.append((prefix, list(continuations)))
        return [self._one(text, "cats" in prefix) for text in continuations]

    def _one(self, text: str, about_cats: bool) -> Likelihood:
        n_tokens = len(text.split())
        return Likelihood(n_tokens * (-5.0 + (self.gains[text] if about_cats else 0.0)), n_tokens)


# Gains a token of the background: mean 1, standard deviation 1.
GAINS = {"low": 0.0, "high": 2.0, "a cat sat": 3.0, "a dog": 0.5, "rain": 1.0, "": 0.0}
BACKGROUND = [Passage(("low",)), Passage(("high",))]


def one(*tokens: str, marks: tuple[int, ...] = ()) -> Question:
    return Question((Passage(tokens, marks),), True)


def pair(first: str, second: str) -> Question:
    return Question((Passage((first,)), Passage((second,))), True)


def probabilities(model: Written, *questions: Question) -> list[float]:
    answers = asyncio.run(LikelihoodJudge(model, BACKGROUND).ask("detection", "cats", questions))
    assert len(answers) == len(questions)
    return [answer.probability for answer in answers if answer.probability is not None]


def logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_the_gain_is_per_token_and_standardised_against_the_background() -> None:
    found = probabilities(Written(GAINS), one("a cat sat"), one("a dog"), one("rain"))
    assert found == pytest.approx([logistic(3 - 1), logistic(0.5 - 1), 0.5])


def test_of_two_passages_the_larger_gain_is_preferred() -> None:
    found = probabilities(Written(GAINS), pair("a cat sat", "a dog"), pair("a dog", "a cat sat"), pair("rain", ""))
    assert found == pytest.approx([logistic(2.5), 1 - logistic(2.5), logistic(1)])


def test_marks_are_not_seen() -> None:
    plain, first, last = probabilities(
        Written(GAINS), one("a cat", " sat"), one("a cat", " sat", marks=(0,)), one("a cat", " sat", marks=(1,))
    )
    assert plain == first == last


def test_a_spread_of_nothing_neither_warns_nor_leaves_the_range() -> None:
    model = Written({**GAINS, "high": 0.0})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = probabilities(model, one("a cat sat"), one("low"), one(""))
    assert found == [1, 0.5, 0.5]


def test_the_generic_explanation_is_asked_once_a_text() -> None:
    model = Written(GAINS)
    judge = LikelihoodJudge(model, BACKGROUND)
    for explanation in ("cats", "dogs"):
        asyncio.run(judge.ask("detection", explanation, [one("a dog"), one("a dog"), one("rain")]))
    generic = [text for prefix, texts in model.asked if GENERIC in prefix for text in texts]
    assert sorted(generic) == sorted(["low", "high", "a dog", "rain"])
    given = [prefix for prefix, _ in model.asked if GENERIC not in prefix]
    assert given == [PREFIX.format(explanation="cats"), PREFIX.format(explanation="dogs")]


def test_no_question_asks_the_model_nothing() -> None:
    model = Written(GAINS)
    assert probabilities(model) == [] and model.asked == []


def test_it_says_what_decides_its_answers() -> None:
    judge: Judge = LikelihoodJudge(Written(GAINS), BACKGROUND)
    assert judge.name == "likelihood:written"
    assert json.loads(json.dumps(judge.settings)) == {
        "judge": "likelihood:written",
        "background": 2,
        "prefix": PREFIX,
    }


def test_one_text_is_no_background() -> None:
    with pytest.raises(ValueError, match="at least two"):
        LikelihoodJudge(Written(GAINS), BACKGROUND[:1])
