"""Scorers that ask a chat model for more than a judge's answers: what it sees, and what its reply becomes."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from neurogloss.errors import EmptyAnswerError, RefusalError, TransportError
from neurogloss.ids import UnitId
from neurogloss.llm import Features, Reply, Request
from neurogloss.protocols import Answered, DirectScorer, Float32, HeldOut, Instruments, SteeredText
from neurogloss.records import Answer, Context, EvidenceHalf, Example, Failure
from neurogloss.scorers.choosing import Intruder, Output
from neurogloss.scorers.measure import measure
from neurogloss.scorers.rated import AT_ONCE, Faithfulness, Responsiveness
from neurogloss.scorers.simulation import WrittenSimulation
from neurogloss.scorers.written import Clarity, Sensitivity

UNIT = UnitId("tiny", "layer", "neurons", 0)
STRING = re.compile(r'^(?:\d+\.|-) ("(?:[^"\\]|\\.)*")$', re.MULTILINE)


def shown(message: str) -> list[str]:
    """The texts of a prompt's last message."""
    return [json.loads(text) for text in STRING.findall(message)]


@dataclass
class Chat:
    """Replies with what `rule` makes of the last message, as JSON; raises what it gives."""

    rule: Callable[[str, Mapping[str, Any]], Any]
    name: str = "chat"
    features: Features = Features()
    asked: list[str] = field(default_factory=list)

    async def chat(self, request: Request) -> Reply:
        assert request.schema is not None
        self.asked.append(request.messages[-1].content)
        found = self.rule(self.asked[-1], request.schema)
        if isinstance(found, Exception):
            raise found
        return Reply(found if isinstance(found, str) else json.dumps(found))


@dataclass
class Reader:
    """A subject whose unit fires at `rain`, each time by 2."""

    read: list[str] = field(default_factory=list)

    def examples(self, unit: UnitId, texts: Sequence[str]) -> list[Example]:
        assert unit == UNIT
        self.read += texts
        tokens = [tuple(re.findall(r"\s*\S+", text)) for text in texts]
        return [
            Example(Context("0" * 16, words), tuple(2.0 if "rain" in word else 0.0 for word in words))
            for words in tokens
        ]


def context(i: int, word: str) -> Context:
    return Context(f"{i:016x}", ("the", f" {word}", f" {i}"))


def half(n_active: int = 20, n_silent: int = 20) -> EvidenceHalf:
    """Peaks of 20, 19, … 1."""
    active = tuple(Example(context(i, "rain"), (0.0, float(n_active - i), 0.0)) for i in range(n_active))
    return EvidenceHalf((), active, tuple(context(100 + i, "sun") for i in range(n_silent)))


def held_out(evidence: EvidenceHalf | None = None, **more: Any) -> HeldOut:
    return HeldOut(UNIT, half() if evidence is None else evidence, more.pop("steered", ()), 0, **more)


def answered(
    scorer: DirectScorer, given: HeldOut, explanation: str = "rain", **instruments: Any
) -> list[Answered]:
    return asyncio.run(scorer.answered(explanation, given, Instruments(**instruments)))


def steered(words: str, n: int = 6) -> tuple[SteeredText, ...]:
    return tuple(SteeredText(f"prompt {i}", f"clean {i}", f"{words} {i}") for i in range(n))


# --- what holds of all ---------------------------------------------------------------------------------

FULL = held_out(steered=steered("rain"), rivals=(steered("sun"), steered("snow")))
EMPTY = held_out(EvidenceHalf((), (), ()))
ALL = [WrittenSimulation(4), Intruder(4), Output(), Responsiveness(4), Faithfulness(), Clarity(3), Sensitivity(3)]


@pytest.mark.parametrize("scorer", ALL, ids=lambda s: s.name)
@pytest.mark.parametrize(
    ("reply", "failure"),
    [
        (RefusalError("no"), Failure.REFUSAL),
        (EmptyAnswerError("nothing"), Failure.EMPTY),
        ("not JSON", Failure.UNPARSEABLE),
        ({"answers": "1"}, Failure.UNPARSEABLE),
        ({"answers": [99] * 4, "texts": ["a"], "fitting": [1, 2, 3]}, Failure.UNPARSEABLE),
        ({"answers": [True]}, Failure.UNPARSEABLE),
        ([1], Failure.UNPARSEABLE),
    ],
)
def test_what_is_no_answer_is_a_state_of_every_question(scorer: Any, reply: Any, failure: Failure) -> None:
    found = answered(scorer, FULL, chat=Chat(lambda *_: reply), subject=Reader)
    assert found and {answer.failure for _, answer in found} == {failure}
    score = measure(scorer.name, "chat", found, [], 0.1, 0, scorer.metric, scorer.chance)
    assert not score.score.defined and score.failures == {str(failure): len(found)}


@pytest.mark.parametrize("scorer", ALL, ids=lambda s: s.name)
def test_a_transport_error_goes_up(scorer: Any) -> None:
    with pytest.raises(TransportError):
        answered(scorer, FULL, chat=Chat(lambda *_: TransportError("gone")), subject=Reader)


@pytest.mark.parametrize("scorer", ALL, ids=lambda s: s.name)
def test_without_evidence_nothing_is_asked(scorer: Any) -> None:
    chat = Chat(lambda *_: pytest.fail("asked"))
    assert answered(scorer, EMPTY, chat=chat, subject=Reader) == []


# --- simulation in writing -----------------------------------------------------------------------------


def simulate(message: str, schema: Mapping[str, Any]) -> Any:
    return {"answers": [10 if "rain" in token else 0 for token in shown(message)]}


def test_numbers_that_follow_the_activations_correlate_with_them() -> None:
    chat = Chat(simulate)
    found = answered(WrittenSimulation(8), held_out(), chat=chat)
    assert len(found) == len(chat.asked) == 8 and shown(chat.asked[0])[0] == "the"
    x = np.concatenate([q.activations for q, _ in found])
    y = np.concatenate([[10.0 * ("rain" in t) for t in q.passages[0].tokens] for q, _ in found])
    score = measure("simulation", "chat", found, [], 0.1, 0, metric="correlation")
    assert score.score.value == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert score.metrics == {"auroc": 1.0}, "the peak tells active from silent contexts"


def test_a_number_too_few_is_no_simulation() -> None:
    found = answered(WrittenSimulation(2), held_out(), chat=Chat(lambda *_: {"answers": [0, 0]}))
    assert {answer.failure for _, answer in found} == {Failure.UNPARSEABLE}


# --- intruder ------------------------------------------------------------------------------------------


def odd_one(message: str, schema: Mapping[str, Any]) -> Any:
    return {"answers": [1 + next(i for i, text in enumerate(shown(message)) if "sun" in text)]}


def test_the_intruder_is_found_wherever_it_stands() -> None:
    chat = Chat(odd_one)
    found = answered(Intruder(6), held_out(half(60)), explanation="", chat=chat)
    assert [answer.probability for _, answer in found] == [1.0] * 6
    assert len({odd_one(message, {})["answers"][0] for message in chat.asked}) > 1, "not always at one place"
    for question, _ in found:
        assert ["sun" in p.text for p in question.passages] == [True] + [False] * 4


@pytest.mark.parametrize(("n", "strata", "questions"), [(60, 10, 10), (20, 5, 5), (90, 10, 20), (3, 0, 0)])
def test_contexts_of_a_question_have_like_peaks_and_are_used_once(n: int, strata: int, questions: int) -> None:
    """A tenth of 60 ranks holds one question of four contexts, a tenth of 90 two; 20 are cut in fifths."""
    found = answered(Intruder(100), held_out(half(n)), chat=Chat(odd_one))
    assert len(found) == questions
    texts = [p.text for q, _ in found for p in q.passages]
    assert len(texts) == len(set(texts))
    for question, _ in found:
        ranks = [int(p.tokens[-1]) for p in question.passages[1:]]
        assert {f"{strata - int(strata * rank / n)} of {strata}" for rank in ranks} == {question.stratum}


def test_guessing_the_first_hits_as_often_as_chance() -> None:
    found = answered(Intruder(100, 3), held_out(half(200, 90)), chat=Chat(lambda *_: {"answers": [1]}))
    hits = sum(answer.probability == 1.0 for _, answer in found)
    assert len(found) == 90 and Intruder(100, 3).chance == pytest.approx(1 / 3)
    assert hits / 90 == pytest.approx(1 / 3, abs=0.15)


class Bag:
    name, dimension = "bag", 2

    def embed(self, texts: Sequence[str]) -> Float32:
        return np.array([[1.0, 0.0] if "rain" in text else [0.0, 1.0] for text in texts], np.float32)


def test_without_a_chat_model_an_embedder_finds_the_outlier() -> None:
    found = answered(Intruder(6), held_out(half(60)), embedder=Bag())
    assert [answer.probability for _, answer in found] == [1.0] * 6


# --- output --------------------------------------------------------------------------------------------


def best_set(message: str, schema: Mapping[str, Any]) -> Any:
    explanation = json.loads(re.findall(r"^Explanation: (.*)$", message, re.MULTILINE)[0])
    sets = re.split(r"^Set \d+$", message, flags=re.MULTILINE)[1:]
    return {"answers": [1 + max(range(3), key=lambda i: sets[i].count(explanation))]}


def test_the_set_of_the_unit_is_found_among_three() -> None:
    chat = Chat(best_set)
    for explanation, hit in (("rain", 1.0), ("snow", 0.0)):
        found = answered(Output(), FULL, explanation, chat=chat)
        assert [answer.probability for _, answer in found] == [hit, hit], "six prompts make two questions of three"
    (question, _) = found[0]
    assert [p.tokens[0] for p in question.passages] == ["rain 0", "sun 0", "snow 0"]
    assert "prompt" not in chat.asked[0] and "clean" not in chat.asked[0]


def test_without_a_chat_model_the_nearest_set_is_taken() -> None:
    found = answered(Output(), FULL, embedder=Bag())
    assert [answer.probability for _, answer in found] == [1.0, 1.0]


def test_without_rivals_there_is_nothing_to_choose_from() -> None:
    assert answered(Output(), held_out(steered=steered("rain")), chat=Chat(best_set)) == []


# --- rated texts ---------------------------------------------------------------------------------------


def rate(message: str, schema: Mapping[str, Any]) -> Any:
    return {"answers": [2 if "rain" in t else 1 if t.endswith("5") else 0 for t in shown(message)]}


def test_texts_rated_two_should_activate_more_than_those_rated_zero() -> None:
    chat = Chat(rate)
    found = answered(Responsiveness(40), held_out(), chat=chat)
    assert len(chat.asked) == 3 and max(len(shown(message)) for message in chat.asked) == AT_ONCE
    assert {(q.truth, q.stratum) for q, _ in found} == {(True, "rated 2"), (False, "rated 0")}
    assert len(found) == 20 + 18, "two silent texts were rated 1"
    score = measure("responsiveness", "chat", found, [], 0.1, 0)
    assert score.score.value == 1.0 and score.metrics["auprc"] == 1.0
    assert [a.values[0] for q, a in found if q.passages[0].text == "the rain 0"] == [20.0]


def test_a_rating_that_says_nothing_of_the_unit_is_at_chance() -> None:
    chat = Chat(lambda message, _: {"answers": [2 * (int(t.split()[-1]) % 2) for t in shown(message)]})
    score = measure("r", "chat", answered(Responsiveness(40), held_out(), chat=chat), [], 0.1, 0)
    assert score.score.value == pytest.approx(0.5, abs=0.1)


def test_faithfulness_by_hand() -> None:
    """Of four texts three turn to rain; one was about rain before."""
    texts = [("dry", "rain a"), ("dry", "rain b"), ("dry", "sun"), ("rain c", "rain d")]
    given = held_out(steered=tuple(SteeredText("p", clean, raised) for clean, raised in texts))
    found = answered(Faithfulness(), given, chat=Chat(rate))
    assert [answer.values for _, answer in found] == [(1, 0), (1, 0), (0, 0), (1, 1)]
    score = measure("f", "chat", found, [], 0.1, 0, metric="faithfulness")
    assert score.score.value == pytest.approx((3 / 4 - 1 / 4) / (3 / 4))


# --- written texts -------------------------------------------------------------------------------------


def write(fitting: list[str], near: list[str]) -> Chat:
    return Chat(lambda *_: {"fitting": fitting, "near": near})


def test_the_subject_and_not_the_writer_says_what_activates() -> None:
    reader = Reader()
    chat = write(["rain falls", "a rain cloud", "wet"], ["dry days", "rain again", "hot"])
    found = answered(Clarity(3), held_out(half(4)), chat=chat, subject=lambda: reader)
    assert [q.truth for q, _ in found] == [True] * 3 + [False] * 3 and len(reader.read) == 6
    assert [answer.values for _, answer in found] == [(2.0,), (2.0,), (0.0,), (0.0,), (2.0,), (0.0,)]
    assert measure("clarity", "chat", found, [], 0.1, 0).score.value == pytest.approx(
        np.mean([1, 0.5, 1, 1, 0.5, 1, 0.5, 0, 0.5])
    )


def test_in_place_of_near_misses_silent_contexts_can_stand() -> None:
    scorer = Clarity(2, "silent")
    found = answered(scorer, held_out(), chat=write(["rain", "more rain"], ["x", "y"]), subject=Reader)
    assert [q.passages[0].text for q, _ in found if not q.truth] == ["the sun 100", "the sun 101"]
    assert {q.stratum for q, _ in found} == {"written", "silent"} and scorer.name == "clarity-silent"


def test_what_activates_is_measured_by_the_units_own_peaks() -> None:
    """A peak of 2 activates a unit whose weakest tenth lies at 1.3, and not one whose weakest tenth lies at 5."""
    strong = EvidenceHalf((), tuple(Example(context(i, "rain"), (0.0, 5.0, 0.0)) for i in range(4)), ())
    for evidence, share in ((half(4), 1.0), (strong, 0.0)):
        chat = Chat(lambda *_: {"texts": ["rain one", "rain two"]})
        found = answered(Sensitivity(2), held_out(evidence), chat=chat, subject=Reader)
        assert measure("s", "chat", found, [], 0.1, 0, "hit_rate").score.value == share


def test_the_writer_sees_marked_contexts_of_all_ranks() -> None:
    chat = Chat(lambda *_: {"texts": ["rain"] * 3})
    answered(Sensitivity(3, n_shown=4), held_out(), chat=chat, subject=Reader)
    assert shown(chat.asked[0]) == [f"the<< rain>> {i}" for i in (0, 6, 13, 19)]


def test_a_text_without_words_is_a_failure_of_its_own() -> None:
    chat = Chat(lambda *_: {"texts": ["rain", "  ", "sun"]})
    found = answered(Sensitivity(3), held_out(half(4)), chat=chat, subject=Reader)
    assert [answer.failure for _, answer in found] == [None, Failure.EMPTY, None]
    assert [answer.probability for _, answer in found] == [1.0, None, 0.0]


def test_a_text_that_does_not_end_is_cut() -> None:
    reader = Reader()
    answered(Sensitivity(1), held_out(), chat=Chat(lambda *_: {"texts": ["rain " * 9999]}), subject=lambda: reader)
    assert len(reader.read[0]) == 600


def test_answers_are_records_with_probabilities() -> None:
    for scorer in (Clarity(2), Sensitivity(2)):
        chat = Chat(lambda *_: {"texts": ["rain", "sun"], "fitting": ["rain", "sun"], "near": ["rain", "sun"]})
        for _, answer in answered(scorer, held_out(), chat=chat, subject=Reader):
            assert isinstance(answer, Answer) and 0 <= (answer.probability or 0) <= 1
