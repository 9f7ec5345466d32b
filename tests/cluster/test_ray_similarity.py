"""Units compared by the workers of a Ray cluster: what comes out is what one process finds, byte for byte."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import neurogloss as ng
from neurogloss.cli.app import run as command
from neurogloss.runs.cluster.comparing import Spread
from neurogloss.runs.cluster.connection import open_cluster
from neurogloss.runs.compare import grid
from neurogloss.store import measures
from neurogloss.store.measures import Texts, nearest, unit_rows
from neurogloss.store.similarity import write_parquet


@pytest.fixture(autouse=True)
def as_workers_have_it(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One thread; and blocks of a few rows, so that there are many."""
    monkeypatch.setattr(measures, "BLOCK_CELLS", 1 << 9)
    with threadpool_limits(1, user_api="blas"):
        yield


@pytest.fixture(scope="module")
def labelled(copy_run: Callable[[], Path], script: str) -> Path:
    run = copy_run()
    ng.label(run, llm=script, units="0-9", scorers=("detection",), questions=20, min_active=5, effort="low")
    return run


@pytest.mark.parametrize(
    ("match", "kinds"),
    [
        ("mutual", ["text"]),
        ("one-to-one", ["correlation"]),
        ("nearest", ["decoder", "coactivation", "correlation", "text"]),
    ],
)
def test_pairs_are_those_of_one_process(
    cluster: Any, labelled: Path, tmp_path: Path, match: Any, kinds: Any
) -> None:
    here, there = (
        ng.similar(labelled, labelled, by=kinds, match=match, k=2, engine=engine) for engine in ("local", "ray")
    )
    assert here.pairs and not here.missing
    assert repr(there) == repr(here)
    write_parquet(tmp_path / "here", here)
    write_parquet(tmp_path / "there", there)
    assert (tmp_path / "here").read_bytes() == (tmp_path / "there").read_bytes()


def test_places_side_by_side(cluster: Any, collected: Path) -> None:
    here, there = (grid(collected, collected, by="correlation", engine=engine) for engine in ("local", "ray"))
    assert repr(there) == repr(here) and here.means[0, 0] > 0


def test_killed_workers_are_replaced(
    cluster: Any, workers: Callable[[str], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measures, "BLOCK_CELLS", 1 << 18)
    rng = np.random.default_rng(0)
    both = (unit_rows(rng.standard_normal((3_000, 2_048), np.float32)) for _ in range(2))
    measure, twins = Texts("text", *both), np.arange(3_000)
    killed: list[int] = []
    over = threading.Event()

    def kill() -> None:
        while len(killed) < 2 and not over.is_set():
            for pid in workers("block"):
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)

    hunter = threading.Thread(target=kill)
    with open_cluster("ray") as joined:
        assert joined
        hunter.start()
        try:
            there = nearest(Spread(joined, measure), 5, twins)
        finally:
            over.set()
            hunter.join()
    assert killed
    here = nearest(measure, 5, twins)
    for part in ("rows", "columns", "values"):
        assert getattr(there, part).tobytes() == getattr(here, part).tobytes()


def test_one_command_collects_and_labels_with_workers(
    cluster: Any,
    settings: Mapping[str, Any],
    collected: Path,
    copy_run: Callable[[], Path],
    tmp_path: Path,
    script: str,
    files: Callable[[Path], dict[str, bytes]],
    dump: Callable[[Path], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config, run, alone = tmp_path / "small.toml", tmp_path / "run", copy_run()
    label = {"units": "0-4", "llm": script, "scorers": ["detection"], "questions": 20, "min_active": 5}
    tables = {"collect": settings, "label": label}
    lines = [f"run = {json.dumps(str(run))}"]
    for name, values in tables.items():
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    config.write_text("\n".join(lines), encoding="utf-8")
    asked = []

    def spied(engine: str) -> Any:
        asked.append(engine)
        return open_cluster(engine)

    for module in ("collecting", "labelling"):
        monkeypatch.setattr(f"neurogloss.runs.cluster.{module}.open_cluster", spied)
    assert command(["run", str(config), "--engine", "ray"]) == 0
    assert asked == ["ray", "ray"]
    found = files(run)
    assert all(found[name] == data for name, data in files(collected).items() if name.startswith("cache/"))
    ng.label(alone, **label)
    assert dump(run) == dump(alone)
