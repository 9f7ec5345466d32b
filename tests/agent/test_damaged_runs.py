"""Run folders that are damaged: said in words, whatever is asked of them, or answered."""

from __future__ import annotations

import shutil
from itertools import islice
from pathlib import Path

import pytest
from damage import damage, fuzzed
from hypothesis import strategies as st

import neurogloss as ng
from neurogloss.errors import UserError


@fuzzed(data=st.data())
def test_a_damaged_cache_is_refused_or_read(data: st.DataObject, collected: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    manifest = (collected / "cache" / "manifest.json").read_bytes()
    damage(data, collected / "cache", copy / "cache")
    try:
        list(islice(ng.open_run(copy).cache.units(), 100))
        # What it says of the other files is believed.
        (copy / "cache" / "manifest.json").write_bytes(manifest)
        opened = ng.open_run(copy)
        for unit in islice(opened.cache.units(), 3):
            opened.evidence(unit)
            opened.coactive(unit, 3)
        opened.cache.verify()
    except (UserError, FileNotFoundError) as error:
        assert str(error)


@pytest.fixture(scope="module")
def labelled(collected: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger as a file of its own."""
    run = tmp_path_factory.mktemp("labelled") / "run"
    shutil.copytree(collected, run)
    ng.label(run, units="0-3", scorers=("detection",), questions=8, explainer="promoted")
    with ng.open_run(run).ledger() as ledger:
        ledger._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    folder = run.parent / "ledger"
    folder.mkdir()
    shutil.copy(run / "ledger.sqlite", folder)
    return folder


@fuzzed(data=st.data())
def test_a_damaged_ledger_is_refused_or_read(data: st.DataObject, labelled: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    damage(data, labelled, copy)
    try:
        opened = ng.open_run(copy)
        opened.status()
        for label in opened.labels():
            opened.candidates(label)
            opened.trace(label)
            if label.explanation:
                opened.outcomes(label.explanation, "detection")
    except (UserError, FileNotFoundError) as error:
        assert str(error)
