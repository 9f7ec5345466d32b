"""Progress: bars with a rate in a terminal, lines in a log, nothing where nothing was begun."""

from __future__ import annotations

import io
import re
from types import SimpleNamespace

import pytest
from rich.console import Console

from neurogloss.cli import progress


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What is drawn on a terminal of 100 columns."""
    drawn = io.StringIO()
    console = Console(file=drawn, force_terminal=True, width=100, markup=False, highlight=False)
    monkeypatch.setattr(progress, "_console", lambda: console)
    return drawn


def last_frame(drawn: io.StringIO) -> str:
    """The text that stays, without the signs that move the cursor."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn.getvalue()).split("\r")[-1]


def test_a_bar_shows_a_rate_also_where_the_total_was_a_guess(terminal: io.StringIO) -> None:
    with progress.Bars() as bars:
        bars.start("collecting", 1000, "tokens", done=400)
        bars.advance(300)
        bars.start("explaining", 2, "units")
        bars.advance()
        bars.advance()
    frame = last_frame(terminal)
    assert "collecting" in frame and "700/700" in frame
    assert re.search(r"[\d,.]+ tokens/s", frame) and re.search(r"[\d,.]+ units/s", frame)


def test_a_bar_without_a_total(terminal: io.StringIO) -> None:
    with progress.Bars() as bars:
        bars.start("converting", None, "step")
        bars.note("[one] note\x1b")
    frame = last_frame(terminal)
    assert "converting" in frame and "step/s" not in frame
    assert "[one] note␛" in terminal.getvalue()


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_begun_draws_nothing(terminal: io.StringIO, fails: bool) -> None:
    try:
        with progress.Bars():
            if fails:
                raise KeyError
    except KeyError:
        pass
    assert terminal.getvalue() == ""


def test_a_task_that_broke_off_is_not_shown_as_done(terminal: io.StringIO) -> None:
    with pytest.raises(KeyError), progress.Bars() as bars:
        bars.start("collecting", 1000, "tokens")
        bars.advance(10)
        raise KeyError
    assert "10/1000" in last_frame(terminal)


def test_a_log_gets_lines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    with progress.Bars() as lines:
        lines.start("collecting", 1000, "tokens", done=400)
        clock[0] = 104.0
        lines.advance(100)
        clock[0] = 110.0
        lines.advance(100)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "collecting: 400 of 1,000 tokens",
        "collecting: 600 of 1,000 tokens, 20.0 tokens/s, 20 s left",
    ]
