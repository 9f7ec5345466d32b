"""What a pass over the corpus leaves on disk, and how it is read by unit.

    manifest.json                     settings, subject, sites, counts; written last, atomically
    contexts/                         the contexts, text and token positions, once (`neurogloss.sources.contexts`)
    thresholds.safetensors            what active means, by site and side
    outputs/SITE.safetensors          tokens that each unit promotes and suppresses
    vocabulary.json                   the text of those tokens
    sketches/000012/SITE.HALF/*.npy   the sketches after shard 12, one array a file, while the pass goes on
    sketches/sorted/SITE.HALF/*.npy   the sketches when all is read, each sample in order

A site is a dictionary at a hookpoint. The manifest names the newest complete set of sketches. A file that it does
not name is left over from a killed pass: it is written again or deleted. Arrays are mapped into memory, so that
one unit is read without the others.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from neurogloss.errors import UserError
from neurogloss.folder import replacing
from neurogloss.ids import UnitId
from neurogloss.records import Activity, Context, Example, OutputTokens, UnitStatistics
from neurogloss.sources.block import Block, Kind
from neurogloss.sources.contexts import HALVES, MAX_TOKENS, Contexts, Pool, damaged
from neurogloss.sources.corpus import Half
from neurogloss.sources.sketch import Sketch

VERSION = 2
"""Of the folder's layout, as the manifest has it."""


@dataclass(frozen=True, slots=True)
class Site:
    """A dictionary at a hookpoint, as the manifest has it."""

    hookpoint: str
    dictionary: str
    """The dictionary's name."""
    spec: str
    """What opens the dictionary."""
    units: int
    signed: bool
    grid: tuple[int, int] | None = None
    """Of images: rows and columns of cells for which activations are kept."""

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Site:
        """From its JSON."""
        grid = stored.get("grid")
        return cls(**{**stored, "grid": grid and (grid[0], grid[1])})

    @property
    def name(self) -> str:
        """In the names of files."""
        return f"{self.hookpoint}.{self.dictionary}"

    @property
    def sides(self) -> int:
        return self.units * (2 if self.signed else 1)

    @property
    def window(self) -> int:
        """Activations kept of a context at most."""
        return self.grid[0] * self.grid[1] if self.grid else MAX_TOKENS

    def side(self, unit: UnitId) -> int:
        """Row of the unit's side in the sketches. Raises UserError where there is no such unit here."""
        negative = unit.sign < 0
        if not 0 <= unit.index < self.units or (negative and not self.signed):
            first = "0-" if self.signed and negative else "0"
            raise UserError(
                f"Expected an index from {first} to {self.units - 1} at {self.hookpoint}, found {unit.index}"
                f"{'-' * negative}{'' if self.signed else '; units there have one side'}."
            )
        return unit.index + self.units * negative


class Cache:
    """A finished cache, read only.

    Raises:
        UserError: the folder holds no cache, an unfinished one, or one that does not read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest = read_manifest(path)
        if not self.manifest.get("complete"):
            raise UserError(
                f"The collection in {path.parent} is not finished. Run the same collect command again."
            )
        try:
            self.subject: str = self.manifest["subject"]["name"]
            self.measure: str = self.manifest["measure"]
            """What it is counted in: `tokens` of texts, `images` or `stimuli`."""
            self.sites = [Site.of(site) for site in self.manifest["sites"]]
            self._sites = {(site.hookpoint, site.dictionary): site for site in self.sites}
        except (AttributeError, LookupError, TypeError) as error:
            raise damaged(path / "manifest.json", error) from error

    def units(self) -> Iterator[UnitId]:
        """Every unit, site by site, the positive side first."""
        for site in self.sites:
            for side in range(site.sides):
                sign = 1 if side < site.units else -1
                yield UnitId(self.subject, site.hookpoint, site.dictionary, side % site.units, sign)

    def alive(self, min_active: int) -> list[UnitId]:
        """Units with at least `min_active` active contexts in each half."""
        enough = {
            site: np.minimum(*(self._arrays(site, half)["n_active"] for half in HALVES)) >= min_active
            for site in self.sites
        }
        return [unit for unit in self.units() if enough[self.site(unit)][self.side(unit)]]

    def site(self, unit: UnitId) -> Site:
        """Where the unit is. Raises UserError where the cache has no such place."""
        site = self._sites.get((unit.hookpoint, unit.dictionary))
        if site is None or unit.subject != self.subject:
            known = ", ".join(f"{self.subject}/{site.hookpoint}/{site.dictionary}" for site in self.sites)
            raise UserError(f"Expected a unit of {known}; found {unit}.")
        return site

    def side(self, unit: UnitId) -> int:
        """Row of the unit's side in the sketches. Raises UserError where the cache has no such unit."""
        return self.site(unit).side(unit)

    def block(self, units: Sequence[UnitId]) -> Block:
        """Units of one site, to be read in one go. Raises UserError where the cache has no such unit."""
        site = self.site(units[0])
        logits = self._outputs(site.name)
        return Block(
            np.array(list(map(self.side, units))),
            {half: self._arrays(site, half) for half in HALVES},
            self._thresholds[site.name],
            self.contexts.get,
            site.grid,
            site.units,
            logits,
            {} if logits is None else self._vocabulary,
        )

    def statistics(self, unit: UnitId) -> UnitStatistics:
        """Counts over both halves."""
        return self.block([unit]).statistics()[0]

    def activity(self, unit: UnitId) -> Activity:
        """How often the unit fires: see `neurogloss.records.Activity`."""
        return self.block([unit]).activities()[0]

    def examples(self, unit: UnitId, half: Half, kind: Kind, n: int | None = None) -> list[Example]:
        """The kept contexts of one sample, by descending peak, the first n at most."""
        return next(self.block([unit]).samples(half, kind, n))

    def uniform_hashes(self, unit: UnitId, half: Half) -> NDArray[np.uint64]:
        """(U,) hashes of the uniform sample, ascending, EMPTY in free slots."""
        hashes: NDArray[np.uint64] = self._arrays(self.site(unit), half)["uniform_hashes"][self.side(unit)]
        return hashes

    def uniform_samples(self, half: Half) -> list[NDArray[np.uint64]]:
        """(sides, U) hashes of every side's uniform sample, site by site."""
        return [self._arrays(site, half)["uniform_hashes"] for site in self.sites]

    @cached_property
    def pool(self) -> Callable[[Half], Pool]:
        """The first contexts of a half by hash: where negatives of a kind are looked for."""
        return lru_cache(None)(lambda half: Pool(self.contexts, half))

    def hashes(self, half: Half) -> NDArray[np.uint64]:
        """Hashes of all contexts of a half, ascending."""
        return self.contexts.hashes(half)

    def context(self, digest: int) -> Context:
        """The context with that hash."""
        return self.contexts.get(digest)

    @cached_property
    def contexts(self) -> Contexts:
        return Contexts(self.path / "contexts", self.manifest["columns"], self.manifest.get("pictures", ""))

    def output_tokens(self, unit: UnitId, n: int = 10) -> OutputTokens | None:
        """What the unit's side promotes and suppresses; None where its direction has no way to the logits."""
        return self.block([unit]).output_tokens(n)[0]

    @contextmanager
    def undamaged(self) -> Iterator[None]:
        """What reading a damaged file runs into becomes a UserError that names it, by its checksum."""
        try:
            yield
        except UserError:
            raise
        except Exception:
            self.verify()
            raise

    def verify(self) -> None:
        """Hold every file against the manifest's checksums. Raises UserError that names those that changed."""
        found = checksums(self.path)
        wanted: dict[str, str] = self.manifest["files"]
        changed = sorted(name for name in wanted if found.get(name) != wanted[name])
        if changed:
            raise UserError(
                f"Expected the files that were collected in {self.path}, found {', '.join(changed[:5])} "
                "missing or changed. Collect again into a new run folder."
            )

    @cached_property
    def _arrays(self) -> Any:
        """The mapped arrays of a site's half."""
        folder = sketch_folder(self.path, None)
        return lru_cache(None)(lambda site, half: read_sketch(folder / f"{site.name}.{half}", mapped=True))

    @cached_property
    def _outputs(self) -> Callable[[str], dict[str, NDArray[Any]] | None]:
        """A site's output tokens, None where it has none."""

        def read(site: str) -> dict[str, NDArray[Any]] | None:
            path = self.path / "outputs" / f"{site}.safetensors"
            return read_arrays(path) if path.is_file() else None

        return lru_cache(8)(read)

    @cached_property
    def _thresholds(self) -> dict[str, NDArray[Any]]:
        return read_arrays(self.path / "thresholds.safetensors")

    @cached_property
    def _vocabulary(self) -> dict[int, str]:
        text = (self.path / "vocabulary.json").read_text(encoding="utf-8")
        return {int(i): token for i, token in json.loads(text).items()}


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of a cache folder. Raises UserError where there is none that reads."""
    file = path / "manifest.json"
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"Expected collected activations in {path}, found none. "
            f"Collect them first:  neurogloss collect {path.parent} --hookpoint HOOKPOINT"
        ) from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file} is damaged ({error}). Collect again into a new run folder.") from None
    if not isinstance(manifest, dict) or manifest.get("version") != VERSION:
        raise UserError(
            f"Expected version {VERSION} of a cache in {file}, found another. Collect again into a new run folder."
        )
    # Caches from before there were other kinds are of texts.
    return {"measure": "tokens", **manifest}


def sketch_folder(cache: Path, shards_done: int | None) -> Path:
    """The sketches after so many shards; None: when all is read."""
    return cache / "sketches" / ("sorted" if shards_done is None else f"{shards_done:06}")


def write_sketches(folder: Path, sketches: dict[tuple[str, Half], Sketch]) -> None:
    """One folder a site and half."""
    for (site, half), sketch in sketches.items():
        for name, array in sketch.arrays().items():
            with replacing(folder / f"{site}.{half}" / f"{name}.npy") as file:
                np.save(file, array, allow_pickle=False)


def read_sketches(folder: Path, sites: Sequence[str]) -> dict[tuple[str, Half], Sketch]:
    """What `write_sketches` wrote. Raises UserError where a file is missing or damaged."""
    return {
        (site, half): Sketch.of_arrays(read_sketch(folder / f"{site}.{half}", mapped=False))
        for site in sites
        for half in HALVES
    }


def read_sketch(folder: Path, mapped: bool) -> dict[str, NDArray[Any]]:
    """The arrays of one sketch. Raises UserError where one is missing or damaged."""
    arrays = {}
    for name in Sketch.names():
        path = folder / f"{name}.npy"
        try:
            # As a plain array: a memmap object costs microseconds at every access.
            arrays[name] = np.asarray(np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False))
        except (OSError, ValueError, EOFError) as error:
            raise damaged(path, error) from None
    return arrays


def checksums(cache: Path) -> dict[str, str]:
    """blake2b (128 bits) of every file but the manifest, by path."""
    digests = {}
    for path in sorted(cache.rglob("*")):
        if path.is_file() and path.name != "manifest.json":
            digest = blake2b(digest_size=16)
            with open(path, "rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
            digests[path.relative_to(cache).as_posix()] = digest.hexdigest()
    return digests


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Every array of a safetensors file. Raises UserError where it is missing or damaged."""
    try:
        with safe_open(path, "numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}
    except (OSError, SafetensorError) as error:
        raise damaged(path, error) from None
