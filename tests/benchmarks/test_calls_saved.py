"""Stopping, and several explanations at once, on a few planted units and the project's own scoring."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from benchmarks import agent, sequential
from benchmarks.planted.labelling import PlantedModels
from benchmarks.planted.oracle import Oracle
from benchmarks.planted.run import collect, unit_id
from benchmarks.planted.units import Unit
from neurogloss.accounts import Usage, Work
from neurogloss.agent import tools
from neurogloss.engines.usage import RecordedModel
from neurogloss.errors import TransportError, UserError
from neurogloss.folder import RunFolder
from neurogloss.llm import Reply, Request
from neurogloss.protocols import Quiet
from neurogloss.records import Explanation, State
from neurogloss.runs.inverted import GroupScoring
from neurogloss.runs.sweeps import Sweeps
from neurogloss.scorers.inverted import DETECTION, DISCRIMINATION
from neurogloss.settings import LabelSettings
from neurogloss.sources.cache import Cache
from neurogloss.store.ledger import Ledger

FAMILIES = ("single token", "phrase", "token family", "dense")
SETTINGS = LabelSettings(llm="oracle", scorers=("detection",), together=3, questions=20, concurrency=2)


@pytest.fixture(scope="module")
def planted() -> list[Unit]:
    return [unit for unit in agent.sample(2) if unit.family in FAMILIES]


@pytest.fixture(scope="module")
def cache(planted: list[Unit], tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return collect(RunFolder(tmp_path_factory.mktemp("saved") / "run"), planted, documents=900)


def test_a_settled_score_asks_less_and_decides_the_same(cache: Cache, planted: list[Unit]) -> None:
    rows = {row.what: row for row in asyncio.run(sequential.stopping(cache, planted))}
    requests, accepted = (rows[f"settled: {what}, {sequential.RIGHT}"] for what in ("requests", "accepted"))
    assert requests.met and requests.figure < requests.beside
    assert accepted.figure == accepted.beside == 1


def test_several_at_once_give_the_same_answers_for_less(cache: Cache, planted: list[Unit], tmp_path: Path) -> None:
    requests, tokens, same, *areas = asyncio.run(sequential.at_once(cache, planted, tmp_path))
    assert requests.met and tokens.met and same.figure == 1
    assert areas[0].figure == areas[0].beside > 0.8 and areas[1].figure > 0.8


class Lost(Oracle):
    """Is gone while the first group is asked."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self._words = words

    async def chat(self, request: Request) -> Reply:
        if self._words in request.messages[-1].content:
            raise TransportError("gone")
        return await super().chat(request)


def scored(cache: Cache, planted: list[Unit], ledger: Ledger, among: list[int], oracle: Oracle) -> RecordedModel:
    """Units by number are scored, of all that are chosen."""
    chat, ids = RecordedModel(oracle), [unit_id(i) for i in range(len(planted))]
    models = PlantedModels(cache, SETTINGS, planted)
    sweeps = Sweeps(ledger, "planted", SETTINGS, ids, Quiet())

    async def run() -> None:
        work = GroupScoring(sweeps, tools.build_scoring(SETTINGS, cache, models, chat), models, cache)
        for i in among:
            label = ledger.label(ids[i], "planted")
            assert label is not None
            (await work(label)).record(ledger)

    asyncio.run(run())
    return chat


@pytest.fixture
def ledger(cache: Cache, planted: list[Unit], tmp_path: Path):  # type: ignore[no-untyped-def]
    """All units have their right explanation, but for the second, which has none."""
    ids = [unit_id(i) for i in range(len(planted))]
    with Ledger(tmp_path / "ledger.sqlite") as opened:
        opened.add_method("planted", {})
        opened.add_units((id, cache.statistics(id)) for id in ids)
        for i, id in enumerate(ids):
            if i != 1:
                explanation = Explanation(id, planted[i].rule.words, "planted")
                opened.record_explained(explanation, [], Work("explain", Usage()))
        yield opened


def test_each_unit_of_a_group_is_scored_and_the_group_is_asked_once(
    cache: Cache, planted: list[Unit], ledger: Ledger
) -> None:
    chat = scored(cache, planted, ledger, [0, 2], Oracle())
    first, second, third = (ledger.label(unit_id(i), "planted") for i in range(3))
    assert first and third and second is None, "no explanation, no member"
    for label in (first, third):
        detection, discrimination = label.scores
        assert (detection.scorer, discrimination.scorer) == (DETECTION, DISCRIMINATION)
        assert label.state is State.ACCEPTED and detection.score.value == pytest.approx(1)
        assert detection.floor.value < 0.5 and discrimination.floor.value == 0.5
        assert label.explanation is not None
        others = [o for o in ledger.outcomes(label.explanation.id, DISCRIMINATION) if not o.question.truth]
        assert others, "the other's contexts, in which this one is silent"
        rule = planted[label.unit.index].rule
        assert not any(rule.fires(outcome.question.passages[0].text) for outcome in others)
    spent = ledger.usage("planted")["score"]
    assert spent.requests == chat.usage.requests, "and accounted for once"


def test_a_group_is_asked_the_same_whoever_of_it_is_left(
    cache: Cache, planted: list[Unit], ledger: Ledger
) -> None:
    whole = scored(cache, planted, ledger, [3, 4, 5], Oracle())
    before = ledger.label(unit_id(4), "planted")
    again = scored(cache, planted, ledger, [4], Oracle())
    assert again.usage == whole.usage and ledger.label(unit_id(4), "planted") == before


def test_units_of_a_group_that_was_not_reached_wait(cache: Cache, planted: list[Unit], ledger: Ledger) -> None:
    scored(cache, planted, ledger, [0, 2, 3], Lost(planted[0].rule.words))
    states = ledger.states("planted")
    assert [states[unit_id(i)] for i in (0, 2, 3)] == [State.TRANSPORT, State.TRANSPORT, State.ACCEPTED]


def test_what_cannot_be_asked_at_once_is_refused(cache: Cache, planted: list[Unit]) -> None:
    models = PlantedModels(cache, SETTINGS, planted)
    with pytest.raises(UserError, match="label, then score"):
        tools.build(SETTINGS, cache, models, Oracle())
    with pytest.raises(UserError, match="detection alone"):
        both = SETTINGS.model_copy(update={"scorers": ("detection", "fuzzing")})
        tools.build_scoring(both, cache, models, Oracle())
    embedded = SETTINGS.model_copy(update={"llm": None})
    scoring = tools.build_scoring(embedded, cache, models)
    with pytest.raises(UserError, match="--llm"):
        GroupScoring(None, scoring, models, cache)  # type: ignore[arg-type]
