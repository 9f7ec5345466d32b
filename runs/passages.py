"""The contexts of a run, searched for what they say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from neurogloss.folder import RunFolder
from neurogloss.protocols import Embedder, Progress, Quiet
from neurogloss.sources.cache import Cache
from neurogloss.sources.contexts import HALVES
from neurogloss.store.catalogue import Catalogue
from neurogloss.store.documents import Document
from neurogloss.store.search import By, search_contexts

_BATCH = 256


@dataclass(frozen=True, slots=True)
class FoundContext:
    """A context that is near to a query."""

    id: str
    """Its hash, 16 hexadecimal digits."""
    text: str
    half: str
    """`explain` or `score`."""
    similarity: float
    """Cosine of query and text, in [-1, 1], to three digits; NaN where search went by words alone."""
    same: int
    """Contexts of the same text that pass the filter, this one among them."""


def catalogue_of(folder: RunFolder, embedder: Embedder) -> Catalogue:
    """Where the contexts are found; made by `index_contexts`."""
    return Catalogue(folder.index, embedder, "contexts", "index contexts")


def index_contexts(folder: RunFolder, cache: Cache, embedder: Embedder, progress: Progress | None = None) -> int:
    """Embed the contexts that the catalogue has not yet; returns how many. A kill loses one batch at most."""
    progress = progress or Quiet()
    catalogue = catalogue_of(folder, embedder)
    known = set(catalogue.ids()) if catalogue.exists() else set()
    total = sum(len(cache.hashes(half)) for half in HALVES)
    progress.start("index", total, "contexts", len(known))
    documents, added = _documents(cache, known), 0
    while batch := list(islice(documents, _BATCH)):
        catalogue.add(batch, embedder.embed([document.text for document in batch]))
        added += len(batch)
        progress.advance(len(batch))
    catalogue.close()
    return added


def find_contexts(
    folder: RunFolder, cache: Cache, embedder: Embedder, query: str, k: int, where: str, by: By
) -> list[FoundContext]:
    """The k contexts nearest to the query, best first. Raises UserError where they are not indexed."""
    catalogue = catalogue_of(folder, embedder)
    found = search_contexts(catalogue, embedder, query, k, where=where, by=by)
    stored = catalogue.stored([each.id for each in found])
    catalogue.close()
    return [
        FoundContext(
            each.id, cache.context(int(each.id, 16)).text, str(stored[each.id]["half"]), each.similarity, each.same
        )
        for each in found
    ]


def _documents(cache: Cache, known: set[str]) -> Iterator[Document]:
    for half in HALVES:
        for digest in cache.hashes(half).tolist():
            context = cache.context(digest)
            if context.id not in known:
                yield Document(context.id, context.text, {"half": half})
