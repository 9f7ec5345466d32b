"""The judge asks in batches, reads strictly, and gives every question its own answer or its own failure."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from neurogloss.errors import EmptyAnswerError, RefusalError, TransportError, UserError
from neurogloss.llm import Choice, Features, Message, Reply, Request
from neurogloss.prompts.render import template_hash
from neurogloss.protocols import Judge
from neurogloss.records import Answer, Failure, Passage, Question
from neurogloss.scorers.judges.llm import TASKS, LLMJudge


@dataclass
class FakeChat:
    """Replies with what `reply` makes of the number of answers asked for; keeps what it was asked."""

    reply: Callable[[int], str]
    name: str = "fake"
    asked: list[str] = field(default_factory=list)
    schemas: list[Mapping[str, Any]] = field(default_factory=list)
    features: Features = Features()

    async def chat(self, request: Request) -> Reply:
        assert request.schema is not None and request.temperature == 0.0
        self.asked.append(request.messages[-1].content)
        self.schemas.append(request.schema)
        return Reply(self.reply(request.schema["properties"]["answers"]["maxItems"]))


def one(text: str, truth: bool = True) -> Question:
    return Question((Passage((text,)),), truth)


def pair(a: str, b: str) -> Question:
    return Question((Passage((a,)), Passage((b,))), True)


def ask(judge: Judge, task: str, questions: Sequence[Question]) -> list[Answer]:
    return asyncio.run(judge.ask(task, "words for weather", questions))


def all_true(n: int) -> str:
    return json.dumps({"answers": [True] * n})


def test_twelve_questions_are_asked_in_three_batches_in_their_order() -> None:
    chat = FakeChat(lambda n: json.dumps({"answers": [True, False, True, True, True][:n]}))
    answers = ask(LLMJudge(chat, per_prompt=5), "detection", [one(f"text {i}") for i in range(12)])
    assert [answer.probability for answer in answers] == [1, 0, 1, 1, 1, 1, 0, 1, 1, 1, 1, 0]
    assert [schema["properties"]["answers"]["minItems"] for schema in chat.schemas] == [5, 5, 2]
    assert chat.asked[0].endswith('4. "text 3"\n5. "text 4"\n```')
    assert chat.asked[2].endswith('```\n1. "text 10"\n2. "text 11"\n```')


def test_of_a_pair_a_stands_for_the_first_passage() -> None:
    chat = FakeChat(lambda n: '{"answers": ["A", "B"]}')
    answers = ask(LLMJudge(chat), "intervention", [pair("rain", "tea"), pair("tea", "rain")])
    assert answers == [Answer(1.0), Answer(0.0)]
    assert chat.schemas[0]["properties"]["answers"]["items"]["enum"] == ["A", "B"]
    assert '1A. "rain"\n1B. "tea"\n2A. "tea"\n2B. "rain"' in chat.asked[0]


def test_fuzzing_shows_the_marks() -> None:
    chat = FakeChat(all_true)
    assert ask(LLMJudge(chat), "fuzzing", [Question((Passage(("a", " b"), (1,)),), False)]) == [Answer(1.0)]
    assert '1. "a<< b>>"' in chat.asked[0]


def test_the_truth_is_not_in_the_prompt() -> None:
    chat = FakeChat(all_true)
    for truth in (True, False):
        ask(LLMJudge(chat), "detection", [Question((Passage(("text",)),), truth, stratum="decile 3")])
    assert chat.asked[0] == chat.asked[1]
    assert "decile" not in chat.asked[0]


@pytest.mark.parametrize(
    "text",
    [
        '{"answers": [true]}',
        '{"answers": [true, true, true]}',
        '{"answers": [1, 2]}',
        '{"answers": ["yes", "no"]}',
        '{"answers": [0.9, 0.1]}',
        '{"answers": [null, true]}',
        '{"answers": true}',
        '{"answers": [true, true',
        "Answers: true, true",
        "[x, y]",
    ],
)
def test_an_answer_in_another_form_answers_nothing(text: str) -> None:
    answers = ask(LLMJudge(FakeChat(lambda n: text)), "detection", [one("a"), one("b")])
    assert [answer.failure for answer in answers] == [Failure.UNPARSEABLE] * 2
    assert 'expected {"answers": [2 × true or false]}' in answers[0].reason
    assert text in answers[0].reason


@pytest.mark.parametrize("error", [RefusalError, EmptyAnswerError])
def test_a_batch_without_an_answer_leaves_the_others_alone(error: type[RefusalError]) -> None:
    def reply(n: int) -> str:
        if n == 2:
            raise error("not today")
        return all_true(n)

    answers = ask(LLMJudge(FakeChat(reply), per_prompt=3), "detection", [one(c) for c in "abcde"])
    assert answers == [Answer(1.0)] * 3 + [Answer(None, error.failure, "not today")] * 2


def test_a_transport_error_is_raised_as_it_is() -> None:
    def reply(n: int) -> str:
        raise TransportError("gone")

    with pytest.raises(TransportError, match="gone"):
        ask(LLMJudge(FakeChat(reply), per_prompt=1), "detection", [one(c) for c in "abc"])


def test_nothing_is_asked_about_nothing() -> None:
    chat = FakeChat(all_true)
    assert ask(LLMJudge(chat), "detection", []) == []
    assert chat.asked == []


def test_a_user_s_own_prompt(tmp_path: Path) -> None:
    path = tmp_path / "mine.md"
    path.write_text("## user\n{{ explanation }}?{% for item in items %} {{ item[0].text }}{% endfor %}", "utf-8")
    chat = FakeChat(all_true)
    assert ask(LLMJudge(chat), str(path), [one("a"), one("b")]) == [Answer(1.0)] * 2
    assert chat.asked == ["words for weather? a b"]


def test_a_task_without_a_prompt_is_the_user_s_to_mend() -> None:
    with pytest.raises(UserError, match="score/surprisal"):
        ask(LLMJudge(FakeChat(all_true)), "surprisal", [one("a")])


def test_name_and_settings_say_what_decides_the_answers() -> None:
    judge = LLMJudge(FakeChat(all_true), per_prompt=4, seed=2)
    assert judge.name == "llm:fake"
    assert json.loads(json.dumps(judge.settings)) == {
        "model": "fake",
        "prompts": {task: template_hash(f"score/{task}") for task in TASKS},
        "per_prompt": 4,
        "probabilities": False,
        "seed": 2,
    }


def test_a_prompt_holds_one_question_at_least() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        LLMJudge(FakeChat(all_true), per_prompt=0)


@pytest.mark.parametrize(
    "text",
    [
        "[true, false]",
        "[1, 0]",
        "[1.0, 0.0]",
        '["1", "0"]',
        "[True, False]",
        "Sure, here it is:\n```json\n[\n  1,\n  0\n]\n```",
        "[as asked] [1,0] or maybe [0,1]",
        '{"verdict": [1, 0, 1], "answers": [true, false]}',
    ],
)
def test_the_first_list_of_so_many_answers_is_read_whatever_is_around_it(text: str) -> None:
    found = ask(LLMJudge(FakeChat(lambda n: text)), "detection", [one("a"), one("b")])
    assert found == [Answer(1.0), Answer(0.0)]


def test_of_two_passages_no_digit_is_an_answer() -> None:
    (found,) = ask(LLMJudge(FakeChat(lambda n: "[1]")), "intervention", [pair("a", "b")])
    assert found.failure is Failure.UNPARSEABLE and '"A" or "B"' in found.reason


# --- one question a prompt -----------------------------------------------------------------------------


@dataclass
class Chooser:
    """Gives the first choice the probability of its text; keeps the conversations."""

    probabilities: Mapping[str, float | Exception]
    name: str = "chooser"
    features: Features = Features(choices=True)
    asked: list[Sequence[Message]] = field(default_factory=list)

    async def choose(self, messages: Sequence[Message], choices: Sequence[str]) -> Choice:
        self.asked.append(messages)
        found = next(p for text, p in self.probabilities.items() if text in messages[-1].content)
        if isinstance(found, Exception):
            raise found
        return Choice({choices[0]: found, choices[1]: 1 - found})


def test_one_a_prompt_the_probability_is_the_models_own() -> None:
    chat = Chooser({"storm": 0.9, "form": 0.2})
    judge: Judge = LLMJudge(chat, probabilities=True)  # type: ignore[arg-type]
    assert ask(judge, "detection", [one("a storm"), one("a form")]) == [Answer(0.9), Answer(0.2)]
    assert ask(judge, "intervention", [pair("a form", "tea")]) == [Answer(0.2)]
    assert judge.settings["per_prompt"] == 1 and judge.settings["probabilities"] is True


@pytest.mark.parametrize("task", TASKS)
def test_what_requests_share_stands_first(task: str) -> None:
    """Everything but the end of the last message: instructions, worked examples and the explanation."""
    chat = Chooser({"": 0.5})
    questions = (
        [one("first"), one("second")] if task != "intervention" else [pair("first", "x"), pair("second", "x")]
    )
    ask(LLMJudge(chat, probabilities=True), task, questions)  # type: ignore[arg-type]
    first, second = ("".join(message.content for message in messages) for messages in chat.asked)
    shared = next(i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b)
    assert '"words for weather"' in first[:shared] and len(first) - shared < 60


def test_a_failure_is_that_questions_own_and_transport_is_raised() -> None:
    chat = Chooser({"storm": 0.9, "form": RefusalError("no"), "gone": TransportError("gone")})
    judge = LLMJudge(chat, probabilities=True)  # type: ignore[arg-type]
    found = ask(judge, "detection", [one("a storm"), one("a form")])
    assert found == [Answer(0.9), Answer(None, Failure.REFUSAL, "no")]
    with pytest.raises(TransportError):
        ask(judge, "detection", [one("a storm"), one("gone")])


def test_probabilities_of_a_model_without_them_are_refused_before_anything_is_asked() -> None:
    with pytest.raises(UserError, match="fake gives none"):
        LLMJudge(FakeChat(all_true), probabilities=True)


def test_an_own_prompt_asks_several(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="without probabilities"):
        ask(LLMJudge(Chooser({}), probabilities=True), str(tmp_path / "mine.md"), [one("a")])  # type: ignore[arg-type]
