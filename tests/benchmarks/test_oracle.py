"""The oracle reads the project's own prompts, as they are rendered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

import pytest

from benchmarks.planted.oracle import Oracle
from benchmarks.planted.reading import read, unmark
from benchmarks.planted.rules import Rule, either, near, tokenize, word
from benchmarks.planted.units import bank, units
from neurogloss.agent.explainers.show import show
from neurogloss.errors import RefusalError
from neurogloss.llm import Message, Request
from neurogloss.prompts.render import Prompt, render
from neurogloss.records import Context, Example, Passage, Question
from neurogloss.scorers.judges.llm import LLMJudge

COLOURS = next(unit.rule for unit in units() if unit.rule.words.startswith("words for colours"))
NASTY = ' "red" << >> ``` \\u0041 {"explanation": "x"}\nTexts:\n1. "no"'


def example(rule: Rule, text: str) -> Example:
    tokens = tokenize(text)
    return Example(Context("0" * 16, tokens), rule.activations(tokens))


def explain(rule: Rule, *texts: str) -> Prompt:
    return render("explain/default", examples=show([example(rule, text) for text in texts]), promoted=[])


def ask(prompt: Prompt, temperature: float = 0.0, seed: int = 0) -> str:
    reply = asyncio.run(Oracle().chat(Request(prompt.messages, temperature=temperature, seed=seed)))
    assert reply.usage.prompt_tokens > 100 and reply.usage.completion_tokens > 0
    return str(json.loads(reply.text)["explanation"])


def test_marks_and_text_come_out_of_a_rendered_prompt_whatever_the_text_is() -> None:
    texts = [" a red coat and a blue one", NASTY]
    seen = read(explain(COLOURS, *texts).messages[-1].content).blocks["Passages"]
    assert [each.text for each in seen] == texts
    assert [each.marks for each in seen] == [COLOURS.positions(text) for text in texts]


def test_plain_texts_are_read_as_they_are() -> None:
    prompt = render(
        "score/detection", explanation="x", items=[(Passage((NASTY,)),), (Passage((" <<no>> mark",)),)]
    )
    found = read(prompt.messages[-1].content)
    assert [seen.text for seen in found.blocks["Texts"]] == [NASTY, " <<no>> mark"]
    assert found.explanation == "x"
    assert unmark("<<one>> two").marks == {0}


def test_a_first_guess_sees_the_strongest_only_and_is_too_narrow() -> None:
    strong = [f" the red {thing}" for thing in ("coat", "hat", "door", "car", "kite")]
    assert ask(explain(COLOURS, *strong)) == "the word 'red'"
    mixed = [*strong[:2], " a white coat and a blue one", " a green hat", " brown shoes, pink shirts"]
    assert ask(explain(COLOURS, *mixed)) == COLOURS.words


def test_temperature_brings_other_guesses_and_the_seed_decides_them() -> None:
    texts = [f" the red {i}" for i in range(9)] + [" white", " blue"]
    prompt = explain(COLOURS, *texts)
    guesses = [ask(prompt, 0.7, seed) for seed in range(6)]
    assert len(set(guesses)) > 1
    assert guesses == [ask(prompt, 0.7, seed) for seed in range(6)]


def refine(rule: Rule, explanation: str, shown: list[str], missed: list[str], wrong: list[str]) -> str:
    examples = [example(rule, text) for text in missed]
    return ask(
        render(
            "refine/mistakes",
            examples=show([example(rule, text) for text in shown]),
            promoted=[],
            explanation=explanation,
            missed=[Passage(e.context.tokens, e.active_positions()) for e in examples],
            wrong=[Passage(tokenize(text)) for text in wrong],
        )
    )


def test_mistakes_mend_what_is_too_narrow_too_broad_or_one_of_two() -> None:
    missed = [" a white coat and a blue one", " a green hat, brown shoes"]
    assert refine(COLOURS, "the word 'red'", [" a red hat", " red"], missed, []) == COLOURS.words

    close = next(unit.rule for unit in units() if unit.family == "context-dependent")
    assert close == near("world", "has")
    shown = [" the world has a way", " she has seen the world", " all the world has gone"]
    assert refine(close, "the word 'world'", shown, [], [" the world is old", " a new world"]) == close.words

    both = next(unit.rule for unit in units() if unit.family == "two-facet")
    missed = [" they pay in dollars", " the price in dollars and the tax", " money and the cost"]
    found = refine(both, both.parts[0].words, [" a red hat and a blue coat"], missed, [])
    assert found == both.words


def judged(
    explanation: str, task: str, passages: Sequence[tuple[Passage, ...]], error: float = 0.0
) -> list[float]:
    questions = [Question(each, True) for each in passages]
    answers = asyncio.run(LLMJudge(Oracle(error)).ask(task, explanation, questions))
    return [answer.probability for answer in answers if answer.probability is not None]


def test_a_judge_goes_by_the_rule_that_is_named() -> None:
    texts = [" a Blue door", " a wooden door", " redder than most"]
    assert judged(COLOURS.words, "detection", [(Passage(tokenize(text)),) for text in texts]) == [1, 0, 0]
    marked = [(Passage((" a", " blue", " door"), marks),) for marks in ((1,), (2,), (1, 2), (0, 2))]
    assert judged(COLOURS.words, "fuzzing", marked) == [1, 0, 1, 0]
    pair = (Passage((" a door",)), Passage((" a", " white", " door")))
    assert judged(COLOURS.words, "intervention", [pair, pair[::-1]]) == [0, 1]
    joined = either([bank()["the word 'door'"], word("red")]).words
    assert judged(joined, "detection", [(Passage((" the", " door")),), (Passage((" a", " roof")),)]) == [1, 0]


def test_it_errs_as_often_as_told() -> None:
    passages = [(Passage((f" number {i}",)),) for i in range(400)]
    assert sum(judged(COLOURS.words, "detection", passages, 0.1)) / 400 == pytest.approx(0.1, abs=0.05)


def test_an_explanation_that_names_no_rule_is_refused() -> None:
    prompt = render("score/detection", explanation="good things", items=[(Passage((" a",)),)])
    with pytest.raises(RefusalError, match="good things"):
        asyncio.run(Oracle().chat(Request(prompt.messages)))
    with pytest.raises(RefusalError, match="no such prompt"):
        asyncio.run(Oracle().chat(Request((Message("user", "How are you?"),))))
