"""gather and explain: what each adds to the state, and when it ends a unit."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from neurogloss.agent.nodes.explain import Explain, Gather, asked_about, split
from neurogloss.agent.state import ExplainState, Setback
from neurogloss.errors import (
    AnswerError,
    EmptyAnswerError,
    RefusalError,
    TransportError,
    UnparseableError,
    UserError,
)
from neurogloss.ids import UnitId, derive_seed
from neurogloss.protocols import Material
from neurogloss.records import (
    Candidate,
    Context,
    EvidenceHalf,
    Example,
    Failure,
    HardNegatives,
    OutputTokens,
    UnitStatistics,
)

UNIT = UnitId("tiny", "layer", "neurons", 3, -1)


def statistics(maximum: float) -> UnitStatistics:
    return UnitStatistics(50, 20 if maximum else 0, 0.5, maximum, maximum / 2, ())


def example(text: str, peak: float = 1.0) -> Example:
    return Example(Context(f"id of {text}", tuple(text.split(" "))), (peak,) * len(text.split(" ")))


def silent(*texts: str) -> tuple[Context, ...]:
    return tuple(Context(f"silent id of {i} {text}", (text,)) for i, text in enumerate(texts))


def half(n_active: int, n_silent: int = 30) -> EvidenceHalf:
    uniform = tuple(example(f"active {i}", float(n_active - i)) for i in range(n_active))
    return EvidenceHalf(uniform[:3], uniform, silent(*(f"silent {i}" for i in range(n_silent))))


def state(explain_half: EvidenceHalf, score_active: int = 99, maximum: float = 9.0) -> ExplainState:
    return {
        "unit": UNIT,
        "statistics": statistics(maximum),
        "half": explain_half,
        "score_active": score_active,
    }


def gather(min_active: int, seed: int, given: ExplainState, refines: bool = False) -> ExplainState:
    return asyncio.run(Gather(min_active, refines, seed)(given))


def texts(evidence: EvidenceHalf) -> list[str]:
    return [e.context.text for e in (*evidence.top, *evidence.uniform)] + [c.text for c in evidence.negatives]


def test_every_second_example_and_negative_validates() -> None:
    given = half(6, 5)
    shown, kept = split(given)
    assert shown.uniform == given.uniform[::2] and kept.uniform == given.uniform[1::2]
    assert shown.negatives == given.negatives[::2] and kept.negatives == given.negatives[1::2]
    assert shown.top == (given.top[0], given.top[2]), "the second of the top is in the validation slice"
    assert kept.top == ()


def test_no_text_is_in_both_even_where_texts_repeat() -> None:
    uniform = tuple(example(text) for text in ("one", "two", "two", "three", "four", "one", "five"))
    negatives = silent("a", "b", "b", "c", "one", "d", "e")
    shown, kept = split(EvidenceHalf((example("three"), example("five")), uniform, negatives))
    assert not set(texts(shown)) & set(texts(kept))
    assert texts(kept) == ["two", "three", "one", "b", "c", "d"]
    assert texts(shown) == ["five", "four", "five", "a", "e"]


def test_hard_negatives_are_shared_out_like_the_others() -> None:
    hard = HardNegatives(silent("n1", "n2", "n3"), silent("l1", "l2"), silent("k1", "k2"))
    shown, kept = split(replace(half(4, 4), hard=hard))
    assert [[c.text for c in kind] for kind in (shown.hard.neighbours, shown.hard.lexical)] == [
        ["n1", "n3"],
        ["l1"],
    ]
    assert [[c.text for c in kind] for kind in (kept.hard.neighbours, kept.hard.look_alikes)] == [["n2"], ["k2"]]
    assert [c.text for c in asked_about(kept).negatives] == ["n2", "silent 1", "l2", "silent 3", "k2"]
    assert asked_about(kept).hard == HardNegatives()


def test_gather_gives_the_explainer_its_material_and_the_rest_to_validation() -> None:
    gathered = gather(10, 7, state(half(20)))
    material, validation = gathered["material"], gathered["validation"]
    assert "setback" not in gathered
    assert (material.unit, material.promoted) == (UNIT, ())
    assert material.half == split(half(20))[0] and gathered["practice"] == EvidenceHalf((), (), ())
    assert not set(texts(validation)) & set(texts(material.half)) and len(validation.uniform) == 10


def test_what_refines_has_a_slice_of_its_own_to_make_mistakes_on() -> None:
    gathered = gather(10, 7, state(half(20)), refines=True)
    parts = [set(texts(gathered[part])) for part in ("practice", "validation")]  # type: ignore[literal-required]
    assert not parts[0] & parts[1] and not (parts[0] | parts[1]) & set(texts(gathered["material"].half))
    assert [len(gathered["practice"].uniform), len(gathered["validation"].uniform)] == [5, 5]
    assert parts[0] | parts[1] == set(texts(split(half(20))[1]))


def test_the_seed_is_the_units_own() -> None:
    first, again = ({**gather(10, 7, state(half(20))), "started": 0.0} for _ in range(2))
    assert first == again
    assert first["material"].seed == derive_seed(7, str(UNIT))
    other = gather(10, 7, {**state(half(20)), "unit": UnitId("tiny", "layer", "neurons", 3)})
    assert other["material"].seed != first["material"].seed


def test_promoted_tokens_go_along() -> None:
    tokens = OutputTokens(((" cat", 3.0), (" dog", 2.0)), ((" the", -1.0),))
    gathered = gather(4, 0, {**state(half(8)), "output_tokens": tokens})
    assert gathered["material"].promoted == (" cat", " dog")


def test_a_unit_that_never_fired_is_dead() -> None:
    assert gather(10, 0, state(half(0), 0, maximum=0.0)) == {
        "setback": Setback(Failure.DEAD, "never active in 50 contexts")
    }


@pytest.mark.parametrize(("explain", "score", "found"), [(9, 50, 9), (50, 9, 9), (0, 0, 0)])
def test_too_little_in_either_half_ends_the_unit(explain: int, score: int, found: int) -> None:
    setback = gather(10, 0, state(half(explain), score))["setback"]
    assert setback == Setback(Failure.TOO_LITTLE_EVIDENCE, f"{found} active contexts in a half, 10 needed")


def test_as_much_as_needed_is_enough() -> None:
    assert "setback" not in gather(10, 0, state(half(10), 10))


class Writer:
    """An explainer that gives what it was made with."""

    name = "writer"
    settings: Mapping[str, Any] = {}

    def __init__(self, *candidates: str, error: Exception | None = None) -> None:
        self.given, self.error = list(candidates), error

    async def candidates(self, material: Material) -> list[Candidate]:
        if self.error:
            raise self.error
        return [Candidate(text) for text in self.given]


MATERIAL = Material(UNIT, half(4), None, 11)


def test_explain_adds_the_candidates() -> None:
    found = asyncio.run(Explain(Writer("b", "a"))({"material": MATERIAL}))
    assert (found["candidates"], found["origin"]) == ([Candidate("b"), Candidate("a")], "explain")


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (TransportError("timed out"), Failure.TRANSPORT),
        (RefusalError("will not"), Failure.REFUSAL),
        (EmptyAnswerError("nothing"), Failure.EMPTY),
        (UnparseableError("not JSON"), Failure.UNPARSEABLE),
    ],
)
def test_no_explanation_is_a_setback_with_its_reason(error: AnswerError, failure: Failure) -> None:
    found = asyncio.run(Explain(Writer(error=error))({"material": MATERIAL}))
    assert found == {"setback": Setback(failure, str(error))}


def test_what_the_user_can_mend_is_no_setback() -> None:
    with pytest.raises(UserError):
        asyncio.run(Explain(Writer(error=UserError("no such model")))({"material": MATERIAL}))
