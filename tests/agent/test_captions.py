"""Candidates out of captions made by hand: what is said of active images more often than of silent ones."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from neurogloss.agent.explainers.facets import Facets
from neurogloss.agent.explainers.pmi import WHOLE, PMIExplainer, Ranked
from neurogloss.agent.explainers.words import of_stimuli, telling
from neurogloss.errors import EmptyAnswerError
from neurogloss.ids import UnitId
from neurogloss.llm import Likelihood
from neurogloss.protocols import Material, TokenVectors
from neurogloss.records import Candidate, Context, EvidenceHalf, Example, HardNegatives

NUMBERS = iter(range(10**6))


def context(caption: str) -> Context:
    number = next(NUMBERS)
    return Context(f"{number:016x}", (caption,) if caption else (), f"{number}.png")


def image(caption: str, peak: float = 1.0) -> Example:
    """Active in two of four cells, the last of which is beyond the caption's only token."""
    return Example(context(caption), (0.0, peak, 0.0, peak / 2), (2, 2))


def material(active: Sequence[Example], silent: Sequence[str], look_alikes: Sequence[str] = ()) -> Material:
    hard = HardNegatives(look_alikes=tuple(map(context, look_alikes)))
    half = EvidenceHalf(tuple(active), (), tuple(map(context, silent)), hard)
    return Material(UnitId("cnn", "layer", "neurons", 0), half, None, 0)


THINGS = ("hat", "bus", "door", "kite", "ball", "cup")
COLOURS = ("red", "blue", "green", "grey")
RED = material(
    [image(f"a red {thing} on the left") for thing in THINGS],
    [f"a {colour} {thing} on the left" for colour in COLOURS[1:] for thing in THINGS],
)


def test_what_silent_captions_say_as_often_is_left_out() -> None:
    """`a`, `on`, `the` and `left` are in all of them; each thing is in one active caption only."""
    assert of_stimuli(Material(RED.unit, RED.half, None, 0)) == of_stimuli(RED)
    assert asyncio.run(PMIExplainer(None).candidates(RED)) == [Candidate("red")]


def test_by_hand() -> None:
    """Of 4 active texts of weight 1 `x` is in 4, `y` in 2; of 3 silent ones in 0 and 1.

    p = (4 + 0.5) / 5, q = 0.5 / 4; `y`: 2.5 / 5 against 1.5 / 4, which is less than half as much again.
    """
    found = telling([["x"], ["x"], ["x", "y"], ["x", "y"]], [1.0] * 4, [["y"], [], []])
    assert dict(found) == pytest.approx({"x": 0.9 / 0.125})


def test_a_text_weighs_as_much_as_its_peak() -> None:
    """Both words are in half of the texts; those of `strong` are three times as strong."""
    found = telling([["weak"], ["strong"]] * 8, [1.0, 3.0] * 8, [[] for _ in range(20)])
    assert list(found) == ["strong", "weak"]


def test_where_both_words_are_needed_the_pair_comes_first() -> None:
    """Silent captions have each of the two words, and never both."""
    silent = [f"a {colour} ball" for colour in COLOURS[1:]] * 3 + [f"a red {thing}" for thing in THINGS[:4]] * 2
    found = of_stimuli(material([image("a red ball") for _ in range(8)], silent))
    assert found[0] == "red ball" and {"red", "ball", "red, ball"} >= set(found[1:])


def test_where_one_word_is_enough_there_is_no_pair() -> None:
    active = [image(f"a red {thing}") for thing in ("hat", "bus")] * 4
    assert not any(" " in text and "," not in text for text in of_stimuli(material(active, ["a blue cup"] * 20)))


def test_words_of_look_alikes_say_nothing_of_the_unit() -> None:
    """Without look-alikes the sky seems to be what birds and aeroplanes share."""
    active = [image(f"a {thing} in the sky") for thing in ("bird", "plane")] * 4
    silent = ["a cup on a table"] * 20
    assert "sky" in of_stimuli(material(active, silent))
    assert "sky" not in " ".join(of_stimuli(material(active, silent, ["a cloud in the sky"] * 20)))


def test_images_without_a_caption_are_passed_over_and_all_of_them_are_a_reason() -> None:
    active = [*RED.half.top, image("")]
    assert of_stimuli(material(active, [c.text for c in RED.half.negatives]))[0] == "red"
    with pytest.raises(EmptyAnswerError, match="no captions"):
        asyncio.run(PMIExplainer(None).candidates(material([image("")], ["a cup"])))


def test_captions_that_share_nothing_give_no_explanation() -> None:
    with pytest.raises(EmptyAnswerError, match="share no word"):
        asyncio.run(PMIExplainer(None).candidates(material([image("a hat"), image("a bus")], ["a cup"] * 9)))


class Reads:
    """Keeps what it reads; what is longer is less likely."""

    name = "reads"

    def __init__(self) -> None:
        self.prefixes: list[str] = []

    async def likelihoods(self, prefix: str, continuations: Sequence[str]) -> list[Likelihood]:
        self.prefixes.append(prefix)
        return [Likelihood(-float(len(text)), 1) for text in continuations]


class Fixed:
    """An explainer that always says the same."""

    name = "fixed"
    settings: dict[str, str] = {}

    async def candidates(self, material: Material) -> list[Candidate]:
        return [Candidate("red things"), Candidate("red")]


def test_a_language_model_reads_captions_a_line_each_and_ranks_any_explainer_s_candidates() -> None:
    model = Reads()
    found = asyncio.run(Ranked(Fixed(), model).candidates(RED))
    assert [candidate.text for candidate in found] == ["red", "red things"]
    given, alone = model.prefixes
    assert alone == WHOLE
    assert given.splitlines()[:2] == ["- a red hat on the left", "- a red bus on the left"]
    assert given.endswith(f"\n{WHOLE}") and "<<" not in given


def test_facets_of_images_are_those_of_their_captions() -> None:
    """Two kinds of captions, and images without one, which are in no facet."""
    kinds = ("a red kite high in the sky", "an old boat on the lake")

    class Kinds:
        name, dimension = "kinds", 2

        def embed_tokens(self, texts: Sequence[str]) -> list[TokenVectors]:
            rows = {text: np.eye(2, dtype=np.float32)[[kind]] for kind, text in enumerate(kinds)}
            return [TokenVectors(rows[text], np.array([[0, len(text)]])) for text in texts]

    class Says(Fixed):
        async def candidates(self, material: Material) -> list[Candidate]:
            (said,) = {example.context.text for example in material.half.top}
            return [Candidate(said)]

    shown = [image(caption) for caption in (*kinds, "") for _ in range(5)]
    (found, *_) = asyncio.run(Facets(Says(), Kinds()).candidates(material(shown, [])))  # type: ignore[arg-type]
    assert {facet.text for facet in found.facets} == set(kinds)
    assert [facet.share for facet in found.facets] == pytest.approx([1 / 3, 1 / 3])
