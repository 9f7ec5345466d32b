"""One run out of several that read different documents alike.

1. The runs must agree in everything that decides a sample: subject, sites, thresholds, lengths of contexts and
   samples, seed. Their documents must be different ones.
2. Their sketches merge: the best of each sample is kept, and counts are added.
3. Their contexts are put one after another.

The samples are those, byte for byte, that one pass over all the documents would have kept.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from neurogloss.errors import UserError
from neurogloss.folder import RunFolder, replace_file
from neurogloss.ids import canonical_json
from neurogloss.sources import contexts as table
from neurogloss.sources.cache import Cache, checksums, read_arrays, read_sketches, sketch_folder, write_sketches
from neurogloss.sources.corpus import Fingerprint

MAY_DIFFER = ("corpus", "column", "tokens", "shard_tokens", "device")
"""Settings that runs to be merged need not share."""


def merge(run: RunFolder, others: Sequence[RunFolder]) -> dict[str, Any]:
    """Fill an empty run folder with what finished runs hold together.

    Returns:
        The manifest.

    Raises:
        UserError: the folder is not empty, a run is unfinished, or two of them do not go together; nothing is
            written then.
    """
    if len(others) < 2:
        raise UserError(f"Expected two runs or more to merge, found {len(others)}.")
    caches = [Cache(other.require().cache) for other in others]
    for cache in caches:
        if (measure := cache.measure) != "tokens":
            raise UserError(
                f"Expected runs over texts, found one over {measure} in {cache.path.parent}. Collect all in "
                "one run."
            )
        cache.verify()
        _check(caches[0], cache)
    _check_disjoint(caches)
    with run.writing():
        if run.cache.exists():
            raise UserError(f"Expected a new run folder at {run.path}, found one with a cache. Name another.")
        temporary = run.path / ".cache.tmp"
        shutil.rmtree(temporary, ignore_errors=True)  # of a merge that was killed
        manifest = _write(temporary, caches)
        temporary.rename(run.cache)
        return manifest


def _check(first: Cache, other: Cache) -> None:
    a, b = first.manifest, other.manifest
    differing = [
        name for name in a["settings"] if name not in MAY_DIFFER and a["settings"][name] != b["settings"].get(name)
    ]
    differing += [name for name in ("subject", "sites", "dictionaries") if a[name] != b[name]]
    if differing:
        raise UserError(
            f"Expected runs that were collected alike, found {first.path.parent} and {other.path.parent} with "
            f"different {', '.join(differing)}. Collect one of them again with the other's."
        )
    mine, theirs = (read_arrays(cache.path / "thresholds.safetensors") for cache in (first, other))
    if any(not np.array_equal(mine[name], theirs[name]) for name in mine):
        raise UserError(
            f"Expected the same thresholds in {first.path.parent} and {other.path.parent}, found others: units "
            "that are never zero are active above a quantile of the first contexts read. "
            "Collect both corpora in one run."
        )


def _check_disjoint(caches: Sequence[Cache]) -> None:
    hashes = np.concatenate([cache.hashes(half) for cache in caches for half in table.HALVES])
    twice = len(hashes) - len(np.unique(hashes))
    if twice:
        raise UserError(
            f"Expected runs over different documents, found {twice:,} contexts that two of them share. "
            "Drop what they have in common from one corpus."
        )


def combine(folder: Path, caches: Sequence[Cache]) -> dict[str, Any]:
    """Write contexts and sketches of all caches to `folder`, the contexts in the order of the caches.

    Returns:
        What the manifest says of them: corpus, counts, columns.
    """
    columns: dict[str, int] = {}
    for cache in caches:
        rows = cache.contexts.columns
        shift = {"first_byte": columns.get("text", 0), "first_token": columns.get("token_bytes", 0)}
        moved = {name: array + shift[name] if name in shift else array for name, array in rows.items()}
        table.append(folder / "contexts", moved)
        columns = table.lengths(folder / "contexts")
    table.write_order(folder / "contexts", columns)
    names = [site.name for site in caches[0].sites]
    sketches = read_sketches(sketch_folder(caches[0].path, None), names)
    for cache in caches[1:]:
        for key, sketch in read_sketches(sketch_folder(cache.path, None), names).items():
            sketches[key].merge(sketch)
    for sketch in sketches.values():
        sketch.sort()
    write_sketches(sketch_folder(folder, None), sketches)
    manifests = [cache.manifest for cache in caches]
    documents = [Fingerprint(**manifest["corpus"]) for manifest in manifests]
    total = Fingerprint(sum(d.documents for d in documents), sum(d.total for d in documents) % 2**64)
    return {
        "corpus": asdict(total),
        "counts": {name: sum(m["counts"][name] for m in manifests) for name in manifests[0]["counts"]},
        "columns": columns,
    }


def _write(folder: Path, caches: Sequence[Cache]) -> dict[str, Any]:
    found = combine(folder, caches)
    first, manifests = caches[0].path, [cache.manifest for cache in caches]
    for file in (first / "thresholds.safetensors", first / "vocabulary.json", *(first / "outputs").glob("*")):
        replace_file(folder / file.relative_to(first), file.read_bytes())
    manifest = {
        **manifests[0],
        **found,
        "settings": {
            **manifests[0]["settings"],
            "corpus": " + ".join(manifest["settings"]["corpus"] for manifest in manifests),
            "tokens": found["counts"]["tokens"],
        },
        "limit": found["counts"]["tokens"],
        "files": checksums(folder),
    }
    replace_file(folder / "manifest.json", canonical_json(manifest).encode())
    return manifest
