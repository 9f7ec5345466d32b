from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from neurogloss.errors import UserError
from neurogloss.folder import RunFolder, replace_file, user_cache


def test_a_folder_without_a_run_is_refused_with_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="found no run in it.*neurogloss collect"):
        RunFolder(tmp_path).require()
    with pytest.raises(UserError, match="found nothing.*neurogloss collect"):
        RunFolder(tmp_path / "missing").require()
    assert not (tmp_path / "missing").exists()


@pytest.mark.parametrize("part", ["cache", "ledger"])
def test_a_cache_or_a_ledger_makes_a_run(tmp_path: Path, part: str) -> None:
    run = RunFolder(tmp_path)
    if part == "cache":
        run.cache.mkdir()
    else:
        run.ledger.touch()
    assert run.require() is run


def test_a_run_is_named_after_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    assert RunFolder(Path()).name == "mine"


HOLD = """
import sys
from pathlib import Path
from neurogloss.folder import RunFolder
with RunFolder(Path(sys.argv[1])).writing():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_one_process_writes_at_a_time(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    command = [sys.executable, "-c", HOLD, str(run.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout and other.stdout.readline() == "held\n"
            with pytest.raises(UserError, match="Another process is writing"), run.writing():
                pytest.fail("two writers")
        finally:
            other.kill()
    # A kill leaves the lock's file behind, but nobody holds it.
    with run.writing():
        pass


def test_the_lock_is_given_back_after_an_error(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    with pytest.raises(ZeroDivisionError), run.writing():
        raise ZeroDivisionError
    with run.writing():
        pass


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "state.json"
    replace_file(path, b"one")
    replace_file(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_replacement_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.json"
    replace_file(path, b"one")

    def full(descriptor: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space left"):
        replace_file(path, b"two")
    assert path.read_bytes() == b"one"


def test_the_users_cache_can_be_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEUROGLOSS_CACHE", "/elsewhere")
    assert user_cache() == Path("/elsewhere")
    monkeypatch.delenv("NEUROGLOSS_CACHE")
    assert "neurogloss" in user_cache().parts
