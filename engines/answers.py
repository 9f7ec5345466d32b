"""A cache of answers on disk, found by what was asked: a run that is repeated or resumed asks nothing twice.

1. The key of an answer is a hash of the model's name and of all that decides the answer: conversation, schema,
   tools, temperature, room and seed.
2. What is found is given back as `stored`, at no cost. What is not is asked, and kept where it is an answer:
   failures are asked again.
3. Answers are written in batches, after a second or a few hundred, and at the end. A kill loses the last second
   of them; SQLite's write-ahead log keeps the rest whole, and lets several processes share the file.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from neurogloss.accounts import Usage
from neurogloss.engines.usage import Answer, Reading, Wrapped
from neurogloss.errors import UserError
from neurogloss.foreign import HalfCharacter, read_json, write_json
from neurogloss.llm import ChatModel, Choice, Likelihood, Message, Reply, Request

_log = logging.getLogger(__name__)
_REPLY, _CHOICE = TypeAdapter(Reply), TypeAdapter(Choice)
_LIKELIHOODS, _BLANKS = TypeAdapter(Reading[Likelihood]), TypeAdapter(Reading[tuple[float, ...]])

FORMAT = 2
"""Part of every key: answers that are kept in another form are not found."""
BATCH = 256
"""Answers at most that wait to be written."""
DELAY_S = 1.0
"""Seconds at most that an answer waits."""


class StoredModel(Wrapped):
    """A chat model whose answers are kept in a file, to be used inside one event loop."""

    def __init__(self, chat: ChatModel, path: str | Path) -> None:
        """
        Args:
            chat: asked where the file has no answer.
            path: of the file, made where there is none. One that is damaged is set aside and named in a warning.

        Raises:
            UserError: the file cannot be opened or made.
        """
        super().__init__(chat)
        self._file = AnswerFile(Path(path))

    async def close(self) -> None:
        self._file.close()
        await super().close()

    async def chat(self, request: Request) -> Reply:
        """As the model answers, or once answered."""
        # Whether the server holds to a schema decides how it is told of it.
        form = request.schema is not None and self.features.schema
        return await self._once(_REPLY, lambda: self._chat.chat(request), "chat", request, form)

    async def choose(self, messages: Sequence[Message], choices: Sequence[str]) -> Choice:
        """As the model chooses, or once chose."""
        return await self._once(
            _CHOICE, lambda: self._chat.choose(messages, choices), "choose", tuple(messages), choices
        )

    async def read(self, prefix: str, continuations: Sequence[str]) -> Reading[Likelihood]:
        """As the model reads, or once read; all continuations together."""
        reader = self._reader
        return await self._once(
            _LIKELIHOODS, lambda: reader.read(prefix, continuations), "read", prefix, continuations
        )

    async def fill(self, prefix: str, text: str, mark: str, choices: Sequence[str]) -> Reading[tuple[float, ...]]:
        """As the model fills the blanks, or once filled them."""
        reader, asked = self._reader, (prefix, text, mark, choices)
        return await self._once(_BLANKS, lambda: reader.fill(*asked), "fill", *asked)

    async def _once(self, form: TypeAdapter[Answer], ask: Callable[[], Awaitable[Answer]], *asked: Any) -> Answer:
        """The answer of the file, else of `ask`. All but its cost is kept."""
        key = hashlib.blake2b(write_json([FORMAT, self.name, *asked]), digest_size=16).digest()
        if (found := self._file.get(key)) is not None:
            return form.validate_python({**found, "usage": Usage(stored=1)})
        answer = await ask()
        self._file.put(key, form.dump_python(answer, exclude={"usage"}))
        return answer


class AnswerFile:
    """JSON values by key in SQLite, written in batches."""

    def __init__(self, path: Path) -> None:
        """Raises UserError where the file cannot be opened or made."""
        self.path = path
        self._waiting: dict[bytes, str] = {}
        self._timer: asyncio.TimerHandle | None = None
        try:
            self._connection = self._open()
        except (sqlite3.OperationalError, OSError) as error:
            raise self._unusable(error) from None
        except sqlite3.DatabaseError as error:
            self._set_aside(error)

    def get(self, key: bytes) -> Any:
        """The value, or None."""
        text = self._waiting.get(key)
        try:
            if text is None:
                row = self._connection.execute("SELECT value FROM answers WHERE key = ?", (key,)).fetchone()
                if row is None:
                    return None
                (text,) = row
            return read_json(text)
        except HalfCharacter:
            return None
        except sqlite3.OperationalError as error:
            raise self._unusable(error) from None
        except (sqlite3.DatabaseError, ValueError) as error:
            self._set_aside(error)
            return None

    def put(self, key: bytes, value: Any) -> None:
        """Keep a value; written soon, and by `close` at the latest. Needs a running event loop."""
        self._waiting[key] = write_json(value).decode()
        if len(self._waiting) % BATCH == 0:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(DELAY_S, self.flush)

    def flush(self) -> None:
        """Write what waits. Where another process holds the file, or the disk is full, it waits on."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        try:
            self._write()
        except sqlite3.OperationalError as error:
            _log.warning("%d answers wait to be written to %s: %s", len(self._waiting), self.path, error)
        except sqlite3.DatabaseError as error:
            self._set_aside(error)
            self._write()

    def close(self) -> None:
        self.flush()
        self._connection.close()

    def _write(self) -> None:
        with self._connection:
            self._connection.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?)", self._waiting.items())
        self._waiting.clear()

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.path)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            # A crash of the machine may cost the last answers, never the file.
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS answers (key BLOB PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID"
            )
        except BaseException:
            connection.close()
            raise
        return connection

    def _set_aside(self, error: Exception) -> None:
        """Begin a new file; the damaged one is kept beside it."""
        if hasattr(self, "_connection"):
            self._connection.close()
        damaged = self.path.with_name(self.path.name + ".damaged")
        _log.warning("%s is damaged (%s): now %s, and its answers are asked again", self.path, error, damaged)
        # Another process that shares the file may have done the same just before.
        with suppress(FileNotFoundError):
            self.path.replace(damaged)
        for suffix in ("-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        self._connection = self._open()

    def _unusable(self, error: Exception) -> UserError:
        return UserError(
            f"The answer cache {self.path} cannot be used ({error}). Check its folder and the disk's free space, "
            "or name another file."
        )
