"""What a pass over the corpus leaves on disk, and how it is read by unit.

    manifest.json                     settings, subject, units, shards done; written last, atomically
    contexts/000012.safetensors       the contexts of one shard of documents: text and token positions, once
    thresholds.safetensors            what active means, by hookpoint and side
    outputs/HOOKPOINT.safetensors     tokens that each unit promotes and suppresses
    vocabulary.json                   the text of those tokens
    sketches/000012/HOOKPOINT.HALF.safetensors   the sketches after shard 12

The manifest names the newest complete set of sketches. A file that it does not name is left over from a
killed pass: it is written again or deleted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from neurogloss.errors import UserError
from neurogloss.folder import replace_file
from neurogloss.ids import UnitId
from neurogloss.records import Context, Example, OutputTokens, UnitStatistics
from neurogloss.sources.corpus import Half
from neurogloss.sources.sketch import FIXED_POINT, Sketch

HALVES: tuple[Half, Half] = ("explain", "score")
VERSION = 1
"""Of the folder's layout, as the manifest has it."""


@dataclass(frozen=True, slots=True)
class ContextShard:
    """The contexts of one shard of documents, in the order of their hashes."""

    hashes: NDArray[np.uint64]
    """(C,), ascending."""
    is_score: NDArray[np.uint8]
    """(C,): 1 where the document is in the score half."""
    text: NDArray[np.uint8]
    """The texts one after another, UTF-8."""
    token_bytes: NDArray[np.uint16]
    """(T,): length of each token in bytes, all contexts one after another."""
    first_token: NDArray[np.int64]
    """(C + 1,): where each context begins among the tokens."""

    def write(self, path: Path) -> None:
        replace_file(path, save({name: getattr(self, name) for name in self.__slots__}))

    @classmethod
    def read(cls, path: Path) -> ContextShard:
        return cls(**read_arrays(path))

    def context(self, row: int) -> Context:
        """One context with its tokens' texts."""
        first, last = self.first_token[row], self.first_token[row + 1]
        at, tokens = int(self.token_bytes[:first].sum(dtype=np.int64)), []
        for length in self.token_bytes[first:last].tolist():
            tokens.append(self.text[at : at + length].tobytes().decode())
            at += length
        return Context(f"{int(self.hashes[row]):016x}", tuple(tokens))


@dataclass(frozen=True, slots=True)
class HookpointInfo:
    """What the manifest says of one hookpoint."""

    name: str
    units: int
    signed: bool

    @property
    def sides(self) -> int:
        return self.units * (2 if self.signed else 1)


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
        self.subject: str = self.manifest["subject"]["name"]
        self.dictionary: str = self.manifest["settings"]["dictionary"]
        self.hookpoints = [HookpointInfo(**info) for info in self.manifest["hookpoints"]]

    def units(self) -> Iterator[UnitId]:
        """Every unit, hookpoint by hookpoint, the positive side first."""
        for info in self.hookpoints:
            for side in range(info.sides):
                sign = 1 if side < info.units else -1
                yield UnitId(self.subject, info.name, self.dictionary, side % info.units, sign)

    def alive(self, min_active: int) -> list[UnitId]:
        """Units with at least `min_active` active contexts in each half."""
        enough = {
            info.name: np.minimum(*(self._counts(info.name, half) for half in HALVES)) >= min_active
            for info in self.hookpoints
        }
        return [unit for unit in self.units() if enough[unit.hookpoint][self.side(unit)]]

    def side(self, unit: UnitId) -> int:
        """Row of the unit's side in the sketches. Raises UserError where the cache has no such unit."""
        info = next((info for info in self.hookpoints if info.name == unit.hookpoint), None)
        if info is None or (unit.subject, unit.dictionary) != (self.subject, self.dictionary):
            known = ", ".join(f"{self.subject}/{info.name}/{self.dictionary}" for info in self.hookpoints)
            raise UserError(f"Expected a unit of {known}; found {unit}.")
        if not 0 <= unit.index < info.units or (unit.sign < 0 and not info.signed):
            sides = "0- to" if info.signed and unit.sign < 0 else "0 to"
            raise UserError(
                f"Expected an index from {sides} {info.units - 1} at {info.name}, found {unit.index}"
                f"{'-' if unit.sign < 0 else ''}."
            )
        return unit.index + (info.units if unit.sign < 0 else 0)

    def statistics(self, unit: UnitId) -> UnitStatistics:
        """Counts over both halves."""
        side = self.side(unit)
        rows = [self._row(unit.hookpoint, half, side) for half in HALVES]
        n_active = sum(int(row["n_active"]) for row in rows)
        total = sum(int(row["peak_sum"]) for row in rows) / FIXED_POINT
        return UnitStatistics(
            n_contexts=sum(int(self._whole(unit.hookpoint, half, "n_contexts")[0]) for half in HALVES),
            n_active=n_active,
            threshold=float(self._thresholds[unit.hookpoint][side]),
            maximum=max(float(row["maximum"]) for row in rows),
            mean=total / n_active if n_active else 0.0,
            histogram=tuple(
                sum(counts) for counts in zip(*(row["histogram"].tolist() for row in rows), strict=True)
            ),
        )

    def examples(self, unit: UnitId, half: Half, kind: Literal["top", "uniform"]) -> list[Example]:
        """The kept contexts of one sample, with the unit's activations, in the sketch's order."""
        row = self._row(unit.hookpoint, half, self.side(unit))
        n = int((row[f"{kind}_peaks"] > 0).sum())
        examples = []
        kept = (row[f"{kind}_{part}"][:n] for part in ("hashes", "peaks", "windows"))
        for digest, peak, window in zip(*kept, strict=True):
            context = self.context(int(digest))
            values = window[: len(context.tokens)].astype(np.float64) * float(peak)
            examples.append(Example(context, tuple(values.tolist())))
        return examples

    def uniform_hashes(self, unit: UnitId, half: Half) -> NDArray[np.uint64]:
        """(U,) hashes of the uniform sample, ascending, EMPTY in free slots."""
        hashes: NDArray[np.uint64] = self._row(unit.hookpoint, half, self.side(unit))["uniform_hashes"]
        return hashes

    def hashes(self, half: Half) -> NDArray[np.uint64]:
        """Hashes of all contexts of a half, ascending."""
        everything, _, _, is_score = self._places
        hashes: NDArray[np.uint64] = everything[is_score == (half == "score")]
        return hashes

    def context(self, digest: int) -> Context:
        """The context with that hash."""
        hashes, shards, rows, _ = self._places
        at = int(np.searchsorted(hashes, np.uint64(digest)))
        return self._shard(int(shards[at])).context(int(rows[at]))

    def output_tokens(self, unit: UnitId, n: int = 10) -> OutputTokens | None:
        """What the unit's side promotes and suppresses; None where its direction has no way to the logits."""
        path = self.path / "outputs" / f"{unit.hookpoint}.safetensors"
        if not path.is_file():
            return None
        with _reading(path) as file:
            row = {key: file.get_slice(key)[unit.index] for key in ("high", "high_logits", "low", "low_logits")}
        high = [(self._vocabulary[str(i)], float(x)) for i, x in zip(row["high"], row["high_logits"], strict=True)]
        low = [(self._vocabulary[str(i)], float(x)) for i, x in zip(row["low"], row["low_logits"], strict=True)]
        if unit.sign < 0:
            high, low = [(t, -x) for t, x in low], [(t, -x) for t, x in high]
        return OutputTokens(tuple(high[:n]), tuple(low[:n]))

    @property
    def _sketches(self) -> Path:
        return sketch_folder(self.path, self.manifest["shards_done"])

    def _row(self, hookpoint: str, half: Half, side: int) -> dict[str, Any]:
        with _reading(self._sketches / f"{hookpoint}.{half}.safetensors") as file:
            return {key: file.get_slice(key)[side] for key in file.keys() if key != "n_contexts"}

    def _whole(self, hookpoint: str, half: Half, key: str) -> NDArray[np.int64]:
        with _reading(self._sketches / f"{hookpoint}.{half}.safetensors") as file:
            array: NDArray[np.int64] = file.get_tensor(key)
            return array

    def _counts(self, hookpoint: str, half: Half) -> NDArray[np.int64]:
        return self._whole(hookpoint, half, "n_active")

    @cached_property
    def _thresholds(self) -> dict[str, NDArray[Any]]:
        return read_arrays(self.path / "thresholds.safetensors")

    @cached_property
    def _vocabulary(self) -> dict[str, str]:
        text = (self.path / "vocabulary.json").read_text(encoding="utf-8")
        vocabulary: dict[str, str] = json.loads(text)
        return vocabulary

    @cached_property
    def _shard(self) -> Callable[[int], ContextShard]:
        """A shard by its number; a few are kept in memory, whatever their number on disk."""
        return lru_cache(16)(lambda number: ContextShard.read(context_path(self.path, number)))

    @cached_property
    def _places(self) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """Every hash ascending, with its shard, its row there, and whether it is in the score half."""
        hashes, is_score = [], []
        for number in range(self.manifest["shards_done"]):
            with _reading(context_path(self.path, number)) as file:
                hashes.append(file.get_tensor("hashes"))
                is_score.append(file.get_tensor("is_score").astype(bool))
        sizes = [len(part) for part in hashes]
        everything = np.concatenate(hashes)
        order = np.argsort(everything, kind="stable")
        shards = np.repeat(np.arange(len(sizes)), sizes)
        rows = np.concatenate([np.arange(size) for size in sizes])
        return everything[order], shards[order], rows[order], np.concatenate(is_score)[order]


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
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{file} is damaged ({error}). Collect again into a new run folder.") from None
    if not isinstance(manifest, dict) or manifest.get("version") != VERSION:
        raise UserError(
            f"Expected version {VERSION} of a cache in {file}, found another. Collect again into a new run folder."
        )
    return manifest


def context_path(cache: Path, shard: int) -> Path:
    return cache / "contexts" / f"{shard:06}.safetensors"


def sketch_folder(cache: Path, shards_done: int) -> Path:
    return cache / "sketches" / f"{shards_done:06}"


def write_sketches(cache: Path, shards_done: int, sketches: dict[tuple[str, Half], Sketch]) -> None:
    """One file a hookpoint and half."""
    for (hookpoint, half), sketch in sketches.items():
        path = sketch_folder(cache, shards_done) / f"{hookpoint}.{half}.safetensors"
        replace_file(path, save(sketch.arrays()))


def read_sketches(cache: Path, shards_done: int, hookpoints: Sequence[str]) -> dict[tuple[str, Half], Sketch]:
    """What `write_sketches` wrote. Raises UserError where a file is missing or damaged."""
    folder = sketch_folder(cache, shards_done)
    return {
        (hookpoint, half): Sketch.of_arrays(read_arrays(folder / f"{hookpoint}.{half}.safetensors"))
        for hookpoint in hookpoints
        for half in HALVES
    }


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Every array of a safetensors file. Raises UserError where it is missing or damaged."""
    with _reading(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}


@contextmanager
def _reading(path: Path) -> Iterator[Any]:
    """A safetensors file of a cache, open."""
    try:
        with safe_open(path, "numpy") as file:
            yield file
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} is missing or damaged ({error}). Collect again into a new run folder.") from None
