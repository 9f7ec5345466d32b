"""A small labelled run, one that was only imported, and the service over both."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

import neurogloss as ng
from neurogloss.engines.embedder import MiniLM
from neurogloss.folder import RunFolder
from neurogloss.ids import UnitId
from neurogloss.records import Explanation, Interval, Score, State, UnitStatistics
from neurogloss.store.index import Index
from neurogloss.store.ledger import Ledger
from neurogloss.web.app import create_app
from neurogloss.web.options import Options

HOOKPOINTS = ["model.layers.0.mlp.down_proj.input", "model.layers.1.mlp.down_proj.input"]
RULES = ({"match": "Passages:", "marks": 3}, {"match": "exts:|Pairs:", "words": "explanation"})
TEXTS = ("names of cities", "dates and years", "prices in money", "words for food", "rivers and lakes")
IMPORTED = 30


@pytest.fixture(scope="session")
def minilm() -> Iterator[MiniLM]:
    """The embedding model, read from disk once."""
    shared = MiniLM()
    with pytest.MonkeyPatch.context() as patch:
        for module in ("runs.run", "runs.collect", "agent.models", "web.readers"):
            patch.setattr(f"neurogloss.{module}.MiniLM", lambda: shared)
        yield shared


@pytest.fixture(scope="session")
def labelled(tiny_subject_folder: Path, tmp_path_factory: pytest.TempPathFactory, minilm: MiniLM) -> Path:
    """Six neurons of a random model, labelled by a script. Tests that write use `run_copy`."""
    folder = tmp_path_factory.mktemp("web")
    script = folder / "script.jsonl"
    script.write_text("".join(f"{json.dumps(rule)}\n" for rule in RULES), encoding="utf-8")
    run = folder / "labelled"
    ng.collect(
        run,
        subject=str(tiny_subject_folder),
        hookpoints=HOOKPOINTS,
        tokens=12_000,
        context_chars=64,
        active_quantile=0.8,
    )
    ng.label(run, units="sample:6", llm=f"scripted:{script}", min_active=5, questions=20)
    return run


@pytest.fixture
def run_copy(labelled: Path, tmp_path: Path) -> Path:
    """A run of the test's own."""
    return Path(shutil.copytree(labelled, tmp_path / "copy"))


def imported_unit(i: int) -> UnitId:
    """Unit i of the imported run: two layers, both sides."""
    return UnitId("org/subject", f"model.layers.{2 + 8 * (i % 2)}.mlp", "sae", i // 4 * 3, 1 if i % 4 < 2 else -1)


def score_of(value: float) -> Score:
    interval = Interval(value, value - 0.1, value + 0.1)
    floor, excess = Interval(0.5, 0.45, 0.55), Interval(value - 0.5, value - 0.6, value - 0.4)
    metrics = {"auroc": value, "recall_decile_1": value, "recall_decile_10": 1.0}
    return Score("detection", "judge", "auroc", interval, floor, excess, 0.01, metrics, 20, {})


def write_imported(path: Path, embedder: MiniLM) -> None:
    """IMPORTED units with scores, every fifth without; three that failed; and the index."""
    folder = RunFolder(path)
    with Ledger(folder.ledger) as ledger, Index(folder.index, embedder) as index:
        ledger.add_method("llm-0123abcd", {"explainer": {"explainer": "default"}})
        for i in range(IMPORTED + 3):
            unit = imported_unit(i)
            ledger.add_units([(unit, UnitStatistics(100, i % 7, 0.0, 1.0, 1.0, (i % 7,)))])
            if i >= IMPORTED:
                ledger.record_failure(unit, "llm-0123abcd", State.REFUSAL, "would not")
                continue
            explanation = Explanation(unit, TEXTS[i % len(TEXTS)], "llm-0123abcd")
            ledger.record_explained(explanation, [])
            if i % 5:
                value = i * 37 % 100 / 100
                state = State.ACCEPTED if value > 0.6 else State.REJECTED
                ledger.record_scores(explanation, state, [score_of(value)], [])
        index.sync(ledger)


@pytest.fixture(scope="session")
def imported(tmp_path_factory: pytest.TempPathFactory, minilm: MiniLM) -> Path:
    """A run without a cache. Read only."""
    path = tmp_path_factory.mktemp("web") / "imported"
    write_imported(path, minilm)
    return path


@pytest.fixture(scope="session")
def api(labelled: Path, imported: Path) -> Iterator[TestClient]:
    """The service over both."""
    with TestClient(create_app([labelled, imported], Options()), base_url="http://localhost") as client:
        yield client


@pytest.fixture(scope="session")
def serve(minilm: MiniLM) -> Callable[..., TestClient]:
    """The service over some runs, to be entered."""
    return lambda *runs: TestClient(create_app(runs, Options()), base_url="http://localhost")


@pytest.fixture(scope="session")
def make_imported(minilm: MiniLM) -> Callable[[Path], None]:
    """Writes the imported run to a folder."""
    return lambda path: write_imported(path, minilm)
