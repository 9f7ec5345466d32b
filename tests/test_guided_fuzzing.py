"""Fuzzing that is guided by coverage finds what chance does not, and says so."""

from __future__ import annotations

import inspect
from pathlib import Path

import damage
import pytest
from hypothesis import strategies as st


def careless(data: bytes) -> None:
    """Fails on one in four thousand million inputs."""
    if data[:1] == b"F":
        if data[1:2] == b"u":
            if data[2:3] == b"z":
                if data[3:4] == b"z":
                    raise RuntimeError("four bytes in a row")


def test_it_reaches_what_lies_behind_several_conditions(capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("atheris")
    import guidance

    with pytest.raises(AssertionError, match="the fuzzer ended"):
        guidance.run(careless, 60, careless.__module__)
    assert "four bytes in a row" in capfd.readouterr().out
    guidance.run(lambda data: None, 1, careless.__module__)


def test_a_test_on_damaged_files_keeps_its_fixtures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = []

    def test(tmp_path: Path, data: int) -> None:
        found.append((tmp_path, data))

    damage.fuzzed(2, data=st.integers(0, 9))(test)(tmp_path=tmp_path)
    assert 10 <= len(found) <= 2 * damage.EXAMPLES and {path for path, _ in found} == {tmp_path}
    pytest.importorskip("atheris")
    import guidance

    found.clear()
    monkeypatch.setattr(damage, "SECONDS", 7)
    monkeypatch.setattr(guidance, "run", lambda once, seconds: (once(bytes(64)), found.append(seconds)))
    guided = damage.fuzzed(data=st.integers(0, 9))(test)
    assert list(inspect.signature(guided).parameters) == ["tmp_path"]
    guided(tmp_path=tmp_path)
    assert found == [(tmp_path, 0), 7]
