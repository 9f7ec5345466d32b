"""One way to ask any scorer, and what it needs to be asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import fields, replace

from neurogloss.errors import UserError
from neurogloss.prompts.pictures import all_in_words
from neurogloss.protocols import Answered, DirectScorer, HeldOut, Instruments, Judge, QuestionScorer, Scorer
from neurogloss.records import Answer, Failure, Question

_HOW: Mapping[str, str] = {
    "chat": "an LLM (--llm URL)",
    "causal": "a causal language model that gives log probabilities",
    "embedder": "an embedding model",
    "subject": "the subject model, that is a run that was collected from one",
    "readout": "an encoding model over sentence vectors, that is a run that was collected from voxels",
    "responses": "measured responses, that is a run that was collected from voxels",
}


def needs(scorer: Scorer) -> frozenset[str]:
    """What it cannot do without, as `DirectScorer.needs` says it."""
    if isinstance(scorer, DirectScorer):
        return scorer.needs
    return frozenset({"explanation", "steered"} if scorer.needs_subject else {"explanation"})


def hard_kinds(scorers: Sequence[Scorer]) -> frozenset[str]:
    """The kinds of hard negatives (fields of `HardNegatives`) that some of the scorers ask about."""
    return frozenset(kind for scorer in scorers for kind in getattr(scorer, "hard_kinds", ()))


def require(scorer: Scorer, instruments: Instruments) -> None:
    """Refuse a scorer that cannot measure with these instruments, before anything is asked.

    Raises:
        UserError: it lacks one, or is no scorer.
    """
    if not isinstance(scorer, (QuestionScorer, DirectScorer)):
        raise UserError(
            f"Expected a scorer with `questions` and `task`, or with `answered`, `needs` and `metric`; "
            f"{type(scorer).__name__} has neither."
        )
    known = {field.name for field in fields(Instruments)} - {"lexical", "n_candidates", "seed"}
    for need in sorted(needs(scorer)):
        names = need.split("|")
        if set(names) <= known and all(getattr(instruments, name) is None for name in names):
            how = " or ".join(_HOW[name] for name in names)
            raise UserError(f"The scorer {scorer.name} needs {how}. Give one, or leave the scorer out.")
    chat = instruments.chat
    if chat is not None and "prompt_logprobs" in needs(scorer) and not chat.features.prompt_logprobs:
        raise UserError(
            f"The scorer {scorer.name} needs an LLM that gives the log probabilities of a prompt's tokens, as "
            f"vLLM does; {chat.name} gives none. Ask another server, or leave the scorer out."
        )


async def ask(
    scorer: Scorer, explanation: str, held_out: HeldOut, judge: Judge, instruments: Instruments
) -> list[Answered]:
    """The scorer's questions about an explanation, each with its answer."""
    if isinstance(scorer, QuestionScorer):
        questions = scorer.questions(held_out)
        answers = await judge.ask(scorer.task, explanation, questions)
        return list(zip(questions, answers, strict=True))
    assert isinstance(scorer, DirectScorer)
    return await scorer.answered(explanation, held_out, instruments)


def answerer(scorer: Scorer, judge: Judge, instruments: Instruments) -> str:
    """The name of whoever answers it, for the ledger."""
    if isinstance(scorer, QuestionScorer):
        return judge.name
    names = [name for need in sorted(needs(scorer)) for name in need.split("|")]
    models = (getattr(instruments, name, None) for name in names if name != "subject")
    first = next((model for model in models if model is not None), None)
    return first.name if first is not None else "subject"


UNWORDED = Answer(
    None,
    Failure.TOO_LITTLE_EVIDENCE,
    "the judge sees no pictures, and there are no words for this one or for what is marked in it",
)


async def ask_in_words(
    ask: Callable[[Sequence[Question]], Awaitable[list[Answer]]], questions: Sequence[Question]
) -> list[Answer]:
    """What `ask` answers to the questions that can be put into words, and UNWORDED for each of the others."""
    if not any(passage.picture for question in questions for passage in question.passages):
        return await ask(questions) if questions else []
    worded = [all_in_words(question.passages) for question in questions]
    asked = [replace(q, passages=words) for q, words in zip(questions, worded, strict=True) if words is not None]
    answers = iter(await ask(asked) if asked else [])
    return [UNWORDED if words is None else next(answers) for words in worded]
