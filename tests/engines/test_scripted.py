"""A script answers as its rules say, in their order, and reads the package's own prompts."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from neurogloss.agent.explainers.show import ShownExample
from neurogloss.engines import load_chat_model
from neurogloss.engines.scripted import ScriptedModel
from neurogloss.errors import (
    EmptyAnswerError,
    RefusalError,
    TransportError,
    UnparseableError,
    UserError,
)
from neurogloss.llm import Features, Message, Request, Tool, ToolCall
from neurogloss.prompts.render import Prompt, render
from neurogloss.records import Passage


def script(folder: Path, *rules: dict[str, Any] | str) -> ScriptedModel:
    path = folder / "rules.jsonl"
    lines = [rule if isinstance(rule, str) else json.dumps(rule) for rule in rules]
    path.write_text("\n".join(lines), encoding="utf-8")
    return ScriptedModel(path)


def ask(model: ScriptedModel, question: str | Prompt) -> str:
    messages = question.messages if isinstance(question, Prompt) else (Message("user", question),)
    return asyncio.run(model.chat(Request(messages))).text


def test_the_first_rule_that_matches_answers(tmp_path: Path) -> None:
    model = script(
        tmp_path,
        "# a comment",
        {"match": "^tea", "reply": "a drink"},
        "",
        {"match": "tea|pot", "reply": {"explanation": "vessels"}},
        {"match": "", "reply": [True]},
    )
    assert ask(model, "tea") == "a drink"
    assert ask(model, "a teapot") == '{"explanation": "vessels"}'
    assert ask(model, "anything") == "[true]"


def test_a_rule_reads_the_last_user_message_or_everything(tmp_path: Path) -> None:
    model = script(
        tmp_path,
        {"match": "early", "reply": "last only"},
        {"match": "early", "where": "all", "reply": "anywhere"},
    )
    conversation = (Message("user", "early"), Message("assistant", "yes"), Message("user", "late"))
    assert asyncio.run(model.chat(Request(conversation))).text == "anywhere"
    assert ask(model, "early") == "last only"


def test_a_rule_may_be_spent(tmp_path: Path) -> None:
    model = script(tmp_path, {"match": "", "fail": "transport", "times": 2}, {"match": "", "reply": "x"})
    for _ in range(2):
        with pytest.raises(TransportError, match="rules.jsonl"):
            ask(model, "q")
    assert ask(model, "q") == ask(model, "q") == "x"


@pytest.mark.parametrize(
    "fail, error",
    [
        ("transport", TransportError),
        ("refusal", RefusalError),
        ("empty", EmptyAnswerError),
        ("unparseable", UnparseableError),
    ],
)
def test_a_rule_may_fail(tmp_path: Path, fail: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        ask(script(tmp_path, {"match": "", "fail": fail, "delay_s": 0.001}), "q")


def test_no_rule_matches(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"rules.jsonl.*'What is this\?'"):
        ask(script(tmp_path, {"match": "nothing", "reply": ""}), "What is this?")


def test_tokens_are_counted_as_words(tmp_path: Path) -> None:
    model = script(tmp_path, {"match": "", "reply": "one two"})
    reply = asyncio.run(model.chat(Request((Message("system", "a b"), Message("user", "c")))))
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (3, 2)


# --- answers made from the question --------------------------------------------------------------------

ITEMS = [(Passage(("A", " kettle")),), (Passage(("a\nPOT", '"')),), (Passage(("rain",)),)]


def test_words_answer_for_each_text(tmp_path: Path) -> None:
    model = script(tmp_path, {"match": "Texts:", "words": ["kettle", "pot"]})
    assert ask(model, render("score/detection", explanation="x", items=ITEMS)) == (
        '{"answers": [true, true, false]}'
    )


def test_words_of_the_explanation_answer_for_each_text(tmp_path: Path) -> None:
    model = script(tmp_path, {"match": "Texts:", "words": "explanation"})
    prompt = render("score/detection", explanation='the "Rain" or a pot', items=ITEMS)
    assert ask(model, prompt) == '{"answers": [false, false, true]}', "pot has only three letters"


def test_of_a_marked_text_the_marks_are_read(tmp_path: Path) -> None:
    model = script(tmp_path, {"match": "Marked texts:", "words": ["rain"]})
    text = ("the", " rain", " fell")
    items = [(Passage(text, (1,)),), (Passage(text, (0,)),), (Passage(text, (0, 1)),)]
    assert ask(model, render("score/fuzzing", explanation="x", items=items)) == (
        '{"answers": [true, false, true]}'
    )


def test_of_a_pair_the_text_with_more_of_the_words_is_chosen(tmp_path: Path) -> None:
    model = script(tmp_path, {"match": "Pairs:", "words": ["rain"]})
    wet, dry, storm = Passage(("rain",)), Passage(("sun",)), Passage(("rain and rain",))
    prompt = render("score/intervention", explanation="x", items=[(wet, dry), (dry, wet), (wet, storm)])
    assert ask(model, prompt) == '{"answers": ["A", "B", "B"]}'


def test_marks_become_an_explanation(tmp_path: Path) -> None:
    model = script(tmp_path, {"match": "Passages:", "marks": 2})
    examples = [
        ShownExample(Passage(("a", "\nRain", " b"), (1,)), (("\nRain", 10),)),
        ShownExample(Passage((" sun", " b", " rain"), (0, 2)), ((" sun", 5), (" rain", 9))),
        ShownExample(Passage(("fog",), (0,)), (("fog", 1),)),
    ]
    prompt = render("explain/default", examples=examples, promoted=["<<x>>"])
    assert ask(model, prompt) == '{"explanation": "the words rain, sun"}'


# --- tools and choices ---------------------------------------------------------------------------------

EXPERIMENT = {"match": "", "call": {"name": "contexts", "arguments": {"quantile": 0.5}}, "times": 1}


def test_a_rule_calls_a_tool_where_there_are_some(tmp_path: Path) -> None:
    model = script(tmp_path, EXPERIMENT, {"match": "", "reply": "done"})
    assert model.features == Features(tools=True)

    async def talk() -> list[tuple[str, tuple[ToolCall, ...]]]:
        question = Request((Message("user", "Go on."),))
        offered = replace(question, tools=(Tool("contexts", "", {}),))
        replies = [await model.chat(each) for each in (question, offered, offered)]
        return [(reply.text, reply.calls) for reply in replies]

    call = ToolCall("contexts", {"quantile": 0.5}, "call")
    assert asyncio.run(talk()) == [("done", ()), ("", (call,)), ("done", ())]


def choose(model: ScriptedModel, question: str | Prompt, *choices: str) -> list[float]:
    messages = question.messages if isinstance(question, Prompt) else (Message("user", question),)
    return list(asyncio.run(model.choose(messages, choices)).probabilities.values())


def test_words_choose(tmp_path: Path) -> None:
    model = script(tmp_path, {"match": "Texts:|Pairs:", "words": ["kettle"]})
    assert model.features == Features(choices=True)
    text, other = Passage(("A", " kettle")), Passage(("rain",))
    for passage, expected in ((text, [1.0, 0.0]), (other, [0.0, 1.0])):
        prompt = render("score/detection", explanation="x", items=[(passage,)])
        assert choose(model, prompt, "true", "false") == choose(model, prompt, "Yes", "No") == expected
    pair = render("score/intervention", explanation="x", items=[(other, text)])
    assert choose(model, pair, "A", "B") == [0.0, 1.0]


def test_a_reply_chooses_what_it_names(tmp_path: Path) -> None:
    model = script(tmp_path, {"match": "first", "reply": "A"}, {"match": "", "reply": "neither"})
    assert choose(model, "the first?", "A", "B") == [1.0, 0.0]
    with pytest.raises(UnparseableError, match="expected one of A, B"):
        choose(model, "which?", "A", "B")


# --- the file ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line, says",
    [
        ('{"match": "x"', "Invalid JSON"),
        ('{"match": "(", "reply": ""}', "match"),
        ('{"match": "x"}', "exactly one of"),
        ('{"match": "x", "reply": "a", "fail": "empty"}', "exactly one of"),
        ('{"match": "x", "fail": "tired"}', "fail"),
        ('{"match": "x", "reply": "a", "answer": "b"}', "answer"),
        ('{"match": "x", "reply": "a", "times": 0}', "times"),
        ("[1]", "object"),
    ],
)
def test_a_line_that_is_no_rule_is_named(tmp_path: Path, line: str, says: str) -> None:
    with pytest.raises(UserError, match=rf"Line 3 of .*rules.jsonl is no rule: .*{says}"):
        script(tmp_path, {"match": "", "reply": ""}, "", line)


def test_a_script_without_rules_or_without_a_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="found no rule"):
        script(tmp_path, "# later")
    with pytest.raises(UserError, match=r"none\.jsonl"):
        load_chat_model(f"scripted:{tmp_path / 'none.jsonl'}")


def test_a_script_is_loaded_by_its_name(tmp_path: Path) -> None:
    path = script(tmp_path, {"match": "", "reply": "x"}).path

    async def names() -> list[str]:
        async with (
            load_chat_model(f"scripted:{path}") as one,
            load_chat_model(f"scripted:{path}", "m") as other,
        ):
            return [one.name, other.name]

    assert asyncio.run(names()) == ["scripted:rules.jsonl", "m"]
