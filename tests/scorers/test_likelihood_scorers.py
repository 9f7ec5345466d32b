"""Scorers that measure without a judge: likelihoods and embeddings, worked out by hand."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Sequence

import numpy as np
import pytest

from neurogloss.errors import RefusalError, TransportError
from neurogloss.ids import UnitId
from neurogloss.llm import Likelihood
from neurogloss.protocols import Answered, DirectScorer, Float32, HeldOut, Instruments, SteeredText
from neurogloss.records import Answer, Context, EvidenceHalf, Example, Failure, Passage, Question
from neurogloss.scorers.detection import Detection
from neurogloss.scorers.embedding import Embedding, Surprisal, logistic
from neurogloss.scorers.intervention import InterventionLikelihood
from neurogloss.scorers.judges.embedded import LexicalJudge
from neurogloss.scorers.measure import measure

UNIT = UnitId("tiny", "layer", "neurons", 0)


def half(n: int = 6, word: str = " rain", other: str = " sun") -> EvidenceHalf:
    def context(i: int, w: str) -> Context:
        return Context(f"{i:016x}", ("the", w, f" {i}"))

    active = tuple(Example(context(i, word), (0.0, float(n - i), 0.0)) for i in range(n))
    return EvidenceHalf((), active, tuple(context(100 + i, other) for i in range(n)))


def held_out(steered: tuple[SteeredText, ...] = (), evidence: EvidenceHalf | None = None) -> HeldOut:
    return HeldOut(UNIT, evidence or half(), steered, 0)


def answered(scorer: DirectScorer, explanation: str, given: HeldOut, **instruments: object) -> list[Answered]:
    return asyncio.run(scorer.answered(explanation, given, Instruments(**instruments)))  # type: ignore[arg-type]


class WordModel:
    """A word of the continuation costs 1 nat where the prefix holds it, and 3 where not."""

    name = "words"

    async def likelihoods(self, prefix: str, continuations: Sequence[str]) -> list[Likelihood]:
        known = set(re.findall(r"\w+", prefix))
        costs = [[1.0 if word in known else 3.0 for word in text.split()] for text in continuations]
        return [Likelihood(-sum(cost), len(cost)) for cost in costs]


class BagEmbedder:
    name, dimension = "bag", 3

    def embed(self, texts: Sequence[str]) -> Float32:
        """Rain and sun along one axis each; a third keeps the length above 0."""
        raw = np.array([[("rain" in t) * 2.0, ("sun" in t) * 2.0, 1.0] for t in texts], np.float32)
        return raw / np.linalg.norm(raw, axis=1, keepdims=True)


# --- surprisal -----------------------------------------------------------------------------------------


def test_a_context_that_the_explanation_makes_likelier_gains_what_it_saves() -> None:
    """`rain` costs 1 nat in place of 3 after the explanation: a gain of 2 for active contexts, of 0 for others."""
    found = answered(Surprisal(8), "rain", held_out(), causal=WordModel())
    assert [q for q, _ in found] == Detection(8).questions(held_out())
    assert {q.truth: a.values for q, a in found} == {True: (2.0,), False: (0.0,)}
    assert {q.truth: a.probability for q, a in found} == {
        True: pytest.approx(1 / (1 + math.exp(-2))),
        False: 0.5,
    }
    assert measure("surprisal", "words", found, [], 0.1, 0).score.value == 1.0


def test_another_explanation_gains_nothing() -> None:
    found = answered(Surprisal(8), "sun", held_out(), causal=WordModel())
    assert measure("surprisal", "words", found, [], 0.1, 0).score.value == 0.0


@pytest.mark.parametrize("x", [-1e6, -3.0, 0.0, 0.5, 1e6])
def test_the_logistic_does_not_overflow(x: float) -> None:
    assert logistic(x) == pytest.approx(1 / (1 + math.exp(-x)) if abs(x) < 700 else float(x > 0))


def test_the_order_of_large_gains_is_kept() -> None:
    assert logistic(30) > logistic(20) > logistic(10)


# --- embedding -----------------------------------------------------------------------------------------


def test_the_similarity_of_a_context_is_the_cosine() -> None:
    found = answered(Embedding(8), "rain", held_out(), embedder=BagEmbedder())
    for question, answer in found:
        cosine = 1.0 if question.truth else 1 / 5
        assert answer.values[0] == pytest.approx(cosine) and answer.probability == pytest.approx((1 + cosine) / 2)


def test_the_instruction_stands_before_the_explanation() -> None:
    class Kept(BagEmbedder):
        def embed(self, texts: Sequence[str]) -> Float32:
            assert texts[0] == "find: rain" and not any("find" in text for text in texts[1:])
            return super().embed(texts)

    assert len(answered(Embedding(8, "find: "), "rain", held_out(), embedder=Kept())) == 8


@pytest.mark.parametrize("scorer", [Surprisal(), Embedding()])
def test_without_evidence_there_are_no_questions(scorer: DirectScorer) -> None:
    empty = held_out(evidence=EvidenceHalf((), (), ()))
    assert answered(scorer, "rain", empty, causal=WordModel(), embedder=BagEmbedder()) == []


# --- intervention in nats ------------------------------------------------------------------------------


def test_nats_by_hand() -> None:
    """After `rain` the explanation costs 1 nat in place of 3; a text that stays as it was tells nothing."""
    steered = (
        SteeredText("It is", " dry", " rain"),
        SteeredText("We saw", " rain", " dry"),
        SteeredText("We saw", " a dog", " a cat"),
        SteeredText("Same", " words", " words"),
    )
    found = answered(InterventionLikelihood(), "rain", held_out(steered), causal=WordModel())
    assert [answer.values for _, answer in found] == [(2.0,), (-2.0,), (0.0,)]
    assert found[0][0].passages == (Passage((" rain",)), Passage((" dry",)))
    assert measure("nats", "words", found, [], 0.1, 0, metric="nats").score.value == 0.0


@pytest.mark.parametrize("scorer", [Surprisal(8), InterventionLikelihood()], ids=lambda s: s.name)
def test_a_model_that_refuses_is_a_state_and_one_that_is_gone_goes_up(scorer: DirectScorer) -> None:
    class Failing(WordModel):
        def __init__(self, error: Exception) -> None:
            self.error = error

        async def likelihoods(self, prefix: str, continuations: Sequence[str]) -> list[Likelihood]:
            raise self.error

    given = held_out((SteeredText("It is", " dry", " rain"),))
    found = answered(scorer, "rain", given, causal=Failing(RefusalError("too long")))
    assert found and {answer.failure for _, answer in found} == {Failure.REFUSAL}
    with pytest.raises(TransportError):
        answered(scorer, "rain", given, causal=Failing(TransportError("gone")))


def test_a_unit_that_was_not_steered_has_no_questions() -> None:
    assert answered(InterventionLikelihood(), "rain", held_out(), causal=WordModel()) == []


# --- the lexical judge ---------------------------------------------------------------------------------


def lexical(questions: Sequence[Question], explanation: str = "") -> list[Answer]:
    return asyncio.run(LexicalJudge(half()).ask("detection", explanation, questions))


def test_words_of_the_explain_half_predict_the_score_half() -> None:
    other = held_out(evidence=half(4))
    questions = Detection(8).questions(other)
    found = list(zip(questions, lexical(questions), strict=True))
    assert measure("detection", "lexical", found, [], 0.1, 0).score.value == 1.0
    assert lexical(questions, "rain") == lexical(questions, "sun"), "the explanation decides nothing"


def test_what_it_never_saw_leaves_it_undecided() -> None:
    (found,) = lexical([Question((Passage(("unseen",)),), True)])
    assert found.probability == pytest.approx(0.5, abs=0.05)


def test_only_the_marked_tokens_count_and_of_two_passages_the_likelier() -> None:
    tokens = ("rain", " and", " sun")
    rain, sun = (Question((Passage(tokens, (i,)),), True) for i in (0, 2))
    pair = Question((Passage((" sun",)), Passage((" rain",))), False)
    first, second, both = lexical([rain]) + lexical([sun]) + lexical([pair])
    assert first.probability > 0.5 > second.probability and both.probability < second.probability  # type: ignore[operator]


@pytest.mark.parametrize("n", [(3, 0), (0, 3)])
def test_one_kind_of_context_teaches_nothing(n: tuple[int, int]) -> None:
    whole = half(3)
    with pytest.raises(ValueError, match="one kind"):
        LexicalJudge(EvidenceHalf((), whole.uniform[: n[0]], whole.negatives[: n[1]]))
