"""What a large run takes is what a small one took, times what is more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import neurogloss as ng
from neurogloss.accounts import Prices, Usage
from neurogloss.errors import UserError
from neurogloss.runs.forecast import Cluster, forecast

CLUSTER = Cluster(workers=2, servers=3, read_rate=50.0, llm_rate=7.0, request_rate=10.0, memory=1e12)


def test_a_collected_run_says_what_reading_takes(collected: Path) -> None:
    found = forecast(collected, 1_000, 720_000, CLUSTER)
    assert (found.collecting.hours, found.hours, found.bottleneck) == (2.0, 2.0, "reading the corpus")
    assert (found.passes, found.labelling, found.usage) == (1, (), Usage())
    cache = ng.open_run(collected).cache
    assert sum(site.sides for site in cache.sites) == 192
    half, twice = (forecast(collected, units, 1, CLUSTER).cache_bytes for units in (192, 384))
    sketches = sum(file.stat().st_size for file in (cache.path / "sketches").rglob("*") if file.is_file())
    assert twice - half == pytest.approx(sketches, rel=1e-6)


def test_what_does_not_fit_into_memory_is_read_again(collected: Path) -> None:
    once = forecast(collected, 1_000, 720_000, CLUSTER)
    small = Cluster(workers=2, read_rate=50.0, memory=once.cache_bytes / 10)
    found = forecast(collected, 1_000, 720_000, small)
    assert found.passes > 1
    assert found.collecting.hours == found.passes * once.collecting.hours


def test_a_labelled_run_says_what_units_take(run: Path, script: Callable[..., str]) -> None:
    ng.label(run, units="0-5", llm=script(), scorers=("detection",), questions=8, stored_answers=False)
    opened = ng.open_run(run)
    (method,) = opened.status()
    spent = sum(opened.usage(method).values(), Usage())
    n = sum(opened.status()[method].values())
    found = forecast(run, 10 * n, 1, CLUSTER, Prices(prompt=2.0))
    assert found.usage == Usage(10 * spent.requests, 0, 10 * spent.prompt_tokens, 0, 10 * spent.completion_tokens)
    assert found.cost == pytest.approx(found.usage.prompt_tokens * 2e-6)
    answering, asking, recording = found.labelling
    assert answering.hours == pytest.approx(found.usage.tokens / 21 / 3600)
    assert asking.hours == pytest.approx(found.usage.requests / 20 / 3600)
    assert (recording.amount, recording.rate > 1) == (20 * n, True)
    assert found.bottleneck == max(found.labelling, key=lambda stage: stage.hours).name
    assert not list(run.glob("tmp*"))


def test_numbers_that_make_no_sense_are_refused(collected: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="above 0"):
        forecast(collected, 1, 1, Cluster(read_rate=0))
    with pytest.raises(UserError, match="Expected a run"):
        forecast(tmp_path / "none", 1, 1, CLUSTER)
