"""A few rounds of the soak, as its command plays them, and that its checks find what is wrong."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

import neurogloss as ng
from benchmarks.planted.run import collect
from benchmarks.planted.units import units
from benchmarks.soak.checks import problems
from benchmarks.soak.disk import fill, small_disk
from benchmarks.soak.labeller import embed
from benchmarks.soak.network import RULES
from neurogloss.engines.embedder import MiniLM
from neurogloss.folder import RunFolder

ROOT = Path(__file__).parents[2]


def test_a_few_rounds_leave_everything_right() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.soak", "--minutes", "0.2", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    rows = {row["what"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert rows, done.stderr
    assert rows["rounds"]["figure"] >= 1
    # Whether a kill hit anything in so short a time depends on the machine; what is wrong does not.
    wrong = [row["what"] for row in rows.values() if row["goal"] == "0" and not row["met"]]
    assert not wrong, done.stderr


@pytest.mark.parametrize("left, late", [(0, 0), (0, 300_000), (100_000, 0), (100_000, 300_000)])
def test_a_disk_is_filled_while_others_write_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: int, late: int
) -> None:
    allocate = os.posix_fallocate
    with ExitStack() as stack:
        try:
            disk = stack.enter_context(small_disk(tmp_path / "disk", 2))
        except PermissionError:
            pytest.skip("this user may not mount a disk")

        def after_others(descriptor: int, offset: int, size: int) -> None:
            if not (disk / "others").exists():
                (disk / "others").write_bytes(bytes(late))
            allocate(descriptor, offset, size)

        monkeypatch.setattr(os, "posix_fallocate", after_others)
        ballast = fill(disk, left)
        page = os.statvfs(disk).f_frsize
        assert shutil.disk_usage(disk).free <= left + page
        assert (disk / "others").stat().st_size == late
        ballast.unlink()
        assert shutil.disk_usage(disk).free > 2**21 - late - 2 * page


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("soak")
    collect(RunFolder(folder / "run"), units()[:6], 200)
    script = folder / "rules.jsonl"
    script.write_text("".join(json.dumps(rule) + "\n" for rule in RULES), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MiniLM, "embed", embed)
        ng.label(folder / "run", llm=f"scripted:{script}", scorers=("detection",), questions=10, effort="low")
    return folder / "run"


@pytest.mark.parametrize(
    "harm, kind",
    [
        ("", None),
        ("UPDATE labels SET state = 'transport' WHERE explanation IS NOT NULL", "state"),
        ("DELETE FROM labels", "state"),
        ("UPDATE answers SET probability = NULL, failure = 'refusal'", "score"),
        ("UPDATE answers SET probability = 1 - probability", "score"),
        ("UPDATE labels SET state = 'rejected' WHERE explanation IS NOT NULL", "index"),
        ("UPDATE explanations SET validation = 0.123", "ledger"),
    ],
)
def test_what_is_wrong_with_a_run_is_found(
    undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: str, kind: str | None
) -> None:
    monkeypatch.setattr(MiniLM, "embed", embed)
    run = Path(shutil.copytree(undisturbed, tmp_path / "run"))
    with sqlite3.connect(run / "ledger.sqlite") as connection:
        connection.execute(harm)
    connection.close()
    found = {problem.partition(":")[0] for problem in problems(run, undisturbed, spoilt=False)}
    assert (kind in found) if kind else not found
