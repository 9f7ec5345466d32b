"""Stopping early, on a few planted units and the project's own scoring."""

from __future__ import annotations

import asyncio

import pytest

from benchmarks import agent, sequential
from benchmarks.planted.run import collect
from benchmarks.planted.units import Unit
from neurogloss.folder import RunFolder
from neurogloss.sources.cache import Cache

FAMILIES = ("single token", "phrase", "token family", "dense")


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
