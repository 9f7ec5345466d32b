"""The ranking by likelihood gained, on a model whose likelihoods are written down."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence

import pytest

from neurogloss.agent.explainers import words
from neurogloss.agent.explainers.pmi import EXAMPLES, QUESTION, PMIExplainer
from neurogloss.errors import EmptyAnswerError
from neurogloss.ids import UnitId
from neurogloss.llm import Likelihood
from neurogloss.protocols import Explainer, Material
from neurogloss.records import Context, EvidenceHalf, Example


class Written:
    """Mean log probability of each text, given the examples and alone; -9 of those not written down."""

    name = "written"

    def __init__(self, given: Mapping[str, float], alone: Mapping[str, float]) -> None:
        self.given, self.alone = given, alone
        self.prefixes: list[str] = []

    async def likelihoods(self, prefix: str, continuations: Sequence[str]) -> list[Likelihood]:
        assert prefix.endswith(QUESTION) and all(text[0] == " " and text[1] != " " for text in continuations)
        self.prefixes.append(prefix)
        means = self.alone if prefix == QUESTION else self.given
        lengths = [len(text.split()) for text in continuations]
        return [
            Likelihood(n * means.get(text[1:], -9.0), n) for text, n in zip(continuations, lengths, strict=True)
        ]


def example(*tokens: str, at: Sequence[int], peak: float = 1.0) -> Example:
    context = Context("".join(tokens), tokens)
    return Example(context, tuple(peak * (i in at) for i in range(len(tokens))))


def material(uniform: Sequence[Example], top: Sequence[Example] = ()) -> Material:
    return Material(UnitId("tiny", "layer", "neurons", 0), EvidenceHalf(tuple(top), tuple(uniform), ()), None, 0)


COLOURS = material(
    [
        example("a", " red", " door", at=[1], peak=3.0),
        example("one", " blue", " hat", at=[1], peak=2.0),
        example("his", " pink", " tie", at=[1], peak=1.0),
    ]
)
MINED = ["red", "blue", "pink", "red, blue", "red, blue, pink"]


@pytest.fixture
def mined(monkeypatch: pytest.MonkeyPatch) -> None:
    """Candidates as given here, whatever the examples share: ranking is tested apart from mining."""
    monkeypatch.setattr(words, "candidates", lambda material: list(MINED))


def ranked(model: Written | None, given: Material = COLOURS, weight: float = 0.8, n: int = 24) -> list[str]:
    explainer: Explainer = PMIExplainer(model, weight, n)
    return [candidate.text for candidate in asyncio.run(explainer.candidates(given))]


def test_candidates_stand_by_what_the_examples_add(mined: None) -> None:
    """log p(d | examples) - 0.8 log p(d), per token: -3, -1, 1, 0, -1.8 (9 less 0.8 times 9, for the list)."""
    model = Written(
        given={"red": -3.0, "blue": -5.0, "pink": -3.0, "red, blue": -4.0},
        alone={"red": 0.0, "blue": -5.0, "pink": -5.0, "red, blue": -5.0},
    )
    assert ranked(model) == ["pink", "red, blue", "blue", "red, blue, pink", "red"]


def test_the_weight_says_how_much_of_its_own_likelihood_is_taken_off(mined: None) -> None:
    """`blue` is likely anyway, `pink` only given the examples."""
    model = Written(given={"blue": -2.0, "pink": -4.0}, alone={"blue": -1.0, "pink": -8.0})
    assert ranked(model, weight=0.0)[:2] == ["blue", "pink"]
    assert ranked(model, weight=1.0)[:2] == ["pink", "red"]


def test_equal_gains_stand_by_the_alphabet(mined: None) -> None:
    assert ranked(Written({}, {})) == sorted(MINED)


def test_without_a_model_they_stand_as_they_were_mined(mined: None) -> None:
    assert ranked(None) == MINED
    assert ranked(None, n=2) == ["red", "blue"]


def test_the_best_are_given(mined: None) -> None:
    assert ranked(Written({"pink": -1.0}, {}), n=1) == ["pink"]


def test_the_model_reads_the_marked_examples_one_a_line() -> None:
    model = Written({}, {})
    wide = example(*(f" t{i}" for i in range(20)), at=[10])
    given = material(
        [example("first\n", "line", " two", at=[1]), wide],
        top=[example("a", " red", " door", at=[1, 2])],
    )
    ranked(model, given)
    prefix, alone = model.prefixes
    assert alone == QUESTION
    assert prefix.splitlines() == [
        "- a<< red door>>",
        "- first <<line>> two",
        "- t4 t5 t6 t7 t8 t9<< t10>> t11 t12 t13 t14 t15 t16",
        QUESTION,
    ]


def test_half_of_what_it_reads_is_top_and_no_example_comes_twice() -> None:
    top = [example("top", f" {i}", at=[1]) for i in range(10)]
    uniform = [top[0], *(example("uniform", f" {i}", at=[1]) for i in range(10))]
    model = Written({}, {})
    ranked(model, material(uniform, top))
    lines = model.prefixes[0].splitlines()[:-1]
    assert lines == [f"- top<< {i}>>" for i in range(4)] + [f"- uniform<< {i}>>" for i in range(4)]
    assert len(lines) == EXAMPLES


def test_candidates_are_mined_from_the_examples() -> None:
    assert ranked(None) == words.candidates(COLOURS)
    assert sorted(ranked(Written({}, {}))) == sorted(words.candidates(COLOURS))


@pytest.mark.parametrize("model", [None, Written({}, {})])
def test_examples_that_share_nothing_give_no_explanation(model: Written | None) -> None:
    with pytest.raises(EmptyAnswerError, match="share no word"):
        ranked(model, material([example("so", " †", at=[1]), example("and", " ‡", at=[1])]))


def test_it_says_what_decides_its_output() -> None:
    assert json.loads(json.dumps(PMIExplainer(Written({}, {}), 0.5, 7).settings)) == {
        "explainer": "pmi",
        "model": "written",
        "weight": 0.5,
        "candidates": 7,
    }
    assert PMIExplainer(None).settings["model"] is None
