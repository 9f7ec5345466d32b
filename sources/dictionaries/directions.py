"""Arbitrary directions as units: the rows of one (N, d) matrix, made of length 1.

A unit's activation is the vector's component along its row, on both sides of 0; it is never exactly zero. Random
directions, probes, steering vectors and the factors of a matrix factorisation are read so.
"""

from __future__ import annotations

from pathlib import Path

from neurogloss.errors import UserError
from neurogloss.sources.dictionaries.activations import Identity
from neurogloss.sources.dictionaries.files import Weights, name_of, provenance
from neurogloss.sources.dictionaries.linear import LinearDictionary


def read(path: Path) -> LinearDictionary:
    """The directions in the only tensor of `path` (`.npy`, `.npz`, `.safetensors` or `.pt`).

    Raises:
        UserError: several tensors, or a row of zeros.
    """
    weights = Weights.open(path)
    if len(weights.tensors) != 1:
        raise UserError(
            f"Expected one (N, d) matrix in {path}, found {len(weights.tensors)} tensors. Save it alone."
        )
    rows = weights.take(next(iter(weights.tensors)), None, None)
    lengths = rows.norm(dim=1, keepdim=True)
    if not lengths.all():
        raise UserError(
            f"Expected directions in {path}, found row {int(lengths[:, 0].argmin())} of zeros. Remove it."
        )
    unit = rows / lengths
    return LinearDictionary(
        name=name_of(path),
        encoder=unit,
        encoder_bias=rows.new_zeros(len(rows)),
        activation=Identity(),
        decoder=unit,
        decoder_bias=rows.new_zeros(rows.shape[1]),
        reconstructs=False,
        provenance=provenance("directions", [path]),
    )
