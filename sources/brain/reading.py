"""Reads the files of an experiment strictly: arrays, and the table of what each row of responses answers to.

Arrays come from .npy, .npz, HDF5, zarr, NIfTI with a mask, and .mgh surfaces. Pickles are refused. Files that
git-annex or Git LFS left in place of the data are named as what they are.

The table has columns `text` or `path` or both; `id`, `split` (train, test), `session`, `onset` in seconds if
known. Others are left alone. A stimulus is told by its content: the bytes of its file, else its text.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurogloss.errors import UserError, first_line, imported
from neurogloss.foreign import check_archive, read_json
from neurogloss.ids import hash64

INSTALL = "pip install himalaya h5py nibabel zarr   (the extra [brain])"
HDF5 = (".h5", ".hf5", ".hdf5", ".hdf")
NIFTI = (".nii", ".nii.gz")
MGH = (".mgh", ".mgz")
POINTERS = (b"version https://git-lfs", b"/annex/objects/", b"../.git/annex", b".git/annex/objects")
"""What the files begin with, or hold, that stand for data elsewhere."""


def existing(spec: str, what: str) -> Path:
    """The path. Raises UserError where nothing is there, or a pointer to data that was never fetched."""
    path = Path(spec)
    if path.is_symlink() and not path.exists():
        raise UserError(
            f"Expected {what} at {path}, found a git-annex link without its data. Fetch it: git annex get {path}"
        )
    if not path.exists():
        raise UserError(f"Expected {what} at {path}, found nothing there. Check the path.")
    if path.is_file() and path.stat().st_size < 1024:
        with open(path, "rb") as file:
            head = file.read(300)
        if any(mark in head for mark in POINTERS):
            raise UserError(
                f"Expected {what} at {path}, found a pointer to data that was never fetched. "
                "Fetch it with `git annex get` or `git lfs pull`, or download it again."
            )
    return path


def read_array(spec: str, what: str) -> NDArray[Any]:
    """The array in a file, `FILE` or `FILE:KEY`; of NIfTI the volume, of a surface its maps as
    (maps, vertices), or (vertices,) where it has one.

    Raises:
        MissingExtra: h5py, zarr or nibabel is not installed.
        UserError: no such file or key, several arrays and no key, or a file that is not what its suffix says.
    """
    file, key = _split(spec)
    path = existing(file, what)
    name = path.name.lower()
    try:
        if name.endswith(".npy"):
            return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
        if name.endswith(".npz"):
            check_archive(path)
            with np.load(path, allow_pickle=False) as found:
                return np.asarray(found[_key(list(found.files), key, path)])
        if name.endswith(HDF5):
            with package("h5py").File(path, "r") as found:
                return np.asarray(found[_key(_datasets(found), key, path)])
        if name.endswith(".zarr"):
            return _zarr(path, key)
        if name.endswith(NIFTI):
            return np.asarray(package("nibabel").load(path).dataobj)
        if name.endswith(MGH):
            return _surface(np.asarray(package("nibabel").load(path).dataobj), path)
    except (UserError, FileNotFoundError):
        raise
    except Exception as error:  # each library has its own for a broken file, and runs into others
        raise UserError(
            f"Expected {what} in {path}, found what does not read as its suffix says: {first_line(error)} "
            "Copy the file again. Arrays of Python objects are not read."
        ) from None
    raise UserError(
        f"Expected {what} as .npy, .npz, {', '.join(HDF5)}, .zarr, .nii or .mgh, found {path}. "
        "Save it as one of those."
    )


def read_named(spec: str, what: str) -> Mapping[str, NDArray[Any]]:
    """All arrays of an .npz or .json file by name. Raises UserError."""
    path = existing(spec, what)
    try:
        if path.suffix.lower() == ".json":
            values = read_json(path.read_bytes())
            return {str(name): np.asarray(value) for name, value in dict(values).items()}
        check_archive(path)
        with np.load(path, allow_pickle=False) as found:
            return {name: np.asarray(found[name]) for name in found.files}
    except FileNotFoundError:
        raise
    except Exception as error:  # as above
        raise UserError(
            f"Expected {what} in {path}, JSON of name to indices or .npz of boolean arrays, found: "
            f"{first_line(error)}. Save it as one of those."
        ) from None


def is_nifti(spec: str) -> bool:
    return spec.lower().endswith(NIFTI)


def package(name: str) -> Any:
    """A package of the extra [brain], or a module of one."""
    return imported(name, INSTALL)


def _split(spec: str) -> tuple[str, str]:
    """File and key; a colon inside a path that is there belongs to the path."""
    file, colon, key = spec.rpartition(":")
    return (file, key) if colon and file and not Path(spec).exists() else (spec, "")


def _key(names: list[str], key: str, path: Path) -> str:
    if key in names:
        return key
    if not key and len(names) == 1:
        return names[0]
    raise UserError(
        f"Expected {'the array ' + repr(key) if key else 'one array'} in {path}, found "
        f"{', '.join(sorted(names)[:8]) or 'none'}. Name one of them, as {path}:NAME."
    )


def _datasets(file: Any) -> list[str]:
    found: list[str] = []
    file.visititems(lambda name, item: found.append(name) if hasattr(item, "dtype") else None)
    return found


def _surface(found: NDArray[Any], path: Path) -> NDArray[Any]:
    """(vertices, 1, 1) or (vertices, 1, 1, maps), as FreeSurfer writes them."""
    if found.shape[1:3] != (1, 1):
        raise UserError(
            f"Expected a surface, (vertices, 1, 1, maps), in {path}, found a volume {found.shape}. "
            "Save it as NIfTI, and give its mask."
        )
    return found[:, 0, 0].T


def _zarr(path: Path, key: str) -> NDArray[Any]:
    opened = package("zarr").open(str(path), mode="r")
    if hasattr(opened, "shape"):
        return np.asarray(opened[...])
    return np.asarray(opened[_key(list(opened.array_keys()), key, path)][...])


LONGEST = 65_535
"""Bytes of a stimulus' text at most."""
SPLITS = {"": "", "train": "train", "trn": "train", "test": "test", "tst": "test"}


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table: one presentation, or one word."""

    text: str = ""
    path: str = ""
    """Of the image, from the folder of all pictures."""
    id: str = ""
    split: str = ""
    """`train`, `test`, or empty where the table says nothing."""
    session: str = ""
    onset: float = math.nan
    """Seconds from the start of the session."""
    content: int = 0
    """Hash of the image's bytes, else of the text, in [0, 2^64)."""


def read_rows(table: str, pictures: str = "") -> tuple[tuple[Row, ...], str]:
    """The rows of a table, and the folder that their paths start from; empty where there are no paths.

    Raises:
        UserError: a table that does not read, names no text and no path, or a file that is not there; it names the
            row.
    """
    path = existing(table, "a table of stimuli")
    rows = []
    for number, values in enumerate(_values(path), 1):
        where = f"row {number} of {path}"
        rows.append(_row(values, where, Path(pictures) if pictures else path.parent))
    if not rows:
        raise UserError(
            f"Expected stimuli in {path}, found an empty table. Give one row for each row of responses."
        )
    _check_ids(rows, path)
    folder = str(pictures or path.parent) if any(row.path for row in rows) else ""
    return tuple(rows), folder


def _values(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        if path.suffix.lower() in (".csv", ".tsv"):
            with open(path, encoding="utf-8-sig", newline="") as file:
                reader = csv.DictReader(
                    file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True
                )
                _require_columns(set(reader.fieldnames or ()), path)
                yield from reader
        elif path.suffix.lower() in (".jsonl", ".ndjson"):
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                try:
                    value = read_json(line) if line.strip() else {}
                except ValueError as error:
                    raise UserError(
                        f"Expected JSON in row {number} of {path}, found: {error}. Fix that line."
                    ) from None
                if not isinstance(value, dict):
                    raise UserError(f"Expected a JSON object in line {number} of {path}, found {line[:60]!r}.")
                _require_columns(set(value), path)
                yield value
        else:
            raise UserError(f"Expected a .csv, .tsv or .jsonl table, found {path}. Save it as one of those.")
    except (csv.Error, ValueError) as error:
        raise UserError(f"Expected {path} to read as its suffix says, found: {error}. Save it again.") from None


def _require_columns(names: set[str], path: Path) -> None:
    if not names & {"text", "path"}:
        raise UserError(
            f"Expected a column `text` or `path` in {path}, found {', '.join(sorted(names)) or 'none'}. Rename "
            "one."
        )


def _row(values: Mapping[str, Any], where: str, folder: Path) -> Row:
    text, path, id, split, session = (
        str(values.get(name) if values.get(name) is not None else "")
        for name in ("text", "path", "id", "split", "session")
    )
    if split not in SPLITS:
        raise UserError(
            f"Expected train or test as the split in {where}, found {split!r}. Mend it, or leave it out."
        )
    if len(text.encode()) > LONGEST:
        raise UserError(f"Expected a text of {LONGEST} bytes at most in {where}, found more. Cut it.")
    if not (text.strip() or path):
        raise UserError(
            f"Expected a text or a path in {where}, found neither. Leave the row and its response out."
        )
    return Row(text, path, id, SPLITS[split], session, _onset(values, where), _content(text, path, folder, where))


def _onset(values: Mapping[str, Any], where: str) -> float:
    given = values.get("onset")
    try:
        return math.nan if given in (None, "") else float(given)
    except (TypeError, ValueError):
        raise UserError(f"Expected seconds as the onset in {where}, found {given!r}. Write a number.") from None


def _content(text: str, path: str, folder: Path, where: str) -> int:
    if not path:
        return hash64(text)
    try:
        return hash64((folder / path).read_bytes())
    except OSError as error:
        raise UserError(
            f"Expected the image of {where} at {folder / path}, found: {error.strerror}. Say with --pictures "
            "where paths start, or mend the path."
        ) from None


def _check_ids(rows: list[Row], path: Path) -> None:
    """Raise UserError where one id stands for two stimuli."""
    known: dict[str, int] = {}
    for row in rows:
        if row.id and known.setdefault(row.id, row.content) != row.content:
            raise UserError(
                f"Expected one stimulus for the id {row.id!r} in {path}, found two that differ. Number them apart."
            )
