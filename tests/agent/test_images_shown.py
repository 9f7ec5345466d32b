"""A model that sees is shown pictures, another one captions; where there is neither, a reason is given."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from neurogloss.agent.experiments import Laboratory, Menu
from neurogloss.agent.explainers.llm import LLMExplainer
from neurogloss.agent.explainers.registry import get
from neurogloss.agent.explainers.views import CONTRASTIVE, DEFAULT, PAIRS, View, ensemble
from neurogloss.agent.nodes.experiment import Experiment
from neurogloss.agent.nodes.refine import Mistakes, Refine
from neurogloss.agent.state import Ranked
from neurogloss.errors import EmptyAnswerError
from neurogloss.ids import UnitId
from neurogloss.llm import Choice, Features, Message, Reply, Request, ToolCall
from neurogloss.prompts.pictures import draw
from neurogloss.prompts.render import template_hash
from neurogloss.protocols import HeldOut, Instruments, Material
from neurogloss.records import Answer, Candidate, Context, EvidenceHalf, Example, Failure, Passage, Question
from neurogloss.scorers.choosing import Intruder
from neurogloss.scorers.judges.llm import LLMJudge
from neurogloss.sources.vision.steering import Cut

Image = pytest.importorskip("PIL.Image")
GRID = (2, 2)
SEES, BLIND = Features(choices=True, pictures=True), Features(choices=True)


@dataclass
class Chat:
    """Gives each answer that is asked for, the same one; keeps the last message of each request."""

    features: Features
    answer: Any = True
    name: str = "chat"
    asked: list[Message] = field(default_factory=list)
    instructions: list[str] = field(default_factory=list)

    async def chat(self, request: Request) -> Reply:
        assert request.schema is not None
        self.asked.append(request.messages[-1])
        self.instructions.append(request.messages[0].content)
        wanted = request.schema["properties"]
        if "explanation" in wanted:
            return Reply('{"explanation": "cats"}')
        return Reply(json.dumps({"answers": [self.answer] * wanted["answers"]["maxItems"]}))

    async def choose(self, messages: Sequence[Message], choices: Sequence[str]) -> Choice:
        self.asked.append(messages[-1])
        return Choice({choices[0]: 0.8, choices[1]: 0.2})


@pytest.fixture
def image(tmp_path: Path) -> Any:
    """Makes an image of a shade of its own, with a caption or without."""

    def make(shade: int, caption: str = "") -> Context:
        path = tmp_path / f"{shade}.png"
        Image.new("RGB", (300, 200), (shade,) * 3).save(path)
        return Context(f"{shade:016x}", (caption,) if caption else (), str(path))

    return make


def example(context: Context, *activations: float) -> Example:
    return Example(context, activations, GRID)


def material(top: Sequence[Example], negatives: Sequence[Context] = ()) -> Material:
    return Material(UnitId("cnn", "layer", "neurons", 0), EvidenceHalf(tuple(top), (), tuple(negatives)), None, 0)


@pytest.fixture
def cats(image: Any) -> Material:
    top = [example(image(10, "a cat"), 0.0, 4.0, 2.0, 0.0), example(image(20), 0.0, 0.0, 0.0, 1.0)]
    return material(top, [image(30, "a dog"), image(40)])


def explained(chat: Chat, given: Material, view: View = DEFAULT) -> list[Candidate]:
    return asyncio.run(LLMExplainer(chat, view, n=1).candidates(given))


# --- explaining ----------------------------------------------------------------------------------------


def test_a_model_that_sees_is_shown_the_active_cells(cats: Material) -> None:
    chat = Chat(SEES)
    assert explained(chat, cats) == [Candidate("cats")]
    (asked,) = chat.asked
    assert asked.content == "Stimuli:\n```\n1. picture | 10\n2. picture | 3\n```"
    first, second = cats.half.top
    assert asked.pictures == (
        draw(first.context.picture, (1, 2), GRID),
        draw(second.context.picture, (3,), GRID),
    )
    assert "outline" in chat.instructions[0]


def test_another_one_reads_the_captions_that_there_are(cats: Material) -> None:
    chat = Chat(BLIND)
    assert explained(chat, cats) == [Candidate("cats")]
    assert chat.asked == [Message("user", 'Stimuli:\n```\n1. "a cat" | 10\n```')]


def test_images_that_are_neither_seen_nor_described_are_not_explained(image: Any) -> None:
    chat = Chat(BLIND)
    with pytest.raises(EmptyAnswerError, match="no captions, and are not seen"):
        explained(chat, material([example(image(10), 0.0, 1.0, 0.0, 0.0)]))
    assert chat.asked == []


def test_silent_images_follow_the_active_ones(cats: Material) -> None:
    chat, blind = Chat(SEES), Chat(BLIND)
    explained(chat, cats, CONTRASTIVE)
    (asked,) = chat.asked
    assert asked.content.endswith("Silent stimuli:\n```\n1. picture\n2. picture\n```")
    assert asked.pictures[2:] == tuple(draw(context.picture) for context in cats.half.negatives)
    explained(blind, cats, CONTRASTIVE)
    assert blind.asked[0].content.endswith('Silent stimuli:\n```\n1. "a dog"\n```')


@pytest.mark.parametrize("view", [PAIRS, ensemble(None)])
def test_what_shows_tokens_shows_images_as_they_are(cats: Material, view: View) -> None:
    plain, other = Chat(SEES), Chat(SEES)
    explained(plain, cats)
    explained(other, cats, view)
    assert plain.asked == other.asked


def test_a_text_that_is_responded_to_as_a_whole_is_a_stimulus() -> None:
    chat = Chat(BLIND)
    top = [Example(Context("1" * 16, ("It rained.",)), (2.0,)), Example(Context("2" * 16, ("Snow!",)), (1.5,))]
    explained(chat, material(top))
    assert chat.asked[0].content == 'Stimuli:\n```\n1. "It rained." | 10\n2. "Snow!" | 8\n```'


def test_a_prompt_of_one_s_own_is_followed_by_the_pictures(cats: Material, tmp_path: Path) -> None:
    own = tmp_path / "own.md"
    own.write_text("## user\n{{ examples | length }} {{ promoted | length }}", encoding="utf-8")
    chat = Chat(SEES)
    asyncio.run(get(str(own), Instruments(chat=chat, n_candidates=1)).candidates(cats))
    assert chat.asked[0].content == "2 0" and len(chat.asked[0].pictures) == 2


def test_whether_it_sees_is_part_of_what_decides() -> None:
    settings = [LLMExplainer(Chat(features)).settings for features in (SEES, BLIND)]
    assert [each["pictures"] for each in settings] == [True, False]
    prompts = LLMJudge(Chat(SEES)).settings["prompts"]
    assert prompts["fuzzing-pictures"] == template_hash("score/fuzzing-pictures")
    assert "fuzzing-pictures" not in LLMJudge(Chat(BLIND)).settings["prompts"]


@pytest.mark.parametrize(("features", "pictures", "missed"), [(SEES, 4, "picture"), (BLIND, 0, '"a cat"')])
def test_refining_shows_mistakes_in_the_same_way(
    cats: Material, features: Features, pictures: int, missed: str
) -> None:
    chat = Chat(features)
    first, second = cats.half.top
    mistakes = Mistakes((Passage.of(first.context, (1,), GRID),), (Passage.of(cats.half.negatives[0]),))
    state: Any = {"material": cats, "rounds": 0}
    asyncio.run(Refine(chat, LLMJudge(chat))._mend(Candidate("dogs"), mistakes, state))
    (asked,) = chat.asked
    assert len(asked.pictures) == pictures
    assert f'Explanation: "dogs"\nMissed:\n```\n1. {missed}\n```' in asked.content


# --- experiments ---------------------------------------------------------------------------------------


class Looking:
    """Responds by as much as is left of an image, and by 1 more where something is painted over."""

    def __init__(self) -> None:
        self.cuts: list[Cut] = []

    def peaks(self, unit: UnitId, cuts: Sequence[Cut]) -> list[float]:
        self.cuts += cuts
        return [(cut.box[2] - cut.box[0]) * 2 + cut.painted_over for cut in cuts]


def use(menu: Menu, name: str, **arguments: Any) -> Any:
    return json.loads(menu.use(ToolCall(name, arguments)))


def test_parts_of_the_pictures_are_on_the_menu(cats: Material) -> None:
    """The largest activation known is 4; strengths are tenths of it."""
    subject, paths = Looking(), ["a.png", "b.png", "c.png"]
    menu = Menu(Laboratory(None, None, lambda: subject), cats, paths)
    assert {"crop", "mask", "combine"} <= {tool.name for tool in menu.tools}
    assert use(menu, "crop", picture=2, right=50) == {"strength": 2.5, "was": 5.0}
    assert use(menu, "mask", picture=1, top=50) == {"strength": 7.5, "was": 5.0}
    assert use(menu, "combine", picture=1, into=3, left=50) == {"strength": 2.5, "was": 5.0}
    assert subject.cuts[::2] == [
        Cut("b.png", (0, 0, 0.5, 1)),
        Cut("a.png", (0, 0.5, 1, 1), painted_over=True),
        Cut("a.png", (0.5, 0, 1, 1), into="c.png"),
    ]
    assert subject.cuts[1::2] == [Cut("b.png"), Cut("a.png"), Cut("c.png")]


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        ({"picture": 4}, "no picture 4"),
        ({"picture": 0}, "greater"),
        ({"picture": 1, "left": 60, "right": 40}, "left"),
    ],
)
def test_a_part_that_there_is_not_is_said_so(cats: Material, arguments: dict[str, int], wrong: str) -> None:
    menu = Menu(Laboratory(None, None, Looking), cats, ["a.png", "b.png", "c.png"])
    assert wrong in use(menu, "crop", **arguments)["error"]


def test_without_a_subject_that_looks_there_are_no_parts(cats: Material) -> None:
    assert "crop" not in {tool.name for tool in Menu(Laboratory(None, None), cats, ["a.png"]).tools}


@pytest.mark.parametrize(
    ("features", "listed", "pictures"),
    [
        (SEES, "1. picture | 10\n2. picture | 3\n```\nSilent stimuli:\n```\n3. picture\n4. picture\n", 4),
        (BLIND, '1. "a cat" | 10\n```\nSilent stimuli:\n```\n2. "a dog"\n', 0),
    ],
)
def test_the_numbers_of_an_experiment_are_those_of_what_is_shown(
    cats: Material, features: Features, listed: str, pictures: int
) -> None:
    class Experimenter(Chat):
        async def chat(self, request: Request) -> Reply:
            self.asked.append(request.messages[-1])
            if len(self.asked) == 1:
                return Reply('{"experiment": "crop", "arguments": {"picture": 2}}')
            return Reply('{"explanation": "cats"}')

    chat, subject = Experimenter(features), Looking()
    state: Any = {"material": cats, "rounds": 0, "ranking": [Ranked(Candidate("dogs"), "explain")]}
    found = asyncio.run(Experiment(chat, Laboratory(None, None, lambda: subject))(state))
    assert found["candidates"] == [Candidate("cats")]
    assert f"Stimuli:\n```\n{listed}```" in chat.asked[0].content and len(chat.asked[0].pictures) == pictures
    second = cats.half.top[1].context if pictures else cats.half.negatives[0]
    assert subject.cuts[0] == Cut(second.picture)
    assert '\\"strength\\": 5.0' in chat.asked[1].content


# --- judging -------------------------------------------------------------------------------------------


def ask(chat: Chat, task: str, questions: Sequence[Question], **options: Any) -> list[Answer]:
    return asyncio.run(LLMJudge(chat, **options).ask(task, "cats", questions))


def about(context: Context, *marks: int) -> Question:
    return Question((Passage.of(context, marks, GRID),), True)


def test_several_pictures_are_judged_in_one_prompt(image: Any) -> None:
    chat, contexts = Chat(SEES), [image(shade, "said") for shade in (10, 20, 30)]
    answers = ask(chat, "detection", [about(context) for context in contexts], per_prompt=2)
    assert answers == [Answer(1.0)] * 3
    assert [message.pictures for message in chat.asked] == [
        tuple(draw(context.picture) for context in some) for some in (contexts[:2], contexts[2:])
    ]
    assert chat.asked[0].content == 'Explanation: "cats"\nStimuli:\n```\n1. picture\n2. picture\n```'


def test_fuzzing_shows_the_marked_cells(image: Any) -> None:
    chat, context = Chat(SEES), image(10)
    ask(chat, "fuzzing", [about(context, 1), about(context, 2)])
    assert chat.asked[0].pictures == (draw(context.picture, (1,), GRID), draw(context.picture, (2,), GRID))
    assert "Marked stimuli:" in chat.asked[0].content and "outline" in chat.instructions[0]


@pytest.mark.parametrize("task", ["detection", "fuzzing"])
def test_one_a_prompt_it_gives_a_probability(image: Any, task: str) -> None:
    chat = Chat(SEES)
    assert ask(chat, task, [about(image(10), 1)] * 2, probabilities=True) == [Answer(0.8)] * 2
    assert [len(message.pictures) for message in chat.asked] == [1, 1]


def test_a_text_stands_beside_a_picture(image: Any) -> None:
    chat = Chat(SEES)
    ask(chat, "detection", [about(image(10)), Question((Passage(("a text",)),), False)])
    assert '1. picture\n2. "a text"' in chat.asked[0].content


def test_a_judge_that_sees_nothing_reads_captions_and_says_what_it_cannot_answer(image: Any) -> None:
    chat = Chat(BLIND)
    answers = ask(chat, "detection", [about(image(10)), about(image(20, "a cat")), about(image(30, "a dog"))])
    assert [answer.probability for answer in answers] == [None, 1.0, 1.0]
    assert answers[0].failure is Failure.TOO_LITTLE_EVIDENCE and "sees no pictures" in answers[0].reason
    assert chat.asked[0].content.endswith('Texts:\n```\n1. "a cat"\n2. "a dog"\n```')
    (marked,) = ask(chat, "fuzzing", [about(image(20, "a cat"), 1)])
    assert marked.failure is Failure.TOO_LITTLE_EVIDENCE and len(chat.asked) == 1, "no words for a part of it"


# --- the odd one out -----------------------------------------------------------------------------------


def intruder(image: Any, chat: Chat, captions: bool = True) -> list[Answer]:
    def said(text: str) -> str:
        return text if captions else ""

    active = [example(image(10 + i, said("a cat")), 0.0, 9.0 - i, 0.0, 0.0) for i in range(4)]
    half = EvidenceHalf((), tuple(active), (image(200, said("a dog")),))
    held_out = HeldOut(UnitId("cnn", "layer", "neurons", 0), half, (), 0)
    return [a for _, a in asyncio.run(Intruder(1).answered("", held_out, Instruments(chat=chat)))]


def test_the_odd_one_out_is_seen_or_read(image: Any) -> None:
    seeing, blind = Chat(SEES, answer=1), Chat(BLIND, answer=1)
    assert all(answer.failure is None for answer in (*intruder(image, seeing), *intruder(image, blind)))
    assert len(seeing.asked[0].pictures) == 5 and "5. picture" in seeing.asked[0].content
    assert blind.asked[0].pictures == () and blind.asked[0].content.count('"a cat"') == 4
    (answer,) = intruder(image, blind, captions=False)
    assert answer.failure is Failure.TOO_LITTLE_EVIDENCE and len(blind.asked) == 1
