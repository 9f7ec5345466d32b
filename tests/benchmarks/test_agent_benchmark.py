"""A dozen planted units from corpus to label: what the benchmark shows of seventy."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

import neurogloss as ng
from benchmarks import agent, graph_cost
from benchmarks.planted.labelling import label
from benchmarks.planted.run import collect, texts_of, unit_id
from benchmarks.planted.subject import PlantedSubject
from benchmarks.planted.units import Unit
from neurogloss.folder import RunFolder
from neurogloss.records import State
from neurogloss.settings import LabelSettings
from neurogloss.sources.cache import Cache
from neurogloss.sources.evidence import evidence

FAMILIES = ("single token", "phrase", "token family", "two-facet", "context-dependent", "next-token role")


@pytest.fixture(scope="module")
def planted() -> list[Unit]:
    return [unit for unit in agent.sample(2) if unit.family in FAMILIES]


@pytest.fixture(scope="module")
def run(planted: list[Unit], tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = RunFolder(tmp_path_factory.mktemp("planted") / "run")
    collect(folder, planted, documents=900)
    return folder


@pytest.fixture(scope="module")
def cache(run: RunFolder) -> Cache:
    return Cache(run.cache)


def test_the_cache_holds_what_the_rules_say(cache: Cache, planted: list[Unit]) -> None:
    cache.verify()
    for i, unit in enumerate(planted):
        found = evidence(cache, unit_id(i))
        for half in (found.explain, found.score):
            for example in (*half.top, *half.uniform):
                assert np.allclose(example.activations, unit.activations(example.context.tokens), rtol=2e-3)
            assert half.negatives and not any(any(unit.activations(c.tokens)) for c in half.negatives)
        active = sum(unit.rule.fires(text) for half in ("explain", "score") for text in texts_of(cache, half))
        assert found.statistics.n_active == active


def test_any_labelling_runs_on_it(run: RunFolder, tmp_path: Path) -> None:
    script = tmp_path / "rules.jsonl"
    script.write_text('{"match": "Passages:", "marks": 3}\n{"match": "exts:", "words": "explanation"}\n')
    settings = LabelSettings(
        units="0-1", llm=f"scripted:{script}", scorers=("detection",), questions=10, effort="low"
    )
    summary = ng.label(run.path, settings)
    assert sum(summary.states.values()) == 2 and set(summary.states) <= {State.ACCEPTED, State.REJECTED}


def test_the_subject_reads_and_writes_by_rule(cache: Cache, planted: list[Unit]) -> None:
    subject = PlantedSubject(planted, texts_of(cache, "explain"))
    (example,) = subject.examples(unit_id(0), [" a city by the sea"])
    assert example.context.text == " a city by the sea"
    assert example.activations == planted[0].activations(example.context.tokens) and example.peak > 0
    steering = subject.steer(unit_id(0), ["Once", "Then"], [], seed=1, kl=0.5)
    assert steering.kl == 0.5 and [text.prompt for text in steering.texts] == ["Once", "Then"]
    assert all(planted[0].rule.fires(text.steered) for text in steering.texts)
    assert steering == subject.steer(unit_id(0), ["Once", "Then"], [], seed=1, kl=0.5)
    assert subject.token_change(unit_id(0), [], []).promoted[0][0] == " city"


def test_candidates_refinement_and_experiments_name_more_rules(
    cache: Cache, planted: list[Unit], tmp_path: Path
) -> None:
    async def exact(name: str) -> list[bool]:
        found = await label(cache, planted, tmp_path / f"{name}.db", questions=4, **agent.WAYS[name])
        return [*found.exact]

    low, refined, high = (asyncio.run(exact(name)) for name in agent.EFFORTS.values())
    close = [i for i, unit in enumerate(planted) if unit.family == "context-dependent"]
    assert sum(refined) >= sum(low) + 3 and sum(high) >= sum(low) + 3
    assert not any(low[i] for i in close) and any(refined[i] for i in close)


def test_facets_recover_what_one_explanation_cannot_say(cache: Cache, planted: list[Unit], tmp_path: Path) -> None:
    one = next(i for i, unit in enumerate(planted) if unit.family == "two-facet")

    def right(name: str) -> tuple[bool, ...]:
        path = tmp_path / f"{name}.db"
        found = label(cache, planted, path, among=[one], explainer=name, refinements=0, questions=4)
        return asyncio.run(found).by_extension

    assert right("default") == (False,) and right("facets") == (True,)


def test_no_wrong_explanation_scores_above_the_right_one(cache: Cache, planted: list[Unit]) -> None:
    first, *margins = asyncio.run(agent._wrong(cache, planted))
    assert first.met and first.figure == 0
    assert len(margins) == 4 and all(row.figure > 0 for row in margins)


def test_langgraph_is_measured_beside_the_nodes(cache: Cache) -> None:
    row = asyncio.run(graph_cost.row([evidence(cache, unit_id(i)) for i in range(3)]))
    assert row.figure > row.beside > 0
