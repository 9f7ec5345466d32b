"""A collected run of planted units: a cache like any other, made without a model.

1. The corpus is cut into contexts as a pass cuts it; its tokens are words and signs.
2. Each unit's activations are those of its rule, context by context.
3. They go into the sketches, each half its own, and everything is written as a pass writes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice

import numpy as np
from safetensors.numpy import save

from benchmarks.planted.rules import tokenize
from benchmarks.planted.units import Unit
from neurogloss.folder import RunFolder, replace_file
from neurogloss.ids import UnitId, canonical_json, content_id
from neurogloss.settings import CollectSettings
from neurogloss.sources import contexts as table
from neurogloss.sources.cache import VERSION, Cache, Site, checksums, sketch_folder, write_sketches
from neurogloss.sources.contexts import HALVES, MAX_TOKENS
from neurogloss.sources.corpus import Fingerprint, Half, half_of, read_documents
from neurogloss.sources.pairs import Cut, Entries, pairs_of_entries
from neurogloss.sources.sketch import Sketch
from neurogloss.sources.source import SectionContext, columns
from neurogloss.sources.subject import Tokens
from neurogloss.sources.texts import sections_of

SUBJECT, HOOKPOINT, DICTIONARY = "planted", "text", "rules"


def unit_id(index: int) -> UnitId:
    """The planted unit of that number."""
    return UnitId(SUBJECT, HOOKPOINT, DICTIONARY, index)


def collect(run: RunFolder, units: Sequence[Unit], documents: int | None = None) -> Cache:
    """Fill an empty run folder with the units' activations over the demo corpus.

    Args:
        documents: the first so many of the corpus; None: all.
    """
    settings = CollectSettings(subject=SUBJECT, hookpoints=(HOOKPOINT,), dictionaries=(DICTIONARY,))
    site = Site(HOOKPOINT, DICTIONARY, DICTIONARY, len(units), signed=False)
    texts = list(islice(read_documents(settings.corpus), documents))
    fingerprint, found = Fingerprint(), list[SectionContext]()
    for document in texts:
        fingerprint = fingerprint.add(document.id)
        sections = sections_of(document, half_of(document.id, settings.seed), _tokens, settings.context_chars)
        found += [context for section in sections for context in section.contexts]
    with run.writing():
        sketches = {
            (site.name, half): _sketch([c for c in found if c.half == half], units, settings) for half in HALVES
        }
        write_sketches(sketch_folder(run.cache, None), sketches)
        table.append(run.cache / "contexts", columns(found, {}))
        lengths = table.lengths(run.cache / "contexts")
        table.write_order(run.cache / "contexts", lengths)
        thresholds = {site.name: np.zeros(site.sides, np.float32)}
        replace_file(run.cache / "thresholds.safetensors", save(thresholds))
        manifest = {
            "version": VERSION,
            "complete": True,
            "settings": settings.model_dump(mode="json"),
            "subject": {
                "name": SUBJECT,
                "fingerprint": content_id([unit.rule.words for unit in units]),
                "bos": None,
            },
            "sites": [asdict(site)],
            "dictionaries": {site.name: {"format": "planted"}},
            "parity": {},
            "corpus": asdict(fingerprint),
            "counts": {
                "documents": len(texts),
                "contexts": len(found),
                "contexts_too_long": 0,
                "tokens": sum(len(context.starts) for context in found),
            },
            "columns": lengths,
            "shards_done": 1,
            "files": checksums(run.cache),
        }
        replace_file(run.cache / "manifest.json", canonical_json(manifest).encode())
    return Cache(run.cache)


def texts_of(cache: Cache, half: Half) -> list[str]:
    """The texts of one half's contexts, by hash."""
    return [cache.context(digest).text for digest in cache.hashes(half).tolist()]


def _sketch(contexts: Sequence[SectionContext], units: Sequence[Unit], settings: CollectSettings) -> Sketch:
    """What is kept of the units in the contexts of one half."""
    lengths = np.array([len(context.starts) for context in contexts])
    cut = Cut(np.array([c.digest for c in contexts], np.uint64), np.cumsum(lengths) - lengths, lengths)
    entries = [
        (start + position, index, value)
        for tokens, start in zip(map(_tokens_in, contexts), cut.starts.tolist(), strict=True)
        for index, unit in enumerate(units)
        for position, value in enumerate(unit.activations(tokens))
        if value
    ]
    vectors, sides, values = zip(*entries, strict=True) if entries else ((), (), ())
    codes = Entries(np.array(vectors, np.int64), np.array(sides, np.int64), np.array(values, np.float32))
    sketch = Sketch.empty(len(units), settings.top, settings.uniform, MAX_TOKENS)
    sketch.take(pairs_of_entries(codes, cut, len(units), False, MAX_TOKENS), len(cut))
    sketch.sort()
    return sketch


def _tokens(text: str) -> Tokens:
    tokens = tokenize(text)
    ends = np.cumsum([len(token) for token in tokens]).tolist()
    return Tokens(tuple(range(len(tokens))), (0, *ends[:-1]) if tokens else ())


def _tokens_in(context: SectionContext) -> tuple[str, ...]:
    bounds = (*context.starts, len(context.text))
    return tuple(context.text[a:b] for a, b in zip(bounds[:-1], bounds[1:], strict=True))
