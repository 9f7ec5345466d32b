"""The search for patterns finds planted conditions, and nothing where there is nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np
import pytest

from neurogloss.agent.explainers.pattern import PatternExplainer
from neurogloss.agent.patterns.candidates import candidates
from neurogloss.agent.patterns.features import Features
from neurogloss.agent.patterns.kin import Kin
from neurogloss.agent.patterns.sample import sample
from neurogloss.agent.patterns.search import Search, correlation
from neurogloss.errors import EmptyAnswerError
from neurogloss.ids import UnitId
from neurogloss.protocols import Material
from neurogloss.records import Context, EvidenceHalf, Example
from neurogloss.scorers.patterns.language import Condition, Pattern, Test
from neurogloss.scorers.patterns.reading import read
from neurogloss.scorers.patterns.syntax import parse, write

UNIT = UnitId("tiny", "layer", "neurons", 0)
WORDS = (
    "the a of and to in is was it that he she they this river mountain house garden music winter summer light "
    "water stone paper walking talking running public comic basic epic magic sad happy old new small big red blue "
    "green"
).split()


def contexts(n: int = 600, seed: int = 0) -> list[Context]:
    rng = np.random.default_rng(seed)
    texts = [[str(word) for word in rng.choice(WORDS, 14)] for _ in range(n)]
    return [
        Context(f"{seed:06x}{i:010x}", (words[0].title(), *(f" {w}" for w in words[1:]), "."))
        for i, words in enumerate(texts)
    ]


def half(rule: Callable[[tuple[str, ...]], list[int]], n: int = 600, seed: int = 0) -> EvidenceHalf:
    """A unit that is active where the rule says, in random texts."""
    active, silent = [], []
    for context in contexts(n, seed):
        at = rule(context.tokens)
        if at:
            values = tuple(1.0 + len(active) % 5 / 5 if i in at else 0.0 for i in range(len(context.tokens)))
            active.append(Example(context, values))
        else:
            silent.append(context)
    return EvidenceHalf(tuple(active[:16]), tuple(active[:64]), tuple(silent), n_certified=len(silent))


def by(line: str) -> Callable[[tuple[str, ...]], list[int]]:
    """The rule that a pattern states."""
    pattern = parse(line)
    return lambda tokens: list(pattern.positions(tokens))


@pytest.mark.parametrize(
    "line",
    [
        "word:river",
        "ends:ic",
        "word:of after:the",
        "word:river|stone",
        "at:sentence word:he|she",
        "form:walk",
        "after:magic",
    ],
)
def test_a_planted_condition_is_found(line: str) -> None:
    planted = parse(line)
    found = Search().find(half(by(line), 1200), 0)
    assert found.pattern is not None and found.r > 0.8
    for context in contexts(300, seed=9):
        assert (found.pattern.chance(context.tokens) > 0.5) == bool(planted.positions(context.tokens)), (
            context.text
        )


def test_the_same_seed_finds_the_same_whatever_came_before() -> None:
    first, second = half(by("word:river")), half(by("ends:ic after:the"), seed=3)
    search = Search()
    alone = [Search().find(each, 5) for each in (first, second)]
    assert [search.find(each, 5) for each in (first, second)] == alone
    assert [search.find(each, 5) for each in (second, first)] == alone[::-1]


def test_grades_are_the_share_of_active_contexts_and_the_mean_activation() -> None:
    pattern = Search().find(half(by("word:river"), 2000), 0).pattern
    assert pattern is not None and write(pattern).startswith("word:river @")
    condition = pattern.conditions[0]
    assert condition.chance > 0.9 and 0.7 < condition.strength < 1.0


def test_shuffled_activations_have_no_pattern() -> None:
    none = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        found = contexts(400, seed)
        active = [
            Example(c, tuple(rng.permutation([1.0, 0.6] + [0.0] * (len(c.tokens) - 2)).tolist()))
            for c in found[:60]
        ]
        shuffled = EvidenceHalf(tuple(active[:10]), tuple(active), tuple(found[60:]), n_certified=340)
        none.append(Search().find(shuffled, seed).pattern is None)
    assert np.mean(none) >= 0.9


def test_candidates_hold_where_the_language_says() -> None:
    data = sample(half(by("word:river after:the"), 1500), 0)
    found = candidates(Features(), data, None)
    rng = np.random.default_rng(0)
    for row in rng.choice(len(found.conditions), 60).tolist():
        condition = Condition(tuple(Test(kind, (value,)) for kind, value in found.conditions[row]))
        holds = found.holds[row].toarray()[0]
        for column in rng.choice(len(data.contexts), 40).tolist():
            assert holds[column] == (condition.mask(read(data.contexts[column].tokens)) != 0)


def test_like_words_that_were_never_seen_are_taken_in() -> None:
    vectors = np.random.default_rng(0).normal(size=(len(WORDS) + 2, 40)).astype(np.float32)
    sky = [WORDS.index("river"), WORDS.index("stone"), WORDS.index("water"), len(WORDS)]
    vectors[sky] = vectors[sky[0]] + 0.1 * vectors[sky]
    found = Search(Kin([*WORDS, "lake", "other"], vectors)).find(half(by("word:river|stone|water"), 1500), 0)
    assert found.pattern is not None
    assert found.pattern.positions((" A", " lake")) == (1,)


def test_correlation_by_hand() -> None:
    x, y = np.array([1.0, 0.0, 1.0, 0.0]), np.array([1.0, 0.0, 0.0, 0.0])
    assert correlation(x, y, np.ones(4)) == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert correlation(np.ones(4), y, np.ones(4)) == 0.0


def test_the_explainer_says_the_pattern_and_keeps_its_json() -> None:
    [candidate] = asyncio.run(PatternExplainer().candidates(Material(UNIT, half(by("ends:ic"), 1500), None, 0)))
    assert candidate.text == "words that end in *-ic*"
    assert candidate.details["pattern"]["conditions"][0]["when"] == [{"ends": ["ic"]}]


def test_the_explainer_says_that_there_is_no_pattern() -> None:
    rng = np.random.default_rng(0)
    found = contexts(300)
    active = tuple(
        Example(c, tuple(rng.permutation([1.0] + [0.0] * (len(c.tokens) - 1)).tolist())) for c in found[:40]
    )
    shuffled = EvidenceHalf((), active, tuple(found[40:]), n_certified=260)
    with pytest.raises(EmptyAnswerError, match="no pattern"):
        asyncio.run(PatternExplainer().candidates(Material(UNIT, shuffled, None, 0)))
    with pytest.raises(EmptyAnswerError, match="active and silent"):
        asyncio.run(PatternExplainer().candidates(Material(UNIT, EvidenceHalf((), (), ()), None, 0)))


def test_settings_name_what_decides() -> None:
    assert PatternExplainer().settings == {"explainer": "pattern", "version": 1, "words": None}
    assert isinstance(Pattern(parse("ends:ic").conditions), Pattern)
