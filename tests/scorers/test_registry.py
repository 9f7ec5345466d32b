"""Scorers by name, in the order asked for, one's own among them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from neurogloss.errors import UserError
from neurogloss.protocols import DirectScorer, HeldOut, Instruments, QuestionScorer
from neurogloss.records import Question
from neurogloss.scorers import answering, registry
from neurogloss.scorers.detection import Detection, Fuzzing
from neurogloss.scorers.intervention import Intervention
from neurogloss.scorers.measure import METRICS


@dataclass(frozen=True)
class Own:
    n_questions: int = 7
    name: str = "own"
    task: str = "detection"
    needs_subject: bool = False

    def questions(self, held_out: HeldOut) -> list[Question]:
        return []


@dataclass(frozen=True)
class Plain:
    """Takes no number of questions."""

    name: str = "plain"
    task: str = "detection"
    needs_subject: bool = True

    def questions(self, held_out: HeldOut) -> list[Question]:
        return []


@dataclass
class Demanding:
    it: int


HERE = __name__


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name under which this module can be imported; a package offers its class as `theirs`."""
    import sys

    monkeypatch.setitem(sys.modules, "own_scorers_here", sys.modules[HERE])
    offered = EntryPoints([EntryPoint("theirs", "own_scorers_here:Own", registry.REGISTRY.group)])
    monkeypatch.setattr("neurogloss.registry.entry_points", lambda **by: offered.select(**by))
    yield "own_scorers_here"


def test_scorers_come_in_the_order_asked_for_with_their_number_of_questions() -> None:
    found = registry.get(["intervention", "fuzzing-active", "detection", "fuzzing"], 40)
    assert found == [Intervention(), Fuzzing(40, "active"), Detection(40), Fuzzing(40)]


@pytest.mark.parametrize("name", registry.names())
def test_each_has_its_name_and_says_what_it_needs(name: str) -> None:
    (scorer,) = registry.get([name], 10)
    assert scorer.name == name and hash(scorer) == hash(registry.get([name], 10)[0])
    assert isinstance(scorer, QuestionScorer) != isinstance(scorer, DirectScorer)
    instruments = set(Instruments.__dataclass_fields__) - {"lexical"}
    for need in answering.needs(scorer):
        assert set(need.split("|")) <= instruments | {"explanation", "steered", "rivals", "prompt_logprobs"}
    loads = {"subject", "steered", "rivals"} & answering.needs(scorer)
    assert scorer.needs_subject == bool(loads)
    if isinstance(scorer, DirectScorer):
        assert scorer.metric in METRICS and (scorer.chance is None or 0 < scorer.chance < 1)


def test_no_name_is_no_scorer() -> None:
    assert registry.get([], 10) == []


def test_an_unknown_name_is_told_with_the_known_ones() -> None:
    with pytest.raises(UserError) as caught:
        registry.get(["detection", "detecton"], 10)
    message = str(caught.value)
    assert message.endswith("found 'detecton'. Did you mean detection or detection-hard?")
    assert all(name in message for name in registry.names())


def test_ones_own_is_found_by_its_place_and_by_its_entry_point(here: str) -> None:
    assert registry.get([f"{here}:Own", f"{here}:Plain"], 12) == [Own(12), Plain()]
    assert registry.get(["theirs"], 12) == [Own(12)]
    assert registry.names()[-1] == "theirs"


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("no.such.module:Own", "No module named 'no'"),
        ("json:NoSuchClass", "NoSuchClass"),
        (":Own", "found ':Own'"),
        ("json:JSONDecoder", "to have name, needs_subject, task and questions"),
        ("own_scorers_here:Demanding", "without arguments"),
    ],
)
def test_a_place_without_a_scorer_is_the_users_to_mend(here: str, place: str, said: str) -> None:
    with pytest.raises(UserError, match="Expected") as caught:
        registry.get([place], 10)
    assert said in str(caught.value)


def test_the_hard_negatives_that_scorers_ask_about() -> None:
    plain = registry.get(["detection", "fuzzing", "simulation"], 10)
    assert answering.hard_kinds([*plain, Own()]) == frozenset()
    assert answering.hard_kinds(registry.get(["discrimination", "detection"], 10)) == {"neighbours"}
    assert answering.hard_kinds(registry.get(["detection-hard"], 10)) == {"neighbours", "lexical", "look_alikes"}


def test_what_a_scorer_lacks_is_said_before_anything_is_asked() -> None:
    simulation, intruder, detection = registry.get(["simulation-written", "intruder", "detection"], 10)
    answering.require(detection, Instruments())
    with pytest.raises(UserError, match="simulation-written needs an LLM"):
        answering.require(simulation, Instruments())
    with pytest.raises(UserError, match="intruder needs an LLM .* or an embedding model"):
        answering.require(intruder, Instruments())
    answering.require(intruder, Instruments(embedder=object()))  # type: ignore[arg-type]
    with pytest.raises(UserError, match="Demanding has neither"):
        answering.require(Demanding(1), Instruments())  # type: ignore[arg-type]
