"""The nodes of the score graph, one by one and together: what is steered, asked, measured and decided."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from neurogloss.agent.graph import score_graph
from neurogloss.agent.methods import Scoring
from neurogloss.agent.models import Hard
from neurogloss.agent.nodes.score import Prepare, Verdict
from neurogloss.agent.nodes.score import Score as ScoreNode
from neurogloss.agent.state import ScorerState, ScoreState
from neurogloss.errors import TransportError, UserError
from neurogloss.ids import UnitId
from neurogloss.protocols import Answered, HeldOut, Instruments, SteeredText, Steering
from neurogloss.records import (
    Answer,
    Context,
    EvidenceHalf,
    Example,
    Explanation,
    Failure,
    Interval,
    Outcome,
    Passage,
    Question,
    Score,
    State,
)
from neurogloss.scorers.choice import LONG_ENOUGH, Floor, prompt_texts
from neurogloss.scorers.detection import Detection, Fuzzing
from neurogloss.scorers.intervention import Intervention
from neurogloss.scorers.judges.embedded import LexicalJudge
from neurogloss.scorers.sequential import Stop
from neurogloss.settings import LabelSettings

UNIT = UnitId("tiny", "model.layers.1.mlp.down_proj.input", "neurons", 3, -1)
OWN = Explanation(UNIT, "words for rain", "m")
FLOORS = [Floor("b2:first", "numbers"), Floor("b2:second", "names")]
NAN = math.nan


def context(number: int, tokens: int, word: str = "w") -> Context:
    return Context(f"{number:016x}", tuple(f" {word}{number}" for _ in range(tokens)))


def half_of(active: int = 6, silent: int = 6) -> EvidenceHalf:
    """Contexts of 20 and more tokens; the active ones hold `rain`."""
    examples = [Example(context(i, 20, "rain"), (9.0 - i, *[0.0] * 19)) for i in range(active)]
    return EvidenceHalf((), tuple(examples), tuple(context(100 + i, 20 + i) for i in range(silent)))


@dataclass
class FakeSubject:
    """Continues prompts; keeps what it was asked."""

    asked: list[tuple[Any, ...]] = field(default_factory=list)

    def steer(self, unit: UnitId, prompts: Sequence[str], tuning_prompts: Sequence[str], seed: int) -> Steering:
        self.asked.append((unit, tuple(prompts), tuple(tuning_prompts), seed))
        return Steering(12.5, 0.9, tuple(SteeredText(prompt, "clean", "steered rain") for prompt in prompts))


@dataclass
class FakeJudge:
    """Right where the explanation has `rain`, and says 0.5 otherwise; some tasks and explanations fail."""

    fails: Mapping[str, Failure] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    name: str = "fake"
    settings: Mapping[str, Any] = field(default_factory=dict)

    async def ask(self, task: str, explanation: str, questions: Sequence[Question]) -> list[Answer]:
        self.asked.append((task, explanation))
        failure = self.fails.get(task) or self.fails.get(explanation)
        if failure is Failure.TRANSPORT:
            raise TransportError("gone")
        if failure:
            return [Answer(None, failure, "no")] * len(questions)
        return [Answer(float(q.truth) if "rain" in explanation else 0.5) for q in questions]


# --- prepare -------------------------------------------------------------------------------------------


def prepared(subject: FakeSubject, half: EvidenceHalf, tuning: tuple[str, ...], *scorers: Any) -> ScoreState:
    node = Prepare(scorers, lambda: subject, 4, seed=7)
    return asyncio.run(node({"explanation": OWN, "half": half, "tuning_prompts": tuning}))


def test_without_an_intervention_no_subject_is_loaded() -> None:
    def load() -> FakeSubject:
        raise AssertionError("the subject was asked for")

    node = Prepare([Detection(), Fuzzing()], load, 4, seed=7)
    got = asyncio.run(node({"explanation": OWN, "half": half_of(), "tuning_prompts": ("a",)}))
    assert got["held_out"] == HeldOut(UNIT, half_of(), (), got["held_out"].seed) and got["effect"] == {}


def test_silent_contexts_of_the_score_half_are_steered_once() -> None:
    subject = FakeSubject()
    got = prepared(subject, half_of(), ("tune",), Detection(), Intervention())
    ((unit, prompts, tuning, seed),) = subject.asked
    assert unit == UNIT and tuning == ("tune",) and seed == got["held_out"].seed
    assert prompts == tuple(c.text for c in half_of().negatives[:4])
    assert got["effect"] == {"kl": 0.9, "strength": 12.5}
    assert [text.prompt for text in got["held_out"].steered] == list(prompts)


def test_every_unit_has_a_seed_of_its_own() -> None:
    seeds = set()
    for index in (3, 4):
        own = Explanation(UnitId("tiny", "h", "neurons", index), "x", "m")
        for seed in (7, 8):
            node = Prepare([], FakeSubject, 4, seed)
            seeds.add(asyncio.run(node({"explanation": own, "half": half_of()}))["held_out"].seed)
    assert len(seeds) == 4


@pytest.mark.parametrize("silent, tuning", [(0, ("tune",)), (6, ())])
def test_a_unit_without_prompts_is_not_steered(silent: int, tuning: tuple[str, ...]) -> None:
    subject = FakeSubject()
    got = prepared(subject, half_of(silent=silent), tuning, Intervention())
    assert subject.asked == [] and got["held_out"].steered == () and got["effect"] == {}
    assert Intervention().questions(got["held_out"]) == []


def test_prompts_are_the_first_contexts_that_are_long_enough() -> None:
    lengths = [LONG_ENOUGH - 1, LONG_ENOUGH, 5, 40, 30]
    contexts = [context(i, n) for i, n in enumerate(lengths)]
    assert prompt_texts(contexts, 2) == (contexts[1].text, contexts[3].text)
    assert prompt_texts(contexts, 9) == tuple(contexts[i].text for i in (1, 3, 4))
    assert prompt_texts([], 2) == prompt_texts(contexts, 0) == ()


@dataclass(frozen=True)
class WithRivals:
    needs: frozenset[str] = frozenset({"steered", "rivals"})
    name: str = "rivals"
    metric: str = "hit_rate"
    chance: float | None = None
    needs_subject: bool = True

    async def answered(self, explanation: str, held_out: HeldOut, instruments: Instruments) -> list[Answered]:
        return []


def test_rivals_are_steered_on_the_same_prompts_where_a_scorer_compares_with_them() -> None:
    others = [UnitId("tiny", UNIT.hookpoint, "neurons", i) for i in (8, 9)]
    for scorer, steered in ((WithRivals(), [UNIT, *others]), (Intervention(), [UNIT])):
        subject = FakeSubject()
        node = Prepare([scorer], lambda subject=subject: subject, 4, 7, lambda unit: others)
        got = asyncio.run(node({"explanation": OWN, "half": half_of(), "tuning_prompts": ("tune",)}))
        assert [asked[0] for asked in subject.asked] == steered
        assert len({asked[1:] for asked in subject.asked}) == 1
        assert len(got["held_out"].rivals) == len(steered) - 1


# --- score ---------------------------------------------------------------------------------------------


def scoring(scorer: Any, effect: Mapping[str, float] | None = None) -> ScorerState:
    held_out = HeldOut(UNIT, half_of(), (), seed=11)
    return ScorerState(
        scorer=scorer, explanation=OWN, held_out=held_out, density=0.1, floors=FLOORS, effect=effect or {}
    )


def test_the_same_questions_are_asked_of_the_explanation_and_of_its_floors() -> None:
    judge = FakeJudge()
    got = asyncio.run(ScoreNode(judge)(scoring(Detection(8))))
    assert judge.asked == [("detection", text) for text in ("words for rain", "numbers", "names")]
    (score,) = got["scores"]
    assert (score.score.value, score.floor.value, score.excess.value) == (
        pytest.approx(1.0),
        0.0,
        pytest.approx(1),
    )
    assert score.metric == "correlation_at_density" and score.metrics["auroc"] == 1.0
    assert (score.scorer, score.judge, score.n_questions) == ("detection", "fake", 8)
    asked = Detection(8).questions(scoring(Detection(8))["held_out"])
    for start, id in enumerate((OWN.id, "b2:first", "b2:second")):
        rows = got["outcomes"][8 * start : 8 * start + 8]
        assert [row.question for row in rows] == asked and {row.asked for row in rows} == {id}
    assert len(got["outcomes"]) == 24 and {row.scorer for row in got["outcomes"]} == {"detection"}


def test_the_effect_of_an_intervention_stands_among_its_metrics() -> None:
    (detection,) = asyncio.run(ScoreNode(FakeJudge())(scoring(Detection(8), {"kl": 0.9})))["scores"]
    (intervention,) = asyncio.run(ScoreNode(FakeJudge())(scoring(Intervention(), {"kl": 0.9})))["scores"]
    assert "kl" not in detection.metrics and intervention.metrics["kl"] == 0.9


@dataclass(frozen=True)
class Counted:
    """A scorer that answers by itself: as many questions as the explanation has words."""

    needs: frozenset[str] = frozenset({"explanation"})
    name: str = "counted"
    metric: str = "hit_rate"
    chance: float | None = 0.25
    needs_subject: bool = False

    async def answered(self, explanation: str, held_out: HeldOut, instruments: Instruments) -> list[Answered]:
        words = explanation.split()
        return [(Question((Passage((word,)),), True), Answer(float(word == "rain"))) for word in words]


def test_a_scorer_that_answers_by_itself_is_not_asked_through_the_judge() -> None:
    judge = FakeJudge()
    got = asyncio.run(ScoreNode(judge)(scoring(Counted())))
    (score,) = got["scores"]
    assert judge.asked == [] and (score.metric, score.score.value) == ("hit_rate", pytest.approx(1 / 3))
    assert score.floor.value == 0.0, "numbers and names are no rain"
    assert [row.asked for row in got["outcomes"]] == [OWN.id] * 3 + ["b2:first", "b2:second"]


def test_a_scorer_without_explanation_has_chance_for_its_floor() -> None:
    got = asyncio.run(ScoreNode(FakeJudge())(scoring(Counted(needs=frozenset()))))
    (score,) = got["scores"]
    assert score.floor.value == 0.25 and math.isnan(score.p_value) and len(got["outcomes"]) == 3


def test_a_scorer_whose_instrument_is_missing_is_refused_before_it_asks() -> None:
    with pytest.raises(UserError, match="counted needs an LLM"):
        asyncio.run(ScoreNode(FakeJudge())(scoring(Counted(needs=frozenset({"chat"})))))


def test_the_words_of_the_explain_half_are_a_floor_of_their_own() -> None:
    instruments = Instruments(lexical=lambda unit: LexicalJudge(half_of()) if unit == UNIT else None)
    (score,) = asyncio.run(ScoreNode(FakeJudge(), instruments)(scoring(Detection(8))))["scores"]
    assert score.metrics["lexical_floor"] == pytest.approx(1.0) and score.metrics["lexical_floor_p"] == 1.0
    (direct,) = asyncio.run(ScoreNode(FakeJudge(), instruments)(scoring(Counted())))["scores"]
    assert "lexical_floor" not in direct.metrics


@pytest.mark.parametrize("explanation", ["words for rain", "names"])
def test_no_score_is_made_where_the_judge_was_not_reached(explanation: str) -> None:
    with pytest.raises(TransportError):
        asyncio.run(ScoreNode(FakeJudge({explanation: Failure.TRANSPORT}))(scoring(Detection(8))))


# --- stopping early ------------------------------------------------------------------------------------


def stopping(judge: FakeJudge, state: ScorerState, rule: Any = "settled", error: float = 0.05) -> ScoreState:
    return asyncio.run(ScoreNode(judge, stop=Stop(rule, error, batch=4))(state))


def large(scorer: Any) -> ScorerState:
    return {**scoring(scorer), "held_out": HeldOut(UNIT, half_of(30, 30), (), seed=11)}


def test_a_settled_score_asks_no_more_and_never_the_same_twice() -> None:
    judge = FakeJudge()
    got = stopping(judge, large(Detection(60)))
    (score,) = got["scores"]
    asked = {outcome.question for outcome in got["outcomes"]}
    assert score.n_questions == len(asked) < 60 and len(got["outcomes"]) == 3 * len(asked)
    assert asked < set(Detection(60).questions(large(Detection(60))["held_out"]))
    assert len(judge.asked) == 3 * len(asked) / 4, "explanation and floors, a batch at a time"
    assert score.metrics["questions_spared"] == 60 - len(asked)
    assert score.metric == "balanced_accuracy" and score.excess.low > 0 and score.p_value < 0.05
    assert got == stopping(FakeJudge(), large(Detection(60)))


def test_a_stricter_error_asks_more_and_what_is_not_settled_asks_all() -> None:
    first, second = (stopping(FakeJudge(), large(Detection(60)), error=e)["scores"][0] for e in (0.05, 1e-4))
    assert first.n_questions < second.n_questions
    same = {**large(Detection(60)), "floors": [Floor("b2:same", "more rain")]}
    (all_of_it,) = stopping(FakeJudge(), same)["scores"]  # type: ignore[arg-type]
    assert (all_of_it.n_questions, all_of_it.metrics["questions_spared"]) == (60, 0)


def test_a_scorer_that_answers_by_itself_does_not_stop() -> None:
    (score,) = stopping(FakeJudge(), scoring(Counted()))["scores"]
    assert score.metric == "hit_rate" and "questions_spared" not in score.metrics


# --- verdict -------------------------------------------------------------------------------------------


def score(name: str, p_value: float) -> Score:
    some = Interval(0.7, 0.6, 0.8)
    return Score(name, "fake", "auroc", some, some, some, p_value, {}, 8, {})


def outcomes(*failures: Failure | None) -> list[Outcome]:
    question = Question((Passage(("a",)),), True)
    answers = [Answer(None, failure, "no") if failure else Answer(1.0) for failure in failures]
    return [Outcome("detection", OWN.id, question, answer) for answer in answers]


@pytest.mark.parametrize(
    "p_values, state",
    [
        ([0.05], State.ACCEPTED),
        ([0.051], State.REJECTED),
        ([0.03, 0.9], State.REJECTED),
        ([0.025, 0.9], State.ACCEPTED),
        ([0.05, NAN], State.ACCEPTED),
        ([0.017, 0.5, 0.9], State.REJECTED),
    ],
)
def test_accepted_where_one_score_lies_above_its_floor(p_values: list[float], state: State) -> None:
    """At 0.05 over the number of scores that can be tested."""
    scores = [score(f"s{i}", p) for i, p in enumerate(p_values)]
    got = asyncio.run(Verdict(0.05)({"scores": scores, "outcomes": outcomes(Failure.REFUSAL)}))
    assert got == {"state": state, "reason": ""}


@pytest.mark.parametrize(
    "failures, state, reason",
    [
        ([], State.TOO_LITTLE_EVIDENCE, "no scorer found enough to ask about"),
        ([None, None], State.TOO_LITTLE_EVIDENCE, "no scorer found enough to ask about"),
        ([Failure.REFUSAL], State.REFUSAL, "1 of the judge's answers: refusal"),
        (
            [None, Failure.EMPTY, Failure.REFUSAL, Failure.EMPTY],
            State.EMPTY,
            "2 of the judge's answers: empty",
        ),
    ],
)
def test_where_nothing_can_be_tested_it_says_why(
    failures: list[Failure | None], state: State, reason: str
) -> None:
    got = asyncio.run(Verdict(0.05)({"scores": [score("s", NAN)], "outcomes": outcomes(*failures)}))
    assert got == {"state": state, "reason": reason}


# --- the graph -----------------------------------------------------------------------------------------


def through_the_graph(judge: FakeJudge, half: EvidenceHalf, *scorers: Any) -> dict[str, Any]:
    subject = FakeSubject()
    return asyncio.run(
        score_graph(
            Scoring(judge, scorers, Instruments(subject=lambda: subject), 1, Hard(), {}),
            lambda: subject,
            lambda unit: (),
            LabelSettings(prompts=6),
        ).ainvoke(
            {
                "explanation": OWN,
                "half": half,
                "tuning_prompts": ("tune",),
                "density": 0.1,
                "floors": FLOORS,
            }
        )
    )


def test_every_scorer_adds_its_score() -> None:
    got = through_the_graph(FakeJudge(), half_of(), Detection(8), Fuzzing(8), Intervention())
    assert got["state"] is State.ACCEPTED
    scores = {score.scorer: score for score in got["scores"]}
    assert {name: score.n_questions for name, score in scores.items()} == {
        "detection": 8,
        "fuzzing": 8,
        "intervention": 6,
    }
    assert {name for name, score in scores.items() if "kl" in score.metrics} == {"intervention"}
    assert len(got["outcomes"]) == 3 * (8 + 8 + 6)


def test_a_scorer_whose_judge_fails_does_not_spoil_the_others() -> None:
    got = through_the_graph(FakeJudge({"fuzzing": Failure.REFUSAL}), half_of(), Detection(8), Fuzzing(8))
    scores = {score.scorer: score for score in got["scores"]}
    assert got["state"] is State.ACCEPTED
    assert scores["fuzzing"].failures == {"refusal": 8} and not scores["fuzzing"].score.defined
    assert scores["detection"].score.value == 1.0


def test_floors_that_are_refused_are_not_taken_for_too_little_evidence() -> None:
    judge = FakeJudge({"numbers": Failure.REFUSAL, "names": Failure.EMPTY})
    got = through_the_graph(judge, half_of(), Detection(8))
    assert (got["state"], got["reason"]) == (State.REFUSAL, "8 of the judge's answers: refusal")


def test_without_silent_contexts_there_is_too_little_to_ask() -> None:
    got = through_the_graph(FakeJudge(), half_of(silent=0), Detection(8), Fuzzing(8), Intervention())
    assert got["state"] is State.TOO_LITTLE_EVIDENCE
    assert [score.n_questions for score in got["scores"]] == [0, 0, 0]
