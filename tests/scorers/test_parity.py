"""Against delphi 0.1.3: the same predictions and metrics from the same replies, and none of its known errors."""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from neurogloss.errors import RefusalError
from neurogloss.ids import UnitId
from neurogloss.llm import Features, Reply, Request
from neurogloss.protocols import Answered, HeldOut
from neurogloss.records import Answer, Context, EvidenceHalf, Example, Failure, Passage, Question
from neurogloss.scorers import metrics
from neurogloss.scorers.detection import Detection, Fuzzing
from neurogloss.scorers.judges.llm import LLMJudge
from neurogloss.scorers.measure import measure
from neurogloss.scorers.summary import macro

RECORDED = json.loads((Path(__file__).parent / "data" / "delphi_0.1.3.json").read_text(encoding="utf-8"))
LATENTS: Mapping[str, Any] = {latent["style"]: latent for latent in RECORDED["latents"]}
SCORERS = ("detection", "fuzz", "fuzz_active")
MISREAD = {"string_digits", "value_two"}
"""Styles whose replies delphi takes for something else than they say: bool("0") is True, and so is bool(2)."""


class Replies:
    """Answers each request with the next reply; None is a refusal."""

    name = "recorded"
    features = Features()

    def __init__(self, replies: Sequence[str | None]) -> None:
        self._replies = iter(replies)

    async def chat(self, request: Request) -> Reply:
        reply = next(self._replies)
        if reply is None:
            raise RefusalError("the client raised")
        return Reply(reply)


def judged(prompts: Sequence[Mapping[str, Any]]) -> list[list[Answered]]:
    """What our judge makes of each reply."""
    judge = LLMJudge(Replies([prompt["reply"] for prompt in prompts]), per_prompt=5)  # type: ignore[arg-type]

    async def answer() -> list[list[Answered]]:
        found = []
        for i, prompt in enumerate(prompts):
            questions = [Question((Passage((f"{i} {j}",)),), bool(t)) for j, t in enumerate(prompt["truths"])]
            found.append(list(zip(questions, await judge.ask("detection", "x", questions), strict=True)))
        return found

    return asyncio.run(answer())


def score_of(batches: Sequence[Sequence[Answered]]) -> Any:
    return measure("detection", "recorded", [pair for batch in batches for pair in batch], [], 0.1, 0)


@pytest.mark.parametrize("scorer", SCORERS)
@pytest.mark.parametrize("style", sorted(LATENTS.keys() - MISREAD))
def test_predictions_are_delphis_wherever_it_parsed(style: str, scorer: str) -> None:
    recorded = LATENTS[style]["scorers"][scorer]
    compared = 0
    for prompt, batch in zip(recorded["prompts"], judged(recorded["prompts"]), strict=True):
        if None not in prompt["predictions"]:
            assert [answer.probability for _, answer in batch] == prompt["predictions"]
            compared += len(batch)
    assert compared == recorded["metrics"]["total_examples"]


@pytest.mark.parametrize("scorer", SCORERS)
@pytest.mark.parametrize("style", sorted(LATENTS.keys() - MISREAD))
def test_metrics_are_delphis_wherever_it_parsed(style: str, scorer: str) -> None:
    recorded = LATENTS[style]["scorers"][scorer]
    batches = judged(recorded["prompts"])
    parsed = [batch for p, batch in zip(recorded["prompts"], batches, strict=True) if None not in p["predictions"]]
    found, theirs = score_of(parsed).metrics, recorded["metrics"]
    if not parsed:
        assert theirs["accuracy"] == 0.0 and math.isnan(found["balanced_accuracy"])
        return
    names = {"balanced_accuracy": "accuracy", "precision": "precision", "recall": "recall", "f1": "f1_score"}
    for ours, their in names.items():
        assert found[ours] == pytest.approx(theirs[their], abs=1e-9)


@pytest.mark.parametrize(
    ("style", "lost", "recovered"),
    [
        ("multiline_list", 60, 60),
        ("python_bools", 60, 60),
        ("too_long_sometimes", 19, 0),
        ("client_error_sometimes", 20, 0),
        ("short_last_batch", 2, 2),
    ],
)
def test_batches_that_delphi_lost_are_recovered_or_counted(style: str, lost: int, recovered: int) -> None:
    """A list of another length answers nothing, and neither does an error; form alone costs no answer."""
    count: Counter[str] = Counter()
    for scorer in SCORERS:
        prompts = LATENTS[style]["scorers"][scorer]["prompts"]
        batches = judged(prompts)
        for prompt, batch in zip(prompts, batches, strict=True):
            if None in prompt["predictions"]:
                count["lost"] += 1
                count["recovered"] += all(answer.failure is None for _, answer in batch)
        failures = sum(answer.failure is not None for batch in batches for _, answer in batch)
        assert sum(score_of(batches).failures.values()) == failures
    assert (count["lost"], count["recovered"]) == (lost, recovered)


def test_recovered_batches_say_what_the_reply_says() -> None:
    for prompt in LATENTS["python_bools"]["scorers"]["detection"]["prompts"]:
        (batch,) = judged([prompt])
        written = [word.strip(" []") == "True" for word in prompt["reply"].split(",")]
        assert [answer.probability == 1.0 for _, answer in batch] == written


@pytest.mark.parametrize("group", LATENTS["clean"]["simulation"], ids=lambda group: f"group {group['group']}")
def test_the_simulation_score_is_delphis(group: Mapping[str, Any]) -> None:
    """Pearson's r over the tokens of all sequences of the group."""
    given = [
        (Question((Passage(("x",) * len(x)),), max(x) > 0, "", tuple(x)), Answer(0.5, values=tuple(y)))
        for x, y in zip(group["true"], group["simulated"], strict=True)
    ]
    found = measure("simulation", "recorded", given, [], 0.1, 0, metric="correlation")
    assert found.score.value == pytest.approx(group["correlation"], abs=1e-9)


# --- its known errors ----------------------------------------------------------------------------------


def test_a_zero_in_quotes_is_no_yes() -> None:
    """delphi answers True to all of them; read as written, they agree with the truths as often as all others."""
    recorded = LATENTS["string_digits"]["scorers"]["detection"]
    assert {p for prompt in recorded["prompts"] for p in prompt["predictions"]} == {1}
    assert recorded["metrics"]["accuracy"] == 0.5
    assert score_of(judged(recorded["prompts"])).metrics["balanced_accuracy"] > 0.65


def test_what_is_neither_yes_nor_no_answers_nothing() -> None:
    for scorer in SCORERS:
        prompts = LATENTS["value_two"]["scorers"][scorer]["prompts"]
        for prompt, batch in zip(prompts, judged(prompts), strict=True):
            if "2" in prompt["reply"]:
                assert {answer.failure for _, answer in batch} == {Failure.UNPARSEABLE}
            else:
                assert [answer.probability for _, answer in batch] == prompt["predictions"]


def test_failures_are_counted_where_delphi_reports_none() -> None:
    recorded = LATENTS["too_long_sometimes"]["scorers"]["detection"]
    assert recorded["metrics"]["failed_count"] == 0
    found = score_of(judged(recorded["prompts"]))
    assert found.failures == {"unparseable": 45} and found.n_questions == 100


def test_without_any_answer_a_score_is_undefined_and_not_zero() -> None:
    assert LATENTS["multiline_list"]["scorers"]["detection"]["metrics"]["accuracy"] == 0.0
    found = score_of(judged([{"reply": None, "truths": [1, 0, 1]}, {"reply": "none", "truths": [0, 1]}]))
    assert not found.score.defined and math.isnan(found.metrics["f1"])
    assert found.failures == {"refusal": 3, "unparseable": 2}


def test_balanced_accuracy_is_not_called_accuracy() -> None:
    found = metrics.classification([True, False, False, False], [0.9, 0.9, 0.1, 0.1])
    assert found["accuracy"] == 0.75 and found["balanced_accuracy"] == pytest.approx(5 / 6)


def test_each_unit_counts_the_same_in_a_mean_over_units() -> None:
    """One unit of 2 questions, all right, and one of 8, all wrong."""
    texts = [Question((Passage((str(i),)),), i % 2 == 0) for i in range(10)]
    units = [
        [(q, Answer(float(q.truth))) for q in texts[:2]],
        [(q, Answer(1.0 - q.truth)) for q in texts[2:]],
    ]
    scores = [measure("detection", "j", unit, [], 0.1, 0) for unit in units]
    found = macro([score.metrics["accuracy"] for score in scores])
    assert (found.mean.value, found.n, found.undefined) == (0.5, 2, 0)


def half(n: int) -> EvidenceHalf:
    active = tuple(
        Example(
            Context(f"{i:016x}", tuple(f" a{i}.{t}" for t in range(8))),
            tuple(float(n - i) if t == i % 8 else 0.0 for t in range(8)),
        )
        for i in range(n)
    )
    silent = tuple(Context(f"{i + 500:016x}", tuple(f" s{i}.{t}" for t in range(8))) for i in range(n))
    return EvidenceHalf((), active, silent)


def test_no_negative_is_drawn_twice() -> None:
    for scorer in (Detection(40), Fuzzing(40)):
        false = [q.passages[0].text for q in scorer.questions(HeldOut(UNIT, half(20), (), 0)) if not q.truth]
        assert len(false) == len(set(false)) == 20


def test_marks_on_negatives_stand_where_the_marks_on_positives_stand() -> None:
    """delphi marks one set of positions in all of its negatives."""
    questions = Fuzzing(32).questions(HeldOut(UNIT, half(16), (), 0))
    marks = [Counter(q.passages[0].marks for q in questions if q.truth is truth) for truth in (True, False)]
    assert marks[0] == marks[1] and len(marks[0]) == 8


def test_the_order_does_not_depend_on_what_was_asked_before() -> None:
    """delphi's shuffle lives in the scorer, so that the order depends on which unit came first."""
    scorer = Detection(20)
    held_out = HeldOut(UNIT, half(10), (), 0)
    first = scorer.questions(held_out)
    scorer.questions(HeldOut(UnitId("tiny", "layer", "neurons", 1), half(7), (), 1))
    assert scorer.questions(held_out) == first


def test_with_one_token_that_is_not_active_a_mark_finds_it() -> None:
    """delphi takes a single such token for none."""
    example = Example(Context("0" * 16, (" a", " b")), (1.0, 0.0))
    questions = Fuzzing(negatives="active").questions(HeldOut(UNIT, EvidenceHalf((), (example,), ()), (), 0))
    assert {(q.truth, q.passages[0].marks) for q in questions} == {(True, (0,)), (False, (1,))}


UNIT = UnitId("tiny", "layer", "neurons", 0)
