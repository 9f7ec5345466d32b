"""Live subjects, to try texts and to steer: each loaded on first use, and asked one thing at a time.

Few may wait for them, so that threads stay for those who only read; the others are told to come again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import BoundedSemaphore, Lock
from typing import TYPE_CHECKING

from neurogloss.agent.models import text_settings
from neurogloss.errors import UserError
from neurogloss.ids import UnitId
from neurogloss.protocols import Steering
from neurogloss.records import Example
from neurogloss.runs.firing import Firing
from neurogloss.scorers.choice import prompt_texts
from neurogloss.settings import LabelSettings
from neurogloss.sources.cache import Cache
from neurogloss.sources.evidence import evidence
from neurogloss.web.options import Options
from neurogloss.web.problems import Refusal
from neurogloss.web.readers import Reader

if TYPE_CHECKING:
    from neurogloss.sources.live import UnitReader
    from neurogloss.sources.steering import LiveSubject
    from neurogloss.sources.subject import Subject

WAITING = 4
"""Requests that are answered or wait for it, at most."""
PROMPTS = LabelSettings.model_fields["prompts"].default
"""Silent contexts on which a strength is set."""


class Live:
    """The subjects of the served runs."""

    def __init__(self, options: Options) -> None:
        self._enabled = options.live
        self._room, self._steering, self._one = BoundedSemaphore(WAITING), Lock(), Lock()
        self._subjects: dict[tuple[str, ...], Subject] = {}
        self._loaded: dict[str, tuple[Cache, UnitReader]] = {}

    def available(self, reader: Reader) -> bool:
        """Whether texts can be tried on the run's subject."""
        return self._enabled and reader.cache is not None and reader.cache.measure == "tokens"

    def firing(self, reader: Reader, text: str, k: int, where: str) -> list[Firing]:
        """As `Run.firing`."""
        with self._subject_of(reader) as subject:
            return reader.run.firing(text, k, where=where, reader=subject)

    def activations(self, reader: Reader, unit: UnitId, text: str) -> Example:
        """The text with the unit's activations. Raises UserError where it has no token or too many."""
        with self._subject_of(reader) as subject:
            return subject.examples(unit, [text])[0]

    def steer(
        self, reader: Reader, unit: UnitId, prompts: Sequence[str], kl: float | None, strength: float | None
    ) -> Steering:
        """The prompts continued with the unit raised: by `strength`, or so that silent contexts change by `kl`.

        Raises:
            UserError: both are given, or the subject cannot continue texts, or a prompt is too long.
        """
        if kl is not None and strength is not None:
            raise UserError("Expected kl or strength, found both. Leave one of them out.")
        if not self._steering.acquire(blocking=False):
            raise _busy("another steers")
        try:
            with self._subject_of(reader) as units:
                subject = _steered(units)
                if strength is None:
                    silent = evidence(reader.run.cache, unit).explain.negatives
                    strength = subject.strength(unit, prompt_texts(silent, PROMPTS), kl)
                return subject.steer_by(unit, prompts, strength)
        finally:
            self._steering.release()

    @contextmanager
    def _subject_of(self, reader: Reader) -> Iterator[UnitReader]:
        if not self.available(reader):
            why = "one that reads none" if self._enabled else "a service without live subjects"
            raise UserError(f"Expected a run whose subject reads texts, and `serve --live`; found {why}.")
        if not self._room.acquire(blocking=False):
            raise _busy(f"{WAITING} others wait")
        try:
            with self._one:
                yield self._load(reader)
        finally:
            self._room.release()

    def _load(self, reader: Reader) -> UnitReader:
        from neurogloss.sources.live import UnitReader
        from neurogloss.sources.steering import LiveSubject
        from neurogloss.sources.subject import Subject

        cache = reader.run.cache
        known, loaded = self._loaded.get(reader.name, (None, None))
        if loaded is None or known is not cache:
            settings = text_settings(cache)
            key = (settings.subject, settings.dtype, settings.device, settings.bos)
            if key not in self._subjects:
                self._subjects[key] = Subject.of(settings)
            subject = self._subjects[key]
            # An encoder is read as any other, but continues no text.
            kind = LiveSubject if subject.model.get_output_embeddings() is not None else UnitReader
            loaded = kind(subject, cache.sites)
            self._loaded[reader.name] = cache, loaded
        return loaded


def _steered(units: UnitReader) -> LiveSubject:
    """Raises UserError where it cannot continue texts."""
    from neurogloss.sources.steering import LiveSubject

    units.subject.require_head()
    assert isinstance(units, LiveSubject)
    return units


def _busy(why: str) -> Refusal:
    return Refusal(429, "busy", f"Expected a subject that is free; {why}. Try again.", {"Retry-After": "2"})
