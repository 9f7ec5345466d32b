"""Corpora, token ids, arrays and tables that are damaged: refused in words, or read."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr
from damage import damage, fuzzed
from hypothesis import strategies as st
from safetensors.numpy import save_file

from neurogloss.errors import UserError
from neurogloss.sources.brain.reading import read_array, read_named, read_rows
from neurogloss.sources.corpus import read_documents, read_token_rows

LINES = "".join(json.dumps({"text": f"Document {i} is about rain."}) + "\n" for i in range(4))
ARRAY = np.arange(12, dtype=np.float32).reshape(4, 3)


def jsonl(path: Path) -> None:
    path.write_text(LINES, encoding="utf-8")


def zipped(path: Path) -> None:
    path.write_bytes(gzip.compress(LINES.encode(), mtime=0))


def parquet(path: Path) -> None:
    pq.write_table(pa.table({"text": ["one is here", "two is there"]}), path)


def tokens(path: Path) -> None:
    save_file({"tokens": np.arange(12, dtype=np.int64).reshape(3, 4)}, path)


def hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["betas"] = ARRAY


def table(path: Path) -> None:
    path.write_text('id,text,onset\n1,"rain, and sun",0.5\n2,snow,1.0\n', encoding="utf-8")


CASES: list[tuple[str, Callable[[Path], object], Callable[[str], object]]] = [
    ("texts.jsonl", jsonl, lambda path: list(read_documents(path))),
    ("texts.jsonl.gz", zipped, lambda path: list(read_documents(path))),
    ("texts.parquet", parquet, lambda path: list(read_documents(path))),
    ("texts.txt", jsonl, lambda path: list(read_documents(path))),
    ("tokens.safetensors", tokens, lambda path: list(read_token_rows(path))),
    ("betas.npy", lambda path: np.save(path, ARRAY), lambda path: read_array(path, "responses").sum()),
    ("betas.npz", lambda path: np.savez(path, a=ARRAY), lambda path: read_array(path, "responses").sum()),
    ("betas.h5", hdf5, lambda path: read_array(path, "responses").sum()),
    ("betas.zarr", lambda path: zarr.save(path, ARRAY), lambda path: read_array(path, "responses").sum()),
    (
        "betas.nii.gz",
        lambda path: nibabel.save(nibabel.Nifti1Image(ARRAY, np.eye(4)), path),
        lambda path: read_array(path, "responses").sum(),
    ),
    (
        "rois.json",
        lambda path: path.write_text('{"V1": [0, 1], "V2": [2]}'),
        lambda path: read_named(path, "ROIs"),
    ),
    ("rois.npz", lambda path: np.savez(path, V1=ARRAY > 2), lambda path: read_named(path, "ROIs")),
    ("stimuli.csv", table, read_rows),
    ("stimuli.jsonl", lambda path: path.write_text('{"id": 1, "text": "rain"}\n'), read_rows),
]


@pytest.mark.parametrize(("name", "write", "read"), CASES, ids=[name for name, _, _ in CASES])
@fuzzed(data=st.data())
def test_a_damaged_input_is_refused_or_read(
    name: str,
    write: Callable[[Path], object],
    read: Callable[[str], object],
    data: st.DataObject,
    tmp_path: Path,
) -> None:
    whole = tmp_path / "whole"
    if not whole.exists():
        whole.mkdir()
        write(whole / name)
    folder = damage(data, whole, tmp_path / "damaged")
    try:
        read(str(folder / name))
    except (UserError, FileNotFoundError) as error:
        assert str(error)
