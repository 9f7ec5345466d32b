"""What a pass reads, whatever it is of: documents, images, or the stimuli of an experiment.

document  what is in one half as a whole, and counted once where it occurs twice
section   a part of it that the subject reads in one go
context   a part of that, with an activation of each unit at each of its vectors
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from neurogloss.errors import UserError
from neurogloss.protocols import Progress
from neurogloss.settings import PassSettings
from neurogloss.sources.cache import Site
from neurogloss.sources.corpus import Half
from neurogloss.sources.dictionaries import Dictionary, check_width, open_dictionary
from neurogloss.sources.hookpoints import Hookpoint
from neurogloss.sources.pairs import Cut

if TYPE_CHECKING:
    import torch

DICTIONARIES = 4
"""Dictionaries kept in memory."""


@dataclass(frozen=True, slots=True)
class SectionContext:
    """One context, still as a part of its section."""

    digest: int
    """The context's hash."""
    half: Half
    text: str
    tokens: slice
    """Which of the section's tokens."""
    starts: tuple[int, ...]
    """First character of each token in `text`; the first is 0."""
    picture: str = ""
    """Path of its image, from the folder of all images; empty where there is none."""


class Section(Protocol):
    """What the subject reads in one row."""

    @property
    def contexts(self) -> Sequence[SectionContext]: ...

    @property
    def too_long(self) -> int:
        """Contexts left out because they have too many vectors."""
        ...

    @property
    def size(self) -> int:
        """In what the source counts."""
        ...


class Document(Protocol):
    @property
    def id(self) -> int:
        """Hash of what it holds, in [0, 2^64)."""
        ...


@dataclass(frozen=True)
class Batch:
    """Vectors inside contexts, the contexts one after another."""

    vectors: Mapping[Hookpoint, torch.Tensor]
    """(T, width) for each hookpoint."""
    cuts: Mapping[Hookpoint, Cut]
    """Where the same C contexts lie among those of each hookpoint: maps of images have different sizes."""
    is_score: NDArray[np.bool_]
    """(C,)"""
    silent: NDArray[np.bool_]
    """(T,): positions of special tokens, at which no unit counts as active; (0,) of what has none."""


class Listened(Protocol):
    """What is listened to: a model, or the responses of an experiment."""

    name: str
    """What unit ids call it."""
    fingerprint: str
    """Hash of what it is."""

    @property
    def device(self) -> torch.device: ...

    def hookpoint(self, name: str) -> Hookpoint:
        """Raises UserError where there is none of that name."""
        ...

    def width(self, hookpoint: Hookpoint) -> int:
        """Numbers in a vector there."""
        ...

    def grid(self, hookpoint: Hookpoint) -> tuple[int, int] | None:
        """Rows and columns of the vectors of an image; None of text."""
        ...


class Source(Protocol):
    """A subject with its stimuli."""

    @property
    def subject(self) -> Listened: ...

    @property
    def facts(self) -> Mapping[str, Any]:
        """JSON: what the manifest says of the subject."""
        ...

    @property
    def measure(self) -> str:
        """What sizes are counted in: `tokens`, `images`, `stimuli`."""
        ...

    @property
    def limit(self) -> int:
        """The pass ends with the document that reaches this size in all."""
        ...

    @property
    def origin(self) -> str:
        """Where the stimuli are, as the user named it."""
        ...

    @property
    def pictures(self) -> str:
        """The folder that paths of images start from; empty where there are none."""
        ...

    def shard_size(self, sides: int) -> int:
        """Between two states on disk, with sketches of so many sides."""
        ...

    def documents(self) -> Iterator[Document]:
        """In an order that is the same every time. Raises UserError where they do not read."""
        ...

    def half(self, document: Any) -> Half:
        """The half that a document belongs to; about even over documents."""
        ...

    def sections(self, document: Any) -> Sequence[Any]:
        """The document's sections."""
        ...

    def batches(self, sections: Sequence[Any]) -> Iterator[Sequence[Any]]:
        """Sections that are read together, each with a context at least."""
        ...

    def read(self, sections: Sequence[Any], hookpoints: Sequence[Hookpoint]) -> Batch:
        """Let the subject read sections that each hold a context."""
        ...

    def write_outputs(self, cache: Path, listeners: Sequence[Listener], progress: Progress) -> None:
        """Write what units promote and suppress, where that is known."""
        ...


def columns(contexts: Sequence[SectionContext], before: Mapping[str, int]) -> dict[str, NDArray[Any]]:
    """The contexts as they are stored behind what `before` counts in each column."""
    texts = [context.text.encode() for context in contexts]
    paths = [context.picture.encode() for context in contexts]
    sizes: list[int] = []
    for context, data in zip(contexts, texts, strict=True):
        bounds = (*context.starts, len(context.text))
        if len(data) == len(context.text):
            sizes += [b - a for a, b in zip(bounds[:-1], bounds[1:], strict=True)]
        else:
            sizes += [len(context.text[a:b].encode()) for a, b in zip(bounds[:-1], bounds[1:], strict=True)]
    both = [text + path for text, path in zip(texts, paths, strict=True)]
    return {
        "hashes": np.array([context.digest for context in contexts], np.uint64),
        "is_score": np.array([context.half == "score" for context in contexts], np.uint8),
        "first_byte": _starts([len(data) for data in both]) + before.get("text", 0),
        "first_token": _starts([len(context.starts) for context in contexts]) + before.get("token_bytes", 0),
        "text": np.frombuffer(b"".join(both), np.uint8),
        "token_bytes": np.array(sizes, np.uint16),
    }


def _starts(sizes: Sequence[int]) -> NDArray[np.int64]:
    return np.cumsum([0, *sizes], dtype=np.int64)[:-1]


@dataclass(frozen=True)
class Listener:
    """A dictionary at a hookpoint."""

    hookpoint: Hookpoint
    """What it reads."""
    target: Hookpoint
    """What it reconstructs; the same but for transcoders."""
    dictionary: Dictionary
    site: Site


def listeners(settings: PassSettings, subject: Listened) -> list[Listener]:
    """What the settings mean in this subject, each site once.

    Raises:
        UserError: an unknown hookpoint, a dictionary that does not read or does not fit its hookpoint, numbers
            of hookpoints and dictionaries that do not match, or two dictionaries of one name at one hookpoint.
    """
    found: dict[str, Listener] = {}
    for hookpoint, spec in _places(settings):
        listener = open_listener(subject, hookpoint, spec)
        known = found.setdefault(listener.site.name, listener)
        if known.site.spec != spec:
            raise UserError(
                f"Expected dictionaries of different names at {known.site.hookpoint}, found {known.site.spec} and "
                f"{spec}, both {known.site.dictionary!r}. Rename the folder of one."
            )
    return list(found.values())


def _places(settings: PassSettings) -> Sequence[tuple[str | None, str]]:
    hookpoints, dictionaries = settings.hookpoints, settings.dictionaries
    if not hookpoints:
        return [(None, spec) for spec in dictionaries]
    if len(dictionaries) == 1:
        return [(hookpoint, dictionaries[0]) for hookpoint in hookpoints]
    if len(hookpoints) == 1:
        return [(hookpoints[0], spec) for spec in dictionaries]
    if len(hookpoints) != len(dictionaries):
        raise UserError(
            f"Expected one dictionary for all hookpoints or one for each, found {len(dictionaries)} dictionaries "
            f"and {len(hookpoints)} hookpoints. Give them in pairs."
        )
    return list(zip(hookpoints, dictionaries, strict=True))


def open_listener(subject: Listened, name: str | None, spec: str) -> Listener:
    """The dictionary that `spec` names at a hookpoint, put where the subject is.

    Args:
        name: of the hookpoint; None: where the dictionary's files say.

    Raises:
        UserError: an unknown hookpoint, or a dictionary that does not read or does not fit.
    """
    if name is None:
        dictionary = open_dictionary(spec, None)
        if dictionary.hookpoint is None:
            raise UserError(
                f"Expected the hookpoint at which {spec} listens, which its files do not say. "
                "Give it with --hookpoint."
            )
        hookpoint = subject.hookpoint(dictionary.hookpoint)
        check_width(dictionary, subject.width(hookpoint))
    else:
        hookpoint = subject.hookpoint(name)
        dictionary = open_dictionary(spec, subject.width(hookpoint))
    dictionary = dictionary.to(subject.device)
    target = subject.hookpoint(dictionary.target) if dictionary.target else hookpoint
    site = Site(
        str(hookpoint), dictionary.name, spec, dictionary.n_units, dictionary.signed, subject.grid(hookpoint)
    )
    return Listener(hookpoint, target, dictionary, site)


def opener(subject: Listened) -> Callable[[Site], Listener]:
    """Opens the dictionary of a site on the subject; the latest DICTIONARIES stay in memory."""
    return lru_cache(DICTIONARIES)(lambda site: open_listener(subject, site.hookpoint, site.spec))
