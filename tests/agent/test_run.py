"""A run as an object: its labels, evidence, search and neighbours, and what is said where something is missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import neurogloss as ng
from neurogloss.errors import UserError
from neurogloss.ids import UnitId
from neurogloss.records import State
from neurogloss.runs.run import Run
from neurogloss.sources.evidence import evidence

pytestmark = pytest.mark.usefixtures("quick_embedder")

LAYERS = ("model.layers.0.mlp.down_proj.input", "model.layers.1.mlp.down_proj.input")
WORDS = ("bridges", "prices", "minutes")


@pytest.fixture(scope="module")
def labelled(
    quick_embedder: None,
    collected: Path,
    copy_run: Callable[[Path], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """3, 4, 5 of both layers. The first 5 is dead; the others are explained by WORDS in turn."""
    path = tmp_path_factory.mktemp("script") / "rules.jsonl"
    explained = [
        {"match": "Passages:", "reply": {"explanation": f"words about {word}"}, "times": 1} for word in WORDS * 2
    ]
    rules = [*explained, {"match": "exts:", "words": "explanation"}]
    path.write_text("".join(json.dumps(rule) + "\n" for rule in rules), encoding="utf-8")
    run = copy_run(collected)
    ng.label(
        run,
        llm=f"scripted:{path}",
        units="3-5",
        scorers=("detection", "fuzzing"),
        questions=20,
        candidates=1,
        concurrency=1,
        effort="low",
    )
    return run


@pytest.fixture
def opened(labelled: Path) -> Run:
    return ng.open_run(labelled)


def test_labels_come_by_unit_and_by_state(opened: Run, dead: UnitId) -> None:
    labels = list(opened.labels())
    assert [(label.unit.hookpoint, label.unit.index) for label in labels] == [
        (layer, index) for layer in LAYERS for index in (3, 4, 5)
    ]
    assert [label.explanation.text for label in labels if label.explanation] == [
        f"words about {word}" for word in ("bridges", "prices", "minutes", "bridges", "prices")
    ]
    assert [label.unit for label in opened.labels({State.DEAD})] == [dead]
    assert list(opened.labels(set())) == []
    (method,) = opened.status()
    assert repr(list(opened.labels(method=method))) == repr(labels)
    assert sum(opened.status()[method].values()) == 6 and opened.status()[method][State.DEAD] == 1


def test_a_unit_by_its_id_or_its_end(opened: Run) -> None:
    unit = UnitId(opened.cache.subject, LAYERS[1], "neurons", 4)
    for given in (unit, str(unit), f"{LAYERS[1]}/neurons/4"):
        assert opened.unit(given) == unit
        assert opened.label(given).unit == unit
    with pytest.raises(UserError, match="found none"):
        opened.label("1.mlp.down_proj.input/neurons/4")


def test_an_end_that_several_units_have(opened: Run) -> None:
    with pytest.raises(UserError, match=rf"ends in /4; found .*{LAYERS[0]}/neurons/4, .*{LAYERS[1]}/neurons/4"):
        opened.label("4")
    with pytest.raises(UserError, match="ends in /99; found none"):
        opened.label("99")


def test_a_unit_without_a_label(opened: Run) -> None:
    unit = UnitId(opened.cache.subject, LAYERS[0], "neurons", 7)
    with pytest.raises(UserError, match=f"{unit} has no label in"):
        opened.label(unit)
    with pytest.raises(UserError, match="has no label"):
        opened.label(f"{LAYERS[0]}/x/neurons/7")


def test_evidence_is_what_was_collected(opened: Run) -> None:
    unit = UnitId(opened.cache.subject, LAYERS[1], "neurons", 4)
    assert opened.evidence(f"{LAYERS[1]}/neurons/4") == evidence(opened.cache, unit)
    never_labelled = UnitId(opened.cache.subject, LAYERS[1], "neurons", 40, -1)
    assert opened.evidence(never_labelled).unit == never_labelled
    with pytest.raises(UserError, match="index from 0 to 47"):
        opened.evidence(UnitId(opened.cache.subject, LAYERS[1], "neurons", 48))


def test_candidates_and_outcomes_of_a_label(opened: Run) -> None:
    label = opened.label(f"{LAYERS[0]}/neurons/3")
    assert label.explanation is not None and opened.candidates(label) == [label.explanation]
    outcomes = opened.outcomes(label.explanation, "detection")
    assert len(outcomes) == 40 and {outcome.scorer for outcome in outcomes} == {"detection"}
    assert opened.outcomes(label.explanation, "intervention") == []


def test_search_finds_by_meaning(opened: Run, labelled: Path) -> None:
    found = opened.search("prices", 2)
    assert (found[0].label.unit.hookpoint, found[0].label.unit.index) == (LAYERS[0], 4)
    assert found[0].same == 2, "another unit is explained by the same words"
    assert found[0].similarity > opened.search("prices", 5)[-1].similarity
    assert repr(ng.search("prices", labelled, 2)) == repr(found)
    assert sum(hit.same for hit in opened.search("prices", 10)) == 5, "the dead unit has no explanation"
    done = opened.search("prices", 10, {State.ACCEPTED})
    assert {hit.label.state for hit in done} <= {State.ACCEPTED}
    rejected = opened.search("prices", 10, {State.REJECTED})
    assert sum(hit.same for hit in (*done, *rejected)) == 5


def test_similar_finds_the_nearest_of_another_hookpoint(labelled: Path) -> None:
    found = ng.similar(labelled, labelled, (LAYERS[1], None), (LAYERS[0], "neurons"))
    assert [(pair.a.unit.index, pair.b.unit.index) for pair in found.pairs] == [(3, 3), (4, 3), (5, 4)]
    assert {(pair.a.unit.hookpoint, pair.b.unit.hookpoint) for pair in found.pairs} == {(LAYERS[1], LAYERS[0])}
    assert [pair.similarity for pair in found.pairs] == pytest.approx([2 / 3, 1, 1]), "two words of three"
    assert found.levels[0].mean == pytest.approx(8 / 9)


def test_similar_to_itself_leaves_the_unit_itself_out(labelled: Path) -> None:
    found = ng.similar(labelled, labelled, k=2)
    assert len(found.pairs) == 2 * 5 and all(pair.a.unit != pair.b.unit for pair in found.pairs)
    assert [pair.b.unit.index for pair in found.pairs[::2]] == [4, 5, 3, 3, 4]


def test_similar_names_the_hookpoints_that_there_are(labelled: Path) -> None:
    with pytest.raises(
        UserError, match=f"at layer/any dictionary; .* has {LAYERS[0]}/neurons, {LAYERS[1]}/neurons"
    ):
        ng.similar(labelled, labelled, place_b=("layer", None))


def test_there_is_no_run(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(UserError, match=f"run folder at {path}, found .*neurogloss collect {path}"):
            ng.open_run(path)
    with pytest.raises(UserError, match="Expected a run folder"):
        ng.search("words", tmp_path)
    with pytest.raises(UserError, match="Expected a run folder"):
        ng.similar(tmp_path, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_there_are_no_labels_yet(collected: Path) -> None:
    run = ng.open_run(collected)
    says = f"Expected labels in {collected}, found none. Label it first:  neurogloss label {collected}"
    for ask in (lambda: list(run.labels()), run.status, lambda: run.label("3"), lambda: run.search("words")):
        with pytest.raises(UserError, match=says):
            ask()
    with pytest.raises(UserError, match=says):
        ng.similar(collected, collected)
    assert not run.folder.ledger.exists() and not run.folder.index.exists()
