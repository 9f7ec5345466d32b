"""What follows the first screening: refinement, experiments with their menu, and what ends the rounds."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from neurogloss.accounts import Usage
from neurogloss.agent.experiments import Laboratory, Menu
from neurogloss.agent.graph import traced
from neurogloss.agent.nodes.experiment import Experiment
from neurogloss.agent.nodes.refine import Refine
from neurogloss.agent.state import Effort, ExplainState, Found, Ranked, Setback, Step, pack, unpack
from neurogloss.engines.usage import Call, RecordedModel
from neurogloss.errors import RefusalError, TransportError, UserError
from neurogloss.ids import UnitId
from neurogloss.llm import Features, Message, Reply, Request, ToolCall
from neurogloss.protocols import Material, SteeredText, Steering
from neurogloss.records import (
    Answer,
    Candidate,
    Context,
    EvidenceHalf,
    Example,
    Failure,
    OutputTokens,
    Question,
    Side,
)

UNIT = UnitId("tiny", "layer", "neurons", 3)


def active(text: str, word: str, peak: float = 1.0) -> Example:
    """Active at the tokens that hold the word."""
    tokens = tuple(f" {part}" for part in text.split(" "))
    return Example(Context(text, tokens), tuple(peak * (word in token) for token in tokens))


def silent(*texts: str) -> tuple[Context, ...]:
    return tuple(Context(text, (f" {text}",)) for text in texts)


MATERIAL = Material(
    UNIT,
    EvidenceHalf(
        (active("a red kite", "red", 4.0),),
        tuple(active(f"red thing {i}", "red", 4.0 - i / 4) for i in range(8)),
        silent("some long words here"),
    ),
    OutputTokens(((" paint", 2.0),), ((" the", -1.0),)),
    5,
)
PRACTICE = EvidenceHalf(
    (), (active("a red door", "red"), active("the pink sky", "pink")), silent("a door", "red tape and law")
)


def state(**more: Any) -> ExplainState:
    given: ExplainState = {
        "unit": UNIT,
        "material": MATERIAL,
        "practice": PRACTICE,
        "ranking": [Ranked(Candidate("red"), "explain", 0.8, 4)],
        "rounds": 0,
        "trace": [],
        "started": time.monotonic(),
    }
    return {**given, **more}  # type: ignore[typeddict-item]


class Words:
    """A judge: true where the text holds the explanation's word."""

    name = "words"
    settings: Mapping[str, Any] = {}

    async def ask(self, task: str, explanation: str, questions: Sequence[Question]) -> list[Answer]:
        return [Answer(0.9 if explanation in q.passages[0].text else 0.2) for q in questions]


@dataclass
class Chat:
    """Gives the answers in turn: a text, calls, or an error."""

    answers: list[str | tuple[ToolCall, ...] | Exception]
    features: Features = Features(tools=True)
    name: str = "chat"
    requests: list[Request] = field(default_factory=list)

    async def chat(self, request: Request) -> Reply:
        answer = self.answers[len(self.requests)]
        self.requests.append(request)
        if isinstance(answer, Exception):
            raise answer
        return Reply(answer) if isinstance(answer, str) else Reply("", calls=answer)


def said(text: str) -> str:
    return json.dumps({"explanation": text})


# --- refine ---------------------------------------------------------------------------------------


def test_refining_shows_the_mistakes_and_nothing_of_the_validation_slice() -> None:
    chat = Chat([said("colours")])
    found = asyncio.run(Refine(chat, Words())(state()))
    assert (found["candidates"], found["origin"], found["rounds"]) == ([Candidate("colours")], "refine", 1)
    asked = chat.requests[0].messages[-1].content
    missed, wrong = asked.split("Missed:")[1].split("Wrong:")
    assert "the<< pink>> sky" in missed and "red door" not in missed
    assert "red tape and law" in wrong and '"a door"' not in wrong
    assert 'Explanation: "red"' in asked and '" paint"' in asked
    assert found["facts"]["candidate"] == "colours"


def test_without_mistakes_nothing_is_asked_and_the_rounds_end() -> None:
    chat = Chat([])
    right = replace(PRACTICE, uniform=PRACTICE.uniform[:1], negatives=PRACTICE.negatives[:1])
    found = asyncio.run(Refine(chat, Words())(state(practice=right)))
    assert found["candidates"] == [] and "no mistakes" in found["stopped"] and chat.requests == []


def test_only_so_many_mistakes_are_shown() -> None:
    many = replace(
        PRACTICE, uniform=tuple(active(f"pink {i}", "pink") for i in range(9)), negatives=silent(*"abcdefghi")
    )
    chat = Chat([said("colours")])
    asyncio.run(Refine(chat, Words(), n=3)(state(practice=many)))
    assert chat.requests[0].messages[-1].content.count("<< pink>>") == 3


@pytest.mark.parametrize("answer", ["not JSON", RefusalError("will not"), said(" ")])
def test_a_refinement_that_fails_leaves_what_there_was(answer: str | Exception) -> None:
    found = asyncio.run(Refine(Chat([answer]), Words())(state()))
    assert found["candidates"] == [] and "gave nothing" in found["stopped"] and "setback" not in found


def test_a_server_that_is_gone_is_a_setback() -> None:
    for node in (
        Refine(Chat([TransportError("gone")]), Words()),
        Experiment(Chat([TransportError("gone")]), Laboratory(None, None)),
    ):
        assert asyncio.run(node(state())) == {"setback": Setback(Failure.TRANSPORT, "gone")}


# --- the menu -------------------------------------------------------------------------------------


class Subject:
    """Active at ` red`; raised, it writes of paint."""

    def examples(self, unit: UnitId, texts: Sequence[str]) -> list[Example]:
        if "toolong" in texts:
            raise UserError("Expected texts of at most 8 tokens.")
        return [active(text, "red", 2.0) for text in texts]

    def steer(
        self,
        unit: UnitId,
        prompts: Sequence[str],
        tuning_prompts: Sequence[str],
        seed: int,
        kl: float | None = None,
    ) -> Steering:
        return Steering(1.0, kl or 1.0, (SteeredText(prompts[0], " so", f" paint at {kl}"),))


EVERYTHING = Laboratory(lambda: Subject(), lambda unit: [(0.25, [active("the blue sea", "blue")])])  # type: ignore[return-value]


def use(name: str, laboratory: Laboratory = EVERYTHING, **arguments: Any) -> Any:
    return json.loads(Menu(laboratory, MATERIAL).use(ToolCall(name, arguments)))


def test_each_tool_finds_what_it_says() -> None:
    assert use("activations", texts=["my red hat", "my hat"]) == [
        {"text": " my<< red>> hat", "strength": 5.0},
        {"text": " my hat", "strength": 0.0},
    ]
    assert [found["strength"] for found in use("contexts", quantile=1)] == [10.0, 9.4, 8.8, 8.1]
    assert [found["strength"] for found in use("contexts", quantile=0)] == [7.5, 6.9, 6.2, 5.6]
    assert use("output_tokens") == {"more likely": [" paint"], "less likely": [" the"]}
    assert use("steer", prompt="The wall is", strength=3) == {"without": " so", "raised": " paint at 3.0"}
    assert use("neighbours") == [{"overlap": 0.25, "passages": [" the<< blue>> sea"]}]


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        (
            "exec",
            {"code": "1"},
            "no tool 'exec'; there are contexts, output_tokens, neighbours, activations, steer",
        ),
        ("activations", {"texts": []}, "texts"),
        ("activations", {"texts": ["x"] * 9}, "texts"),
        ("activations", {"texts": ["x" * 401]}, "texts.0"),
        ("activations", {}, "texts: Field required"),
        ("activations", {"texts": ["toolong"]}, "at most 8 tokens"),
        ("contexts", {"quantile": 2}, "quantile"),
        ("steer", {"prompt": "x", "strength": 99}, "strength"),
        ("neighbours", {"half": "score"}, "half"),
    ],
)
def test_a_call_that_does_not_fit_is_told_why(name: str, arguments: dict[str, Any], says: str) -> None:
    assert says in use(name, **arguments)["error"]


def test_what_is_not_there_is_not_on_the_menu() -> None:
    bare = Menu(Laboratory(None, None), replace(MATERIAL, outputs=None))
    assert [tool.name for tool in bare.tools] == ["contexts"]
    assert "no tool" in json.loads(bare.use(ToolCall("steer", {"prompt": "x"})))["error"]


# --- experiments ----------------------------------------------------------------------------------

CALL = ToolCall("activations", {"texts": ["my red hat"]}, "c1")


def test_tools_are_called_and_their_results_go_back() -> None:
    chat = Chat([(CALL, replace(CALL, name="contexts", arguments={"quantile": 0}, id="c2")), said("red things")])
    found = asyncio.run(Experiment(chat, EVERYTHING)(state()))
    assert (found["candidates"], found["origin"], found["rounds"]) == ([Candidate("red things")], "experiment", 1)
    assert {tool.name for tool in chat.requests[0].tools} >= {"activations", "steer"}
    turn, first, second = chat.requests[1].messages[-3:]
    assert (turn.role, turn.calls[0].id, first.role, first.answers, second.answers) == (
        "assistant", "c1", "tool", "c1", "c2",
    )  # fmt: skip
    assert "<< red>>" in first.content
    assert [made["experiment"] for made in found["facts"]["experiments"]] == ["activations", "contexts"]


def test_experiments_are_counted_and_then_it_has_to_answer() -> None:
    chat = Chat([(CALL,), (CALL, replace(CALL, id="c2")), said("red things")])
    found = asyncio.run(Experiment(chat, EVERYTHING, steps=2)(state()))
    assert len(found["facts"]["experiments"]) == 2 and found["candidates"] == [Candidate("red things")]
    last = chat.requests[-1]
    assert last.tools == () and last.schema is not None and last.messages[-1].role == "user"
    assert [m.answers for m in last.messages if m.role == "tool"] == ["c1", "c1", "c2"], "each call is answered"
    assert "no experiments are left" in last.messages[-2].content


def test_without_tool_calls_the_menu_is_a_structured_answer() -> None:
    asks = json.dumps({"experiment": "activations", "arguments": {"texts": ["my red hat"]}})
    chat = Chat([asks, said("red things")], Features(tools=False))
    found = asyncio.run(Experiment(chat, EVERYTHING)(state()))
    assert found["candidates"] == [Candidate("red things")] and chat.requests[0].tools == ()
    assert "activations" in json.dumps(chat.requests[0].schema)
    assert "activations: How strongly" in chat.requests[0].messages[0].content
    result = chat.requests[1].messages[-1]
    assert result.role == "user" and result.content.startswith('Found: "[{') and "\n" not in result.content


@pytest.mark.parametrize("answer", ["nonsense", RefusalError("no"), "[]"])
def test_experiments_that_end_in_nothing_leave_what_there_was(answer: str | Exception) -> None:
    chat = Chat([answer], Features(tools=False))
    found = asyncio.run(Experiment(chat, EVERYTHING)(state()))
    assert found["candidates"] == [] and found["rounds"] == 1 and "nothing" in found["facts"]["gave"]


# --- what ends the rounds -------------------------------------------------------------------------


def over(effort: Effort, **more: Any) -> str:
    async def ask() -> str:
        return effort.over(state(**more))

    return asyncio.run(ask())


def test_rounds_go_on_until_something_ends_them() -> None:
    step = Step("explain", {}, (Call((), "", None, Usage(1, 0, 90, 0, 10)),))
    effort = Effort(("refine", "refine"), tokens=200, seconds=1000)
    assert over(effort) == over(effort, rounds=1) == over(effort, trace=[step]) == ""
    assert over(effort, rounds=2) == "all 2 rounds done"
    assert over(effort, stopped="no mistakes left to learn from") == "no mistakes left to learn from"
    assert over(effort, trace=[step, step]) == "budget of 200 tokens spent"
    assert over(effort, started=time.monotonic() - 1001) == "budget of seconds spent"
    assert "no mistake" in over(effort, ranking=[Ranked(Candidate("red"), "explain", 1.0, 4)])
    assert over(Effort()) == "no rounds asked for"


# --- the trace ------------------------------------------------------------------------------------


def test_a_step_holds_a_nodes_facts_and_the_calls_made_in_it() -> None:
    model = RecordedModel(Chat([said("before"), RefusalError("no")]))

    async def node(state: ExplainState) -> Found:
        with pytest.raises(RefusalError):
            await model.chat(Request((Message("user", "why?"),)))
        return {"setback": Setback(Failure.REFUSAL, "no"), "facts": {"asked": 1}}

    async def run() -> Found:
        await model.chat(Request((Message("user", "before"),)))
        return await traced("explain", node)(state())

    (step,) = asyncio.run(run())["trace"]
    call = Call((Message("user", "why?"),), "no", Failure.REFUSAL, Usage(requests=1))
    assert step == Step("explain", {"asked": 1, "setback": "refusal: no"}, (call,))
    assert unpack(pack([step])) == [
        {
            "node": "explain",
            "facts": {"asked": 1, "setback": "refusal: no"},
            "calls": [
                {
                    "messages": [["user", "why?"]],
                    "answer": "no",
                    "failure": "refusal",
                    "prompt_tokens": 0,
                    "completion_tokens": 0,
                }
            ],
        }
    ]


def test_a_refined_explanation_speaks_of_the_same_side() -> None:
    ranking = [Ranked(Candidate("red", Side.MIXED), "explain", 0.8, 4)]
    found = asyncio.run(Refine(Chat([said("colours")]), Words())(state(ranking=ranking)))
    assert found["candidates"][0].side is Side.MIXED
