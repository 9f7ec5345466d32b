"""What was answered once is not asked again, whatever happens to the process or the file."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from neurogloss.accounts import Usage
from neurogloss.engines import answers
from neurogloss.engines.answers import AnswerFile, StoredModel
from neurogloss.engines.usage import Reading
from neurogloss.errors import TransportError, UserError
from neurogloss.llm import Choice, Features, Likelihood, Message, Reply, Request, Tool, ToolCall

ASK = (Message("user", "Why?"),)
SPENT, STORED = Usage(1, 0, 7, 1, 2), Usage(stored=1)


class Counting:
    """Gives each question its number; the answer named fails."""

    def __init__(self, name: str = "m", features: Features | None = None, fails: int | None = None) -> None:
        self.name, self.features, self.fails = name, features or Features(), fails
        self.asked = 0

    def count(self) -> int:
        self.asked += 1
        if self.asked == self.fails:
            raise TransportError("away")
        return self.asked

    async def chat(self, request: Request) -> Reply:
        n = self.count()
        return Reply(f"answer {n}", (ToolCall("steer", {"strength": n}, "id"),), SPENT)

    async def choose(self, messages: Sequence[Message], choices: Sequence[str]) -> Choice:
        return Choice({"a": 1 / (1 + self.count()), "b": 0.0}, SPENT)

    async def read(self, prefix: str, continuations: Sequence[str]) -> Reading[Likelihood]:
        return Reading((Likelihood(-float(self.count()), 1),), SPENT)

    async def fill(self, prefix: str, text: str, mark: str, choices: Sequence[str]) -> Reading[tuple[float, ...]]:
        return Reading(((1.0 / self.count(),),), SPENT)


def test_a_second_run_is_served_from_the_first(tmp_path: Path) -> None:
    async def ask(model: Counting) -> tuple[Any, ...]:
        async with StoredModel(model, tmp_path / "new" / "answers.db") as chat:
            reply, choice = await chat.chat(Request(ASK)), await chat.choose(ASK, ["a", "b"])
            return reply, choice, await chat.read("p", ["c"]), await chat.fill("p", "a\tb", "\t", ["a"])

    first, second = Counting(), Counting()
    reply, *others = asyncio.run(ask(first))
    again = asyncio.run(ask(second))
    assert (first.asked, second.asked) == (4, 0)
    assert reply == Reply("answer 1", (ToolCall("steer", {"strength": 1}, "id"),), SPENT)
    assert again == (
        Reply("answer 1", reply.calls, STORED),
        Choice({"a": 1 / 3, "b": 0.0}, STORED),
        Reading((Likelihood(-3.0, 1),), STORED),
        Reading(((0.25,),), STORED),
    )


TOOL = Tool("steer", "Raise the unit.", {"type": "object"})
OTHERS: list[Mapping[str, Any]] = [
    {"messages": (Message("system", "Why?"),)},
    {"messages": (*ASK, Message("assistant", "Because."))},
    {"messages": (Message("user", "Why?", calls=(ToolCall("steer", {}),)),)},
    {"messages": (Message("user", "Why?", answers="id"),)},
    {"messages": (Message("user", "Why?", pictures=(b"a picture",)),)},
    {"messages": (Message("user", "Why?", pictures=(b"a pictura",)),)},
    {"schema": {"type": "object"}},
    {"schema": {"type": "array"}},
    {"tools": (TOOL,)},
    {"temperature": 0.5},
    {"max_tokens": 9},
    {"seed": 1},
]


def test_all_that_decides_an_answer_is_part_of_the_question(tmp_path: Path) -> None:
    async def ask() -> None:
        model = Counting()
        async with StoredModel(model, tmp_path / "answers.db") as chat:
            for _ in range(2):
                await chat.chat(Request(ASK))
                for other in OTHERS:
                    await chat.chat(replace(Request(ASK), **other))
                await chat.choose(ASK, ["a", "b"])
                await chat.choose(ASK, ["b", "a"])
                await chat.read("p", ["c"])
                await chat.read("p", ["d"])
        assert model.asked == 1 + len(OTHERS) + 4
        other_model, other_form = Counting("n"), Counting(features=Features(schema=False))
        async with StoredModel(other_model, tmp_path / "answers.db") as chat:
            await chat.chat(Request(ASK))
        async with StoredModel(other_form, tmp_path / "answers.db") as chat:
            await chat.chat(Request(ASK))
            await chat.chat(Request(ASK, {"type": "object"}))
        assert (other_model.asked, other_form.asked) == (1, 1)

    asyncio.run(ask())


def test_an_answer_with_half_a_surrogate_pair_is_asked_again(tmp_path: Path) -> None:
    """No text can hold it: a file from before it was refused has to do no harm."""

    class Broken(Counting):
        async def chat(self, request: Request) -> Reply:
            return Reply("\ud800" if self.count() == 1 else "whole")

    async def ask(model: Broken) -> str:
        async with StoredModel(model, tmp_path / "answers.db") as chat:
            return (await chat.chat(Request((Message("user", "\udfff", pictures=(b"a picture",)),)))).text

    model = Broken()
    assert [asyncio.run(ask(model)) for _ in range(3)] == ["\ud800", "whole", "whole"]
    assert model.asked == 2


def test_a_failure_is_asked_again(tmp_path: Path) -> None:
    async def ask() -> None:
        model = Counting(fails=1)
        async with StoredModel(model, tmp_path / "answers.db") as chat:
            with pytest.raises(TransportError):
                await chat.chat(Request(ASK))
            assert (await chat.chat(Request(ASK))).text == "answer 2"

    asyncio.run(ask())


def test_answers_are_written_in_batches_and_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "DELAY_S", 0.01)
    path = tmp_path / "answers.db"

    def written() -> int:
        with sqlite3.connect(path) as other:
            return int(other.execute("SELECT count(*) FROM answers").fetchone()[0])

    async def put() -> None:
        file = AnswerFile(path)
        for i in range(answers.BATCH + 1):
            file.put(str(i).encode(), i)
        assert written() == answers.BATCH
        await asyncio.sleep(0.1)
        assert written() == answers.BATCH + 1
        file.put(b"last", 1)
        file.close()
        assert written() == answers.BATCH + 2

    asyncio.run(put())


WRITER = """
import asyncio, sys
from dataclasses import replace
from pathlib import Path
from neurogloss.engines.answers import AnswerFile

async def main():
    file, name = AnswerFile(Path(sys.argv[1])), sys.argv[2]
    for i in range(100_000):
        file.put(f"{name}{i}".encode(), [i] * 20)
        if i == 3_000:
            print("on its way", flush=True)
        if i > 3_000:
            await asyncio.sleep(0.001)

asyncio.run(main())
"""


def test_processes_share_the_file_and_a_kill_does_it_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "answers.db"
    command = [sys.executable, "-c", WRITER, str(path)]
    writers = [subprocess.Popen([*command, name], stdout=subprocess.PIPE, text=True) for name in "ab"]
    for writer in writers:
        assert writer.stdout is not None and writer.stdout.readline() == "on its way\n"
        os.kill(writer.pid, signal.SIGKILL)
        writer.communicate()
    file = AnswerFile(path)
    kept = [i for i in range(3_000) for name in "ab" if file.get(f"{name}{i}".encode()) == [i] * 20]
    with sqlite3.connect(path) as other:
        assert other.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    file.close()
    assert len(kept) >= 2 * (3_000 - answers.BATCH)


@pytest.mark.parametrize("where", [0, 4096])
def test_a_damaged_file_is_set_aside_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, where: int
) -> None:
    """The first page says what the file is; the second one holds answers, and is read later."""
    path = tmp_path / "answers.db"

    async def ask() -> list[str]:
        async with StoredModel(Counting(), path) as chat:
            return [(await chat.chat(Request(ASK, seed=seed))).text for seed in range(300)]

    before = asyncio.run(ask())
    data = bytearray(path.read_bytes())
    data[where : where + 2_048] = b"\xff" * 2_048
    path.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        assert asyncio.run(ask()) == before
    assert f"{path} is damaged" in caplog.text and (tmp_path / "answers.db.damaged").is_file()
    caplog.clear()
    assert asyncio.run(ask()) == before
    assert caplog.text == ""


def test_a_place_that_cannot_hold_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file" / "answers.db"):
        with pytest.raises(UserError, match="answer cache"):
            StoredModel(Counting(), path)


def test_answers_wait_while_another_process_holds_the_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "answers.db"

    async def put() -> None:
        file = AnswerFile(path)
        file._connection.execute("PRAGMA busy_timeout = 1")
        with sqlite3.connect(path) as other:
            other.execute("BEGIN IMMEDIATE")
            file.put(b"key", "kept")
            file.flush()
            assert "wait to be written" in caplog.text
        file.close()

    asyncio.run(put())
    again = AnswerFile(path)
    assert again.get(b"key") == "kept"
    again.close()
