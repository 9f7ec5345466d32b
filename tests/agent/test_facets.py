"""Facets of hand-made contexts: how they are told apart, what share each has, and how they are joined."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from neurogloss.agent.explainers.facets import Facets, clusters, vectors
from neurogloss.agent.explainers.pmi import PMIExplainer
from neurogloss.engines.embedder import MiniLM
from neurogloss.errors import AnswerError, EmptyAnswerError, RefusalError, TransportError
from neurogloss.ids import UnitId
from neurogloss.protocols import Embedder, Float32, Material, TokenVectors
from neurogloss.records import Candidate, Context, EvidenceHalf, Example, Facet, OutputTokens, Side

NUMBERS = iter(range(10**6))


class Letters:
    """A letter is a piece, and each letter has an axis of its own; other characters are no piece."""

    name = "letters"
    dimension = 26

    def embed(self, texts: Sequence[str]) -> Float32:
        raise NotImplementedError

    def embed_tokens(self, texts: Sequence[str]) -> list[TokenVectors]:
        return [self._pieces(text) for text in texts]

    def _pieces(self, text: str) -> TokenVectors:
        at = [i for i, character in enumerate(text) if character.isalpha()]
        axes = [ord(text[i]) - ord("a") for i in at]
        spans = np.array([(i, i + 1) for i in at], np.int64).reshape(len(at), 2)
        return TokenVectors(np.eye(26, dtype=np.float32)[axes], spans)


def example(*tokens: str, at: int = 0, activation: float = 1.0) -> Example:
    values = tuple(activation * (i == at) for i in range(len(tokens)))
    return Example(Context(f"{next(NUMBERS):016x}", tokens), values)


def material(uniform: Sequence[Example], top: Sequence[Example] = ()) -> Material:
    half = EvidenceHalf(tuple(top), tuple(uniform), (Context("f" * 16, ("silent",)),))
    return Material(UnitId("tiny", "layer", "neurons", 0), half, OutputTokens(((" x", 1.0),), ()), 7)


Said = Sequence[str | Candidate] | Exception


class Tells:
    """Explains contexts by what stands in the table under their first letter, of which there may be one only."""

    name = "tells"
    settings: Mapping[str, Any] = {"explainer": name}

    def __init__(self, table: Mapping[str, Said]) -> None:
        self.table = table
        self.given: list[Material] = []

    async def candidates(self, material: Material) -> list[Candidate]:
        self.given.append(material)
        letters = {e.context.text[0] for e in (*material.half.top, *material.half.uniform)}
        said = self.table["".join(sorted(letters))]
        if isinstance(said, Exception):
            raise said
        return [item if isinstance(item, Candidate) else Candidate(item) for item in said]


def joined(table: Mapping[str, Said], given: Material) -> list[Candidate]:
    return asyncio.run(Facets(Tells(table), Letters()).candidates(given))


# --- vectors -------------------------------------------------------------------------------------------


def vector(embedder: Embedder, *examples: Example) -> dict[str, float]:
    """By letter, the first example's values that are not 0."""
    row = vectors(examples, embedder)[0]
    return {chr(ord("a") + i): round(float(row[i]), 6) for i in np.flatnonzero(row)}


def test_what_is_around_counts_less_and_less() -> None:
    """`b` is active; `a` and `c` stand one character away, `d` three: 1/2 and 1/8, over the norm of all."""
    norm = (0.25 + 1 + 0.25 + 1 / 64) ** 0.5
    found = vector(Letters(), example("a", " b", " c", " d", at=1))
    assert found == pytest.approx({"a": 0.5 / norm, "b": 1 / norm, "c": 0.5 / norm, "d": 0.125 / norm}, abs=1e-6)


def test_the_rest_of_a_word_counts_like_the_active_token() -> None:
    assert vector(Letters(), example("a", "b")) == pytest.approx({"a": 0.5**0.5, "b": 0.5**0.5}, abs=1e-6)


def test_a_token_that_is_no_piece_stands_for_what_is_beside_it() -> None:
    found = vector(Letters(), example("a", "\n\n", "b", at=1))
    assert found["b"] > found["a"] > 0


def test_activation_below_zero_counts_for_nothing() -> None:
    both = Example(Context("0" * 16, ("a", "        ", "b")), (1.0, 0.0, -5.0))
    assert vector(Letters(), both)["a"] == pytest.approx(1, abs=0.01)


def test_a_context_without_a_piece_is_a_vector_of_zeros() -> None:
    assert vectors([example("…", "…")], Letters()).tolist() == [[0.0] * 26]
    assert vectors([], Letters()).shape == (0, 26)


# --- clusters ------------------------------------------------------------------------------------------


def blobs(*sizes: int, spread: float = 0.05) -> Float32:
    """Unit vectors around as many axes as there are sizes."""
    rng = np.random.default_rng(0)
    axes = np.repeat(np.eye(16)[: len(sizes)], sizes, axis=0)
    rows = (axes + spread * rng.standard_normal(axes.shape)).astype(np.float32)
    scaled: Float32 = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return scaled


def found(rows: Float32, most: int = 5) -> list[list[int]]:
    return sorted(group.tolist() for group in clusters(rows, most))


@pytest.mark.parametrize("sizes", [(20,), (12, 8), (30, 5), (9, 8, 7), (6, 6, 6, 6, 6)])
def test_there_are_as_many_clusters_as_stand_apart(sizes: tuple[int, ...]) -> None:
    ends = np.cumsum(sizes).tolist()
    assert found(blobs(*sizes)) == [list(range(end - n, end)) for end, n in zip(ends, sizes, strict=True)]


def test_what_does_not_stand_apart_is_one() -> None:
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((40, 16)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    assert found(rows) == [list(range(40))]


def test_few_rows_are_noise() -> None:
    assert found(blobs(10, 8, 3)) == [list(range(10)), list(range(10, 18))]
    assert found(blobs(20, 3)) == [list(range(23))], "two that are large enough, or one"


def test_no_more_clusters_than_asked_for_and_none_of_too_little() -> None:
    assert len(found(blobs(6, 6, 6, 6), most=2)) == 2
    with pytest.raises(ValueError, match="at least 2, found 1"):
        Facets(Tells({}), Letters(), most=1)
    for n in range(4):
        assert found(blobs(n)) == [list(range(n))]
    assert found(np.ones((10, 16), np.float32) / 4) == [list(range(10))], "all the same"


def test_the_order_of_the_rows_decides_nothing() -> None:
    rows, order = blobs(10, 10, 10, spread=0.2), np.random.default_rng(2).permutation(30)
    shuffled = sorted(sorted(order[group].tolist()) for group in clusters(rows[order], 5))
    assert shuffled == found(rows) and len(shuffled) == 3


# --- joining -------------------------------------------------------------------------------------------

RAIN = [example("a", "b", activation=3.0) for _ in range(6)]
LAW = [example("c", "d", activation=1.0) for _ in range(6)]
"""A quarter of the mass of both."""


def test_each_facet_is_explained_by_its_own_contexts() -> None:
    explainer = Tells({"a": ["rain"], "c": ["law"]})
    given = material([*LAW[:5], *RAIN], top=[RAIN[0], LAW[5]])
    asyncio.run(Facets(explainer, Letters()).candidates(given))
    one, other = sorted((part for part in explainer.given), key=lambda part: part.half.uniform[0].context.text)
    assert (one.half.uniform, one.half.top) == (tuple(RAIN), (RAIN[0],))
    assert (other.half.uniform, other.half.top) == (tuple(LAW[:5]), (LAW[5],))
    assert one.half.negatives == given.half.negatives and one.unit == given.unit
    assert one.outputs is None, "what the unit promotes belongs to no facet"
    assert len({one.seed, other.seed, given.seed}) == 3


def test_facets_stand_by_their_share_of_the_activation_mass() -> None:
    (candidate,) = joined({"a": ["rain."], "c": ["law"]}, material([*LAW, *RAIN]))
    assert candidate == Candidate("either rain; or law", Side.INPUT, (Facet("rain", 0.75), Facet("law", 0.25)))


def test_the_strongest_contexts_do_not_weigh_on_the_shares() -> None:
    """They are no fair sample. Alone, they have to do."""
    top = [example("c", "d", activation=100.0) for _ in range(6)]
    (candidate,) = joined({"a": ["rain"], "c": ["law"]}, material([*LAW, *RAIN], top))
    assert [facet.share for facet in candidate.facets] == [0.75, 0.25]
    (candidate,) = joined({"a": ["rain"], "c": ["law"]}, material([], [*LAW, *RAIN]))
    assert [facet.share for facet in candidate.facets] == [0.75, 0.25]


def test_one_facet_is_explained_as_a_whole() -> None:
    explainer = Tells({"a": ["rain", "snow"]})
    given = material(RAIN)
    assert asyncio.run(Facets(explainer, Letters()).candidates(given)) == [Candidate("rain"), Candidate("snow")]
    assert explainer.given == [given]


def test_second_candidates_are_joined_with_second_ones() -> None:
    found = joined({"a": ["rain", "snow", "hail"], "c": ["law"]}, material([*LAW, *RAIN]))
    assert [c.text for c in found] == ["either rain; or law", "either snow; or law", "either hail; or law"]


def test_facets_that_read_the_same_are_one() -> None:
    (candidate,) = joined({"a": ["rain"], "c": ["rain."]}, material([*LAW, *RAIN]))
    assert candidate == Candidate("rain", Side.INPUT, (Facet("rain", 1.0),))


UNCLEAR = Candidate("no pattern", Side.UNCLEAR)


@pytest.mark.parametrize("nothing", [[UNCLEAR], RefusalError("no")])
def test_what_is_not_explained_lacks_in_the_shares(nothing: Said) -> None:
    (candidate,) = joined({"a": ["rain"], "c": nothing}, material([*LAW, *RAIN]))
    assert candidate == Candidate("rain", Side.INPUT, (Facet("rain", 0.75),))


def test_sides_that_differ_are_mixed() -> None:
    (candidate,) = joined({"a": ["rain"], "c": [Candidate("law", Side.OUTPUT)]}, material([*LAW, *RAIN]))
    assert candidate.side is Side.MIXED


def test_without_any_pattern_it_is_unclear() -> None:
    assert joined({"a": [UNCLEAR], "c": RefusalError("no")}, material([*LAW, *RAIN])) == [UNCLEAR]


@pytest.mark.parametrize(
    ("a", "c", "error"),
    [
        (RefusalError("no"), RefusalError("no"), RefusalError),
        (["rain"], TransportError("gone"), TransportError),
    ],
)
def test_failures_of_all_facets_are_raised_and_transport_always(
    a: Said, c: Said, error: type[AnswerError]
) -> None:
    with pytest.raises(error):
        joined({"a": a, "c": c}, material([*LAW, *RAIN]))


def test_it_says_what_decides_its_output() -> None:
    explainer = Facets(PMIExplainer(None), Letters(), most=3)
    assert explainer.name == "facets-pmi"
    settings = json.loads(json.dumps(explainer.settings))
    assert settings["of"] == PMIExplainer(None).settings
    assert (settings["explainer"], settings["embedder"], settings["most"]) == ("facets", "letters", 3)


# --- with the embedding model of the package -----------------------------------------------------------

SOUP = (
    "The cook stirred the soup and added salt before the guests arrived.",
    "A bowl of soup costs four euros at the station.",
    "Her grandmother's soup was famous in the whole valley.",
    "All their soup had gone cold while they argued.",
    "Nobody ordered soup on such a hot day.",
    "He spilled soup over a letter from his lawyer.",
    "In winter our school serves soup twice a week.",
    "I can smell soup all the way up these stairs.",
)
BANK = (
    "This bank raised its rates again in May.",
    "She opened an account at a bank in Geneva.",
    "Two robbers left the bank by a back door.",
    "My bank refused the loan without any reason.",
    "Every bank in town was closed on Monday.",
    "The director of that bank resigned last week.",
)


def active(sentences: Sequence[str], word: str) -> list[Example]:
    """Active at the word, with the space before it."""
    cut = [sentence.partition(f" {word}") for sentence in sentences]
    return [example(*parts, at=1) for parts in cut]


def without_llm(examples: Sequence[Example]) -> Candidate:
    best, *_ = asyncio.run(Facets(PMIExplainer(None), MiniLM()).candidates(material(examples)))
    return best


def test_two_words_are_two_facets_without_any_llm() -> None:
    soup, bank = without_llm([*active(SOUP[:6], "soup"), *active(BANK, "bank")]).facets
    assert ("soup" in soup.text and "bank" in bank.text) or ("bank" in soup.text and "soup" in bank.text)
    assert soup.share == bank.share == 0.5


def test_one_word_in_different_contexts_is_one_facet() -> None:
    assert without_llm(active(SOUP, "soup")).facets == ()


def test_contexts_that_share_nothing_have_no_explanation() -> None:
    with pytest.raises(EmptyAnswerError):
        asyncio.run(Facets(PMIExplainer(None), Letters()).candidates(material([example("…"), example("†")])))
